"""Versions that Apache Kafka 4 no longer serves and old clients still speak: what 3.9 made of them.

Message sets in Produce 0 to 2 and Fetch 0 to 3, segment starts in ListOffsets 0, dated commits in OffsetCommit 1.
Apache Kafka 3.9.1 keeps all of these; 4.x closes the connection.
"""

from __future__ import annotations

from typing import Any

from compat.contracts.bench import Bench, now_ms
from compat.contracts.engine import cases, contract, expect
from compat.contracts.keys import FETCH, LIST_OFFSETS, METADATA, OFFSET_COMMIT, PRODUCE
from compat.contracts.rules.committed import fetched
from compat.contracts.rules.delete_records import delete_before
from compat.contracts.rules.fetch import fetch, filled, offsets, only, wanted
from compat.contracts.rules.list_offsets import timed
from compat.contracts.rules.produce import end_of, produce
from kbroker.record.batch import iterate_batches, iterate_records
from kbroker.record.compression import Codec, compress
from kbroker.record.legacy import iterate_entries, iterate_messages, write_message

CLOSED = "Apache Kafka 4 closes the connection on versions that KIP-896 removed; 3.9 keeps this"
UP = "KIP-31, KIP-32; Kafka 3.9: LogValidator, UnifiedLog.analyzeAndValidateRecords"
DOWN = "KIP-31, KIP-283; Kafka 3.9: KafkaApis.handleFetchRequest, RecordsUtil.downConvert"
STARTS = "Kafka 3.9: KafkaApis.handleListOffsetRequestV0, UnifiedLog.legacyFetchOffsetsBefore"
COMMITTING = "Kafka 3.9: KafkaApis.handleOffsetCommitRequest"
NO_TIMESTAMP = -1
Seen = tuple[int, int, bytes | None, bytes | None]


def message_set(
    *values: bytes | None, magic: int, codec: int = Codec.NONE, time_ms: int = 0, key: bytes | None = None
) -> bytes:
    """Messages with offsets from 0 on, in a wrapper if there is a codec."""
    out = bytearray()
    for offset, value in enumerate(values):
        write_message(out, magic, 0, offset, time_ms, key, value)
    if codec:
        packed, out = compress(codec, bytes(out)), bytearray()
        write_message(out, magic, codec, len(values) - 1, time_ms, None, packed)
    return bytes(out)


def fetch_set(
    b: Bench, version: int, topic: str, offset: int = 0, *, max_bytes: int = 1 << 20, partition: int = 0
) -> Any:
    """The partition that Fetch 0 to 3 gives."""
    fields: dict[str, Any] = {"max_bytes": max_bytes} if version >= 3 else {}
    topics = [wanted(topic, offset, partition, max_bytes)]
    return only(b.ask(FETCH, version, max_wait_ms=0, min_bytes=0, topics=topics, **fields))


def read_all(b: Bench, version: int, topic: str) -> list[Seen]:
    """(offset, time, key, value) of all messages: fetched until nothing comes, for an answer may end early."""
    seen: list[Seen] = []
    while entries := list(iterate_entries(bytes(fetch_set(b, version, topic, len(seen)).records))):
        for entry in entries:
            expect(f"magic at version {version}", entry.magic, 1 if version >= 2 else 0)
            inner = list(iterate_messages(entry))
            # In a wrapper of magic 1 offsets count from its first message; outside stands the last one's (KIP-31).
            behind = entry.offset - inner[-1].offset
            seen += [(m.offset + behind, m.timestamp, m.key, m.value) for m in inner if m.offset + behind >= len(seen)]
    return seen


@cases(
    UP,
    ("PRODUCE-200 Produce 0 takes a message set, plain or in a wrapper of any codec of its time", 0, 0),
    ("PRODUCE-201 Produce 1 takes a message set, plain or in a wrapper of any codec of its time", 1, 0),
    ("PRODUCE-202 Produce 2 takes a message set, plain or in a wrapper of any codec of its time", 2, 1),
    deliberate=CLOSED,
)
def message_sets(b: Bench, version: int, magic: int) -> None:
    topic, time = b.topic(), now_ms()
    codecs = (Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4)
    for number, codec in enumerate(codecs):
        found = produce(
            b, topic, message_set(b"a", None, b"", magic=magic, codec=codec, time_ms=time, key=b"k"), version
        )
        expect(
            f"(error, base offset, append time) of {codec.name}",
            (found.error_code, found.base_offset, found.log_append_time_ms),
            (0, 3 * number, -1),
        )
    records = [
        r for batch in iterate_batches(only(fetch(b, 12, wanted(topic))).records) for r in iterate_records(batch)
    ]
    expect("offsets", [record.offset for record in records], list(range(3 * len(codecs))))
    expect("(key, value)", {(r.key, r.value) for r in records}, {(b"k", b"a"), (b"k", None), (b"k", b"")})
    expect("times", {record.timestamp for record in records}, {time if magic else NO_TIMESTAMP})


