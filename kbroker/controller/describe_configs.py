"""Answering DescribeConfigs: one result per resource, each refused or described on its own.

A success carries a null message: Kafka's empty one is taken for an error by KafkaJS.

Source: Kafka's ConfigHelper.describeConfigs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kbroker.config import BrokerConfig
from kbroker.controller.configs import (
    ConfigEntry,
    ShownOnce,
    broker_configs,
    client_metrics_configs,
    cluster_default_configs,
    group_configs,
)
from kbroker.controller.decision import Refused
from kbroker.controller.topic_names import name_refusal
from kbroker.metadata.image import MetadataImage, ResourceType
from kbroker.turns import Pace, Turns
from protocol_specs.api.k32_describe_configs import DescribeConfigsResponse
from protocol_specs.errors import ErrorCode

UNITS_PER_LIST: Final = 100
"""All configurations of a resource take half a millisecond; see Pace."""


def describe_configs(image: MetadataImage, request: Any, config: BrokerConfig) -> Turns[Any]:
    """The DescribeConfigsResponse; asks nothing of the metadata log, so there is no decision."""
    results, pace, shown = [], Pace(), _Shown(image, request, config)
    for resource in request.resources:
        made = shown.made
        results.append(_result(shown, resource))
        if pace.is_over(1 + UNITS_PER_LIST * (shown.made - made)):
            yield
    return DescribeConfigsResponse(results=results)


class _Shown:
    """What one answer says of configurations; made once for all topics with the same overrides."""

    def __init__(self, image: MetadataImage, request: Any, config: BrokerConfig) -> None:
        self._image = image
        self._request = request
        self._config = config
        self._of_topics: dict[frozenset[str], ShownOnce] = {}
        self.made = 0
        """Lists of entries, so far."""

    def of(self, resource: Any) -> list[Any] | Refused:
        """Entries of the answer; not to be changed."""
        # An empty list of keys asks for all, as null does.
        wanted = frozenset(resource.configuration_keys or ())
        if resource.resource_type != ResourceType.TOPIC:
            found = _described(self._image, resource.resource_type, resource.resource_name, self._config)
            return found if isinstance(found, Refused) else self._entries(found, wanted)
        overrides = _overrides(self._image, resource.resource_name)
        if isinstance(overrides, Refused):
            return overrides
        shown = self._of_topics.get(wanted)
        if shown is None:
            shown = ShownOnce(self._image, self._config, lambda found: self._entries(found, wanted))
            self._of_topics[wanted] = shown
        return shown.of(overrides)

    def _entries(self, found: Sequence[ConfigEntry], wanted: frozenset[str]) -> list[Any]:
        self.made += 1
        return [_entry(entry, self._request) for entry in found if not wanted or entry.name in wanted]


def _result(shown: _Shown, resource: Any) -> Any:
    found = shown.of(resource)
    result = DescribeConfigsResponse.DescribeConfigsResult(
        error_code=ErrorCode.NONE,
        error_message=None,
        resource_type=resource.resource_type,
        resource_name=resource.resource_name,
    )
    if isinstance(found, Refused):
        result.error_code, result.error_message = found.error, found.reason
        return result
    result.configs = found
    return result


def _described(image: MetadataImage, kind: int, name: str, config: BrokerConfig) -> list[ConfigEntry] | Refused:
    """What is no topic."""
    if kind == ResourceType.BROKER:
        if not name:
            return cluster_default_configs(image, config)
        return _refused_broker(name, config) or broker_configs(image, config)
    if kind == ResourceType.BROKER_LOGGER:
        # Loggers are not adjustable over the protocol here, so there is none to list.
        return _refused_broker(name, config) or []
    if kind == ResourceType.CLIENT_METRICS:
        empty = Refused(ErrorCode.INVALID_REQUEST, "the name of a client metrics subscription is empty")
        return client_metrics_configs(image, name) if name else empty
    if kind == ResourceType.GROUP:
        empty = Refused(ErrorCode.INVALID_REQUEST, "the name of a group is empty")
        return group_configs(image, config, name) if name else empty
    return Refused(ErrorCode.INVALID_REQUEST, f"resource type {kind} has no configurations")


def _overrides(image: MetadataImage, name: str) -> Mapping[str, str] | Refused:
    reason = name_refusal(name)
    if reason is not None:
        return Refused(ErrorCode.INVALID_TOPIC_EXCEPTION, reason)
    if name not in image.topics:
        return Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"topic '{name}' does not exist")
    return image.topic_configs(name)


def _refused_broker(name: str, config: BrokerConfig) -> Refused | None:
    node_id = config["node.id"]
    try:
        if int(name) == node_id:
            return None
    except ValueError:
        return Refused(ErrorCode.INVALID_REQUEST, f"a broker's name is its node id, {name!r} is no number")
    return Refused(ErrorCode.INVALID_REQUEST, f"this is broker {node_id}; ask broker {name} for its configurations")


def _entry(entry: ConfigEntry, request: Any) -> Any:
    synonym = DescribeConfigsResponse.DescribeConfigsSynonym
    synonyms = entry.synonyms if request.include_synonyms else ()
    return DescribeConfigsResponse.DescribeConfigsResourceResult(
        name=entry.name,
        value=entry.value,
        read_only=entry.read_only,
        config_source=entry.source,
        is_sensitive=entry.is_sensitive,
        synonyms=[synonym(name=each.name, value=each.value, source=each.source) for each in synonyms],
        config_type=entry.kind,
        documentation=entry.doc if request.include_documentation else None,
    )
