"""How the cluster begins and how a broker joins it.

    first start:   BeginTransaction, FeatureLevel metadata.version, EndTransaction
    every start:   RegisterBroker (fenced, new incarnation, epoch = its own offset)
                   BrokerRegistrationChange (unfenced), PartitionChange per partition that it may lead

No other feature is finalized: a finalized transaction.version, group.version, share.version or streams.version invites
clients to protocols that are not served.

Source: Kafka's ActivationRecordsGenerator, ClusterControlManager.registerBroker, ReplicationControlManager.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kbroker.controller.decision import Decision
from kbroker.metadata.image import METADATA_VERSION, NO_LEADER, BrokerImage, Endpoint, FeatureRange, MetadataImage
from kbroker.metadata.records import METADATA_VERSION_LATEST, METADATA_VERSION_LOWEST
from kbroker.metadata.snapshot import registration
from protocol_specs.metadata.abort_transaction import AbortTransactionRecord
from protocol_specs.metadata.begin_transaction import BeginTransactionRecord
from protocol_specs.metadata.broker_registration_change import BrokerRegistrationChangeRecord
from protocol_specs.metadata.end_transaction import EndTransactionRecord
from protocol_specs.metadata.feature_level import FeatureLevelRecord
from protocol_specs.metadata.partition_change import PartitionChangeRecord


@dataclass(frozen=True, slots=True)
class Registration:
    """What a broker says of itself when it joins: a new random incarnation at every start."""

    broker_id: int
    incarnation: bytes
    endpoints: Sequence[Endpoint]
    log_dirs: Sequence[bytes]
    rack: str | None = None


class UnsupportedMetadataVersion(Exception):
    """The log was written for a metadata.version that we cannot work with."""


def bootstrap(image: MetadataImage) -> list[Any]:
    """What an empty metadata log begins with; nothing when it has begun. An unfinished transaction is aborted first."""
    records: list[Any] = []
    if image.open_transaction is not None:
        records.append(AbortTransactionRecord(reason="the controller failed over"))
    if METADATA_VERSION in image.features:
        return records
    return [
        *records,
        BeginTransactionRecord(name="Bootstrap records"),
        FeatureLevelRecord(name=METADATA_VERSION, feature_level=METADATA_VERSION_LATEST),
        EndTransactionRecord(),
    ]


def join(image: MetadataImage, joining: Registration) -> Decision:
    """Bootstrap if need be, register the broker under a new epoch, unfence it, give it its leaderships.

    The response is the broker epoch: the offset of the registration record. Raises UnsupportedMetadataVersion.
    """
    level = image.features.get(METADATA_VERSION, METADATA_VERSION_LATEST)
    if not METADATA_VERSION_LOWEST <= level <= METADATA_VERSION_LATEST:
        lowest, latest = METADATA_VERSION_LOWEST, METADATA_VERSION_LATEST
        raise UnsupportedMetadataVersion(f"metadata.version is {level}; this broker works with {lowest} to {latest}")
    records = bootstrap(image)
    broker = BrokerImage(
        broker_id=joining.broker_id,
        epoch=image.offset + 1 + len(records),
        incarnation=joining.incarnation,
        endpoints=tuple(joining.endpoints),
        features={METADATA_VERSION: FeatureRange(METADATA_VERSION_LOWEST, METADATA_VERSION_LATEST)},
        rack=joining.rack,
        fenced=True,
        in_controlled_shutdown=False,
        log_dirs=tuple(sorted(joining.log_dirs)),
    )
    records += [
        registration(broker),
        BrokerRegistrationChangeRecord(broker_id=broker.broker_id, broker_epoch=broker.epoch, fenced=-1),
        *elections(image, broker.broker_id),
    ]
    return Decision(records, broker.epoch)


def elections(image: MetadataImage, broker_id: int) -> list[Any]:
    """Leaderships of a broker that came back: of partitions it led, or that nobody leads and whose ISR it is in.

    Their leader epoch rises even where the leader stays: what the broker lost of an unsynced tail must never be taken
    for what it writes at the same offsets now.
    """
    change = PartitionChangeRecord
    return [
        change(partition_id=index, topic_id=topic.topic_id, leader=broker_id)
        for topic in image.topics.by_name.values()
        for index, partition in enumerate(topic.partitions)
        if broker_id in partition.isr and partition.leader in (broker_id, NO_LEADER)
    ]