@contract("PRODUCE-203 a message of Produce 0 to 2 with a wrong checksum is CORRUPT_MESSAGE", UP, deliberate=CLOSED)
def wrong_checksum(b: Bench) -> None:
    topic = b.topic()
    for version, magic in ((0, 0), (1, 0), (2, 1)):
        spoilt = bytearray(message_set(b"x", magic=magic, time_ms=now_ms()))
        spoilt[-1] ^= 1
        found = produce(b, topic, spoilt, version)
        expect(f"(error, base offset) at version {version}", (found.error_code, found.base_offset), (2, -1))
    expect("the end", end_of(b, topic), 0)


@contract("PRODUCE-204 no whole message in Produce 0 to 2 is no error, and nothing is appended", UP, deliberate=CLOSED)
def no_message(b: Bench) -> None:
    topic = b.topic()
    for version, magic in ((0, 0), (1, 0), (2, 1)):
        for records in (b"", message_set(b"x", magic=magic)[:-2]):
            found = produce(b, topic, records, version)
            expect(f"(error, base offset) at version {version}", (found.error_code, found.base_offset), (0, -1))
    expect("the end", end_of(b, topic), 0)


@contract("PRODUCE-205 Produce 0 to 2 is refused with the errors of later versions", UP, deliberate=CLOSED)
def refused(b: Bench) -> None:
    topic, compacted = b.topic(), b.topic(configs={"cleanup.policy": "compact"})
    for version, magic in ((0, 0), (1, 0), (2, 1)):
        records = message_set(b"x", magic=magic, time_ms=now_ms())
        expect("error of a missing topic", produce(b, b.name(), records, version).error_code, 3)
        expect("error of a missing partition", produce(b, topic, records, version, 5).error_code, 3)
        expect("error of acks=2", produce(b, topic, records, version, acks=2).error_code, 21)
        expect("error where a key is needed", produce(b, compacted, records, version).error_code, 87)


@contract("PRODUCE-206 acks=0 in Produce 0 to 2 appends and answers nothing", UP, deliberate=CLOSED)
def unanswered(b: Bench) -> None:
    topic = b.topic()
    for version, magic in ((0, 0), (1, 0), (2, 1)):
        line = b.line()
        data = [{"name": topic, "partition_data": [{"index": 0, "records": message_set(b"x", magic=magic)}]}]
        b.send(PRODUCE, version, line, acks=0, timeout_ms=1000, topic_data=data)
        expect("topics in the next answer", b.ask(METADATA, 1, line, topics=[]).topics, [])
        expect(f"the end after version {version}", end_of(b, topic), version + 1)


@contract("PRODUCE-207 Produce 2 tells the broker's time where the topic has LogAppendTime", UP, deliberate=CLOSED)
def append_time(b: Bench) -> None:
    topic, before = b.topic(configs={"message.timestamp.type": "LogAppendTime"}), now_ms()
    found = produce(b, topic, message_set(b"x", magic=1, time_ms=5), 2)
    expect("is the time the broker's", before - 5000 <= found.log_append_time_ms <= now_ms() + 5000, True)


@contract("PRODUCE-208 a message set in Produce 3 is INVALID_RECORD", "KIP-98; Kafka: ProduceRequest.validateRecords")
def too_late(b: Bench) -> None:
    topic = b.topic()
    for version in (3, 9):
        for magic in (0, 1):
            found = produce(b, topic, message_set(b"x", magic=magic, time_ms=now_ms()), version)
            expect(f"error of magic {magic} at version {version}", found.error_code, 87)


