"""What is written before a directory changes owner: all codecs, rolls, retention, deletes, groups, transactions.

Every value is made from a counter, so that two runs write the same; times lie an hour back and rise.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from compat.interchange.inventory import COMPACTED, GROUPS, QUIET
from compat.reference.apache_kafka import tool

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TIMEOUT_S = 60.0
PARTITIONS = 2
SMALLEST_SEGMENT = {"segment.bytes": str(1 << 20)}
KEYS = 1000
HOUR_MS = 3_600_000

#: Brokers under test look after retention and compaction every second, not every five minutes.
SETTINGS = {
    "log.retention.check.interval.ms": "1000",
    "log.cleaner.backoff.ms": "1000",
    "log.initial.task.delay.ms": "1000",
    "offsets.topic.num.partitions": "5",
    "transaction.state.log.num.partitions": "5",
    "log.flush.start.offset.checkpoint.interval.ms": "1000",
    "metadata.log.max.record.bytes.between.snapshots": "2000",
}

TOPICS: dict[str, dict[str, str]] = {
    **{f"codec-{codec}": SMALLEST_SEGMENT for codec in CODECS},
    "timed-by-broker": {"message.timestamp.type": "LogAppendTime"},
    "repacked": {"compression.type": "zstd"},
    "retained": {**SMALLEST_SEGMENT, "retention.bytes": str(2 << 20), "file.delete.delay.ms": "1000"},
    "trimmed": SMALLEST_SEGMENT,
    COMPACTED: {
        **SMALLEST_SEGMENT,
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.01",
        "file.delete.delay.ms": "1000",
    },
}


@dataclass
class Workload:
    """Writes through one bootstrap address; `records` of the large topics altogether."""

    bootstrap: str
    records: int
    start_ms: int

    def create_topics(self) -> None:
        """All of TOPICS, and one that is deleted and made again under its name."""
        admin = self._admin()
        wanted = [NewTopic(name, PARTITIONS, 1, config=config) for name, config in TOPICS.items()]
        for made in admin.create_topics([*wanted, NewTopic("again", 1, 1)]).values():
            made.result(TIMEOUT_S)
        self._produce("again", "none", range(1000), idempotent=False)
        admin.delete_topics(["again"])["again"].result(TIMEOUT_S)
        # Kafka deletes behind its answer: the name is free when it is gone from the list.
        while "again" in admin.list_topics(timeout=TIMEOUT_S).topics:
            time.sleep(0.1)
        admin.create_topics([NewTopic("again", 1, 1)])["again"].result(TIMEOUT_S)

    def write(self, part: int) -> None:
        """One part of the records, numbered by `part`, to every topic; half of the producers are idempotent."""
        many = self.records // len(CODECS)
        numbers = range(part * many, (part + 1) * many)
        for codec in CODECS:
            self._produce(f"codec-{codec}", codec, numbers, idempotent=codec in ("none", "lz4"))
        few = range(numbers.start, numbers.start + many // 10)
        for name in ("timed-by-broker", "repacked", "trimmed", "again"):
            self._produce(name, "gzip", few, idempotent=True)
        self._produce("retained", "none", numbers, idempotent=True)
        self._produce(COMPACTED, "lz4", few, idempotent=True, keys=KEYS)
        self._trim(part)
        self._commit(part)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, **QUIET})

    def _produce(self, topic: str, codec: str, numbers: range, *, idempotent: bool, keys: int | None = None) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                **QUIET,
                "compression.type": codec,
                "enable.idempotence": idempotent,
                "linger.ms": 5,
                "queue.buffering.max.messages": 200_000,
            }
        )
        for number in numbers:
            _send(producer, topic, self._record(number, keys))
        left = producer.flush(TIMEOUT_S)
        assert left == 0, f"{left} records for {topic} were not acknowledged"

    def _record(self, number: int, keys: int | None) -> dict[str, Any]:
        key = f"key-{number if keys is None else number % keys}"
        value = f'{{"number": {number}, "square": {number * number}, "what": "a record of the interchange"}}'
        is_tombstone = keys is not None and number % 7 == 0
        return {
            "key": key.encode(),
            "value": None if is_tombstone else value.encode(),
            "timestamp": self.start_ms + number,
            "headers": [("number", str(number).encode()), ("empty", b"")] if number % 100 == 0 else [],
            "partition": number % PARTITIONS if keys is not None else -1,
        }

    def _trim(self, part: int) -> None:
        """DeleteRecords somewhere inside a segment."""
        wanted = [TopicPartition("trimmed", index, (part + 1) * self.records // 500) for index in range(PARTITIONS)]
        admin = self._admin()
        for done in admin.delete_records(wanted).values():
            done.result(TIMEOUT_S)

    def _commit(self, part: int) -> None:
        for count, group in enumerate(GROUPS):
            consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group, **QUIET})
            offsets = [
                TopicPartition(f"codec-{codec}", index, part * 1000 + count * 100 + index)
                for codec in CODECS
                for index in range(PARTITIONS)
            ]
            consumer.commit(offsets=offsets, asynchronous=False)
            consumer.close()


def _send(producer: Producer, topic: str, record: dict[str, Any]) -> None:
    if topic == "again":
        record = {**record, "partition": 0}
    while True:
        try:
            producer.produce(topic, **record)
        except BufferError:
            producer.poll(0.1)
        else:
            return


def write_transactions(bootstrap: str) -> Producer:
    """Committed, aborted and, in the producer that is given back, an open one: its owner must not close it.

    Interleaved with plain records, in a topic of their own.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    admin.create_topics([NewTopic("in-transactions", 1, 1, config=SMALLEST_SEGMENT)])["in-transactions"].result(
        TIMEOUT_S
    )
    committing, aborting, leaving = (_transactional(bootstrap, name) for name in ("commits", "aborts", "leaves"))
    plain = Producer({"bootstrap.servers": bootstrap, **QUIET})
    for round_number, numbers in enumerate(_rounds()):
        committing.begin_transaction()
        aborting.begin_transaction()
        for number in numbers:
            for producer, what in ((committing, "committed"), (aborting, "aborted"), (plain, "plain")):
                producer.produce("in-transactions", key=str(number).encode(), value=f"{what} {number}".encode() * 20)
        if round_number == 15:
            leaving.begin_transaction()
            leaving.produce("in-transactions", value=b"neither committed nor aborted")
            leaving.flush(TIMEOUT_S)
        committing.commit_transaction(TIMEOUT_S)
        aborting.abort_transaction(TIMEOUT_S)
        plain.flush(TIMEOUT_S)
    return leaving


