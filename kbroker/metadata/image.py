"""The metadata image: everything the metadata log says up to one offset, as values that never change.

A reader takes one image and sees one moment. A new image shares with the one before it whatever did not change: a
change to one topic copies two dictionaries of references, never another topic's partitions. Mappings are plain dicts
typed as Mapping: nobody may write to them.

Kinds of records that this broker does not act on (ACLs, SCRAM credentials, quotas, tokens, controllers) are kept as
they came, so that a snapshot made from the image loses nothing.

Source: KRaft's records (Kafka: metadata/src/main/resources/common/metadata, org.apache.kafka.image).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

NO_LEADER: Final = -1
"""A partition's leader when nobody may lead it."""

NO_LEADER_CHANGE: Final = -2
"""PartitionChangeRecord's leader when the record leaves the leader (and its epoch) alone."""

DIRECTORY_MIGRATING: Final = bytes(16)
"""Directory id of a replica whose record predates directory ids (KIP-858)."""

DIRECTORY_UNASSIGNED: Final = bytes(15) + b"\x01"
"""Directory id of a replica whose broker has yet to say where it put it (KIP-858)."""

METADATA_VERSION: Final = "metadata.version"
"""The feature whose level says which records may be written."""


class ResourceType:
    """What a configuration belongs to (Kafka: ConfigResource.Type)."""

    UNKNOWN: Final = 0
    TOPIC: Final = 2
    BROKER: Final = 4
    BROKER_LOGGER: Final = 8
    CLIENT_METRICS: Final = 16
    GROUP: Final = 32


class PartitionImage(NamedTuple):
    """Where a partition lives and who leads it. Node ids in preferred order; directories match `replicas`."""

    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int
    partition_epoch: int
    leader_recovery_state: int = 0
    removing_replicas: tuple[int, ...] = ()
    adding_replicas: tuple[int, ...] = ()
    directories: tuple[bytes, ...] = ()
    eligible_leader_replicas: tuple[int, ...] = ()
    last_known_elr: tuple[int, ...] = ()


class TopicImage(NamedTuple):
    """A topic; `partitions[i]` is partition i."""

    name: str
    topic_id: bytes
    partitions: tuple[PartitionImage, ...]


class Endpoint(NamedTuple):
    """Where a node listens; `security_protocol`: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL."""

    name: str
    host: str
    port: int
    security_protocol: int


class FeatureRange(NamedTuple):
    """The levels of a feature that a node can work with, inclusive."""

    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class BrokerImage:
    """A registered broker. `epoch` is the offset of its registration; only unfenced brokers serve clients."""

    broker_id: int
    epoch: int
    incarnation: bytes
    endpoints: tuple[Endpoint, ...]
    features: Mapping[str, FeatureRange]
    rack: str | None
    fenced: bool
    in_controlled_shutdown: bool
    log_dirs: tuple[bytes, ...]
    cordoned_log_dirs: tuple[bytes, ...] | None = None
    is_migrating_zk_broker: bool = False

    @property
    def is_active(self) -> bool:
        """May it be given leaderships and be in the ISR of new partitions?"""
        return not self.fenced and not self.in_controlled_shutdown

    def endpoint(self, listener_name: str) -> Endpoint | None:
        """Its endpoint of that listener, if it has one."""
        return next((endpoint for endpoint in self.endpoints if endpoint.name == listener_name), None)


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics, found by name and by id."""

    by_name: Mapping[str, TopicImage] = field(default_factory=dict)
    by_id: Mapping[bytes, TopicImage] = field(default_factory=dict)

    def get(self, name: str) -> TopicImage | None:
        """The topic of that name."""
        return self.by_name.get(name)

    def get_by_id(self, topic_id: bytes) -> TopicImage | None:
        """The topic of that id."""
        return self.by_id.get(topic_id)

    def __len__(self) -> int:
        return len(self.by_name)

    def __contains__(self, name: object) -> bool:
        return name in self.by_name


QuotaEntity = tuple[tuple[str, str | None], ...]
"""(entity type, name or None for the default) pairs, sorted by type."""

ScramKey = tuple[int, str]
"""(mechanism, user name)."""


@dataclass(frozen=True, slots=True)
class MetadataImage:
    """Everything up to and including `offset`, written in `epoch`; offset -1 is the empty image.

    `acls`, `scram`, `delegation_tokens`, `controllers` and `client_quotas` hold the records themselves.
    `next_producer_id` -1: none was ever given out. `open_transaction` holds the records of a metadata transaction that
    has begun and not ended.
    """

    offset: int = -1
    epoch: int = 0
    cluster_id: str = ""
    features: Mapping[str, int] = field(default_factory=dict)
    brokers: Mapping[int, BrokerImage] = field(default_factory=dict)
    controllers: Mapping[int, Any] = field(default_factory=dict)
    topics: Topics = field(default_factory=Topics)
    configs: Mapping[tuple[int, str], Mapping[str, str]] = field(default_factory=dict)
    client_quotas: Mapping[QuotaEntity, Mapping[str, Any]] = field(default_factory=dict)
    next_producer_id: int = -1
    acls: Mapping[bytes, Any] = field(default_factory=dict)
    scram: Mapping[ScramKey, Any] = field(default_factory=dict)
    delegation_tokens: Mapping[str, Any] = field(default_factory=dict)
    zk_migration_state: int = 0
    open_transaction: tuple[Any, ...] | None = None

    def topic_configs(self, topic: str) -> Mapping[str, str]:
        """The overrides of a topic; empty when it has none."""
        return self.configs.get((ResourceType.TOPIC, topic), _NO_CONFIGS)

    def partition(self, topic: str, index: int) -> PartitionImage | None:
        """One partition, if topic and index exist."""
        found = self.topics.by_name.get(topic)
        if found is None or not 0 <= index < len(found.partitions):
            return None
        return found.partitions[index]

    @property
    def metadata_version(self) -> int:
        """The finalized level of metadata.version; 0 when the log has not said yet."""
        return self.features.get(METADATA_VERSION, 0)


_NO_CONFIGS: Final[Mapping[str, str]] = {}