@cases(
    DOWN,
    ("FETCH-100 Fetch 0 gives record batches as message sets of magic 0", 0),
    ("FETCH-101 Fetch 1 gives record batches as message sets of magic 0", 1),
    ("FETCH-102 Fetch 2 gives record batches as message sets of magic 1", 2),
    ("FETCH-103 Fetch 3 gives record batches as message sets of magic 1", 3),
    deliberate=CLOSED,
)
def as_message_sets(b: Bench, version: int) -> None:
    topic, time = b.topic(), now_ms()
    sent = [(b"k", b"a"), (None, None), (b"", b"")]
    for codec in (Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4):
        records = [(key, value, (("h", b"left out"),), time) for key, value in sent]
        expect("error of the set-up", produce(b, topic, b.records(records, codec=codec)).error_code, 0)
    found = read_all(b, version, topic)
    expect("offsets", [offset for offset, _, _, _ in found], list(range(12)))
    expect("(key, value)", [(key, value) for _, _, key, value in found], sent * 4)
    expect("times", {at for _, at, _, _ in found}, {time if version >= 2 else NO_TIMESTAMP})
    expect("high watermark", fetch_set(b, version, topic).high_watermark, 12)


@contract(
    "FETCH-104 to Fetch 0 to 2 a limit is a limit, Fetch 3 gives the first batch whole", "KIP-74", deliberate=CLOSED
)
def limits(b: Bench) -> None:
    topic = filled(b, 3)
    for version in range(4):
        found = fetch_set(b, version, topic, max_bytes=20)
        whole = [
            message.offset for entry in iterate_entries(bytes(found.records)) for message in iterate_messages(entry)
        ]
        expect(
            f"(error, offsets) at version {version}", (found.error_code, whole), (0, [0, 1, 2] if version >= 3 else [])
        )


@contract("FETCH-105 Fetch 0 to 3 is refused with the errors of later versions", DOWN, deliberate=CLOSED)
def refused_fetches(b: Bench) -> None:
    topic = filled(b, 2)
    for version in range(4):
        for what, found, error in (
            ("an offset beyond the end", fetch_set(b, version, topic, 3), 1),
            ("a negative offset", fetch_set(b, version, topic, -1), 1),
            ("a missing topic", fetch_set(b, version, b.name()), 3),
            ("a missing partition", fetch_set(b, version, topic, partition=9), 3),
        ):
            expect(f"(error, high watermark) of {what}", (found.error_code, found.high_watermark), (error, -1))
        found = fetch_set(b, version, topic, 2)
        expect("(error, records) at the end", (found.error_code, bytes(found.records or b"")), (0, b""))


@contract(
    "FETCH-106 zstd cannot be told to Fetch 0 to 3: UNSUPPORTED_COMPRESSION_TYPE, behind what can be",
    "KIP-110; Kafka 3.9: KafkaApis.handleFetchRequest",
    deliberate=CLOSED,
)
def zstd(b: Bench) -> None:
    topic = filled(b, 2)
    produce(b, topic, b.batch(b"x", codec=Codec.ZSTD))
    for version in range(4):
        expect(f"error at version {version}", fetch_set(b, version, topic, 2).error_code, 76)
        before = fetch_set(b, version, topic)
        expect("(error, is there something)", (before.error_code, len(before.records) > 0), (0, True))


@contract("FETCH-107 what Produce 0 to 2 sent comes back by every version of Fetch", DOWN, deliberate=CLOSED)
def round_trip(b: Bench) -> None:
    topic, time = b.topic(), now_ms()
    for version, magic, codec in ((0, 0, Codec.GZIP), (1, 0, Codec.NONE), (2, 1, Codec.LZ4)):
        records = message_set(b"a", b"b", magic=magic, codec=codec, time_ms=time)
        expect("error of the set-up", produce(b, topic, records, version).error_code, 0)
    for version in range(4):
        times = [NO_TIMESTAMP] * 4 + [time if version >= 2 else NO_TIMESTAMP] * 2
        wanted_messages = [(offset, at, None, b"ab"[offset % 2 :][:1]) for offset, at in enumerate(times)]
        expect(f"at version {version}", read_all(b, version, topic), wanted_messages)
    for version in (4, 12, 16):
        expect(f"offsets at version {version}", offsets(only(fetch(b, version, wanted(topic)))), list(range(6)))


