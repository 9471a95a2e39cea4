"""Produce: what is written, what is refused, and what a producer is told."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from compat.contracts.bench import Bench, now_ms
from compat.contracts.engine import cases, contract, expect
from compat.contracts.keys import FETCH, INIT_PRODUCER_ID, LIST_OFFSETS, METADATA, PRODUCE
from kbroker.record.batch import checksum_matches, iterate_batches, read_header, restamp_checksum

VALIDATION = "Kafka: ProduceRequest.validateRecords, UnifiedLog.analyzeAndValidateRecords, LogValidator"
IDEMPOTENCE = "KIP-98; Kafka: ProducerAppendInfo, ProducerStateEntry"
YEAR_MS = 365 * 24 * 3600 * 1000
HOUR_MS = 3600 * 1000


def produce(
    b: Bench, topic: str, records: Any, version: int = 9, partition: int = 0, acks: int = -1, **more: Any
) -> Any:
    """Produce to one partition; the partition's answer."""
    data: dict[str, Any] = {
        "name": topic,
        "partition_data": [{"index": partition, "records": None if records is None else bytes(records)}],
    }
    if version >= 13:
        data = {**data, "name": "", "topic_id": more.pop("topic_id", None) or b.topic_id(topic)}
    answer = b.ask(PRODUCE, version, acks=acks, timeout_ms=10_000, topic_data=[data], **more)
    return answer.responses[0].partition_responses[0]


def end_of(b: Bench, topic: str, partition: int = 0) -> int:
    """The partition's end as a consumer sees it."""
    asked = [{"name": topic, "partitions": [{"partition_index": partition, "timestamp": -1}]}]
    end: int = b.ask(LIST_OFFSETS, 4, replica_id=-1, topics=asked).topics[0].partitions[0].offset
    return end


def producer(b: Bench) -> int:
    """A new producer id."""
    new = b.ask(INIT_PRODUCER_ID, 4, transactional_id=None, transaction_timeout_ms=60_000)
    while new.error_code == 14:  # Apache Kafka fetches its first block of ids when it is first asked
        new = b.ask(INIT_PRODUCER_ID, 4, transactional_id=None, transaction_timeout_ms=60_000)
    return int(new.producer_id)


@contract(
    "PRODUCE-001 every version from 3 on appends, answers the base offset, and nothing else differs",
    "KIP-98 to KIP-516",
)
def every_version(b: Bench) -> None:
    topic = b.topic()
    for offset, version in enumerate(range(3, 14)):
        found = produce(b, topic, b.batch(b"x"), version)
        expect(
            f"(error, base offset, append time) of version {version}",
            (found.error_code, found.base_offset, found.log_append_time_ms),
            (0, offset, -1),
        )
        expect(f"log start of version {version}", found.log_start_offset, 0 if version >= 5 else -1)
        expect(f"record errors of version {version}", found.record_errors, [])
        expect(f"error message of version {version}", found.error_message, None)
    expect("the end", end_of(b, topic), 11)


@cases(
    "Kafka: ReplicaManager.isValidRequiredAcks",
    ("PRODUCE-002 acks=2 is refused with 21", 2),
    ("PRODUCE-003 acks=-2 is refused with 21", -2),
    ("PRODUCE-004 acks=32767 is refused with 21", 32767),
)
def bad_acks(b: Bench, acks: int) -> None:
    topic = b.topic()
    for version in (3, 9, 13):
        found = produce(b, topic, b.batch(b"x"), version, acks=acks)
        expect(f"(error, base offset) of version {version}", (found.error_code, found.base_offset), (21, -1))
    expect("the end", end_of(b, topic), 0)


@contract("PRODUCE-005 acks=0 appends and answers nothing; the next answer is the next request's", "KIP-35")
def acks_zero(b: Bench) -> None:
    topic = b.topic()
    line = b.line()
    data = [{"name": topic, "partition_data": [{"index": 0, "records": bytes(b.batch(b"x"))}]}]
    b.send(PRODUCE, 9, line, acks=0, timeout_ms=1000, topic_data=data)
    expect("topics in the next answer", b.ask(METADATA, 1, line, topics=[]).topics, [])
    expect("the end", end_of(b, topic), 1)


