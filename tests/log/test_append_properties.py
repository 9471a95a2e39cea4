"""What holds for every batch: full validation takes nothing that Kafka's rules refuse, packing anew keeps the records,
and no bytes at all lead to anything but an append or a refusal from the documented set."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from compat.contracts.raw_batches import raw_batch, record
from kbroker.log.outcome import Refused
from kbroker.log.partition_log import PartitionLog
from kbroker.log.place import LogPlace
from kbroker.log.preparation import Preparation
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.batch import HEADER_BYTES, build_batch, iterate_records, read_header, restamp_checksum
from kbroker.record.compression import Codec
from kbroker.testing.virtual_clock import VirtualClock
from protocol_specs.errors import ErrorCode

EXAMPLES = 2_000 if os.environ.get("KBROKER_FUZZ") else 50
NOW = 1_700_000_000_000
DOCUMENTED = {
    ErrorCode.CORRUPT_MESSAGE,
    ErrorCode.INVALID_RECORD,
    ErrorCode.INVALID_TIMESTAMP,
    ErrorCode.MESSAGE_TOO_LARGE,
    ErrorCode.RECORD_LIST_TOO_LARGE,
    ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
    ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ErrorCode.INVALID_PRODUCER_EPOCH,
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
}
WAYS = [
    {"record_validation": "full"},
    {"record_validation": "full", "message_timestamp_type": "LogAppendTime"},
    {"cleanup_policy": frozenset({"compact"})},
    {"compression_type": "zstd", "message_timestamp_before_max_ms": 3_600_000},
    {"compression_type": "uncompressed", "max_message_bytes": 400},
    {"compression_type": "snappy", "segment_bytes": 300},
    {},
]


# ---- Kafka's rules on records, as dumb as they can be written


class _Refused(Exception):
    """Kafka would not take it."""


class _Java:
    """A reader of bytes as DefaultRecord.readFrom reads them."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def byte(self) -> int:
        if self.at >= len(self.data):
            raise _Refused
        self.at += 1
        return self.data[self.at - 1]

    def varint(self, bytes_max: int) -> int:
        value = 0
        for number in range(bytes_max):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * number)
            if byte < 0x80:
                value &= (1 << (32 if bytes_max == 5 else 64)) - 1
                return (value >> 1) ^ -(value & 1)
        raise _Refused

    def skip(self, length: int) -> None:
        for _ in range(length):
            self.byte()


def kafka_takes(body: bytes, count: int, *, is_compressed: bool) -> bool:
    """Would Apache Kafka append these records?"""
    reader = _Java(body)
    try:
        offsets = [_one_record(reader) for _ in range(count)]
    except _Refused:
        return False
    return reader.at == len(body) and (not is_compressed or offsets == list(range(count)))


def _one_record(reader: _Java) -> int:
    size = reader.varint(5)
    begin = reader.at
    reader.byte()
    reader.varint(10)
    offset = reader.varint(5)
    reader.skip(reader.varint(5))
    reader.skip(reader.varint(5))
    headers = reader.varint(5)
    if headers < 0:
        raise _Refused
    for _ in range(headers):
        name = reader.varint(5)
        if name < 0:
            raise _Refused
        reader.skip(name)
        reader.skip(reader.varint(5))
    if reader.at - begin != size:
        raise _Refused
    return offset


# ---- what is tried


OPTIONAL = st.none() | st.binary(max_size=20)
RECORDS = st.lists(
    st.tuples(
        OPTIONAL,
        OPTIONAL,
        st.lists(st.tuples(st.text(max_size=3), OPTIONAL), max_size=2),
        st.integers(NOW - 5_000, NOW),
    ),
    min_size=1,
    max_size=6,
)
LENGTHS = st.integers(-3, 30)


def _seldom(draw: st.DrawFn, odd: st.SearchStrategy[Any], usual: Any = None) -> Any:
    """What is usual, but one time in twelve something odd."""
    return draw(odd) if draw(st.integers(0, 11)) == 7 else usual


