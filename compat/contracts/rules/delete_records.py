"""DeleteRecords: a partition's start is moved, and every reader hears of it."""

from __future__ import annotations

from typing import Any

from compat.contracts.bench import Bench, now_ms
from compat.contracts.engine import cases, contract, expect
from compat.contracts.keys import DELETE_RECORDS
from compat.contracts.rules.fetch import fetch, filled, offsets, only, wanted
from compat.contracts.rules.list_offsets import ask_offset, timed
from compat.contracts.rules.produce import end_of, produce, producer

DELETING = "KIP-107; Kafka: Partition.deleteRecordsOnLeader"
ANSWERING = "KIP-107; Kafka: KafkaApis.handleDeleteRecordsRequest, ReplicaManager.deleteRecords"
UP_TO_HIGH_WATERMARK = -1
Deleted = tuple[int, int]


def asked(topic: str, *offsets: tuple[int, int]) -> dict[str, Any]:
    """A topic with (partition, offset) to delete before."""
    return {"name": topic, "partitions": [{"partition_index": index, "offset": offset} for index, offset in offsets]}


def delete_all(b: Bench, *topics: dict[str, Any], version: int = 2, timeout_ms: int = 10_000) -> list[Any]:
    """The topics of an answer."""
    found: list[Any] = b.ask(DELETE_RECORDS, version, topics=list(topics), timeout_ms=timeout_ms).topics
    return found


def delete_before(b: Bench, topic: str, offset: int, partition: int = 0, **more: Any) -> Deleted:
    """(error, low watermark) of one partition."""
    (answered,) = delete_all(b, asked(topic, (partition, offset)), **more)
    (found,) = answered.partitions
    expect("(topic, partition) of the answer", (answered.name, found.partition_index), (topic, partition))
    return found.error_code, found.low_watermark


def by_partition(topic: Any) -> dict[int, Deleted]:
    """Partition -> (error, low watermark); a partition that is answered twice breaks the contract."""
    found = {p.partition_index: (p.error_code, p.low_watermark) for p in topic.partitions}
    expect("partitions, each once", len(topic.partitions), len(found))
    return found


@contract("DELETERECORDS-001 every version moves the start to the offset and answers the low watermark", DELETING)
def every_version(b: Bench) -> None:
    topic = filled(b, 2, 2, 2)
    for version in range(3):
        found = delete_before(b, topic, version + 1, version=version)
        expect(f"(error, low watermark) at version {version}", found, (0, version + 1))
        expect(f"earliest after version {version}", ask_offset(b, topic, -2), (0, version + 1, -1, 0))


@contract("DELETERECORDS-002 -1 is the high watermark: nothing is left, and the log goes on where it was", DELETING)
def everything(b: Bench) -> None:
    topic = filled(b, 2, 3)
    for version in range(3):
        found = delete_before(b, topic, UP_TO_HIGH_WATERMARK, version=version)
        expect(f"(error, low watermark) at version {version}", found, (0, 5))
    for timestamp in (-1, -2):
        expect(f"the end that is {timestamp}", ask_offset(b, topic, timestamp), (0, 5, -1, 0))
    expect("by time", ask_offset(b, topic, 0), (0, -1, -1, -1))
    expect("offsets at the end", offsets(only(fetch(b, 12, wanted(topic, 5)))), [])
    expect("the next base offset", produce(b, topic, b.batch(b"x")).base_offset, 5)
    expect("offsets then", offsets(only(fetch(b, 12, wanted(topic, 5)))), [5])


@cases(
    DELETING,
    ("DELETERECORDS-003 an offset beyond the high watermark is OFFSET_OUT_OF_RANGE", 3),
    ("DELETERECORDS-004 a negative offset other than -1 is OFFSET_OUT_OF_RANGE", -2),
    ("DELETERECORDS-005 the largest offset is OFFSET_OUT_OF_RANGE", (1 << 63) - 1),
)
def out_of_range(b: Bench, offset: int) -> None:
    topic = filled(b, 2)
    for version in range(3):
        expect(
            f"(error, low watermark) at version {version}", delete_before(b, topic, offset, version=version), (1, -1)
        )
    expect("offsets that are left", offsets(only(fetch(b, 12, wanted(topic)))), [0, 1])


@contract("DELETERECORDS-006 the start never moves back: a smaller offset is answered with the start", DELETING)
def never_back(b: Bench) -> None:
    topic = filled(b, 5)
    for offset, low_watermark in ((3, 3), (1, 3), (0, 3), (3, 3)):
        found = delete_before(b, topic, offset)
        expect(f"(error, low watermark) of offset {offset}", found, (0, low_watermark))


