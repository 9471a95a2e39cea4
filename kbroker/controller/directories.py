"""Log directories in the metadata: where a broker says its replicas lie, and what the loss of a directory means.

    placed:  the broker put a replica somewhere   PartitionChange(directories)
    lost:    a directory went offline             PartitionChange(leader -1) per partition led from it,
                                                  BrokerRegistrationChange(the directories that are left)

Source: KIP-858; Kafka's ReplicationControlManager.handleAssignReplicasToDirs and handleDirectoriesOffline.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from kbroker.controller.decision import Decision
from kbroker.controller.leadership import election
from kbroker.metadata.image import (
    DIRECTORY_MIGRATING,
    DIRECTORY_UNASSIGNED,
    NO_LEADER,
    MetadataImage,
    PartitionImage,
)
from kbroker.turns import Pace, Turns, pieces
from protocol_specs.metadata.broker_registration_change import BrokerRegistrationChangeRecord
from protocol_specs.metadata.partition_change import PartitionChangeRecord

ASSIGNMENTS_MAX: Final = 2000
"""Replicas of one decision, so that a start with many never asks for one huge batch (Kafka sends 2,250 a request)."""


class Placed(NamedTuple):
    """A replica of this broker, and the directory where its log lies."""

    topic_id: bytes
    partition: int
    directory_id: bytes


def is_online(directory_id: bytes, log_dirs: Iterable[bytes]) -> bool:
    """May the replica there serve? One that was never assigned is taken for online (Kafka: DirectoryId.isOnline)."""
    return directory_id in log_dirs or directory_id in (DIRECTORY_UNASSIGNED, DIRECTORY_MIGRATING)


def directory_of(partition: PartitionImage, broker_id: int) -> bytes:
    """The directory id of the broker's replica; it must have one."""
    return partition.directories[partition.replicas.index(broker_id)]


def assign(image: MetadataImage, broker_id: int, placed: Sequence[Placed]) -> Decision:
    """Take over where the broker put its replicas; what is known already, or gone, is passed over.

    One that nobody led, because its directory was not there, is led again if it may be.
    """
    records = []
    for topic_id, index, directory_id in placed:
        topic = image.topics.get_by_id(topic_id)
        partition = topic.partitions[index] if topic is not None and index < len(topic.partitions) else None
        if partition is None or broker_id not in partition.replicas:
            continue
        if directory_of(partition, broker_id) != directory_id:
            directories = [
                directory_id if replica == broker_id else known
                for replica, known in zip(partition.replicas, partition.directories, strict=True)
            ]
            elected = election(topic_id, index, partition, broker_id) if partition.leader == NO_LEADER else None
            change = elected or _change(partition_id=index, topic_id=topic_id)
            change.directories = directories
            records.append(change)
    return Decision(records, None)


def lose(image: MetadataImage, broker_id: int, directory_id: bytes) -> Turns[Decision]:
    """A directory of the broker went offline: it leads nothing from there any more, and has one directory less."""
    broker = image.brokers.get(broker_id)
    if broker is None or directory_id not in broker.log_dirs:
        return Decision([], None)
    left = [each for each in broker.log_dirs if each != directory_id]
    records, pace = [], Pace()
    for topic in image.topics.by_name.values():
        for several in pieces(range(len(topic.partitions))):
            for index in several:
                partition = topic.partitions[index]
                if partition.leader == broker_id and directory_of(partition, broker_id) == directory_id:
                    records.append(_change(partition_id=index, topic_id=topic.topic_id, leader=NO_LEADER))
            if pace.is_over(len(several)):
                yield
    change = BrokerRegistrationChangeRecord(broker_id=broker_id, broker_epoch=broker.epoch, log_dirs=left)
    return Decision([*records, change], None)


def _change(**fields: Any) -> Any:
    change = PartitionChangeRecord
    return change(**fields)
