"""An image written back as records: replaying them over the empty image gives the same image.

The order is Kafka's: features first, so that a reader knows at once which metadata.version it reads; then brokers and
controllers, topics with their partitions, configurations, quotas, producer ids, ACLs, SCRAM credentials, tokens.

Source: Kafka's MetadataImage.write and the `write` of its parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kbroker.metadata.image import METADATA_VERSION, BrokerImage, MetadataImage, PartitionImage, TopicImage
from protocol_specs.metadata.begin_transaction import BeginTransactionRecord
from protocol_specs.metadata.config import ConfigRecord
from protocol_specs.metadata.feature_level import FeatureLevelRecord
from protocol_specs.metadata.partition import PartitionRecord
from protocol_specs.metadata.producer_ids import ProducerIdsRecord
from protocol_specs.metadata.register_broker import RegisterBrokerRecord
from protocol_specs.metadata.topic import TopicRecord
from protocol_specs.metadata.zk_migration_state import ZkMigrationStateRecord


def snapshot(image: MetadataImage) -> Iterator[Any]:
    """The records of `image`, in Kafka's order. Offset, epoch and cluster id travel outside the records."""
    yield from _features(image)
    yield from (registration(broker) for broker in image.brokers.values())
    yield from image.controllers.values()
    for topic in image.topics.by_name.values():
        yield from _topic(topic)
    yield from _configs(image)
    yield from _quotas(image)
    if image.next_producer_id != -1:
        yield ProducerIdsRecord(broker_id=-1, broker_epoch=-1, next_producer_id=image.next_producer_id)
    yield from image.acls.values()
    yield from image.scram.values()
    yield from image.delegation_tokens.values()
    if image.zk_migration_state:
        yield ZkMigrationStateRecord(zk_migration_state=image.zk_migration_state)
    if image.open_transaction is not None:
        yield BeginTransactionRecord()
        yield from image.open_transaction


def _features(image: MetadataImage) -> Iterator[Any]:
    feature_level = FeatureLevelRecord
    for name, level in sorted(image.features.items(), key=lambda item: (item[0] != METADATA_VERSION, item[0])):
        yield feature_level(name=name, feature_level=level)


def registration(broker: BrokerImage) -> Any:
    """The RegisterBrokerRecord that says all of `broker`."""
    record = RegisterBrokerRecord
    return record(
        broker_id=broker.broker_id,
        is_migrating_zk_broker=broker.is_migrating_zk_broker,
        incarnation_id=broker.incarnation,
        broker_epoch=broker.epoch,
        end_points=[
            record.BrokerEndpoint(name=e.name, host=e.host, port=e.port, security_protocol=e.security_protocol)
            for e in broker.endpoints
        ],
        features=[
            record.BrokerFeature(name=name, min_supported_version=levels.lowest, max_supported_version=levels.highest)
            for name, levels in broker.features.items()
        ],
        rack=broker.rack,
        fenced=broker.fenced,
        in_controlled_shutdown=broker.in_controlled_shutdown,
        log_dirs=[*broker.log_dirs],
        cordoned_log_dirs=None if broker.cordoned_log_dirs is None else [*broker.cordoned_log_dirs],
    )


def _topic(topic: TopicImage) -> Iterator[Any]:
    yield TopicRecord(name=topic.name, topic_id=topic.topic_id)
    for index, partition in enumerate(topic.partitions):
        yield partition_record(topic.topic_id, index, partition)


def partition_record(topic_id: bytes, index: int, partition: PartitionImage) -> Any:
    """The PartitionRecord that says all of `partition`; empty ELR lists are left out, as Kafka does."""
    return PartitionRecord(
        partition_id=index,
        topic_id=topic_id,
        replicas=[*partition.replicas],
        isr=[*partition.isr],
        removing_replicas=[*partition.removing_replicas],
        adding_replicas=[*partition.adding_replicas],
        leader=partition.leader,
        leader_recovery_state=partition.leader_recovery_state,
        leader_epoch=partition.leader_epoch,
        partition_epoch=partition.partition_epoch,
        directories=[*partition.directories],
        eligible_leader_replicas=[*partition.eligible_leader_replicas] or None,
        last_known_elr=[*partition.last_known_elr] or None,
    )


def _configs(image: MetadataImage) -> Iterator[Any]:
    config = ConfigRecord
    for (resource_type, resource_name), values in image.configs.items():
        for name, value in values.items():
            yield config(resource_type=resource_type, resource_name=resource_name, name=name, value=value)


def _quotas(image: MetadataImage) -> Iterator[Any]:
    for values in image.client_quotas.values():
        yield from values.values()