@contract("DELETERECORDS-007 an empty partition may be asked to keep nothing", DELETING)
def empty(b: Bench) -> None:
    topic = b.topic()
    for offset, answer in ((UP_TO_HIGH_WATERMARK, (0, 0)), (0, (0, 0)), (1, (1, -1))):
        expect(f"(error, low watermark) of offset {offset}", delete_before(b, topic, offset), answer)


@contract(
    "DELETERECORDS-008 a fetch below the start is OFFSET_OUT_OF_RANGE; at the start it gives the batch around it",
    "KIP-107; Kafka: UnifiedLog.read",
)
def fetched_below(b: Bench) -> None:
    topic = filled(b, 2, 2, 2)
    delete_before(b, topic, 3)
    for version in (4, 11, 12, 16):
        for offset in (0, 2):
            found = only(fetch(b, version, wanted(topic, offset)))
            expect(f"error of offset {offset} at version {version}", found.error_code, 1)
            expect("records", bytes(found.records or b""), b"")
        found = only(fetch(b, version, wanted(topic, 3)))
        expect(
            f"(error, offsets) of the start at version {version}", (found.error_code, offsets(found)), (0, [2, 3, 4, 5])
        )


@contract("DELETERECORDS-009 Fetch and Produce tell the new start", "KIP-107")
def told(b: Bench) -> None:
    topic = filled(b, 3, 1)
    delete_before(b, topic, 2)
    for version in (5, 12, 16):
        found = only(fetch(b, version, wanted(topic, 3)))
        expect(f"(start, high watermark) of Fetch {version}", (found.log_start_offset, found.high_watermark), (2, 4))
    for version in (5, 9, 13):
        expect(f"start of Produce {version}", produce(b, topic, b.batch(b"x"), version).log_start_offset, 2)


@contract("DELETERECORDS-010 ListOffsets: earliest follows, latest stays, a time finds what is left", DELETING)
def listed(b: Bench) -> None:
    topic, base = timed(b, 0, 10, 20, 30)
    delete_before(b, topic, 2)
    for version in (1, 7, 11):
        epoch = 0 if version >= 4 else -1
        expect(f"earliest at version {version}", ask_offset(b, topic, -2, version), (0, 2, -1, epoch))
        expect(f"latest at version {version}", ask_offset(b, topic, -1, version), (0, 4, -1, epoch))
        for delay in (-5, 0, 10, 20):
            found = ask_offset(b, topic, base + delay, version)
            expect(f"time +{delay} at version {version}", found, (0, 2, base + 20, epoch))
    expect("earliest local", ask_offset(b, topic, -4), (0, 2, -1, 0))
    expect("the largest time", ask_offset(b, topic, -3), (0, 3, base + 30, 0))


@contract("DELETERECORDS-021 -3 still names a deleted record while it lies in the file, in a batch or alone", DELETING)
def largest_time(b: Bench) -> None:
    topic, base = timed(b, 20, 70, 30, 20)
    for start in range(5):
        delete_before(b, topic, start)
        expect(f"the largest time, from {start} on", ask_offset(b, topic, -3), (0, 1, base + 70, 0))
    topic = b.topic()
    produce(b, topic, b.records([(None, b"a", (), base), (None, b"b", (), base + 50), (None, b"c", (), base + 30)]))
    for start in range(4):
        delete_before(b, topic, start)
        expect(f"the largest time of a batch, from {start} on", ask_offset(b, topic, -3), (0, 1, base + 50, 0))


@contract("DELETERECORDS-012 a topic that is compacted alone keeps its records: POLICY_VIOLATION", DELETING)
def compacted(b: Bench) -> None:
    for policy, answer in (("compact", (44, -1)), ("compact,delete", (0, 1)), ("delete", (0, 1))):
        topic = b.topic(configs={"cleanup.policy": policy})
        expect("error of the set-up", produce(b, topic, b.records([(b"k", b"v", (), now_ms())])).error_code, 0)
        expect(f"(error, low watermark) of {policy}", delete_before(b, topic, UP_TO_HIGH_WATERMARK), answer)
        expect(f"earliest of {policy}", ask_offset(b, topic, -2)[1], answer[1] if answer[0] == 0 else 0)
        # The policy is looked at before the offset.
        expect(f"error of {policy} beyond the end", delete_before(b, topic, 9)[0], answer[0] or 1)


@contract(
    "DELETERECORDS-013 an internal topic keeps its records: INVALID_TOPIC_EXCEPTION",
    "Kafka: ReplicaManager.deleteRecordsOnLocalLog",
)
def internal(b: Bench) -> None:
    b.group()
    for version in range(3):
        found = delete_before(b, "__consumer_offsets", UP_TO_HIGH_WATERMARK, version=version)
        expect(f"(error, low watermark) at version {version}", found, (17, -1))
    expect("a partition that isn't there", delete_before(b, "__consumer_offsets", 0, 9_999), (3, -1))


