"""One broker's configuration: every broker config with its value and where that came from. Immutable, pure.

Settings are given weakest first (mode, file, environment, -o, flags); the last one of a key wins. Resolving them checks
types, ranges and what must fit together, and collects what the user should hear without being stopped by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from posixpath import normpath
from typing import Any, NamedTuple

from kbroker.config.definition import BadValueError, ConfigDef, Distinct, Status, format_value, parse_value
from kbroker.config.endpoints import Endpoint, ListenerRefusedError, advertised_of, listeners_of
from kbroker.config.modes import settings_of_mode
from kbroker.config.sources import ConfigError, Origin, Setting, Source
from kbroker.config.tables import BROKER_CONFIGS, RETIRED_TOPIC_CONFIGS, TOPIC_CONFIGS, is_without_effect

MEMORY = "memory:"
"""The data directory that stands for none: everything is forgotten at the end."""

_DEFAULT_ORIGIN = Origin(Source.DEFAULT)
_REPLICATION = (
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "transaction.state.log.min.isr",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.min.isr",
)
_MS_PER_UNIT = {"hours": 3_600_000, "minutes": 60_000}


class TopicSpec(NamedTuple):
    """A topic to make at start. `replicas` None is default.replication.factor."""

    name: str
    partitions: int
    replicas: int | None = None


class Remarks(NamedTuple):
    """What resolving found and could live with: `warnings` ask for a look, `notes` only say what is so."""

    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class BrokerConfig(Mapping[str, Any]):
    """Typed values by Kafka's names: `config["num.partitions"]` is an int; keys nobody set have their default.

    As a mapping it holds every known broker config. A wrong name raises KeyError: it is our mistake, not the user's.
    """

    def __init__(self, values: dict[str, Any], origins: dict[str, Origin], remarks: Remarks, mode: str) -> None:
        self._values = values
        self._origins = origins
        self.remarks = remarks
        self.mode = mode

    @classmethod
    def resolve(cls, settings: Iterable[Setting], *, mode: str = "dev") -> BrokerConfig:
        """The configuration of `settings` (weakest first) over the presets of `mode`. Raises ConfigError."""
        resolving = _Resolving()
        for setting in [*settings_of_mode(mode), *settings]:
            resolving.take(setting)
        return resolving.finish(mode)

    @classmethod
    def of(cls, values: Mapping[str, Any], *, mode: str = "dev", place: str = "") -> BrokerConfig:
        """The configuration of a mapping from names to values or texts, as if each were a flag. Raises ConfigError."""
        origin = Origin(Source.FLAG, place)
        return cls.resolve([Setting(name, _as_text(value), origin) for name, value in values.items()], mode=mode)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def origin(self, name: str) -> Origin:
        """Where the value of `name` came from."""
        return self._origins.get(name, _DEFAULT_ORIGIN)

    def is_set(self, name: str) -> bool:
        """Did anybody set `name`? A mode's preset counts as nobody."""
        return self.origin(name).source not in (Source.DEFAULT, Source.MODE)

    def text(self, name: str) -> str | None:
        """The value as Kafka prints it; None where there is none."""
        return format_value(BROKER_CONFIGS[name], self._values[name])

    @property
    def node_id(self) -> int:
        """The number of this node."""
        value: int = self["node.id"]
        return value

    @property
    def data_dirs(self) -> tuple[str, ...]:
        """The data directories as they were given, but for what names none (a slash at the end); or MEMORY alone."""
        return tuple(map(normpath, self["log.dirs"] or self["log.dir"]))

    @property
    def data_dir(self) -> str:
        """The first data directory, or MEMORY."""
        return self.data_dirs[0]

    @property
    def metadata_dir(self) -> str:
        """Where the metadata log lives: `metadata.log.dir`, else the first data directory."""
        return normpath(self["metadata.log.dir"] or self.data_dir)

    @property
    def is_in_memory(self) -> bool:
        """Is nothing kept on disk?"""
        return self.data_dir == MEMORY

    @cached_property
    def listeners(self) -> tuple[Endpoint, ...]:
        """What to listen on; listeners for controllers are left out."""
        return listeners_of(self)

    @cached_property
    def advertised(self) -> dict[str, tuple[str, int]]:
        """Host and port to tell clients, by listener name, where advertised.listeners says so."""
        return advertised_of(self, self.listeners)

    @cached_property
    def topics(self) -> tuple[TopicSpec, ...]:
        """The topics to make at start."""
        return tuple(_topic_spec(text) for text in self["kbroker.topics"])

    @cached_property
    def connections_per_ip(self) -> dict[str, int]:
        """max.connections.per.ip.overrides, by host or address."""
        return dict(_per_ip(self["max.connections.per.ip.overrides"]))

    @cached_property
    def _topic_defaults(self) -> dict[str, Any]:
        return {name: self._topic_default(definition) for name, definition in TOPIC_CONFIGS.items()}

    def topic_defaults(self) -> dict[str, Any]:
        """The value of every topic config for a topic that sets none, by the topic's names (a fresh dict)."""
        return dict(self._topic_defaults)

    def topic_default_name(self, topic_config: str) -> str | None:
        """The broker config that decides a topic config's default; None where there is none."""
        synonyms = TOPIC_CONFIGS[topic_config].synonyms
        return next((name for name in synonyms if self._values[name] is not None), None)

    def _topic_default(self, definition: ConfigDef) -> Any:
        name = self.topic_default_name(definition.name)
        if name is None:
            return definition.default
        value = self._values[name]
        factor = _MS_PER_UNIT.get(name.rpartition(".")[2], 1)
        return value * factor if factor != 1 and value > 0 else value


