"""What configuration is in force, and where each value comes from.

A topic's value: its own override, else a broker config that stands behind it (`synonyms` of the table, the first one
set wins), itself dynamic for one broker, dynamic for all, from the broker's file, or the default.

Source: Kafka's ConfigHelper and ServerTopicConfigSynonyms; KIP-226 for sources and synonyms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

from kbroker.config import (
    BROKER_CONFIGS,
    GROUP_CONFIGS,
    TOPIC_CONFIGS,
    BrokerConfig,
    ConfigDef,
    ConfigError,
    Source,
    format_value,
    parse_topic_value,
)
from kbroker.log.settings import LogSettings
from kbroker.metadata.image import MetadataImage, ResourceType


class ConfigSource(IntEnum):
    """Where a value comes from, as DescribeConfigs numbers it."""

    UNKNOWN = 0
    TOPIC = 1
    DYNAMIC_BROKER = 2
    DYNAMIC_DEFAULT_BROKER = 3
    STATIC_BROKER = 4
    DEFAULT = 5
    BROKER_LOGGER = 6
    CLIENT_METRICS = 7
    GROUP = 8


class Synonym(NamedTuple):
    """A value that would be in force if those before it were not set."""

    name: str
    value: str | None
    source: ConfigSource


class ConfigEntry(NamedTuple):
    """One config in force; `value` is None where it is unset or sensitive. `kind` is DescribeConfigs' type code."""

    name: str
    value: str | None
    source: ConfigSource
    read_only: bool
    is_sensitive: bool
    synonyms: tuple[Synonym, ...]
    kind: int
    doc: str


def log_settings(image: MetadataImage, config: BrokerConfig, topic: str) -> LogSettings:
    """The settings of a topic's logs: overrides over dynamic broker configs over the broker's file.

    Values of another Kafka version that we cannot read, and names that we do not know, leave the default in force.
    """
    values = dict(config.topic_defaults())
    for name, definition in TOPIC_CONFIGS.items():
        dynamic = _dynamic(image, config, definition)
        if dynamic is not None:
            _take(values, name, dynamic)
    values["producer.id.expiration.ms"] = config["producer.id.expiration.ms"]
    values["record.validation"] = config["kbroker.record.validation"]
    for name, text in image.topic_configs(topic).items():
        _take(values, name, text)
    if config["kbroker.produce.sync"]:
        values["flush.messages"] = 1
    return LogSettings.of(values)


def min_insync_replicas(image: MetadataImage, config: BrokerConfig, topic: str) -> int:
    """How many replicas must be in sync for acks=all, not capped by how many there are; resolved as log_settings does.

    Where eligible leader replicas are on, Kafka keeps the cluster's value in the metadata (KIP-966).
    """
    name = "min.insync.replicas"
    values: dict[str, Any] = {name: config[name]}
    for text in (_dynamic(image, config, TOPIC_CONFIGS[name]), image.topic_configs(topic).get(name)):
        if text is not None:
            _take(values, name, text)
    return int(values[name])


def _take(values: dict[str, Any], name: str, text: str) -> None:
    if name not in TOPIC_CONFIGS:
        return
    try:
        values[name] = parse_topic_value(name, text)
    except ConfigError:
        # The record was checked by whoever wrote it; by our stricter measure it has no effect.
        return


def _dynamic(image: MetadataImage, config: BrokerConfig, definition: ConfigDef) -> str | None:
    """The dynamic broker config behind a topic config: only the first synonym can be dynamic, in the same unit."""
    if not definition.synonyms:
        return None
    found = next(_dynamic_values(image, config, definition.synonyms[0]), None)
    return None if found is None else found.value


