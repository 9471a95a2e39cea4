"""Everything that a broker serves, as a value that can be compared: records, offsets, groups, and what admins see."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

TIMEOUT_S = 60.0
SILENCE_S_MAX = 20.0
POLLED_RECORDS = 10_000
POLL_S = 0.1
LEADERLESS = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART)
ISOLATIONS = ("read_uncommitted", "read_committed")
#: A client whose broker stops says so every second; what matters is raised.
QUIET = {"log_level": 2}
GROUPS = ("interchange-group-0", "interchange-group-1", "interchange-group-2")
COMPACTED = "compacted"
"""The topic of which only the newest value of each key counts: when it is cleaned is everybody's own affair."""

PartitionName = tuple[str, int]


@dataclass(frozen=True)
class PartitionContent:
    """What one consumer finds from the beginning to the end of a partition."""

    start: int
    end: int
    records: int
    digest: str
    """Over (offset, timestamp, key, value, headers) of every record."""


@dataclass
class Inventory:
    """See the module."""

    contents: dict[tuple[str, PartitionName], PartitionContent] = field(default_factory=dict)
    by_time: dict[tuple[PartitionName, int], int] = field(default_factory=dict)
    committed: dict[tuple[str, PartitionName], int] = field(default_factory=dict)
    overrides: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """How many records a read-uncommitted consumer gets of all topics."""
        return sum(found.records for (isolation, _), found in self.contents.items() if isolation == ISOLATIONS[0])

    def differences(self, other: Inventory) -> list[str]:
        """One line per thing that is not the same in `other`."""
        lines: list[str] = []
        for name in ("contents", "by_time", "committed", "overrides"):
            mine, theirs = getattr(self, name), getattr(other, name)
            lines += [
                f"{name} {key}: {mine.get(key)} became {theirs.get(key)}"
                for key in sorted(mine.keys() | theirs.keys(), key=repr)
                if mine.get(key) != theirs.get(key)
            ]
        return lines


def take(bootstrap: str, times_ms: Iterable[int] = ()) -> Inventory:
    """Consume everything, look up `times_ms`, list groups and topic configurations."""
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    topics = sorted(name for name in admin.list_topics(timeout=TIMEOUT_S).topics if not name.startswith("__"))
    partitions = _partitions(admin, topics)
    found = Inventory()
    for isolation in ISOLATIONS:
        for name, content in _consume(bootstrap, isolation, partitions).items():
            found.contents[isolation, name] = content
    for moment in times_ms:
        for name, offset in _offsets_at(bootstrap, partitions, moment).items():
            found.by_time[name, moment] = offset
    found.committed = _committed(admin)
    found.overrides = _overrides(admin, topics)
    return found


def _partitions(admin: AdminClient, topics: list[str]) -> list[PartitionName]:
    metadata = admin.list_topics(timeout=TIMEOUT_S).topics
    return [(name, index) for name in topics for index in sorted(metadata[name].partitions)]


def _consume(bootstrap: str, isolation: str, partitions: list[PartitionName]) -> dict[PartitionName, PartitionContent]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            **QUIET,
            "group.id": "interchange-inventory",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "auto.offset.reset": "error",
            "check.crcs": True,
        }
    )
    try:
        bounds = {name: _bounds(consumer, name) for name in partitions}
        consumer.assign([TopicPartition(*name, bounds[name][0]) for name in partitions])
        tallies = {name: _Latest() if name[0] == COMPACTED else _Tally() for name in partitions}
        _drain(consumer, tallies)
    finally:
        consumer.close()
    return {name: tallies[name].content(*bounds[name]) for name in partitions}