@contract("PRODUCE-006 acks=1 and acks=-1 answer once the records can be read", "Kafka: ReplicaManager.appendRecords")
def acks_all(b: Bench) -> None:
    topic = b.topic()
    expect("base offset with acks=1", produce(b, topic, b.batch(b"x"), acks=1).base_offset, 0)
    expect("base offset with acks=-1", produce(b, topic, b.batch(b"x", b"y"), acks=-1).base_offset, 1)
    expect("the end", end_of(b, topic), 3)


@contract("PRODUCE-007 min.insync.replicas above the replication factor is capped", "Kafka: Partition.effectiveMinIsr")
def min_isr_is_capped(b: Bench) -> None:
    topic = b.topic(configs={"min.insync.replicas": "3"})
    expect("error", produce(b, topic, b.batch(b"x")).error_code, 0)


@contract("PRODUCE-010 an unknown topic or partition is refused with 3", VALIDATION)
def unknown_partition(b: Bench) -> None:
    topic = b.topic()
    for version in (3, 9, 12):
        missing = produce(b, b.name(), b.batch(b"x"), version)
        expect(
            f"(error, base offset) of a missing topic at {version}", (missing.error_code, missing.base_offset), (3, -1)
        )
        for partition in (1, -1):
            found = produce(b, topic, b.batch(b"x"), version, partition)
            expect(f"error of partition {partition} at {version}", found.error_code, 3)


@contract(
    "PRODUCE-011 from version 13 on an unknown topic id is refused with 100, an unknown partition with 3", "KIP-516"
)
def unknown_id(b: Bench) -> None:
    topic = b.topic()
    found = produce(b, topic, b.batch(b"x"), 13, topic_id=b"unknown-topic-id")
    expect("(error, base offset)", (found.error_code, found.base_offset), (100, -1))
    expect("error of partition 5", produce(b, topic, b.batch(b"x"), 13, 5).error_code, 3)


@contract("PRODUCE-012 internal topics take no records from clients", "Kafka: ReplicaManager.appendToLocalLog")
def internal_topic(b: Bench) -> None:
    b.group()
    found = produce(b, "__consumer_offsets", b.batch(b"x"))
    expect("(error, base offset)", (found.error_code, found.base_offset), (17, -1))


@contract("PRODUCE-013 one bad partition leaves the others of the request alone", VALIDATION)
def partial_failure(b: Bench) -> None:
    topic = b.topic(partitions=2)
    good, bad = b.batch(b"x"), b.batch(b"x")
    bad[-1] ^= 1
    data = [
        {"name": topic, "partition_data": [{"index": 0, "records": bytes(bad)}, {"index": 1, "records": bytes(good)}]},
        {"name": b.name(), "partition_data": [{"index": 0, "records": bytes(good)}]},
    ]
    answer = b.ask(PRODUCE, 9, acks=-1, timeout_ms=10_000, topic_data=data)
    errors = {(t.name == topic, p.index): p.error_code for t in answer.responses for p in t.partition_responses}
    expect("errors", errors, {(True, 0): 2, (True, 1): 0, (False, 0): 3})


def _patched(position: int, form: str, value: int, *, checksum: bool = True) -> Callable[[bytearray], bytes]:
    def patch(batch: bytearray) -> bytes:
        struct.pack_into(form, batch, position, value)
        if checksum:
            restamp_checksum(batch, len(batch))
        return bytes(batch)

    return patch


def _flip_last(batch: bytearray) -> bytes:
    batch[-1] ^= 1
    return bytes(batch)