def parse_topic_value(name: str, text: str) -> Any:
    """The typed value of a topic config. Raises ConfigError: unknown name, wrong type, out of range, rejected here."""
    definition = TOPIC_CONFIGS.get(name)
    if definition is None:
        if name in RETIRED_TOPIC_CONFIGS:
            return text
        raise ConfigError(name, text, "no such topic config", suggestion=nearest(name, TOPIC_CONFIGS))
    try:
        return parse_value(definition, text)
    except BadValueError as error:
        raise ConfigError(name, text, str(error)) from None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is most likely a slip of; None when nothing is near."""
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return close[0] if close else None


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(str(part) for part in value)
    return str(value)


def _topic_spec(text: str) -> TopicSpec:
    name, partitions, *replicas = text.split(":")
    return TopicSpec(name, int(partitions), int(replicas[0]) if replicas else None)


def _per_ip(text: str) -> Iterator[tuple[str, int]]:
    for pair in filter(None, (part.strip() for part in text.split(","))):
        host, colon, count = pair.rpartition(":")
        if not colon or not count.isdecimal():
            raise BadValueError(f"{pair!r} is not HOST:COUNT")
        yield host, int(count)


class _Resolving:
    """The values so far, on the way to a BrokerConfig."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {name: definition.default for name, definition in BROKER_CONFIGS.items()}
        self.origins: dict[str, Origin] = {}
        self.texts: dict[str, str] = {}
        self.unknown: list[Setting] = []
        self.ignored: list[str] = []
        self.warnings: list[str] = []

    def take(self, setting: Setting) -> None:
        """Let one setting win over what came before."""
        definition = BROKER_CONFIGS.get(setting.name)
        if definition is None and setting.origin.source is Source.ENVIRONMENT:
            setting = setting._replace(name=f"kbroker.{setting.name}")
            definition = BROKER_CONFIGS.get(setting.name)
        if definition is None:
            (self.ignored.append(setting.name) if is_without_effect(setting.name) else self.unknown.append(setting))
            return
        try:
            value = parse_value(definition, setting.text)
        except BadValueError as error:
            raise self._error(setting, str(error)) from None
        if isinstance(definition.validator, Distinct) and len(value) < len(setting.text.split(",")) and value:
            self.warnings.append(f"{setting.origin}: {setting.name}={setting.text}: what is named twice counts once")
        self.values[setting.name] = value
        self.origins[setting.name] = setting.origin
        self.texts[setting.name] = setting.text

    def finish(self, mode: str) -> BrokerConfig:
        """Check what must fit together and make the configuration."""
        self._check_unknown()
        self._agree_on_node_id()
        self._check_quorum()
        self._check_directories()
        self._check_bounds()
        self._clamp_replication()
        self._check_topics()
        config = BrokerConfig(self.values, self.origins, self._remarks(), mode)
        try:
            _ = config.listeners, config.advertised
        except ListenerRefusedError as refused:
            raise self._refuse(refused.config, str(refused)) from None
        return config

    def _check_unknown(self) -> None:
        known = [*BROKER_CONFIGS]
        for setting in self.unknown:
            suggestion = nearest(setting.name, known) or nearest(setting.name.removeprefix("kbroker."), known)
            if not self.values["kbroker.unknown.keys.allow"]:
                raise self._error(setting, "no such config", suggestion)
            hint = f"; did you mean {suggestion}?" if suggestion else ""
            self.warnings.append(f"{setting.origin}: {setting.name} is no config that Kafka or kbroker knows{hint}")

    def _agree_on_node_id(self) -> None:
        node, broker = self.origins.get("node.id"), self.origins.get("broker.id")
        if broker is not None and self.values["broker.id"] >= 0:
            if node is not None and self.values["node.id"] != self.values["broker.id"]:
                raise self._refuse("broker.id", f"it differs from node.id, which is {self.values['node.id']}")
            self.values["node.id"] = self.values["broker.id"]
            self.origins.setdefault("node.id", broker)
        self.values["broker.id"] = self.values["node.id"]

    def _check_quorum(self) -> None:
        if set(self.values["process.roles"]) != {"broker", "controller"}:
            reason = "this node is broker and controller at once: set broker,controller or leave it out"
            raise self._refuse("process.roles", reason)
        voters = self.values["controller.quorum.voters"]
        if voters and [voter.partition("@")[0] for voter in voters] != [str(self.values["node.id"])]:
            reason = f"this node is a quorum of one and can't join others: name node {self.values['node.id']} alone"
            raise self._refuse("controller.quorum.voters", reason)
        if len(self.values["controller.quorum.bootstrap.servers"]) > 1:
            reason = "this node is a quorum of one and can't join others: name one address or none"
            raise self._refuse("controller.quorum.bootstrap.servers", reason)

    def _check_directories(self) -> None:
        name = "log.dirs" if self.values["log.dirs"] else "log.dir"
        in_memory = (MEMORY, "memory://")
        directories = self.values[name]
        for directory in directories:
            if directory in in_memory and len(directories) > 1:
                raise self._refuse(name, f"{directory} stands alone: nothing is kept on disk beside it")
            if directory.startswith("memory") and directory not in in_memory:
                self.warnings.append(f"{directory} is taken as a directory; memory is written {MEMORY}")
        if directories[0] in in_memory:
            self.values[name] = (MEMORY,)
            if self.values["metadata.log.dir"] not in (None, *in_memory):
                raise self._refuse("metadata.log.dir", f"{name} is {MEMORY}, so the metadata log is in memory too")
            self.values["metadata.log.dir"] = None

    def _check_bounds(self) -> None:
        values = self.values
        for name in ("log.retention.ms", "log.retention.minutes", "log.retention.hours"):
            if values[name] is not None and values[name] == 0:
                raise self._refuse(name, "it must be above 0, or -1 to keep records")
        for name in ("log.roll.ms",):
            if values[name] is not None and values[name] < 1:
                raise self._refuse(name, "it must be at least 1")
        for name in ("socket.receive.buffer.bytes", "socket.send.buffer.bytes"):
            if values[name] != -1 and values[name] < 1:
                raise self._refuse(name, "it must be above 0, or -1 for the system's choice")
        if values["group.min.session.timeout.ms"] > values["group.max.session.timeout.ms"]:
            reason = f"it is above group.max.session.timeout.ms ({values['group.max.session.timeout.ms']})"
            raise self._refuse("group.min.session.timeout.ms", reason)
        if 0 < values["queued.max.request.bytes"] < values["socket.request.max.bytes"]:
            reason = (
                f"it is below socket.request.max.bytes ({values['socket.request.max.bytes']}): no such request fits"
            )
            raise self._refuse("queued.max.request.bytes", reason)
        if values["default.replication.factor"] < 1:
            raise self._refuse("default.replication.factor", "it must be at least 1")
        try:
            dict(_per_ip(values["max.connections.per.ip.overrides"]))
        except BadValueError as error:
            raise self._refuse("max.connections.per.ip.overrides", str(error)) from None

    def _clamp_replication(self) -> None:
        if not self.values["kbroker.clamp.replication"]:
            return
        for name in _REPLICATION:
            if self.values[name] > 1:
                if name in self.origins:
                    origin = self.origins[name]
                    self.warnings.append(f"{origin}: {name}={self.values[name]} is lowered to 1: there is one broker")
                self.values[name] = 1

    def _check_topics(self) -> None:
        """Topics to make at start: each once, with partitions, and with as many replicas as there are brokers."""
        name = "kbroker.topics"
        specs: list[TopicSpec] = []
        for spec in map(_topic_spec, self.values[name]):
            if spec.name in (".", ".."):
                raise self._refuse(name, f"no topic can be named {spec.name}")
            if any(spec.name == other.name for other in specs):
                raise self._refuse(name, f"{spec.name} is named twice")
            if spec.partitions < 1 or spec.replicas == 0:
                raise self._refuse(name, f"{spec.name} needs at least one partition and one replica")
            if spec.replicas is not None and spec.replicas > 1:
                if not self.values["kbroker.clamp.replication"]:
                    raise self._refuse(name, f"{spec.name} can't have {spec.replicas} replicas: there is one broker")
                self.warnings.append(f"{spec.name} gets one replica, not {spec.replicas}: there is one broker")
                spec = spec._replace(replicas=1)
            specs.append(spec)
        self.values[name] = tuple(":".join(str(part) for part in spec if part is not None) for spec in specs)

    def _remarks(self) -> Remarks:
        inert = [
            name
            for name, origin in self.origins.items()
            if origin.source is not Source.MODE
            and BROKER_CONFIGS[name].status is Status.NO_EFFECT
            and self.values[name] != BROKER_CONFIGS[name].default
        ]
        names = sorted({*inert, *self.ignored})
        notes = (f"accepted without effect: {', '.join(names)}",) if names else ()
        return Remarks(tuple(self.warnings), notes)

    def _refuse(self, name: str, reason: str) -> ConfigError:
        text = self.texts.get(name) or format_value(BROKER_CONFIGS[name], self.values[name]) or ""
        return self._error(Setting(name, text, self.origins.get(name, _DEFAULT_ORIGIN)), reason)

    def _error(self, setting: Setting, reason: str, suggestion: str | None = None) -> ConfigError:
        definition = BROKER_CONFIGS.get(setting.name)
        text = "[hidden]" if definition is not None and definition.is_sensitive else setting.text
        place = setting.origin.place or None
        return ConfigError(setting.name, text, reason, place, setting.origin.line, suggestion)
