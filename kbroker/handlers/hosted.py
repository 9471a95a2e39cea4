"""A partition by whatever a request calls it, or the error that says why it is not here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from kbroker.handlers.node import Node
    from kbroker.replica.partition import Partition


def find_by_name(node: Node, topic: str, index: int) -> tuple[Partition | None, ErrorCode]:
    """The hosted partition of that name, or None and why."""
    partition = node.partitions.find(topic, index)
    return partition, ErrorCode.NONE if partition is not None else _why_absent(node, topic, index)


def find_by_id(node: Node, topic_id: bytes, index: int) -> tuple[Partition | None, ErrorCode]:
    """The hosted partition of that topic id (KIP-516), or None and why."""
    partition = node.partitions.find_by_id(topic_id, index)
    if partition is not None:
        return partition, ErrorCode.NONE
    topic = node.image.topics.get_by_id(topic_id)
    return None, ErrorCode.UNKNOWN_TOPIC_ID if topic is None else _why_absent(node, topic.name, index)


def _why_absent(node: Node, topic: str, index: int) -> ErrorCode:
    """Assigned to us and yet not hosted: its log could not be opened (Kafka: HostedPartition.Offline)."""
    assigned = node.image.partition(topic, index)
    if assigned is not None and node.node_id in assigned.replicas:
        return ErrorCode.KAFKA_STORAGE_ERROR
    return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
