"""Records replayed over an image: what changed, and the image that results.

    image --MetadataDelta(image)--> replay(record)* --apply(offset, epoch)--> next image
    outside a transaction:  record -> applied;  BeginTransaction -> inside
    inside a transaction:   record -> kept;  EndTransaction -> all kept are applied;  AbortTransaction -> all forgotten

The delta copies a section of the image when the section's first record comes, and a topic's partitions when that topic
is touched. A record that contradicts what was replayed before raises InconsistentRecord: the log is not ours to guess.

Source: Kafka's org.apache.kafka.image.*Delta and PartitionRegistration.merge; KIP-868 for transactions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from kbroker.metadata.image import (
    DIRECTORY_MIGRATING,
    DIRECTORY_UNASSIGNED,
    NO_LEADER_CHANGE,
    BrokerImage,
    Endpoint,
    FeatureRange,
    MetadataImage,
    PartitionImage,
    QuotaEntity,
    ResourceType,
    TopicImage,
    Topics,
)


class InconsistentRecord(ValueError):
    """A record that cannot follow the records before it (unknown topic, stale broker epoch, a gap in partitions)."""


class MetadataDelta:
    """The changes of some records over `base`."""

    def __init__(self, base: MetadataImage) -> None:
        self.base = base
        self.is_features_changed = False
        self.is_producer_ids_changed = False
        self.changed_configs: set[tuple[int, str]] = set()
        self.changed_brokers: set[int] = set()
        self._sections: dict[str, Any] = {}
        self._topics = _TopicsDelta(base.topics)
        self._transaction: list[Any] | None = None if base.open_transaction is None else [*base.open_transaction]

    @property
    def changed_topics(self) -> tuple[TopicImage, ...]:
        """Topics that are new or whose partitions changed, as they are now."""
        return self._topics.changed()

    @property
    def deleted_topics(self) -> tuple[TopicImage, ...]:
        """Topics of `base` that are gone, as they were there."""
        return tuple(self._topics.deleted.values())

    def replay(self, record: Any) -> None:
        """Take one record in. Raises InconsistentRecord."""
        name = type(record).__name__
        if name in _TRANSACTION_RECORDS:
            self._transact(name)
        elif self._transaction is not None:
            self._transaction.append(record)
        else:
            _REPLAY[name](self, record)

    def replay_all(self, records: Iterable[Any]) -> None:
        """Take records in, one after the other."""
        for record in records:
            self.replay(record)

    def apply(self, offset: int, epoch: int) -> MetadataImage:
        """The image after the replayed records, of which the last is at `offset` and written in `epoch`."""
        transaction = None if self._transaction is None else tuple(self._transaction)
        return replace(
            self.base,
            offset=offset,
            epoch=epoch,
            topics=self._topics.apply(),
            open_transaction=transaction,
            **self._sections,
        )

    def _transact(self, name: str) -> None:
        if name == "BeginTransactionRecord":
            if self._transaction is not None:
                raise InconsistentRecord("a metadata transaction begins inside another")
            self._transaction = []
            return
        if self._transaction is None:
            raise InconsistentRecord("a metadata transaction ends that never began")
        records, self._transaction = self._transaction, None
        if name == "EndTransactionRecord":
            self.replay_all(records)

    def _section(self, name: str) -> Any:
        """A private copy of one of the image's mappings."""
        if name not in self._sections:
            self._sections[name] = dict(getattr(self.base, name))
        return self._sections[name]

    # Brokers and controllers

    def _register_broker(self, record: Any) -> None:
        self.changed_brokers.add(record.broker_id)
        cordoned = record.cordoned_log_dirs
        self._section("brokers")[record.broker_id] = BrokerImage(
            broker_id=record.broker_id,
            epoch=record.broker_epoch,
            incarnation=record.incarnation_id,
            endpoints=tuple(Endpoint(e.name, e.host, e.port, e.security_protocol) for e in record.end_points),
            features={f.name: FeatureRange(f.min_supported_version, f.max_supported_version) for f in record.features},
            rack=record.rack,
            fenced=record.fenced,
            in_controlled_shutdown=record.in_controlled_shutdown,
            log_dirs=tuple(record.log_dirs),
            cordoned_log_dirs=None if cordoned is None else tuple(cordoned),
            is_migrating_zk_broker=record.is_migrating_zk_broker,
        )

    def _broker(self, broker_id: int, epoch: int) -> BrokerImage:
        brokers: dict[int, BrokerImage] = self._section("brokers")
        broker = brokers.get(broker_id)
        if broker is None:
            raise InconsistentRecord(f"broker {broker_id} was never registered")
        if broker.epoch != epoch:
            raise InconsistentRecord(f"broker {broker_id} has epoch {broker.epoch}, the record says {epoch}")
        self.changed_brokers.add(broker_id)
        return broker

    def _unregister_broker(self, record: Any) -> None:
        self._broker(record.broker_id, record.broker_epoch)
        del self._section("brokers")[record.broker_id]

    def _fence_broker(self, record: Any) -> None:
        self._section("brokers")[record.id] = replace(self._broker(record.id, record.epoch), fenced=True)

    def _unfence_broker(self, record: Any) -> None:
        self._section("brokers")[record.id] = replace(self._broker(record.id, record.epoch), fenced=False)

    def _change_broker_registration(self, record: Any) -> None:
        broker = self._broker(record.broker_id, record.broker_epoch)
        changes: dict[str, Any] = {}
        if record.fenced:
            changes["fenced"] = record.fenced > 0
        if record.in_controlled_shutdown:
            changes["in_controlled_shutdown"] = True
        if record.log_dirs:
            changes["log_dirs"] = tuple(record.log_dirs)
        if record.cordoned_log_dirs is not None:
            changes["cordoned_log_dirs"] = tuple(record.cordoned_log_dirs)
        self._section("brokers")[record.broker_id] = replace(broker, **changes)

    def _register_controller(self, record: Any) -> None:
        self._section("controllers")[record.controller_id] = record

    # Topics

    def _topic(self, record: Any) -> None:
        self._topics.add(record.name, record.topic_id)

    def _remove_topic(self, record: Any) -> None:
        name = self._topics.remove(record.topic_id)
        key = (ResourceType.TOPIC, name)
        if self._section("configs").pop(key, None) is not None:
            self.changed_configs.add(key)

    def _partition(self, record: Any) -> None:
        self._topics.edit(record.topic_id)[record.partition_id] = partition_of(record)

    def _change_partition(self, record: Any) -> None:
        partitions = self._topics.edit(record.topic_id)
        if record.partition_id not in partitions:
            raise InconsistentRecord(f"partition {record.partition_id} of that topic does not exist")
        partitions[record.partition_id] = merged(partitions[record.partition_id], record)

    def _clear_elr(self, record: Any) -> None:
        self._topics.clear_elr(record.topic_name)

    # The rest

    def _config(self, record: Any) -> None:
        key = (record.resource_type, record.resource_name)
        configs = self._section("configs")
        values = dict(configs.get(key, {}))
        if record.value is None:
            values.pop(record.name, None)
        else:
            values[record.name] = record.value
        if values:
            configs[key] = values
        else:
            configs.pop(key, None)
        self.changed_configs.add(key)

    def _feature_level(self, record: Any) -> None:
        self.is_features_changed = True
        if record.feature_level == 0:
            self._section("features").pop(record.name, None)
        else:
            self._section("features")[record.name] = record.feature_level

    def _client_quota(self, record: Any) -> None:
        pairs = ((entity.entity_type, entity.entity_name) for entity in record.entity)
        key: QuotaEntity = tuple(sorted(pairs, key=lambda pair: pair[0]))
        quotas = self._section("client_quotas")
        values = dict(quotas.get(key, {}))
        if record.remove:
            values.pop(record.key, None)
        else:
            values[record.key] = record
        if values:
            quotas[key] = values
        else:
            quotas.pop(key, None)

    def _producer_ids(self, record: Any) -> None:
        self.is_producer_ids_changed = True
        self._sections["next_producer_id"] = record.next_producer_id

    def _access_control_entry(self, record: Any) -> None:
        self._section("acls")[record.id] = record

    def _remove_access_control_entry(self, record: Any) -> None:
        if self._section("acls").pop(record.id, None) is None:
            raise InconsistentRecord("an ACL is removed that does not exist")

    def _user_scram_credential(self, record: Any) -> None:
        self._section("scram")[record.mechanism, record.name] = record

    def _remove_user_scram_credential(self, record: Any) -> None:
        self._section("scram").pop((record.mechanism, record.name), None)

    def _delegation_token(self, record: Any) -> None:
        self._section("delegation_tokens")[record.token_id] = record

    def _remove_delegation_token(self, record: Any) -> None:
        self._section("delegation_tokens").pop(record.token_id, None)

    def _zk_migration_state(self, record: Any) -> None:
        self._sections["zk_migration_state"] = record.zk_migration_state

    def _no_op(self, record: Any) -> None:
        """NoOpRecord only moves the offset."""


