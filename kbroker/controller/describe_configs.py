"""Answering DescribeConfigs: one result per resource, each refused or described on its own.

A success carries a null message: Kafka's empty one is taken for an error by KafkaJS.

Source: Kafka's ConfigHelper.describeConfigs.
"""

from __future__ import annotations

from typing import Any

from kbroker.config import BrokerConfig
from kbroker.controller.configs import (
    ConfigEntry,
    broker_configs,
    client_metrics_configs,
    cluster_default_configs,
    effective_topic_configs,
    group_configs,
)
from kbroker.controller.decision import Refused
from kbroker.controller.topic_names import name_refusal
from kbroker.metadata.image import MetadataImage, ResourceType
from protocol_specs.api.k32_describe_configs import DescribeConfigsResponse
from protocol_specs.errors import ErrorCode


def describe_configs(image: MetadataImage, request: Any, config: BrokerConfig) -> Any:
    """The DescribeConfigsResponse; asks nothing of the metadata log, so there is no decision."""
    return DescribeConfigsResponse(
        results=[_result(image, resource, request, config) for resource in request.resources]
    )


def _result(image: MetadataImage, resource: Any, request: Any, config: BrokerConfig) -> Any:
    found = _described(image, resource.resource_type, resource.resource_name, config)
    result = DescribeConfigsResponse.DescribeConfigsResult(
        error_code=ErrorCode.NONE,
        error_message=None,
        resource_type=resource.resource_type,
        resource_name=resource.resource_name,
    )
    if isinstance(found, Refused):
        result.error_code, result.error_message = found.error, found.reason
        return result
    # An empty list of keys asks for all, as null does.
    wanted = set(resource.configuration_keys or ())
    result.configs = [_entry(entry, request) for entry in found if not wanted or entry.name in wanted]
    return result


def _described(image: MetadataImage, kind: int, name: str, config: BrokerConfig) -> list[ConfigEntry] | Refused:
    if kind == ResourceType.TOPIC:
        return _topic(image, name, config)
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


def _topic(image: MetadataImage, name: str, config: BrokerConfig) -> list[ConfigEntry] | Refused:
    reason = name_refusal(name)
    if reason is not None:
        return Refused(ErrorCode.INVALID_TOPIC_EXCEPTION, reason)
    if name not in image.topics:
        return Refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"topic '{name}' does not exist")
    return effective_topic_configs(image, config, image.topic_configs(name))


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
