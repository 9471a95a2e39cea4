"""ListOffsets: offsets by time and at the ends."""

from __future__ import annotations

from typing import Any

from compat.contracts.bench import Bench, now_ms
from compat.contracts.engine import cases, contract, expect
from compat.contracts.keys import LIST_OFFSETS
from compat.contracts.rules.produce import produce

MARKS = "KIP-79, KIP-734, KIP-405, KIP-1005, KIP-1023; Kafka: ReplicaManager.fetchOffset"
Found = tuple[int, int, int, int]


def ask_offset(b: Bench, topic: str, timestamp: int, version: int = 11, partition: int = 0, **more: Any) -> Found:
    """(error, offset, timestamp, leader epoch) of one partition."""
    isolation = {"isolation_level": more.pop("isolation_level")} if "isolation_level" in more else {}
    replica_id = more.pop("replica_id", -1)
    asked = [{"name": topic, "partitions": [{"partition_index": partition, "timestamp": timestamp, **more}]}]
    found = b.ask(LIST_OFFSETS, version, replica_id=replica_id, topics=asked, **isolation).topics[0].partitions[0]
    return found.error_code, found.offset, found.timestamp, found.leader_epoch


def timed(b: Bench, *delays: int) -> tuple[str, int]:
    """A topic with a record for each delay after a base time, each in a batch of its own; and the base time."""
    topic, base = b.topic(), now_ms() - 100_000
    for delay in delays:
        expect("error of the set-up", produce(b, topic, b.batch(b"x", timestamp_ms=base + delay)).error_code, 0)
    return topic, base


@contract("OFFSETS-001 latest and earliest are answered at every version, the leader epoch from 4 on", MARKS)
def ends(b: Bench) -> None:
    topic, _ = timed(b, 0, 1, 2)
    for version in range(1, 12):
        epoch = 0 if version >= 4 else -1
        expect(f"latest at version {version}", ask_offset(b, topic, -1, version), (0, 3, -1, epoch))
        expect(f"earliest at version {version}", ask_offset(b, topic, -2, version), (0, 0, -1, epoch))


@contract("OFFSETS-002 the ends of an empty partition are 0", MARKS)
def empty(b: Bench) -> None:
    topic = b.topic()
    for version in (1, 4, 7, 11):
        epoch = 0 if version >= 4 else -1
        expect("latest", ask_offset(b, topic, -1, version), (0, 0, -1, epoch))
        expect("earliest", ask_offset(b, topic, -2, version), (0, 0, -1, epoch))
        expect("by time", ask_offset(b, topic, 0, version), (0, -1, -1, -1))


@contract("OFFSETS-003 a time finds the first record as young or younger", "KIP-79")
def by_time(b: Bench) -> None:
    topic, base = timed(b, 0, 10, 20)
    for version in (1, 4, 6, 11):
        epoch = 0 if version >= 4 else -1
        for delay, wanted in (
            (-5, (0, base)),
            (0, (0, base)),
            (1, (1, base + 10)),
            (10, (1, base + 10)),
            (20, (2, base + 20)),
        ):
            expect(f"time +{delay}", ask_offset(b, topic, base + delay, version), (0, *wanted, epoch))
        expect("a time behind the last record", ask_offset(b, topic, base + 21, version), (0, -1, -1, -1))


@contract("OFFSETS-004 a time finds a record inside a batch", "KIP-79")
def inside_batch(b: Bench) -> None:
    topic, base = b.topic(), now_ms() - 100_000
    records = [(None, b"a", (), base), (None, b"b", (), base + 50), (None, b"c", (), base + 30)]
    for codec in range(5):
        first = codec * 3
        expect("error", produce(b, topic, b.records(records, codec=codec)).error_code, 0)
        if codec == 0:
            expect("time +1", ask_offset(b, topic, base + 1), (0, first + 1, base + 50, 0))
            expect("time +40", ask_offset(b, topic, base + 40), (0, first + 1, base + 50, 0))


@contract("OFFSETS-005 times out of order find the first record that is young enough", "KIP-79")
def out_of_order(b: Bench) -> None:
    topic, base = timed(b, 50, 10, 60)
    expect("time +20", ask_offset(b, topic, base + 20), (0, 0, base + 50, 0))
    expect("time +55", ask_offset(b, topic, base + 55), (0, 2, base + 60, 0))


@contract(
    "OFFSETS-006 from version 7 on -3 finds the record with the largest timestamp, and the first of equals", "KIP-734"
)
def max_timestamp(b: Bench) -> None:
    topic, base = timed(b, 10, 70, 30, 70)
    for version in (7, 9, 11):
        expect(f"at version {version}", ask_offset(b, topic, -3, version), (0, 1, base + 70, 0))
    expect("in an empty partition", ask_offset(b, b.topic(), -3), (0, -1, -1, -1))


@contract("OFFSETS-007 -3 finds the record inside its batch", "KIP-734; Kafka: RecordBatch.offsetOfMaxTimestamp")
def max_timestamp_inside(b: Bench) -> None:
    topic, base = b.topic(), now_ms() - 100_000
    records = [(None, b"a", (), base), (None, b"b", (), base + 50), (None, b"c", (), base + 30)]
    for codec in (0, 1):
        expect("error", produce(b, topic, b.records(records, codec=codec)).error_code, 0)
    expect("the offset", ask_offset(b, topic, -3), (0, 1, base + 50, 0))