def _bounds(consumer: Consumer, name: PartitionName) -> tuple[int, int]:
    """Start and end, once there is a leader: Apache Kafka answers before it has elected them."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            found: tuple[int, int] = consumer.get_watermark_offsets(TopicPartition(*name), timeout=TIMEOUT_S)
        except KafkaException as problem:
            if problem.args[0].code() not in LEADERLESS or time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
        else:
            return found


class _Tally:
    """What came of one partition so far."""

    def __init__(self) -> None:
        self._records = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, message: Any) -> None:
        """One record, in its order."""
        self._records += 1
        said = (message.offset(), message.timestamp(), message.key(), message.value(), message.headers())
        self._hash.update(repr(said).encode())

    def content(self, start: int, end: int) -> PartitionContent:
        """What came of all."""
        return PartitionContent(start, end, self._records, self._hash.hexdigest())


class _Latest(_Tally):
    """Of a compacted partition: the newest record of each key that has a value."""

    def __init__(self) -> None:
        super().__init__()
        self._latest: dict[bytes, Any] = {}

    def add(self, message: Any) -> None:
        """One record, in its order; a tombstone ends its key."""
        self._latest.pop(message.key(), None)
        if message.value() is not None:
            self._latest[message.key()] = message

    def content(self, start: int, end: int) -> PartitionContent:
        """The survivors, in the order of their offsets."""
        for message in self._latest.values():
            super().add(message)
        return super().content(start, end)


def _drain(consumer: Consumer, tallies: dict[PartitionName, _Tally]) -> None:
    """Read until every partition said that this is its end; raises KafkaException, TimeoutError."""
    unfinished = set(tallies)
    while unfinished:
        messages = consumer.consume(POLLED_RECORDS, timeout=1.0) or _patiently(consumer, unfinished)
        for message in messages:
            name = (message.topic(), message.partition())
            error = message.error()
            if error is None:
                tallies[name].add(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(name)
            else:
                raise KafkaException(error)


def _patiently(consumer: Consumer, unfinished: set[PartitionName]) -> list[Any]:
    messages: list[Any] = consumer.consume(1, timeout=SILENCE_S_MAX)
    if not messages:
        raise TimeoutError(f"nothing for {SILENCE_S_MAX:.0f} s, but {sorted(unfinished)} did not end")
    return messages


def _offsets_at(bootstrap: str, partitions: list[PartitionName], moment_ms: int) -> dict[PartitionName, int]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "interchange-inventory", **QUIET})
    try:
        found = consumer.offsets_for_times([TopicPartition(*name, moment_ms) for name in partitions], timeout=TIMEOUT_S)
        return {(one.topic, one.partition): one.offset for one in found}
    finally:
        consumer.close()


def _committed(admin: AdminClient) -> dict[tuple[str, PartitionName], int]:
    """By group; groups are found by name, because listing them is another API."""
    found = {}
    for group in GROUPS:
        asked = ConsumerGroupTopicPartitions(group)
        answer = admin.list_consumer_group_offsets([asked])[group].result(TIMEOUT_S)
        for one in answer.topic_partitions:
            found[group, (one.topic, one.partition)] = one.offset
    return found


def _overrides(admin: AdminClient, topics: list[str]) -> dict[str, dict[str, str]]:
    """The configurations that were set on topics."""
    dynamic_topic_config = 1
    asked = {name: ConfigResource(ResourceType.TOPIC, name) for name in topics}
    answers = admin.describe_configs(list(asked.values()))
    return {
        name: {
            entry.name: entry.value
            for entry in answers[resource].result(TIMEOUT_S).values()
            if entry.source == dynamic_topic_config
        }
        for name, resource in asked.items()
    }


def security(bootstrap: str) -> dict[str, Any]:
    """SCRAM users and ACLs, which only Apache Kafka can tell."""
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    any_acl = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    acls: Callable[[Any], str] = str
    return {
        "acls": sorted(acls(one) for one in admin.describe_acls(any_acl).result(TIMEOUT_S)),
        "scram": {
            name: sorted(str(info.mechanism) + str(info.iterations) for info in told.scram_credential_infos)
            for name, told in admin.describe_user_scram_credentials().result(TIMEOUT_S).items()
        },
    }