class _TopicsDelta:
    """Changed, new and deleted topics over a Topics; partitions are copied per touched topic."""

    def __init__(self, base: Topics) -> None:
        self._base = base
        self._edited: dict[bytes, tuple[str, dict[int, PartitionImage]]] = {}
        self._ids: dict[str, bytes] = {}
        self._images: dict[bytes, TopicImage] = {}
        self.deleted: dict[bytes, TopicImage] = {}

    def _id_of(self, name: str) -> bytes | None:
        if name in self._ids:
            return self._ids[name]
        topic = self._base.by_name.get(name)
        return None if topic is None or topic.topic_id in self.deleted else topic.topic_id

    def add(self, name: str, topic_id: bytes) -> None:
        if self._id_of(name) is not None:
            raise InconsistentRecord(f"topic {name} exists already")
        self._edited[topic_id] = (name, {})
        self._ids[name] = topic_id

    def remove(self, topic_id: bytes) -> str:
        edited = self._edited.pop(topic_id, None)
        self._images.pop(topic_id, None)
        base = self._base.by_id.get(topic_id)
        if edited is not None:
            self._ids.pop(edited[0], None)
        if base is not None and topic_id not in self.deleted:
            self.deleted[topic_id] = base
            return base.name
        if edited is None:
            raise InconsistentRecord("a topic is removed that does not exist")
        return edited[0]

    def edit(self, topic_id: bytes) -> dict[int, PartitionImage]:
        """The partitions of a topic, to be written to."""
        self._images.pop(topic_id, None)
        if topic_id not in self._edited:
            base = self._base.by_id.get(topic_id)
            if base is None or topic_id in self.deleted:
                raise InconsistentRecord("a partition's topic does not exist")
            self._edited[topic_id] = (base.name, dict(enumerate(base.partitions)))
            self._ids[base.name] = topic_id
        return self._edited[topic_id][1]

    def clear_elr(self, name: str) -> None:
        """Forget the eligible leader replicas of one topic, or of all when `name` is empty (KIP-966)."""
        names = [name] if name else [*self._base.by_name, *(new for new in self._ids if new not in self._base.by_name)]
        for each in names:
            topic_id = self._id_of(each)
            if topic_id is None:
                if name:
                    raise InconsistentRecord(f"topic {name} does not exist")
                continue
            edited = self._edited.get(topic_id)
            partitions = dict(enumerate(self._base.by_id[topic_id].partitions)) if edited is None else edited[1]
            for index, partition in [*partitions.items()]:
                if partition.eligible_leader_replicas or partition.last_known_elr:
                    self.edit(topic_id)[index] = partition._replace(
                        eligible_leader_replicas=(), last_known_elr=(), partition_epoch=partition.partition_epoch + 1
                    )

    def changed(self) -> tuple[TopicImage, ...]:
        for topic_id, (name, partitions) in self._edited.items():
            if topic_id not in self._images:
                self._images[topic_id] = _topic_image(name, topic_id, partitions)
        return tuple(self._images[topic_id] for topic_id in self._edited)

    def apply(self) -> Topics:
        if not self._edited and not self.deleted:
            return self._base
        by_name = dict(self._base.by_name)
        by_id = dict(self._base.by_id)
        for topic_id, topic in self.deleted.items():
            del by_name[topic.name]
            del by_id[topic_id]
        for image in self.changed():
            by_name[image.name] = image
            by_id[image.topic_id] = image
        return Topics(by_name, by_id)