@contract("OFFSETS-009 of records without times -3 names the first", "KIP-734; seen on Apache Kafka 4.3.1")
def without_times(b: Bench) -> None:
    topic = b.topic()
    for _ in range(2):
        expect("error", produce(b, topic, b.batch(b"x", timestamp_ms=-1)).error_code, 0)
    expect("the offset", ask_offset(b, topic, -3), (0, 0, -1, 0))


@contract("OFFSETS-008 without tiered storage -4 is the earliest, -5 and -6 are not found", MARKS)
def tiered(b: Bench) -> None:
    topic, _ = timed(b, 0, 1)
    for version in (8, 11):
        expect(f"-4 at version {version}", ask_offset(b, topic, -4, version), (0, 0, -1, 0))
    for version in (9, 11):
        expect(f"-5 at version {version}", ask_offset(b, topic, -5, version), (0, -1, -1, -1))
    expect("-6", ask_offset(b, topic, -6, 11), (0, -1, -1, -1))


@cases(
    MARKS,
    ("OFFSETS-010 -3 before version 7 is UNSUPPORTED_VERSION", -3, (1, 6)),
    ("OFFSETS-011 -4 before version 8 is UNSUPPORTED_VERSION", -4, (4, 7)),
    ("OFFSETS-012 -5 before version 9 is UNSUPPORTED_VERSION", -5, (8,)),
    ("OFFSETS-013 -6 before version 11 is UNSUPPORTED_VERSION", -6, (9, 10)),
    ("OFFSETS-014 -7 is UNSUPPORTED_VERSION", -7, (1, 11)),
    ("OFFSETS-015 the most negative time is UNSUPPORTED_VERSION", -(1 << 63), (1, 11)),
)
def unknown_marks(b: Bench, timestamp: int, versions: tuple[int, ...]) -> None:
    topic, _ = timed(b, 0)
    for version in versions:
        expect(f"at version {version}", ask_offset(b, topic, timestamp, version), (35, -1, -1, -1))


@contract("OFFSETS-020 an unknown topic or partition is refused with 3", MARKS)
def unknown(b: Bench) -> None:
    topic = b.topic()
    for version in (1, 6, 11):
        expect("a missing topic", ask_offset(b, b.name(), -1, version), (3, -1, -1, -1))
        expect("a missing partition", ask_offset(b, topic, -1, version, 9), (3, -1, -1, -1))
        expect("a negative partition", ask_offset(b, topic, -1, version, -1), (3, -1, -1, -1))


@contract("OFFSETS-021 a partition asked for twice is an invalid request", "Kafka: KafkaApis.handleListOffsetRequest")
def twice(b: Bench) -> None:
    topic = b.topic(partitions=2)
    asked = [{"name": topic, "partitions": [{"partition_index": p, "timestamp": -1} for p in (0, 1, 0)]}]
    answer = b.ask(LIST_OFFSETS, 7, replica_id=-1, topics=asked)
    found = {(p.partition_index, p.error_code) for t in answer.topics for p in t.partitions}
    expect("(partition, error)", found, {(0, 42), (1, 0)})


@contract("OFFSETS-022 the leader epoch is fenced", "KIP-320")
def fenced(b: Bench) -> None:
    topic, _ = timed(b, 0)
    for version in (4, 11):
        expect("the right one", ask_offset(b, topic, -1, version, current_leader_epoch=0), (0, 1, -1, 0))
        expect("a newer one", ask_offset(b, topic, -1, version, current_leader_epoch=1), (75, -1, -1, -1))


@contract("OFFSETS-023 read_committed and read_uncommitted agree where there are no transactions", "KIP-98")
def isolation(b: Bench) -> None:
    topic, _ = timed(b, 0, 1)
    for level in (0, 1):
        expect(f"latest at level {level}", ask_offset(b, topic, -1, 7, isolation_level=level), (0, 2, -1, 0))


@contract("OFFSETS-024 a debugging replica (-2) may ask", "Kafka: ListOffsetsRequest.DEBUGGING_REPLICA_ID")
def debugging(b: Bench) -> None:
    topic, _ = timed(b, 0, 1)
    expect("latest", ask_offset(b, topic, -1, 7, replica_id=-2), (0, 2, -1, 0))


@contract("OFFSETS-025 a LogAppendTime topic is searched by the broker's time", "KIP-32")
def append_time(b: Bench) -> None:
    topic = b.topic(configs={"message.timestamp.type": "LogAppendTime"})
    stamped = produce(b, topic, b.batch(b"x", b"y", timestamp_ms=5)).log_append_time_ms
    expect("its time", ask_offset(b, topic, stamped), (0, 0, stamped, 0))
    expect("a later time", ask_offset(b, topic, stamped + 1), (0, -1, -1, -1))
    expect("the largest", ask_offset(b, topic, -3), (0, 0, stamped, 0))