@st.composite
def odd_records(draw: st.DrawFn, index: int) -> bytes:
    """A record with some field wrong, sometimes."""
    return record(
        _seldom(draw, st.integers(0, 5), index),
        draw(OPTIONAL),
        draw(OPTIONAL),
        [(_seldom(draw, st.none(), name.encode()), content) for name, content in draw(HEADERS)],
        attributes=draw(st.integers(0, 255)),
        timestamp_delta=_seldom(draw, st.sampled_from([1 << 40, -(1 << 63)]), draw(st.integers(-900, 900))),
        key_length=_seldom(draw, LENGTHS),
        value_length=_seldom(draw, LENGTHS),
        headers_count=_seldom(draw, LENGTHS),
        size=_seldom(draw, LENGTHS),
    )


HEADERS = st.lists(st.tuples(st.text(max_size=2), OPTIONAL), max_size=2)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, int]:
    """Records that are nearly right, and a count that may be."""
    count = draw(st.integers(1, 3))
    body = bytearray(b"".join(draw(odd_records(index)) for index in range(count)))
    if _seldom(draw, st.just(True)):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body), max(1, count + _seldom(draw, st.sampled_from([1, -1]), 0))


def _prepared(batch: bytearray, **way: Any) -> memoryview | Refused:
    return Preparation(memoryview(batch), read_header(batch), LogSettings(**way), NOW, "t-0").run()


def _log(way: dict[str, Any]) -> PartitionLog:
    clock = VirtualClock()
    clock.advance(NOW - clock.wall_ms())
    return PartitionLog.open(
        LogPlace(MemoryDisk(), "/d/t-0", TopicPartition("t", 0), bytes(16), LogSettings(**way), clock)
    )


@settings(max_examples=4 * EXAMPLES, deadline=None)
@given(bodies(), st.sampled_from(list(Codec)))
def test_what_full_validation_takes_kafkas_rules_take(body: tuple[bytes, int], codec: Codec) -> None:
    data, count = body
    outcome = _prepared(raw_batch(data, count, codec, timestamp_ms=NOW), record_validation="full")
    if isinstance(outcome, Refused):
        assert outcome.error in (ErrorCode.INVALID_RECORD, ErrorCode.INVALID_TIMESTAMP)
        return
    assert kafka_takes(data, count, is_compressed=codec != Codec.NONE)
    assert len(list(iterate_records(outcome))) == count


@settings(max_examples=EXAMPLES, deadline=None)
@given(RECORDS, st.sampled_from(list(Codec)))
def test_what_a_builder_makes_full_validation_takes_as_it_is(records: list[Any], codec: Codec) -> None:
    batch = build_batch(records, timestamp_ms=NOW, codec=codec)
    assert _prepared(bytearray(batch), record_validation="full") == batch


@settings(max_examples=EXAMPLES, deadline=None)
@given(RECORDS, st.sampled_from(list(Codec)), st.sampled_from(["uncompressed", "gzip", "snappy", "lz4", "zstd"]))
def test_packing_anew_keeps_the_records(records: list[Any], codec: Codec, name: str) -> None:
    batch = build_batch(records, timestamp_ms=NOW, codec=codec, producer_id=5, producer_epoch=1, base_sequence=9)
    outcome = _prepared(bytearray(batch), compression_type=name)
    assert isinstance(outcome, memoryview)
    assert list(iterate_records(outcome)) == list(iterate_records(batch))
    before, after = read_header(batch), read_header(outcome)
    assert after._replace(batch_length=0, crc=0, attributes=0) == before._replace(batch_length=0, crc=0, attributes=0)


@settings(max_examples=4 * EXAMPLES, deadline=None)
@given(st.data(), RECORDS, st.sampled_from(list(Codec)), st.sampled_from(WAYS), st.booleans())
def test_every_mutation_of_a_batch_is_taken_or_refused_with_a_documented_error(
    data: st.DataObject, records: list[Any], codec: Codec, way: dict[str, Any], has_right_checksum: bool
) -> None:
    batch = build_batch(records, timestamp_ms=NOW, codec=codec, producer_id=3, producer_epoch=0, base_sequence=0)
    for _ in range(data.draw(st.integers(1, 3))):
        # The header decides most: it is half of what is tried.
        end = HEADER_BYTES if data.draw(st.booleans()) else len(batch)
        batch[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        batch = batch[: data.draw(st.integers(0, len(batch)))] + data.draw(st.binary(max_size=20))
    if has_right_checksum and len(batch) >= HEADER_BYTES:
        restamp_checksum(batch, len(batch))
    outcome = _log(way).append_as_leader(batch, 0)
    assert not isinstance(outcome, Refused) or outcome.error in DOCUMENTED