def effective_topic_configs(
    image: MetadataImage, config: BrokerConfig, overrides: Mapping[str, str]
) -> list[ConfigEntry]:
    """Every topic config as it is in force for a topic with `overrides`, in the table's order.

    Kafka's internal ones are left out, like there.
    """
    defaults = config.topic_defaults()
    return [
        _topic_entry(image, config, definition, overrides, defaults)
        for definition in TOPIC_CONFIGS.values()
        if not definition.name.startswith("internal.")
    ]


def _topic_entry(
    image: MetadataImage,
    config: BrokerConfig,
    definition: ConfigDef,
    overrides: Mapping[str, str],
    defaults: Mapping[str, Any],
) -> ConfigEntry:
    name = definition.name
    synonyms = [*_broker_synonyms(image, config, definition.synonyms)]
    value = format_value(definition, defaults[name])
    dynamic = _dynamic(image, config, definition)
    if dynamic is not None:
        value = dynamic
    if name in overrides:
        value = overrides[name]
        synonyms.insert(0, Synonym(name, _shown(definition, value), ConfigSource.TOPIC))
    return ConfigEntry(
        name=name,
        value=_shown(definition, value),
        source=synonyms[0].source if synonyms else ConfigSource.DEFAULT,
        read_only=False,
        is_sensitive=definition.is_sensitive,
        synonyms=tuple(synonyms),
        kind=definition.type,
        doc=definition.doc,
    )


def _shown(definition: ConfigDef, value: str | None) -> str | None:
    return None if definition.is_sensitive else value


def _broker_synonyms(image: MetadataImage, config: BrokerConfig, names: tuple[str, ...]) -> Iterator[Synonym]:
    """What stands behind a config under `names`, strongest first."""
    for scope in (str(config["node.id"]), ""):
        for name in names:
            yield from _dynamic_values(image, config, name, (scope,))
    statics = [_static(config, name) for name in names if name in BROKER_CONFIGS]
    yield from (each for each in statics if each is not None and each.source is ConfigSource.STATIC_BROKER)
    for name in names:
        definition = BROKER_CONFIGS.get(name)
        if definition is not None and definition.default is not None:
            yield Synonym(name, _shown(definition, format_value(definition, definition.default)), ConfigSource.DEFAULT)


def _dynamic_values(
    image: MetadataImage, config: BrokerConfig, name: str, scopes: tuple[str, ...] | None = None
) -> Iterator[Synonym]:
    for scope in (str(config["node.id"]), "") if scopes is None else scopes:
        value = image.configs.get((ResourceType.BROKER, scope), {}).get(name)
        if value is not None:
            source = ConfigSource.DYNAMIC_BROKER if scope else ConfigSource.DYNAMIC_DEFAULT_BROKER
            definition = BROKER_CONFIGS.get(name)
            yield Synonym(name, value if definition is None else _shown(definition, value), source)


def _static(config: BrokerConfig, name: str) -> Synonym | None:
    if config.origin(name).source is Source.DEFAULT:
        return None
    definition = BROKER_CONFIGS[name]
    return Synonym(name, _shown(definition, format_value(definition, config[name])), ConfigSource.STATIC_BROKER)


def broker_configs(image: MetadataImage, config: BrokerConfig) -> list[ConfigEntry]:
    """Every documented config of this broker, in the table's order."""
    return [
        _broker_entry(image, config, definition) for definition in BROKER_CONFIGS.values() if not definition.is_internal
    ]


def _broker_entry(image: MetadataImage, config: BrokerConfig, definition: ConfigDef) -> ConfigEntry:
    name = definition.name
    synonyms = tuple(_broker_synonyms(image, config, _ALIASES.get(name, (name,))))
    # What stands in the file may have been made to fit other values: the resolved one is in force.
    dynamic = next(_dynamic_values(image, config, name), None)
    value = format_value(definition, config[name]) if dynamic is None else dynamic.value
    return ConfigEntry(
        name=name,
        value=_shown(definition, value),
        source=synonyms[0].source if synonyms else ConfigSource.DEFAULT,
        read_only=not definition.is_dynamic,
        is_sensitive=definition.is_sensitive,
        synonyms=synonyms,
        kind=definition.type,
        doc=definition.doc,
    )


