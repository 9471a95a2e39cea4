"""Who may lead a partition that nobody leads, and when its leader begins a new epoch.

Source: Kafka's PartitionChangeBuilder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kbroker.controller.decision import Decision
from kbroker.metadata.image import MetadataImage, PartitionImage
from protocol_specs.metadata.partition_change import PartitionChangeRecord


def election(topic_id: bytes, index: int, partition: PartitionImage, broker_id: int) -> Any | None:
    """The PartitionChangeRecord that makes `broker_id` the leader, None where it may not lead.

    It may when in sync; with nobody in sync, when it is an eligible leader replica (what Apache Kafka leaves of every
    partition at a clean stop), or with none of those either, as the last known leader (KIP-966). Kafka marks the last
    case as recovering and takes that back as soon as the leader has heard of it; here both come at once, so nothing is
    marked.
    """
    elr, last_known = partition.eligible_leader_replicas, partition.last_known_elr
    if broker_id in partition.isr:
        isr = None
    elif not partition.isr and (broker_id in elr or (not elr and last_known == (broker_id,))):
        isr = [broker_id]
    else:
        return None
    return PartitionChangeRecord(
        partition_id=index,
        topic_id=topic_id,
        leader=broker_id,
        isr=isr,
        eligible_leader_replicas=[node for node in elr if node != broker_id] if broker_id in elr else None,
        last_known_elr=[] if last_known else None,
    )


def renew(image: MetadataImage, broker_id: int, partitions: Iterable[tuple[bytes, int]]) -> Decision:
    """A new leader epoch for those of the (topic id, partition) pairs that the broker leads.

    Their logs have lost records of the epoch there is. Kafka has a new one after every start.
    """
    records = []
    for topic_id, index in partitions:
        topic = image.topics.get_by_id(topic_id)
        partition = topic.partitions[index] if topic is not None and index < len(topic.partitions) else None
        if partition is not None and partition.leader == broker_id:
            records.append(election(topic_id, index, partition, broker_id))
    return Decision([*filter(None, records)], None)