@contract(
    "DELETERECORDS-014 an unknown topic or partition is refused with 3, a bad name and the metadata log too", ANSWERING
)
def unknown(b: Bench) -> None:
    topic = b.topic()
    for version in range(3):
        for name, partition in ((b.name(), 0), (topic, 1), (topic, -1), ("", 0), ("a b", 0), ("__cluster_metadata", 0)):
            found = delete_before(b, name, 0, partition, version=version)
            expect(f"(error, low watermark) of {name!r}-{partition} at version {version}", found, (3, -1))


@contract("DELETERECORDS-015 good and bad partitions of one request are answered each on its own", ANSWERING)
def mixed(b: Bench) -> None:
    topic, other, missing = filled(b, 3, partitions=2), filled(b, 2), b.name()
    answer = delete_all(b, asked(topic, (0, 2), (1, 5), (7, 0)), asked(other, (0, -1)), asked(missing, (0, 0)))
    found = {answered.name: by_partition(answered) for answered in answer}
    in_topic = {0: (0, 2), 1: (1, -1), 7: (3, -1)}
    expect("by topic", found, {topic: in_topic, other: {0: (0, 2)}, missing: {0: (3, -1)}})


@contract(
    "DELETERECORDS-016 a partition that is named twice is answered once, for the offset that came last", ANSWERING
)
def twice(b: Bench) -> None:
    topic = filled(b, 5)
    (answered,) = delete_all(b, asked(topic, (0, 99), (0, 2)))
    expect("the last one counts", by_partition(answered), {0: (0, 2)})
    (answered,) = delete_all(b, asked(topic, (0, 4), (0, 99)))
    expect("the last one is bad", by_partition(answered), {0: (1, -1)})
    (answered,) = delete_all(b, asked(topic, (0, 1)), asked(topic, (0, 3)))
    expect("in two entries of its topic", by_partition(answered), {0: (0, 3)})
    expect("earliest", ask_offset(b, topic, -2), (0, 3, -1, 0))


@contract("DELETERECORDS-017 a topic without partitions is not answered, nor is nothing", ANSWERING)
def nothing(b: Bench) -> None:
    topic = filled(b, 2)
    for version in range(3):
        expect(f"no topics at version {version}", delete_all(b, version=version), [])
        expect(f"no partitions at version {version}", delete_all(b, asked(topic), version=version), [])
    named = [answered.name for answered in delete_all(b, asked(b.name()), asked(topic, (0, 1)))]
    expect("topics of the answer", named, [topic])


@contract("DELETERECORDS-018 a time-out of 0, or below, still deletes where nobody is waited for", ANSWERING)
def no_time(b: Bench) -> None:
    topic = filled(b, 5)
    for offset, timeout_ms in ((2, 0), (3, -1)):
        found = delete_before(b, topic, offset, timeout_ms=timeout_ms)
        expect(f"(error, low watermark) within {timeout_ms} ms", found, (0, offset))


@contract(
    "DELETERECORDS-019 a fetch session hears of the moved start",
    "KIP-227; Kafka: CachedPartition.maybeUpdateResponseData",
)
def session(b: Bench) -> None:
    topic = filled(b, 3)
    for version, start in ((12, 1), (15, 2)):
        opened = fetch(b, version, wanted(topic, 3), session_epoch=0).session_id
        expect("what changed", fetch(b, version, session_id=opened, session_epoch=1).responses, [])
        delete_before(b, topic, start)
        found = only(fetch(b, version, session_id=opened, session_epoch=2))
        expect(f"(error, start) at version {version}", (found.error_code, found.log_start_offset), (0, start))


@contract(
    "DELETERECORDS-020 a producer goes on after its records went, and a repeated batch is still one", "KIP-98, KIP-360"
)
def producers(b: Bench) -> None:
    topic, pid = b.topic(), producer(b)

    def sent(sequence: int) -> tuple[int, int]:
        batch = b.batch(b"x", producer_id=pid, producer_epoch=0, base_sequence=sequence)
        found = produce(b, topic, batch)
        return found.error_code, found.base_offset

    expect("(error, base offset) of three", [sent(sequence) for sequence in range(3)], [(0, 0), (0, 1), (0, 2)])
    expect("(error, low watermark)", delete_before(b, topic, UP_TO_HIGH_WATERMARK), (0, 3))
    expect("(error, base offset) of a repeated one", sent(2), (0, 2))
    expect("error of a gap", sent(9)[0], 45)
    expect("(error, base offset) of the next one", sent(3), (0, 3))
    expect("the end", end_of(b, topic), 4)