def _rounds() -> Iterator[range]:
    for count in range(20):
        yield range(count * 500, (count + 1) * 500)


def _transactional(bootstrap: str, name: str) -> Producer:
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            **QUIET,
            "transactional.id": f"interchange-{name}",
            "transaction.timeout.ms": 900_000,
        }
    )
    producer.init_transactions(TIMEOUT_S)
    return producer


def set_security(bootstrap: str) -> None:
    """SCRAM users, ACLs and quotas: kinds of metadata that must survive whoever keeps them."""
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    users = [
        UserScramCredentialUpsertion(name, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 8192), b"secret")
        for name in ("alice", "bob")
    ]
    for done in admin.alter_user_scram_credentials(users).values():
        done.result(TIMEOUT_S)
    acls = [
        AclBinding(kind, name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
        for user, kind, name, pattern, operation in (
            ("alice", ResourceType.TOPIC, "codec-", ResourcePatternType.PREFIXED, AclOperation.READ),
            ("bob", ResourceType.GROUP, "g", ResourcePatternType.LITERAL, AclOperation.READ),
        )
    ]
    for made in admin.create_acls(acls).values():
        made.result(TIMEOUT_S)
    quota = ["--alter", "--add-config", "producer_byte_rate=123456", "--entity-type", "users", "--entity-name", "alice"]
    told = tool("kafka.admin.ConfigCommand", "--bootstrap-server", bootstrap, *quota)
    assert told.returncode == 0, told.stderr


def quotas(bootstrap: str) -> str:
    """What Kafka's tool says of alice's quota."""
    asked = ["--describe", "--entity-type", "users", "--entity-name", "alice"]
    return tool("kafka.admin.ConfigCommand", "--bootstrap-server", bootstrap, *asked).stdout