@cases(
    VALIDATION,
    ("PRODUCE-020 a wrong CRC is CORRUPT_MESSAGE", _flip_last, 2),
    ("PRODUCE-021 a batch length of zero is CORRUPT_MESSAGE", _patched(8, ">i", 0, checksum=False), 2),
    ("PRODUCE-022 a batch length below the header's is CORRUPT_MESSAGE", _patched(8, ">i", 13, checksum=False), 2),
    ("PRODUCE-023 magic 3 is CORRUPT_MESSAGE", _patched(16, ">b", 3), 2),
    ("PRODUCE-024 magic 0 is INVALID_RECORD", _patched(16, ">b", 0), 87),
    ("PRODUCE-025 magic 1 is INVALID_RECORD", _patched(16, ">b", 1), 87),
    ("PRODUCE-026 two batches are INVALID_RECORD", lambda batch: bytes(batch) * 2, 87),
    ("PRODUCE-027 a base offset other than 0 is INVALID_RECORD", _patched(0, ">q", 5), 87, 0),
    ("PRODUCE-028 a last offset delta that is too large is INVALID_RECORD", _patched(23, ">i", 7), 87, 0),
    ("PRODUCE-029 a last offset delta that is too small is INVALID_RECORD", _patched(23, ">i", 0), 87, 0),
    ("PRODUCE-030 a negative last offset delta is INVALID_RECORD", _patched(23, ">i", -1), 87, 0),
    ("PRODUCE-031 a record count that is too large is INVALID_RECORD", _patched(57, ">i", 9), 87, 0),
    ("PRODUCE-032 a record count of zero is INVALID_RECORD", _patched(57, ">i", 0), 87, 0),
    ("PRODUCE-033 the control bit is INVALID_RECORD", _patched(21, ">h", 0x20), 87, 0),
    ("PRODUCE-034 the transactional bit without an id is refused with 53", _patched(21, ">h", 0x10), 53),
    ("PRODUCE-036 a producer id without a sequence is INVALID_RECORD", _patched(43, ">q", 7), 87, 0),
    ("PRODUCE-037 no bytes at all are INVALID_RECORD", lambda batch: b"", 87),
    ("PRODUCE-039 a batch that is cut is INVALID_RECORD", lambda batch: bytes(batch[:-3]), 87),
    ("PRODUCE-040 a few bytes are INVALID_RECORD", lambda batch: bytes(batch[:10]), 87),
)
def bad_batch(b: Bench, spoil: Callable[[bytearray], bytes], error: int, log_start: int = -1) -> None:
    topic = b.topic()
    for version in (3, 8, 9):
        found = produce(b, topic, spoil(b.batch(b"one", b"two", b"three")), version)
        expect(f"error at version {version}", found.error_code, error)
        expect(
            f"(base offset, append time) at version {version}", (found.base_offset, found.log_append_time_ms), (-1, -1)
        )
        expect(f"log start at version {version}", found.log_start_offset, log_start if version >= 5 else -1)
    expect("the end", end_of(b, topic), 0)
    expect("the topic still takes records", produce(b, topic, b.batch(b"x")).base_offset, 0)


@cases(
    VALIDATION,
    ("PRODUCE-041 an unknown codec is UNSUPPORTED_COMPRESSION_TYPE", _patched(21, ">h", 6), 76, 0),
    deliberate="Apache Kafka answers UNKNOWN_SERVER_ERROR, as if it were at fault",
)
def unknown_codec(b: Bench, spoil: Callable[[bytearray], bytes], error: int, log_start: int) -> None:
    bad_batch(b, spoil, error, log_start)


