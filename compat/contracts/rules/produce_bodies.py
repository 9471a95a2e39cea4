"""Produce: what is asked of the records inside a batch, where a broker opens it.

Apache Kafka opens every batch, kbroker those of topics that ask for it, and all with kbroker.record.validation=full: so
these are compacted topics (bodies are looked through and stored as they came) and topics with a codec of their own
(bodies are packed anew).
"""

from __future__ import annotations

from typing import Any

from compat.contracts.bench import Bench, now_ms
from compat.contracts.engine import cases, contract, expect
from compat.contracts.keys import FETCH
from compat.contracts.raw_batches import BODIES, STREAMS, Body, Stream, raw_batch, record, spoilt_streams
from compat.contracts.rules.produce import HOUR_MS, YEAR_MS, end_of, produce
from kbroker.record.batch import checksum_matches, iterate_batches, iterate_records, read_header
from kbroker.record.compression import Codec

RECORDS = "Kafka: DefaultRecord.readFrom, DefaultRecordBatch.RecordIterator"
STREAM = "Kafka: DefaultRecordBatch.compressedIterator, org.apache.kafka.common.compress"
ORDER = "Kafka: LogValidator"
COMPACTED = {"cleanup.policy": "compact"}
GZIPPED = {"compression.type": "gzip"}
INVALID_RECORD = 87

STRICTER = {
    "a record that is longer than what is left",
    "a record that ends inside its fields",
    "an offset of 33 bits",
}
"""Kafka takes these in some of its ways, and a consumer cannot read them then."""


def ours(kafkas: int, rule: str) -> int:
    """What kbroker answers where Kafka answers `kafkas`."""
    return INVALID_RECORD if kafkas == -1 or rule in STRICTER else kafkas


def _differs(body: Body) -> bool:
    return any(ours(code, body.rule) != code for code in (body.plain, body.packed, body.repacked))


def _rows(is_differing: bool) -> list[tuple[Any, ...]]:
    return [
        (f"PRODUCE-{number} {body.rule}: the right error whichever way the batch goes", body)
        for number, body in enumerate(BODIES, 100)
        if _differs(body) is is_differing
    ]


def check_body(b: Bench, body: Body) -> None:
    """The three ways of a body: stored as it came, plain and compressed; packed anew."""
    kept, repacked = b.topic(configs=COMPACTED), b.topic(configs=GZIPPED)
    for what, topic, codec, code in (
        ("plain", kept, Codec.NONE, body.plain),
        ("compressed", kept, Codec.ZSTD, body.packed),
        ("packed anew", repacked, Codec.ZSTD, body.repacked),
    ):
        batch = raw_batch(body.records, body.record_count, codec, timestamp_ms=now_ms())
        before = end_of(b, topic)
        found = produce(b, topic, batch)
        wanted = ours(code, body.rule)
        expect(f"error when {what}", found.error_code, wanted)
        expect(f"records appended when {what}", end_of(b, topic) - before, 0 if wanted else body.record_count)


cases(RECORDS, *_rows(False))(check_body)


@cases(
    RECORDS,
    *_rows(True),
    deliberate="kbroker refuses what no consumer could read, and says INVALID_RECORD where Kafka says "
    "UNKNOWN_SERVER_ERROR",
)
def check_differing_body(b: Bench, body: Body) -> None:
    """See check_body."""
    check_body(b, body)


def _stream_rows(is_differing: bool) -> list[tuple[Any, ...]]:
    return [
        (f"PRODUCE-{number} {stream.rule}: what each codec makes of it", stream)
        for number, stream in enumerate(STREAMS, 140)
        if (-1 in stream.kafka.values()) is is_differing
    ]


def check_stream(b: Bench, stream: Stream) -> None:
    """Every codec's stream spoilt in one way, in a topic that keeps it."""
    topic = b.topic(configs=COMPACTED)
    for codec, code in stream.kafka.items():
        batch = raw_batch(b"", 2, codec, timestamp_ms=now_ms(), packed=spoilt_streams(codec)[stream.rule])
        found = produce(b, topic, batch)
        expect(f"error of codec {codec}", found.error_code, INVALID_RECORD if code == -1 else code)


cases(STREAM, *_stream_rows(False))(check_stream)


@cases(STREAM, *_stream_rows(True), deliberate="Kafka answers UNKNOWN_SERVER_ERROR where a stream can't be unpacked")
def check_differing_stream(b: Bench, stream: Stream) -> None:
    """See check_stream."""
    check_stream(b, stream)


def _stored(b: Bench, topic: str) -> bytes:
    wanted = [{"topic": topic, "partitions": [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 99999}]}]
    fetched = b.ask(FETCH, 11, replica_id=-1, max_wait_ms=0, min_bytes=0, session_epoch=-1, topics=wanted)
    return bytes(fetched.responses[0].partitions[0].records)