def _topic_image(name: str, topic_id: bytes, partitions: Mapping[int, PartitionImage]) -> TopicImage:
    try:
        ordered = tuple(partitions[index] for index in range(len(partitions)))
    except KeyError as error:
        raise InconsistentRecord(f"topic {name} lacks partition {error.args[0]}") from error
    return TopicImage(name, topic_id, ordered)


def partition_of(record: Any) -> PartitionImage:
    """A PartitionRecord as an image; absent directories are DIRECTORY_MIGRATING."""
    return PartitionImage(
        replicas=tuple(record.replicas),
        isr=tuple(record.isr),
        leader=record.leader,
        leader_epoch=record.leader_epoch,
        partition_epoch=record.partition_epoch,
        leader_recovery_state=record.leader_recovery_state,
        removing_replicas=tuple(record.removing_replicas),
        adding_replicas=tuple(record.adding_replicas),
        directories=_directories(record.directories, len(record.replicas)),
        eligible_leader_replicas=tuple(record.eligible_leader_replicas or ()),
        last_known_elr=tuple(record.last_known_elr or ()),
    )


def merged(partition: PartitionImage, record: Any) -> PartitionImage:
    """The partition after a PartitionChangeRecord.

    Every change raises the partition epoch; the leader epoch rises only where the record names a leader, even the same
    one (the rule since metadata.version 3.6-IV0; Kafka: PartitionRegistration.merge).
    """
    changes: dict[str, Any] = {
        field: tuple(getattr(record, field)) for field in _REPLACEABLE if getattr(record, field) is not None
    }
    if record.leader != NO_LEADER_CHANGE:
        changes["leader"] = record.leader
        changes["leader_epoch"] = partition.leader_epoch + 1
    if record.leader_recovery_state != -1:
        changes["leader_recovery_state"] = record.leader_recovery_state
    if record.directories:
        changes["directories"] = _directories(record.directories, len(changes.get("replicas", partition.replicas)))
    elif record.replicas is not None:
        known = dict(zip(partition.replicas, partition.directories, strict=True))
        changes["directories"] = tuple(known.get(replica, DIRECTORY_UNASSIGNED) for replica in record.replicas)
    return partition._replace(partition_epoch=partition.partition_epoch + 1, **changes)