@contract(
    "PRODUCE-035 the LogAppendTime bit of a client is cleared where the topic has CreateTime",
    "seen on Apache Kafka 4.3.1",
)
def client_sets_log_append_time(b: Bench) -> None:
    topic = b.topic()
    for offset, version in enumerate((3, 9)):
        found = produce(b, topic, _patched(21, ">h", 0x08)(b.batch(b"x")), version)
        expect(
            "(error, base offset, append time)",
            (found.error_code, found.base_offset, found.log_append_time_ms),
            (0, offset, -1),
        )
    wanted = [{"topic": topic, "partitions": [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 9999}]}]
    fetched = b.ask(FETCH, 11, replica_id=-1, max_wait_ms=0, min_bytes=0, session_epoch=-1, topics=wanted)
    for batch in iterate_batches(fetched.responses[0].partitions[0].records):
        header = read_header(batch)
        expect("(attributes, checksum is right)", (header.attributes, checksum_matches(batch, header)), (0, True))


@contract("PRODUCE-038 null records are INVALID_RECORD", VALIDATION, deliberate="Apache Kafka 4.3.1 never answers")
def null_records(b: Bench) -> None:
    topic, line = b.topic(), b.line()
    data = [{"name": topic, "partition_data": [{"index": 0, "records": None}]}]
    number = b.send(PRODUCE, 9, line, acks=1, timeout_ms=1000, topic_data=data)
    answer = b.answer(PRODUCE, 9, line, number, timeout_s=3.0)
    expect("error", answer.responses[0].partition_responses[0].error_code, 87)


@contract(
    "PRODUCE-042 the bodies of records are not opened: corrupt compressed data under a right checksum is taken",
    "ARCHITECTURE.md: nothing opens a record unless the topic's configuration makes it necessary",
    deliberate="Kafka opens every compressed batch (UNKNOWN_SERVER_ERROR); what that costs is most of its time",
)
def corrupt_compression(b: Bench) -> None:
    topic = b.topic()
    batch = b.batch(b"x" * 500, codec=1)
    batch[70:80] = bytes(10)
    restamp_checksum(batch, len(batch))
    expect("error", produce(b, topic, batch).error_code, 0)


@contract("PRODUCE-043 junk behind a whole batch is tolerated", VALIDATION)
def junk_behind(b: Bench) -> None:
    topic = b.topic()
    found = produce(b, topic, bytes(b.batch(b"x")) + b"seven!!")
    expect("(error, base offset)", (found.error_code, found.base_offset), (0, 0))
    found = produce(b, topic, b.batch(b"y"))
    expect("the next base offset", found.base_offset, 1)


@contract("PRODUCE-044 a batch above max.message.bytes is MESSAGE_TOO_LARGE", VALIDATION)
def too_large(b: Bench) -> None:
    topic = b.topic(configs={"max.message.bytes": "500"})
    exact = b.batch(b"x" * (500 - len(b.batch(b"x" * 100)) + 100 - 0))
    expect("bytes of the batch that just fits", len(exact), 500)
    expect("error of the batch that just fits", produce(b, topic, exact).error_code, 0)
    found = produce(b, topic, b.batch(b"x" * 500))
    expect("(error, base offset)", (found.error_code, found.base_offset), (10, -1))


@contract("PRODUCE-045 a batch above segment.bytes is RECORD_LIST_TOO_LARGE", "Kafka: UnifiedLog.append")
def above_segment(b: Bench) -> None:
    topic = b.topic(configs={"segment.bytes": "1048576", "max.message.bytes": "3000000"})
    found = produce(b, topic, b.batch(b"x" * 1_100_000))
    expect("(error, base offset)", (found.error_code, found.base_offset), (18, -1))


@contract(
    "PRODUCE-046 a timestamp a year ahead is INVALID_TIMESTAMP, with the record named from version 8 on",
    "KIP-937, KIP-467",
)
def far_future(b: Bench) -> None:
    topic = b.topic()
    for version in (3, 7, 8, 12):
        found = produce(b, topic, b.batch(b"x", timestamp_ms=now_ms() + YEAR_MS), version)
        expect(f"(error, base offset) at version {version}", (found.error_code, found.base_offset), (32, -1))
        wanted = [0] if version >= 8 else []
        expect(f"records named at version {version}", [e.batch_index for e in found.record_errors], wanted)