@cases(
    ORDER,
    ("PRODUCE-160 a largest time that is too small is set right", -5_000),
    ("PRODUCE-161 a largest time that is too large is set right", YEAR_MS),
)
def largest_time(b: Bench, off_by_ms: int) -> None:
    for codec in (Codec.NONE, Codec.GZIP):
        topic, now = b.topic(configs=COMPACTED), now_ms()
        body = record(0) + record(1, timestamp_delta=3)
        found = produce(b, topic, raw_batch(body, 2, codec, timestamp_ms=now, max_timestamp=now + off_by_ms))
        expect(f"error with codec {codec}", found.error_code, 0)
        batch = next(iterate_batches(_stored(b, topic)))
        header = read_header(batch)
        expect(
            "(codec, base, largest time, checksum is right)",
            (header.codec, header.base_timestamp, header.max_timestamp, checksum_matches(batch, header)),
            (codec, now, now + 3, True),
        )


@contract("PRODUCE-162 offsets with gaps are counted anew where the batch is packed anew", ORDER)
def counted_anew(b: Bench) -> None:
    # A time of today: with an old one retention may take the records before they are looked at.
    topic, now = b.topic(configs=GZIPPED), now_ms()
    body = record(3, value=b"a") + record(9, value=b"b", timestamp_delta=5) + record(4, value=b"c", headers=())
    for codec in (Codec.NONE, Codec.ZSTD):
        expect(
            f"error with codec {codec}", produce(b, topic, raw_batch(body, 3, codec, timestamp_ms=now)).error_code, 0
        )
    records = [one for batch in iterate_batches(_stored(b, topic)) for one in iterate_records(batch)]
    expect("offsets", [one.offset for one in records], [0, 1, 2, 3, 4, 5])
    expect("times", [one.timestamp for one in records], [now, now + 5, now] * 2)
    expect("values", [one.value for one in records], [b"a", b"b", b"c"] * 2)


@contract("PRODUCE-163 a client's claim of LogAppendTime is refused where the topic has that, all records named", ORDER)
def claimed_time(b: Bench) -> None:
    topic = b.topic(configs={"message.timestamp.type": "LogAppendTime"})
    for codec in (Codec.NONE, Codec.GZIP):
        found = produce(b, topic, raw_batch(record(0) + record(1), 2, codec, timestamp_ms=now_ms(), attributes=8))
        expect("(error, records)", (found.error_code, [e.batch_index for e in found.record_errors]), (32, [0, 1]))


@contract("PRODUCE-164 a client's claim of LogAppendTime without a time is refused, all records named", ORDER)
def claimed_no_time(b: Bench) -> None:
    batch = raw_batch(record(0) + record(1), 2, timestamp_ms=now_ms(), attributes=8, max_timestamp=-1)
    found = produce(b, b.topic(), batch)
    expect("(error, records)", (found.error_code, [e.batch_index for e in found.record_errors]), (32, [0, 1]))


@contract("PRODUCE-165 records without a key and out of time are told together, and the time is the error", ORDER)
def keyless_and_mistimed(b: Bench) -> None:
    topic = b.topic(configs=COMPACTED)
    far = 2 * HOUR_MS
    body = record(0) + record(1, key=None) + record(2, timestamp_delta=far)
    body += record(3, key=None, timestamp_delta=far) + record(4, key=b"")
    for codec in (Codec.NONE, Codec.LZ4):
        found = produce(b, topic, raw_batch(body, 5, codec, timestamp_ms=now_ms(), max_timestamp=now_ms() + far))
        named = [error.batch_index for error in found.record_errors]
        expect("(error, records named)", (found.error_code, named), (32, [1, 2, 3]))


@contract("PRODUCE-166 a key of length -2 is none", ORDER)
def negative_key(b: Bench) -> None:
    batch = raw_batch(record(0, key=b"", key_length=-2), 1, timestamp_ms=now_ms())
    expect("error where a key is needed", produce(b, b.topic(configs=COMPACTED), batch).error_code, INVALID_RECORD)
    expect("error where none is", produce(b, b.topic(configs=GZIPPED), batch).error_code, 0)


@contract("PRODUCE-167 what is too large once it is packed anew is MESSAGE_TOO_LARGE", ORDER)
def too_large_anew(b: Bench) -> None:
    topic = b.topic(configs={"compression.type": "uncompressed", "max.message.bytes": "1000"})
    for codec in (Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD):
        found = produce(b, topic, raw_batch(record(value=b"v" * 3000), 1, codec, timestamp_ms=now_ms()))
        expect(f"(error, base offset) with codec {codec}", (found.error_code, found.base_offset), (10, -1))


