"""Every rule that a client's batch must keep, each under its own name, with the error of Apache Kafka 4.3.1.

The same bodies and streams are sent to both brokers by compat/contracts/rules/produce_bodies.py; what differs there
from Kafka on purpose says so.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import lz4.frame
import pytest

from compat.contracts.raw_batches import BODIES, STREAMS, Body, Stream, raw_batch, record, spoilt_streams
from compat.contracts.rules.produce_bodies import ours
from kbroker.log.outcome import Appended, Refused
from kbroker.log.settings import LogSettings
from kbroker.record.batch import (
    build_batch,
    checksum_matches,
    iterate_batches,
    iterate_records,
    read_header,
    restamp_checksum,
)
from kbroker.record.compression import CODEC_BY_NAME, Codec
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from log_workshop import Workshop

NOW = 1_700_000_000_000
HOUR = 3_600_000
FULL = {"record_validation": "full"}
COMPACTED = {"cleanup_policy": frozenset({"compact"})}

CORRUPT, INVALID, TOO_LARGE = ErrorCode.CORRUPT_MESSAGE, ErrorCode.INVALID_RECORD, ErrorCode.MESSAGE_TOO_LARGE
MISTIMED, NONE = ErrorCode.INVALID_TIMESTAMP, ErrorCode.NONE
UNVOUCHED = ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def _batch(**extra: Any) -> bytearray:
    return build_batch([(b"k", b"one"), (b"l", b"two"), (b"m", b"three")], timestamp_ms=NOW, **extra)


def _with(position: int, form: str, value: int, *, checksum: bool = True, **extra: Any) -> bytearray:
    batch = _batch(**extra)
    struct.pack_into(form, batch, position, value)
    if checksum:
        restamp_checksum(batch, len(batch))
    return batch


def _timed(*times: int) -> bytearray:
    return build_batch([(b"k", b"v", (), time) for time in times], timestamp_ms=times[0])


def _transactional(position: int = 21, form: str = ">h", value: int = 0x10, *, checksum: bool = True) -> bytearray:
    return _with(position, form, value, checksum=checksum, transactional=True)


ONE_SIZE = len(_batch())

HEADER_RULES: list[tuple[str, Any, dict[str, Any], ErrorCode]] = [
    ("a whole batch is taken", _batch(), {}, NONE),
    ("no bytes", b"", {}, INVALID),
    ("fewer bytes than a length needs", _batch()[:11], {}, INVALID),
    ("fewer bytes than a header", _batch()[:40], {}, INVALID),
    ("a batch that is cut", _batch()[:-1], {}, INVALID),
    ("two batches", _batch() + _batch(), {}, INVALID),
    ("a second batch of another magic", _batch() + _with(16, ">b", 1), {}, INVALID),
    ("a second batch that is cut is junk", _batch() + _batch()[:-1], {}, NONE),
    ("a second batch of an impossible length", _batch() + _with(8, ">i", 3, checksum=False), {}, CORRUPT),
    ("a second batch of an unknown magic", _batch() + _with(16, ">b", 9, checksum=False), {}, CORRUPT),
    ("a length of zero", _with(8, ">i", 0, checksum=False), {}, CORRUPT),
    ("a negative length", _with(8, ">i", -1, checksum=False), {}, CORRUPT),
    ("a length below any message's", _with(8, ">i", 13, checksum=False), {}, CORRUPT),
    ("a length below the header's", _with(8, ">i", 48, checksum=False), {}, CORRUPT),
    ("a length beyond the end", _with(8, ">i", 5000, checksum=False), {}, INVALID),
    ("magic 0", _with(16, ">b", 0), {}, INVALID),
    ("magic 1", _with(16, ">b", 1), {}, INVALID),
    ("magic 3", _with(16, ">b", 3), {}, CORRUPT),
    ("magic -1", _with(16, ">b", -1), {}, CORRUPT),
    ("a wrong checksum", _with(17, ">I", 1, checksum=False), {}, CORRUPT),
    ("a base offset of 5", _with(0, ">q", 5), {}, INVALID),
    ("a base offset of -1", _with(0, ">q", -1), {}, INVALID),
    ("a last offset delta that is too large", _with(23, ">i", 7), {}, INVALID),
    ("a last offset delta that is too small", _with(23, ">i", 1), {}, INVALID),
    ("a negative last offset delta", _with(23, ">i", -1), {}, INVALID),
    ("the largest last offset delta", _with(23, ">i", (1 << 31) - 1), {}, INVALID),
    ("a count that is too large", _with(57, ">i", 4), {}, INVALID),
    ("a count of zero", _with(57, ">i", 0), {}, INVALID),
    ("a negative count", _with(57, ">i", -3), {}, INVALID),
    ("a control batch", _batch(control=True), {}, INVALID),
    ("a transactional batch", _batch(transactional=True), {}, UNVOUCHED),
    ("a transactional batch that is too large", _transactional(), {"max_message_bytes": 62}, UNVOUCHED),
    ("a transactional batch with a wrong checksum", _transactional(17, ">I", 1, checksum=False), {}, UNVOUCHED),
    ("a transactional batch with a base offset of 5", _transactional(0, ">q", 5), {}, UNVOUCHED),
    ("a transactional batch with a count that is too large", _transactional(57, ">i", 4), {}, UNVOUCHED),
    ("a transactional control batch", _transactional(21, ">h", 0x30), {}, UNVOUCHED),
    ("a transactional batch of an unknown codec", _transactional(21, ">h", 0x15), {}, UNVOUCHED),
    ("a transactional batch below a header's length", _transactional(8, ">i", 48, checksum=False), {}, UNVOUCHED),
    ("two transactional batches", _transactional() * 2, {}, UNVOUCHED),
    ("a transactional batch before one of an unknown magic", _transactional() + _with(16, ">b", 9), {}, UNVOUCHED),
    ("a transactional batch behind another", _batch() + _transactional(), {}, INVALID),
    ("a transactional batch that is cut", _transactional()[:-1], {}, INVALID),
    ("a transactional batch of another magic", _transactional(16, ">b", 1), {}, INVALID),
    ("a producer id without a sequence", _batch(producer_id=4, producer_epoch=0), {}, INVALID),
    ("a producer id with a negative sequence", _batch(producer_id=4, producer_epoch=0, base_sequence=-5), {}, INVALID),
    ("a sequence without a producer id", _batch(base_sequence=5), {}, NONE),
    ("an epoch without a producer id", _batch(producer_epoch=3), {}, NONE),
    ("a negative producer id is none", _batch(producer_id=-5), {}, NONE),
    ("an unknown codec", _with(21, ">h", 5), {}, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE),
    ("unknown attributes", _with(21, ">h", 0x7F80), {}, NONE),
    ("max.message.bytes exactly", _batch(), {"max_message_bytes": ONE_SIZE}, NONE),
    ("a byte over max.message.bytes", _batch(), {"max_message_bytes": ONE_SIZE - 1}, TOO_LARGE),
    ("too large with a wrong checksum", _with(17, ">I", 1, checksum=False), {"max_message_bytes": 62}, TOO_LARGE),
    ("segment.bytes exactly", _batch(), {"segment_bytes": ONE_SIZE}, NONE),
    ("a byte over segment.bytes", _batch(), {"segment_bytes": ONE_SIZE - 1}, ErrorCode.RECORD_LIST_TOO_LARGE),
    ("a record an hour and more ahead", _timed(NOW, NOW + HOUR + 1), {}, MISTIMED),
    ("a record an hour ahead exactly", _timed(NOW, NOW + HOUR), {}, NONE),
    ("a record years back", _timed(5, NOW), {}, NONE),
    ("a record before the bound", _timed(NOW - HOUR - 1, NOW), {"message_timestamp_before_max_ms": HOUR}, MISTIMED),
    ("a record at the bound", _timed(NOW - HOUR, NOW), {"message_timestamp_before_max_ms": HOUR}, NONE),
    ("a record of no time", _timed(-1, -1), {"message_timestamp_before_max_ms": HOUR}, NONE),
    ("a record of a negative time", _timed(-5), {"message_timestamp_before_max_ms": HOUR}, MISTIMED),
    (
        "times mean nothing to LogAppendTime",
        _timed(5, NOW * 2),
        {"message_timestamp_type": "LogAppendTime", "message_timestamp_before_max_ms": HOUR},
        NONE,
    ),
    (
        "a claim of LogAppendTime where it would count",
        _batch(log_append_time=True),
        {"message_timestamp_type": "LogAppendTime"},
        MISTIMED,
    ),
    ("a claim of LogAppendTime is cleared", _batch(log_append_time=True), {}, NONE),
    ("a claim of LogAppendTime without a time", _with(35, ">q", -1, log_append_time=True), {}, MISTIMED),
    ("a claim of LogAppendTime far ahead", _with(35, ">q", NOW * 2, log_append_time=True), {}, MISTIMED),
    ("a compacted topic takes keys, empty ones too", build_batch([(b"", b"v")], timestamp_ms=NOW), COMPACTED, NONE),
    (
        "a compacted topic takes no record without a key",
        build_batch([(None, b"")], timestamp_ms=NOW),
        COMPACTED,
        INVALID,
    ),
    (
        "an offset range that is too large once it is repacked",
        build_batch([(b"k", bytes(3000))], timestamp_ms=NOW, codec=Codec.GZIP),
        {"compression_type": "uncompressed", "max_message_bytes": 1000},
        TOO_LARGE,
    ),
    (
        "segment.bytes once it is repacked",
        build_batch([(b"k", bytes(3000))], timestamp_ms=NOW, codec=Codec.GZIP),
        {"compression_type": "uncompressed", "segment_bytes": 1000},
        ErrorCode.RECORD_LIST_TOO_LARGE,
    ),
]


def _code(shop: Workshop, batch: Any, **settings: Any) -> ErrorCode:
    """The error of one append; a batch that is taken can be read back whole."""
    shop.clock.advance(NOW - shop.clock.wall_ms())
    shop.log.settings = LogSettings(**settings)
    outcome = shop.log.append_as_leader(bytearray(batch), 0)
    if isinstance(outcome, Refused):
        assert shop.log.log_end == 0
        assert outcome.error != ErrorCode.NONE
        return outcome.error
    for stored in iterate_batches(shop.bytes_of(shop.read(0))):
        assert checksum_matches(stored, read_header(stored))
    return ErrorCode.NONE


@pytest.mark.parametrize("validation", ["checksum", "full"])
@pytest.mark.parametrize(
    ("batch", "settings", "error"), [row[1:] for row in HEADER_RULES], ids=[row[0] for row in HEADER_RULES]
)
def test_rule(shop: Workshop, batch: Any, settings: dict[str, Any], error: ErrorCode, validation: str) -> None:
    assert _code(shop, batch, record_validation=validation, **settings) == error


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("body", BODIES, ids=[body.rule for body in BODIES])
def test_rule_on_records(shop: Workshop, body: Body, codec: Codec) -> None:
    batch = raw_batch(body.records, body.record_count, codec, timestamp_ms=NOW)
    kafkas = body.packed if codec else body.plain
    assert _code(shop, batch, **FULL) == ours(kafkas, body.rule)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@pytest.mark.parametrize("body", BODIES, ids=[body.rule for body in BODIES])
def test_rule_on_records_that_are_packed_anew(shop: Workshop, body: Body, name: str) -> None:
    batch = raw_batch(body.records, body.record_count, Codec.LZ4, timestamp_ms=NOW)
    assert _code(shop, batch, compression_type=name) == ours(body.repacked, body.rule)
    assert shop.offsets() == ([] if shop.log.log_end == 0 else list(range(body.record_count)))


@pytest.mark.parametrize("stream", STREAMS, ids=[stream.rule for stream in STREAMS])
@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD])
def test_rule_on_streams(shop: Workshop, stream: Stream, codec: Codec) -> None:
    batch = raw_batch(b"", 2, codec, timestamp_ms=NOW, packed=spoilt_streams(codec)[stream.rule])
    assert _code(shop, batch, **FULL) == ours(stream.kafka[codec], stream.rule)


def test_linked_lz4_blocks_which_java_cannot_read_are_refused_where_they_are_seen(shop: Workshop) -> None:
    packed = lz4.frame.compress(record(value=bytes(range(256)) * 1000), block_linked=True)
    batch = raw_batch(b"", 1, Codec.LZ4, timestamp_ms=NOW, packed=packed)
    assert _code(shop, batch, **FULL) == INVALID
    assert _code(shop, batch) == NONE


@pytest.mark.parametrize("time_type", ["CreateTime", "LogAppendTime"])
@pytest.mark.parametrize("codec", [Codec.NONE, Codec.LZ4, Codec.ZSTD])
@pytest.mark.parametrize("name", ["gzip", "uncompressed"])
def test_times_below_minus_one_are_not_packed_anew(shop: Workshop, name: str, codec: Codec, time_type: str) -> None:
    """They were stored, where Kafka's builder takes no such time; what is stored as it came may have one."""
    topic = {"compression_type": name, "message_timestamp_type": time_type}
    is_kept = codec == Codec.NONE and name == "uncompressed"
    for base, deltas in ((-2, (0, 0)), (0, (0, -5)), (-1, (0, -1))):
        body = b"".join(record(index, timestamp_delta=delta) for index, delta in enumerate(deltas))
        assert _code(shop, raw_batch(body, 2, codec, timestamp_ms=base), **topic) == (NONE if is_kept else MISTIMED)
    assert _code(shop, raw_batch(record(0) + record(1, timestamp_delta=1), 2, codec, timestamp_ms=-1), **topic) == NONE