@contract("PRODUCE-047 timestamps half an hour ahead, years back, or missing are taken", "KIP-937")
def fine_timestamps(b: Bench) -> None:
    topic = b.topic(configs={"retention.ms": "-1"})
    for timestamp in (now_ms() + HOUR_MS // 2, now_ms() - 20 * YEAR_MS, 0, -1):
        found = produce(b, topic, b.batch(b"x", timestamp_ms=timestamp))
        expect(f"error of timestamp {timestamp}", found.error_code, 0)


@contract("PRODUCE-048 message.timestamp.before.max.ms bounds the past", "KIP-937")
def bounded_past(b: Bench) -> None:
    topic = b.topic(configs={"message.timestamp.before.max.ms": str(HOUR_MS)})
    found = produce(b, topic, b.batch(b"x", b"y", timestamp_ms=now_ms() - 2 * HOUR_MS))
    expect("(error, records named)", (found.error_code, [e.batch_index for e in found.record_errors]), (32, [0, 1]))
    expect("error of a fresh one", produce(b, topic, b.batch(b"x")).error_code, 0)


@contract("PRODUCE-049 a LogAppendTime topic answers its own time, which the batch then carries", "KIP-32")
def log_append_time(b: Bench) -> None:
    topic = b.topic(configs={"message.timestamp.type": "LogAppendTime"})
    before = now_ms()
    found = produce(b, topic, b.batch(b"x", timestamp_ms=before - YEAR_MS))
    expect("error", found.error_code, 0)
    expect("is the time the broker's", before - 5000 <= found.log_append_time_ms <= now_ms() + 5000, True)
    wanted = [{"topic": topic, "partitions": [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 9999}]}]
    fetched = b.ask(FETCH, 11, replica_id=-1, max_wait_ms=0, min_bytes=0, session_epoch=-1, topics=wanted)
    records = bytes(fetched.responses[0].partitions[0].records)
    (attributes,) = struct.unpack_from(">h", records, 21)
    (max_timestamp,) = struct.unpack_from(">q", records, 35)
    expect("(bit 3, max timestamp)", (attributes & 8, max_timestamp), (8, found.log_append_time_ms))


@contract(
    "PRODUCE-050 a compacted topic refuses records without a key and names them",
    "KIP-467; Kafka: LogValidator.validateKey",
)
def compacted(b: Bench) -> None:
    topic = b.topic(configs={"cleanup.policy": "compact"})
    found = produce(b, topic, b.batch(b"x", b"y"), 9)
    expect("(error, base offset)", (found.error_code, found.base_offset), (87, -1))
    expect("records named", [e.batch_index for e in found.record_errors], [0, 1])


@contract("PRODUCE-051 zstd before version 7 is UNSUPPORTED_COMPRESSION_TYPE, from 7 on it is taken", "KIP-110")
def zstd(b: Bench) -> None:
    topic = b.topic()
    batch = b.batch(b"x" * 100, codec=4)
    for version in (3, 6):
        expect(f"error at version {version}", produce(b, topic, batch, version).error_code, 76)
    for version in (7, 9):
        expect(f"error at version {version}", produce(b, topic, batch, version).error_code, 0)


@contract("PRODUCE-052 every codec is taken and given back as it came", "KIP-110; compression.type=producer")
def codecs(b: Bench) -> None:
    topic = b.topic()
    for codec in range(5):
        expect(f"error of codec {codec}", produce(b, topic, b.batch(b"x" * 100, codec=codec), 9).error_code, 0)
    wanted = [{"topic": topic, "partitions": [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 99999}]}]
    fetched = b.ask(FETCH, 11, replica_id=-1, max_wait_ms=0, min_bytes=0, session_epoch=-1, topics=wanted)
    records, found = bytes(fetched.responses[0].partitions[0].records), []
    while records:
        size, attributes = struct.unpack_from(">i", records, 8)[0] + 12, struct.unpack_from(">h", records, 21)[0]
        found.append(attributes & 7)
        records = records[size:]
    expect("codecs", found, [0, 1, 2, 3, 4])