def _aliases() -> dict[str, tuple[str, ...]]:
    """For each broker config that shares its meaning with others (log.retention.ms, .minutes, .hours): it and those
    that it overrides."""
    aliases: dict[str, tuple[str, ...]] = {}
    for definition in TOPIC_CONFIGS.values():
        for position, name in enumerate(definition.synonyms):
            aliases[name] = definition.synonyms[position:]
    return aliases


_ALIASES = _aliases()


def cluster_default_configs(image: MetadataImage, config: BrokerConfig) -> list[ConfigEntry]:
    """The dynamic configs that hold for all brokers: what describing broker "" shows."""
    entries = []
    for name in image.configs.get((ResourceType.BROKER, ""), {}):
        definition = BROKER_CONFIGS.get(name)
        synonyms = tuple(_dynamic_values(image, config, name, ("",)))
        entries.append(
            ConfigEntry(
                name=name,
                value=synonyms[0].value,
                source=ConfigSource.DYNAMIC_DEFAULT_BROKER,
                read_only=definition is not None and not definition.is_dynamic,
                is_sensitive=definition is not None and definition.is_sensitive,
                synonyms=synonyms,
                kind=0 if definition is None else definition.type,
                doc="" if definition is None else definition.doc,
            )
        )
    return entries


def group_configs(image: MetadataImage, config: BrokerConfig, group: str) -> list[ConfigEntry]:
    """Every group config as it is in force for `group` (KIP-848)."""
    overrides = image.configs.get((ResourceType.GROUP, group), {})
    entries = []
    for name, definition in GROUP_CONFIGS.items():
        synonyms = [*_broker_synonyms(image, config, definition.synonyms)]
        value = synonyms[0].value if synonyms else format_value(definition, definition.default)
        if name in overrides:
            value = overrides[name]
            synonyms.insert(0, Synonym(name, value, ConfigSource.GROUP))
        source = synonyms[0].source if synonyms else ConfigSource.DEFAULT
        kind, doc = definition.type, definition.doc
        entries.append(ConfigEntry(name, value, source, False, definition.is_sensitive, tuple(synonyms), kind, doc))
    return entries


def client_metrics_configs(image: MetadataImage, subscription: str) -> list[ConfigEntry]:
    """The configs of a client metrics subscription (KIP-714), stored or default: to us they are plain text."""
    stored = image.configs.get((ResourceType.CLIENT_METRICS, subscription), {})
    entries = []
    for name, (default, kind) in _CLIENT_METRICS.items():
        source = ConfigSource.CLIENT_METRICS if name in stored else ConfigSource.DEFAULT
        value = stored.get(name, default)
        synonyms = (Synonym(name, value, source),) if name in stored else ()
        entries.append(ConfigEntry(name, value, source, False, False, synonyms, kind, ""))
    return entries


_CLIENT_METRICS: Final = {"interval.ms": ("300000", 3), "match": ("", 7), "metrics": ("", 7)}
"""Defaults and types (3 int, 7 list) of a subscription's configs. Kafka: ClientMetricsConfigs."""


class ShownOnce:
    """What an answer says of topics' configurations; made once for all topics with the same overrides."""

    def __init__(
        self, image: MetadataImage, config: BrokerConfig, show: Callable[[Sequence[ConfigEntry]], list[Any]]
    ) -> None:
        self._image = image
        self._config = config
        self._show = show
        self._made: dict[tuple[tuple[str, str], ...], list[Any]] = {}

    def of(self, overrides: Mapping[str, str]) -> list[Any]:
        """For a topic with these; not to be changed."""
        key = (*sorted(overrides.items()),)
        if key not in self._made:
            self._made[key] = self._show(effective_topic_configs(self._image, self._config, overrides))
        return self._made[key]