def test_the_default_leaves_bodies_to_the_checksum(shop: Workshop) -> None:
    assert _code(shop, raw_batch(b"no records", 3, timestamp_ms=NOW)) == NONE


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("max_timestamp", [5, NOW + 2 * HOUR, -1])
def test_the_largest_time_of_an_opened_batch_is_set_right(shop: Workshop, codec: Codec, max_timestamp: int) -> None:
    body = record(0) + record(1, timestamp_delta=7) + record(2)
    batch = raw_batch(body, 3, codec, timestamp_ms=NOW, max_timestamp=max_timestamp, attributes=0x40)
    assert _code(shop, batch, **FULL) == NONE
    header = read_header(shop.bytes_of(shop.read(0)))
    assert (header.max_timestamp, header.attributes) == (NOW + 7, codec | 0x40)


def test_keyless_and_mistimed_records_are_told_together_and_the_time_is_the_error(shop: Workshop) -> None:
    """Times were asked for first, and keys only where they were all right."""
    body = record(0) + record(1, key=None) + record(2, timestamp_delta=2 * HOUR) + record(3, key=None)
    shop.clock.advance(NOW - shop.clock.wall_ms())
    shop.log.settings = LogSettings(**COMPACTED)
    refused = shop.refused(raw_batch(body, 4, timestamp_ms=NOW, max_timestamp=NOW + 2 * HOUR))
    assert (refused.error, [index for index, _ in refused.record_errors]) == (MISTIMED, [1, 2, 3])
    assert ["key" in text for _, text in refused.record_errors] == [True, False, True]