@contract(
    "PRODUCE-053 no topics, or topics without partitions, are answered in kind", "Kafka: KafkaApis.handleProduceRequest"
)
def nothing(b: Bench) -> None:
    for version in (3, 9, 12):
        expect("responses", b.ask(PRODUCE, version, acks=1, timeout_ms=100).responses, [])


@contract(
    "PRODUCE-054 records of a transactional producer are refused with an authorization error",
    "KIP-98",
    deliberate="transactions are not served: every transactional id is refused at once, with a final error",
)
def transactional_id(b: Bench) -> None:
    topic = b.topic()
    batch = b.batch(b"x", producer_id=producer(b), producer_epoch=0, base_sequence=0, transactional=True)
    expect("error", produce(b, topic, batch, 9, transactional_id=b.name("tx")).error_code, 53)


@contract("PRODUCE-060 a repeated idempotent batch is answered with its first offset and not appended", IDEMPOTENCE)
def repeated(b: Bench) -> None:
    topic, pid = b.topic(), producer(b)
    for sequence in range(3):
        batch = b.batch(b"x", producer_id=pid, producer_epoch=0, base_sequence=sequence)
        expect(f"base offset of {sequence}", produce(b, topic, batch).base_offset, sequence)
    for sequence in (1, 2, 0):
        batch = b.batch(b"x", producer_id=pid, producer_epoch=0, base_sequence=sequence)
        found = produce(b, topic, batch)
        expect(f"(error, base offset) of {sequence} again", (found.error_code, found.base_offset), (0, sequence))
    expect("the end", end_of(b, topic), 3)


@contract("PRODUCE-061 a gap in sequences is OUT_OF_ORDER_SEQUENCE_NUMBER", IDEMPOTENCE)
def gap(b: Bench) -> None:
    topic, pid = b.topic(), producer(b)
    produce(b, topic, b.batch(b"x", producer_id=pid, producer_epoch=0, base_sequence=0))
    found = produce(b, topic, b.batch(b"x", producer_id=pid, producer_epoch=0, base_sequence=2))
    expect("(error, base offset)", (found.error_code, found.base_offset), (45, -1))


@contract("PRODUCE-062 a stale producer epoch is INVALID_PRODUCER_EPOCH", IDEMPOTENCE)
def stale_epoch(b: Bench) -> None:
    topic, pid = b.topic(), producer(b)
    produce(b, topic, b.batch(b"x", producer_id=pid, producer_epoch=3, base_sequence=0))
    found = produce(b, topic, b.batch(b"x", producer_id=pid, producer_epoch=2, base_sequence=1))
    expect("(error, base offset)", (found.error_code, found.base_offset), (47, -1))


@contract("PRODUCE-063 a new producer epoch starts at sequence 0", IDEMPOTENCE)
def new_epoch(b: Bench) -> None:
    topic, pid = b.topic(), producer(b)
    produce(b, topic, b.batch(b"x", producer_id=pid, producer_epoch=0, base_sequence=0))
    later = produce(b, topic, b.batch(b"x", producer_id=pid, producer_epoch=1, base_sequence=1))
    expect("error of sequence 1", later.error_code, 45)
    first = produce(b, topic, b.batch(b"x", producer_id=pid, producer_epoch=1, base_sequence=0))
    expect("(error, base offset) of sequence 0", (first.error_code, first.base_offset), (0, 1))


@contract("PRODUCE-064 a producer nobody knows may start at any sequence", IDEMPOTENCE)
def unknown_producer(b: Bench) -> None:
    topic, pid = b.topic(), producer(b)
    found = produce(b, topic, b.batch(b"x", producer_id=pid, producer_epoch=0, base_sequence=5))
    expect("(error, base offset)", (found.error_code, found.base_offset), (0, 0))