def _directories(directories: Iterable[bytes] | None, replicas: int) -> tuple[bytes, ...]:
    found = tuple(directories or ())
    if not found:
        return (DIRECTORY_MIGRATING,) * replicas
    if len(found) != replicas:
        raise InconsistentRecord(f"{len(found)} directories for {replicas} replicas")
    return found


_REPLACEABLE = (
    "replicas",
    "isr",
    "removing_replicas",
    "adding_replicas",
    "eligible_leader_replicas",
    "last_known_elr",
)

_TRANSACTION_RECORDS = frozenset({"BeginTransactionRecord", "EndTransactionRecord", "AbortTransactionRecord"})

_REPLAY: dict[str, Callable[[MetadataDelta, Any], None]] = {
    "RegisterBrokerRecord": MetadataDelta._register_broker,
    "UnregisterBrokerRecord": MetadataDelta._unregister_broker,
    "TopicRecord": MetadataDelta._topic,
    "PartitionRecord": MetadataDelta._partition,
    "ConfigRecord": MetadataDelta._config,
    "PartitionChangeRecord": MetadataDelta._change_partition,
    "FenceBrokerRecord": MetadataDelta._fence_broker,
    "UnfenceBrokerRecord": MetadataDelta._unfence_broker,
    "RemoveTopicRecord": MetadataDelta._remove_topic,
    "DelegationTokenRecord": MetadataDelta._delegation_token,
    "UserScramCredentialRecord": MetadataDelta._user_scram_credential,
    "FeatureLevelRecord": MetadataDelta._feature_level,
    "ClientQuotaRecord": MetadataDelta._client_quota,
    "ProducerIdsRecord": MetadataDelta._producer_ids,
    "BrokerRegistrationChangeRecord": MetadataDelta._change_broker_registration,
    "AccessControlEntryRecord": MetadataDelta._access_control_entry,
    "RemoveAccessControlEntryRecord": MetadataDelta._remove_access_control_entry,
    "NoOpRecord": MetadataDelta._no_op,
    "ZkMigrationStateRecord": MetadataDelta._zk_migration_state,
    "RemoveUserScramCredentialRecord": MetadataDelta._remove_user_scram_credential,
    "RemoveDelegationTokenRecord": MetadataDelta._remove_delegation_token,
    "RegisterControllerRecord": MetadataDelta._register_controller,
    "ClearElrRecord": MetadataDelta._clear_elr,
}