@pytest.mark.parametrize(
    ("name", "levels"),
    [("gzip", (-1, 1, 9)), ("lz4", (1, 9, 17)), ("zstd", (-131072, 3, 22))],
)
def test_the_level_of_the_topic_is_what_its_batches_are_packed_with(
    shop: Workshop, name: str, levels: tuple[int, ...]
) -> None:
    batch = build_batch([(b"k", b"%d-%d" % (n, n * n)) for n in range(2_000)], timestamp_ms=NOW)
    sizes = []
    for level in levels:
        before = shop.log.size_bytes
        shop.log.settings = LogSettings(compression_type=name, **{f"compression_{name}_level": level})
        assert isinstance(shop.log.append_as_leader(batch, 0), Appended)
        sizes.append(shop.log.size_bytes - before)
    assert len(set(sizes)) > 1
    assert {read_header(one).codec for one in iterate_batches(shop.bytes_of(shop.read(0)))} == {CODEC_BY_NAME[name]}


def test_renumbered_records_keep_everything_but_their_offsets(shop: Workshop) -> None:
    body = (
        record(4, timestamp_delta=3) + record(9, key=None, value=None, headers=()) + record(2, headers=((b"a", None),))
    )
    batch = raw_batch(body, 3, Codec.GZIP, timestamp_ms=NOW, producer=(7, 1, 40))
    assert _code(shop, batch, compression_type="zstd") == NONE
    stored = shop.bytes_of(shop.read(0))
    header = read_header(stored)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (7, 1, 40)
    assert [tuple(one) for one in iterate_records(stored)] == [
        (0, NOW + 3, b"k", b"v", (("h", b"1"),)),
        (1, NOW, None, None, ()),
        (2, NOW, b"k", b"v", (("a", None),)),
    ]


@pytest.mark.parametrize(
    ("settings", "stored"),
    [
        ({}, 0x4FC0),
        ({"message_timestamp_type": "LogAppendTime"}, 0x48),
        ({"compression_type": "gzip"}, 0x01),
        ({"message_timestamp_type": "LogAppendTime", "compression_type": "gzip"}, 0x09),
    ],
)
def test_unknown_attributes_are_dropped_where_the_header_is_written_anew(
    shop: Workshop, settings: dict[str, Any], stored: int
) -> None:
    """They stayed where the broker's time was written; a delete horizon stayed where a batch was packed anew."""
    assert _code(shop, _with(21, ">h", 0x4FC0), **settings) == NONE
    assert read_header(shop.bytes_of(shop.read(0))).attributes == stored