@contract("PRODUCE-065 sequences wrap from 2^31-1 to 0", IDEMPOTENCE)
def wrap(b: Bench) -> None:
    topic, pid = b.topic(), producer(b)
    last = (1 << 31) - 1
    produce(b, topic, b.batch(b"x", b"y", producer_id=pid, producer_epoch=0, base_sequence=last - 1))
    found = produce(b, topic, b.batch(b"z", producer_id=pid, producer_epoch=0, base_sequence=0))
    expect("(error, base offset)", (found.error_code, found.base_offset), (0, 2))


@contract("PRODUCE-066 a batch that wraps in its middle is followed by the rest", IDEMPOTENCE)
def wrap_inside(b: Bench) -> None:
    topic, pid = b.topic(), producer(b)
    last = (1 << 31) - 1
    expect(
        "error",
        produce(b, topic, b.batch(b"x", b"y", b"z", producer_id=pid, producer_epoch=0, base_sequence=last)).error_code,
        0,
    )
    found = produce(b, topic, b.batch(b"z", producer_id=pid, producer_epoch=0, base_sequence=2))
    expect("(error, base offset)", (found.error_code, found.base_offset), (0, 3))


@contract("PRODUCE-067 a batch older than the last five is out of order, not a duplicate", IDEMPOTENCE)
def older_than_five(b: Bench) -> None:
    topic, pid = b.topic(), producer(b)
    for sequence in range(7):
        produce(b, topic, b.batch(b"x", producer_id=pid, producer_epoch=0, base_sequence=sequence))
    for sequence, error in ((0, 45), (1, 45), (2, 0), (6, 0)):
        batch = b.batch(b"x", producer_id=pid, producer_epoch=0, base_sequence=sequence)
        expect(f"error of sequence {sequence} again", produce(b, topic, batch).error_code, error)


@contract("PRODUCE-068 the same first sequence with another last one is no duplicate", IDEMPOTENCE)
def other_length(b: Bench) -> None:
    topic, pid = b.topic(), producer(b)
    produce(b, topic, b.batch(b"x", b"y", producer_id=pid, producer_epoch=0, base_sequence=0))
    found = produce(b, topic, b.batch(b"x", producer_id=pid, producer_epoch=0, base_sequence=0))
    expect("error", found.error_code, 45)


@contract("PRODUCE-069 a producer's state is per partition", IDEMPOTENCE)
def per_partition(b: Bench) -> None:
    topic, pid = b.topic(partitions=2), producer(b)
    for partition in (0, 1):
        batch = b.batch(b"x", producer_id=pid, producer_epoch=0, base_sequence=0)
        expect(f"base offset in {partition}", produce(b, topic, batch, partition=partition).base_offset, 0)


@contract("PRODUCE-070 a record of 900 KB comes back whole", "Kafka: message.max.bytes defaults to 1048588")
def big_record(b: Bench) -> None:
    topic = b.topic()
    batch = b.batch(b"x" * 900_000)
    expect("error", produce(b, topic, batch).error_code, 0)
    wanted = [{"topic": topic, "partitions": [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 10}]}]
    fetched = b.ask(FETCH, 11, replica_id=-1, max_wait_ms=0, min_bytes=0, session_epoch=-1, topics=wanted)
    expect("bytes of records", len(fetched.responses[0].partitions[0].records), len(batch))


@contract(
    "PRODUCE-071 a batch above the default message.max.bytes is MESSAGE_TOO_LARGE",
    "Kafka: message.max.bytes defaults to 1048588",
)
def default_limit(b: Bench) -> None:
    topic = b.topic()
    expect("error", produce(b, topic, b.batch(b"x" * 1_048_600)).error_code, 10)


@contract("PRODUCE-072 a producer id is new each time", "KIP-98")
def ids_differ(b: Bench) -> None:
    ids = [producer(b) for _ in range(5)]
    expect("different ids", len(set(ids)), 5)
    expect("none below 0", min(ids) >= 0, True)
