"""How the cluster begins and how a broker joins it.

    first start:   BeginTransaction, what formatting asked for (else FeatureLevel metadata.version), EndTransaction
    every start:   RegisterBroker (fenced, new incarnation, epoch = its own offset)
                   BrokerRegistrationChange (unfenced), PartitionChange per partition that it may lead and does not
                   lead already, or led up to a crash

By itself this broker finalizes metadata.version alone: transaction.version, group.version, share.version and
streams.version invite clients to protocols that are not served. What Apache Kafka or `storage format` finalized stays
in the log, and clients aren't told.

Source: Kafka's ActivationRecordsGenerator, ClusterControlManager.registerBroker, ReplicationControlManager,
PartitionChangeBuilder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from kbroker.controller.decision import Decision
from kbroker.controller.directories import directory_of, is_online
from kbroker.controller.leadership import election
from kbroker.metadata.image import (
    METADATA_VERSION,
    NO_LEADER,
    BrokerImage,
    Endpoint,
    FeatureRange,
    MetadataImage,
    ResourceType,
)
from kbroker.metadata.records import METADATA_VERSION_LATEST, METADATA_VERSION_LOWEST
from kbroker.metadata.snapshot import registration
from kbroker.names import TopicPartition
from protocol_specs.metadata.abort_transaction import AbortTransactionRecord
from protocol_specs.metadata.begin_transaction import BeginTransactionRecord
from protocol_specs.metadata.broker_registration_change import BrokerRegistrationChangeRecord
from protocol_specs.metadata.config import ConfigRecord
from protocol_specs.metadata.end_transaction import EndTransactionRecord
from protocol_specs.metadata.feature_level import FeatureLevelRecord
from protocol_specs.metadata.partition_change import PartitionChangeRecord

NONE_LEFT_WHOLE: Final[Mapping[bytes, Collection[TopicPartition]]] = MappingProxyType({})

ELR_VERSION: Final = "eligible.leader.replicas.version"
"""The feature that keeps track of replicas that may lead although they are not in sync (KIP-966)."""

MIN_INSYNC_REPLICAS: Final = "min.insync.replicas"


@dataclass(frozen=True, slots=True)
class Registration:
    """What a broker says of itself when it joins: a new random incarnation at every start."""

    broker_id: int
    incarnation: bytes
    endpoints: Sequence[Endpoint]
    log_dirs: Sequence[bytes]
    rack: str | None = None
    bootstrap: Sequence[Any] = ()
    """Records that formatting wants an empty log to begin with; none: metadata.version alone."""
    min_insync_replicas: int = 1
    """The broker's own value, made the cluster's where eligible leader replicas are on."""
    left_whole: Mapping[bytes, Collection[TopicPartition]] = field(default_factory=dict)
    """By directory id: the logs that the last life of this broker left in order, all that it had written in them."""


class UnsupportedMetadataVersion(Exception):
    """The log was written for a metadata.version that we cannot work with."""


def bootstrap(image: MetadataImage, joining: Registration) -> list[Any]:
    """What an empty metadata log begins with; nothing when it has begun. An unfinished transaction is aborted first."""
    records: list[Any] = []
    if image.open_transaction is not None:
        records.append(AbortTransactionRecord(reason="the controller failed over"))
    if METADATA_VERSION in image.features:
        return records
    wanted = [*joining.bootstrap]
    if METADATA_VERSION not in _levels(wanted):
        wanted.insert(0, FeatureLevelRecord(name=METADATA_VERSION, feature_level=METADATA_VERSION_LATEST))
    if _levels(wanted).get(ELR_VERSION, 0) > 0:
        # Kafka's rule for eligible leader replicas: one value for all brokers, which nobody can take away.
        value = str(joining.min_insync_replicas)
        wanted.append(
            ConfigRecord(resource_type=ResourceType.BROKER, resource_name="", name=MIN_INSYNC_REPLICAS, value=value)
        )
    return [*records, BeginTransactionRecord(name="Bootstrap records"), *wanted, EndTransactionRecord()]


def _levels(records: Iterable[Any]) -> dict[str, int]:
    """The features that records finalize."""
    return {record.name: record.feature_level for record in records if type(record).__name__ == FeatureLevelRecord.name}


def join(image: MetadataImage, joining: Registration) -> Decision:
    """Bootstrap if need be, register the broker under a new epoch, unfence it, give it its leaderships.

    The response is the broker epoch: the offset of the registration record. Raises UnsupportedMetadataVersion.
    """
    features = image.features if METADATA_VERSION in image.features else _levels(joining.bootstrap)
    level = features.get(METADATA_VERSION, METADATA_VERSION_LATEST)
    if not METADATA_VERSION_LOWEST <= level <= METADATA_VERSION_LATEST:
        lowest, latest = METADATA_VERSION_LOWEST, METADATA_VERSION_LATEST
        raise UnsupportedMetadataVersion(f"metadata.version is {level}; this broker works with {lowest} to {latest}")
    records = bootstrap(image, joining)
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
        *elections(image, broker.broker_id, broker.log_dirs, joining.left_whole),
    ]
    return Decision(records, broker.epoch)


def elections(
    image: MetadataImage,
    broker_id: int,
    log_dirs: Collection[bytes],
    left_whole: Mapping[bytes, Collection[TopicPartition]] = NONE_LEFT_WHOLE,
) -> list[Any]:
    """What a broker that came back with `log_dirs` leads: partitions it led, or that nobody leads and it may lead.

    Their leader epoch rises even where the leader stays: what the broker lost of an unsynced tail must never be taken
    for what it writes at the same offsets now. Not where the log was `left_whole`: it lost nothing (where it did, see
    leadership.renew), and every start of many partitions would replay the changes of all starts before it (Kafka fences
    at a stop and elects at a start, two changes). It gives up what it led from a directory that isn't there any more.
    """
    return [*_elections(image, broker_id, log_dirs, left_whole)]


def _elections(
    image: MetadataImage,
    broker_id: int,
    log_dirs: Collection[bytes],
    left_whole: Mapping[bytes, Collection[TopicPartition]],
) -> Iterator[Any]:
    change = PartitionChangeRecord
    for topic in image.topics.by_name.values():
        for index, partition in enumerate(topic.partitions):
            if partition.leader not in (broker_id, NO_LEADER) or broker_id not in partition.replicas:
                continue
            directory = directory_of(partition, broker_id)
            if is_online(directory, log_dirs):
                if partition.leader == broker_id and TopicPartition(topic.name, index) in left_whole.get(directory, ()):
                    continue
                elected = election(topic.topic_id, index, partition, broker_id)
                if elected is not None:
                    yield elected
            elif partition.leader == broker_id:
                yield change(partition_id=index, topic_id=topic.topic_id, leader=NO_LEADER)