@contract(
    "DELETERECORDS-022 to Fetch 0 to 3 and ListOffsets 0 the log starts where DeleteRecords left it",
    "KIP-107, KIP-283",
    deliberate=CLOSED,
)
def deleted_before(b: Bench) -> None:
    topic = filled(b, 3, 3)
    expect("(error, low watermark)", delete_before(b, topic, 4), (0, 4))
    for version in range(4):
        expect(f"error below the start at version {version}", fetch_set(b, version, topic, 3).error_code, 1)
        entries = list(iterate_entries(bytes(fetch_set(b, version, topic, 4).records)))
        found = [message.offset for entry in entries for message in iterate_messages(entry)]
        expect(f"offsets from the start at version {version}", found[-2:], [4, 5])
    for timestamp, starts in ((-1, [6, 4]), (-2, [4])):
        expect(f"starts of {timestamp}", _segment_starts(b, topic, timestamp), (0, starts))


def _segment_starts(b: Bench, topic: str, timestamp: int, count: int = 10, partition: int = 0) -> tuple[int, list[int]]:
    asked = {"partition_index": partition, "timestamp": timestamp, "max_num_offsets": count}
    topics = [{"name": topic, "partitions": [asked]}]
    found = b.ask(LIST_OFFSETS, 0, replica_id=-1, topics=topics).topics[0].partitions[0]
    return found.error_code, found.old_style_offsets


@contract(
    "OFFSETS-030 version 0 lists where segments start, newest first, with the end before them",
    STARTS,
    deliberate=CLOSED,
)
def segment_starts(b: Bench) -> None:
    topic, _ = timed(b, 0, 10, 20)
    later = now_ms() + 3_600_000
    for timestamp, starts in ((-1, [3, 0]), (-2, [0]), (later, [3, 0]), (0, [])):
        for count in (10, 1, 0):
            found = _segment_starts(b, topic, timestamp, count)
            expect(f"at most {count} of {timestamp}", found, (0, starts[:count]))


@contract("OFFSETS-031 version 0 lists the start of an empty partition once", STARTS, deliberate=CLOSED)
def start_of_empty(b: Bench) -> None:
    topic = b.topic()
    for timestamp in (-1, -2):
        expect(f"starts of {timestamp}", _segment_starts(b, topic, timestamp), (0, [0]))


@contract(
    "OFFSETS-032 version 0 refuses what is unknown with 3, other marks with UNSUPPORTED_VERSION",
    STARTS,
    deliberate=CLOSED,
)
def refused_starts(b: Bench) -> None:
    topic = b.topic()
    expect("a missing topic", _segment_starts(b, b.name(), -1), (3, []))
    expect("a missing partition", _segment_starts(b, topic, -1, partition=9), (3, []))
    for timestamp in (-3, -4, -7):
        expect(f"the mark {timestamp}", _segment_starts(b, topic, timestamp), (35, []))


def _commit(b: Bench, group: str, topic: str, offset: int, partition: int = 0, dated_ms: int = -1, **more: Any) -> int:
    one = {
        "partition_index": partition,
        "committed_offset": offset,
        "commit_timestamp": dated_ms,
        "committed_metadata": "note",
    }
    topics = [{"name": topic, "partitions": [one]}]
    return int(b.ask(OFFSET_COMMIT, 1, group_id=group, topics=topics, **more).topics[0].partitions[0].error_code)


@contract("COMMIT-014 version 1 keeps an offset, dated or not", COMMITTING, deliberate=CLOSED)
def dated_commit(b: Bench) -> None:
    group, topic = b.group(), b.topic()
    for offset, dated_ms in ((4, -1), (5, now_ms()), (6, now_ms() - 5_000)):
        expect(f"error of {offset}", _commit(b, group, topic, offset, dated_ms=dated_ms), 0)
        for version in (1, 8):
            expect(
                f"fetched at version {version}", fetched(b, group, topic, version), (0, [(0, offset, -1, "note", 0)])
            )


@contract("COMMIT-015 version 1 is refused with the errors of later versions", COMMITTING, deliberate=CLOSED)
def refused_commit(b: Bench) -> None:
    group, topic = b.group(), b.topic()
    expect("a missing topic", _commit(b, group, b.name(), 1), 3)
    expect("a missing partition", _commit(b, group, topic, 1, 9), 3)
    found = _commit(b, b.group(), topic, 1, generation_id_or_member_epoch=1, member_id="m")
    expect("a generation in an unknown group", found, 22)