@contract("PRODUCE-168 what is above segment.bytes once it is packed anew is RECORD_LIST_TOO_LARGE", ORDER)
def above_segment_anew(b: Bench) -> None:
    configs = {"compression.type": "uncompressed", "max.message.bytes": "9000000", "segment.bytes": "1048576"}
    found = produce(b, b.topic(configs=configs), b.batch(b"v" * 3_000_000, codec=Codec.ZSTD))
    expect("(error, base offset)", (found.error_code, found.base_offset), (18, -1))


@contract("PRODUCE-169 compression.type other than producer decides the codec, at every level", "KIP-390")
def own_codec(b: Bench) -> None:
    for name, codec, levels in (
        ("uncompressed", Codec.NONE, ()),
        ("gzip", Codec.GZIP, (-1, 1, 9)),
        ("snappy", Codec.SNAPPY, ()),
        ("lz4", Codec.LZ4, (1, 9, 17)),
        ("zstd", Codec.ZSTD, (-131072, 3, 22)),
    ):
        for level in levels or (None,):
            more = {} if level is None else {f"compression.{name}.level": str(level)}
            topic = b.topic(configs={"compression.type": name, **more})
            for source in Codec:
                batch = raw_batch(record(0) + record(1, value=b"v" * 500), 2, source, timestamp_ms=now_ms())
                expect(f"error of codec {source} to {name} {level}", produce(b, topic, batch).error_code, 0)
            stored = list(iterate_batches(_stored(b, topic)))
            expect(f"codecs as {name} {level}", {read_header(one).codec for one in stored}, {codec})
            values = {one.value for batch in stored for one in iterate_records(batch)}
            expect(f"values as {name} {level}", values, {b"v", b"v" * 500})


@contract("PRODUCE-170 a negative sequence without a producer id, and an epoch without one, mean nothing", ORDER)
def no_producer(b: Bench) -> None:
    for producer in ((-1, -1, 5), (-1, -1, -9), (-5, -1, -1), (-1, 3, 0)):
        found = produce(b, b.topic(), raw_batch(record(), 1, timestamp_ms=now_ms(), producer=producer))
        expect(f"error of {producer}", found.error_code, 0)


@contract("PRODUCE-171 times below -1 are before everything, not none", ORDER)
def negative_time(b: Bench) -> None:
    bounded = {"message.timestamp.before.max.ms": "1000"}
    for time, error in ((-5, 32), (-1, 0)):
        found = produce(b, b.topic(configs=bounded), raw_batch(record(), 1, timestamp_ms=time))
        expect(f"error of {time}", found.error_code, error)
    expect("error where nothing is asked", produce(b, b.topic(), raw_batch(record(), 1, timestamp_ms=-5)).error_code, 0)


@contract(
    "PRODUCE-172 times below -1 cannot be packed anew",
    ORDER,
    deliberate="Kafka answers UNKNOWN_SERVER_ERROR, kbroker INVALID_TIMESTAMP; neither stores anything",
)
def negative_time_anew(b: Bench) -> None:
    for configs in (GZIPPED, {**GZIPPED, "message.timestamp.type": "LogAppendTime"}):
        topic = b.topic(configs=configs)
        for codec in (Codec.NONE, Codec.ZSTD):
            body = record(0) + record(1, timestamp_delta=-5)
            found = produce(b, topic, raw_batch(body, 2, codec, timestamp_ms=0))
            expect(f"error of codec {codec}", found.error_code, 32)
        expect("the end", end_of(b, topic), 0)


@contract("PRODUCE-173 unknown attributes are dropped where the header is written anew", ORDER)
def unknown_attributes(b: Bench) -> None:
    stamped = {"message.timestamp.type": "LogAppendTime"}
    for configs, attributes in (({}, 0x4FC0), (stamped, 0x48), (GZIPPED, 0x01), ({**stamped, **GZIPPED}, 0x09)):
        topic = b.topic(configs=configs)
        found = produce(b, topic, raw_batch(record(), 1, timestamp_ms=now_ms(), attributes=0x4FC0))
        expect("error", found.error_code, 0)
        stored = next(iterate_batches(_stored(b, topic)))
        expect(f"attributes with {configs}", read_header(stored).attributes, attributes)


@contract("PRODUCE-174 a transactional batch without a transactional id is refused before all else", "KIP-98")
def unvouched_transaction(b: Bench) -> None:
    small = b.topic(configs={"max.message.bytes": "100"})
    large = raw_batch(record(value=b"v" * 500), 1, timestamp_ms=now_ms(), attributes=0x10)
    expect("error of one that is too large", produce(b, small, large).error_code, 53)
    topic = b.topic()
    whole = raw_batch(record(), 1, timestamp_ms=now_ms(), attributes=0x10)
    damaged = bytearray(whole)
    damaged[17] ^= 1
    expect("error of one with a wrong checksum", produce(b, topic, damaged).error_code, 53)
    expect("error of two", produce(b, topic, whole + whole).error_code, 53)
    expect("error of one that is cut", produce(b, topic, whole[:-1]).error_code, INVALID_RECORD)
