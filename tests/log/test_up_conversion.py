"""Message sets of old producers become one record batch, or are refused as Kafka refuses them."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbroker.log.outcome import Refused
from kbroker.log.settings import LogSettings
from kbroker.log.up_conversion import STEP_MESSAGES, conversion, convert_up, is_message_set, is_small
from kbroker.record.batch import build_batch, checksum_matches, iterate_records, read_header
from kbroker.record.compression import Codec, compress
from kbroker.record.legacy import write_message
from kbroker.record.legacy_down import converted_down
from kbroker.record.legacy_lz4 import with_old_checksum
from protocol_specs.errors import ErrorCode

OLD_CODECS = [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4]
DEFAULTS = LogSettings()


def _plain(*records: tuple[bytes | None, bytes | None, int], magic: int = 1, attributes: int = 0) -> bytes:
    out = bytearray()
    for offset, (key, value, time) in enumerate(records):
        write_message(out, magic, attributes, offset, time, key, value)
    return bytes(out)


def _wrapped(inside: bytes, codec: Codec, *, magic: int = 1, offset: int = 0, attributes: int = 0) -> bytes:
    packed = compress(codec, inside)
    out = bytearray()
    frame = with_old_checksum(packed) if (magic, codec) == (0, Codec.LZ4) else packed
    write_message(out, magic, codec | attributes, offset, 9, None, frame)
    return bytes(out)


def _read(batch: Any) -> list[tuple[int, bytes | None, bytes | None, int]]:
    return [(one.offset, one.key, one.value, one.timestamp) for one in iterate_records(batch)]


def _converted(messages: bytes, settings: LogSettings = DEFAULTS) -> memoryview:
    batch = convert_up(messages, settings)
    assert isinstance(batch, memoryview)
    return batch


def _error(messages: bytes, settings: LogSettings = DEFAULTS) -> ErrorCode:
    refused = convert_up(messages, settings)
    assert isinstance(refused, Refused)
    assert refused.reason
    return refused.error


RECORDS = [(b"k", b"a", 1_000), (None, b"b", 900), (b"", None, -1)]


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", OLD_CODECS)
def test_a_set_becomes_one_batch_of_the_same_codec(magic: int, codec: Codec) -> None:
    inside = _plain(*RECORDS, magic=magic)
    batch = _converted(inside if codec == Codec.NONE else _wrapped(inside, codec, magic=magic))
    header = read_header(batch)
    assert checksum_matches(batch, header)
    assert (header.base_offset, header.last_offset_delta, header.records_count) == (0, 2, 3)
    assert (header.attributes, header.producer_id, header.base_sequence) == (codec, -1, -1)
    assert (header.base_timestamp, header.max_timestamp) == ((1_000, 1_000) if magic else (-1, -1))
    assert _read(batch) == [
        (offset, key, value, time if magic else -1) for offset, (key, value, time) in enumerate(RECORDS)
    ]


@pytest.mark.parametrize(("name", "codec"), [("uncompressed", 0), ("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)])
@pytest.mark.parametrize("source", OLD_CODECS)
def test_a_topic_with_a_codec_of_its_own_gets_it(name: str, codec: int, source: Codec) -> None:
    inside = _plain(*RECORDS)
    messages = inside if source == Codec.NONE else _wrapped(inside, source)
    batch = _converted(messages, LogSettings(compression_type=name))
    assert read_header(batch).codec == codec
    assert [value for _, _, value, _ in _read(batch)] == [b"a", b"b", None]


def test_what_holds_no_whole_message_is_nothing() -> None:
    whole = _plain((None, b"v", 5))
    for end in range(len(whole)):
        assert convert_up(whole[:end], DEFAULTS) is None
    assert len(_read(_converted(whole + whole[:-1]))) == 1


def test_record_batches_are_left_to_others() -> None:
    assert not is_message_set(build_batch([(None, b"v")], timestamp_ms=5))
    assert is_message_set(_plain((None, b"v", 5)))
    assert is_message_set(_plain((None, b"v", 5), magic=0))
    assert is_message_set(b"")


def _spoilt(messages: bytes, position: int, byte: int) -> bytes:
    return messages[:position] + bytes([byte]) + messages[position + 1 :]


ONE = _plain((b"k", b"value", 5))
GZIPPED = _wrapped(ONE, Codec.GZIP)


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        (_spoilt(ONE, -1, 0), ErrorCode.CORRUPT_MESSAGE),
        (_spoilt(ONE, 14, ONE[14] ^ 1), ErrorCode.CORRUPT_MESSAGE),
        (_spoilt(ONE, 16, 5), ErrorCode.CORRUPT_MESSAGE),
        (ONE + _spoilt(ONE, -1, 0), ErrorCode.CORRUPT_MESSAGE),
        (struct.pack(">qi", 0, 13) + bytes(13), ErrorCode.CORRUPT_MESSAGE),
        (struct.pack(">qi", 0, -1) + bytes(13), ErrorCode.CORRUPT_MESSAGE),
        (ONE + _plain((b"k", b"v", 5), magic=0), ErrorCode.INVALID_RECORD),
        (ONE + bytes(build_batch([(None, b"v")], timestamp_ms=5)), ErrorCode.INVALID_RECORD),
        (GZIPPED + GZIPPED, ErrorCode.INVALID_RECORD),
        (ONE + GZIPPED, ErrorCode.INVALID_RECORD),
        (GZIPPED + ONE, ErrorCode.INVALID_RECORD),
        (_wrapped(GZIPPED, Codec.GZIP), ErrorCode.INVALID_RECORD),
        (_wrapped(_plain((b"k", b"v", 5), magic=0), Codec.GZIP), ErrorCode.INVALID_RECORD),
        (_wrapped(b"", Codec.GZIP), ErrorCode.INVALID_RECORD),
        (_plain((None, None, 5), attributes=Codec.GZIP), ErrorCode.INVALID_RECORD),
        (_wrapped(ONE, Codec.ZSTD), ErrorCode.INVALID_RECORD),
        (_wrapped(_spoilt(ONE, -1, 0), Codec.GZIP), ErrorCode.CORRUPT_MESSAGE),
        (_plain((None, b"no gzip", 5), attributes=Codec.GZIP), ErrorCode.INVALID_RECORD),
        (_plain((None, b"no codec", 5), attributes=6), ErrorCode.INVALID_RECORD),
        (_plain((None, b"v", -2)), ErrorCode.INVALID_TIMESTAMP),
        (_plain((None, b"v", -1), attributes=8), ErrorCode.INVALID_TIMESTAMP),
    ],
)
def test_what_kafka_refuses_is_refused_with_its_error(messages: bytes, error: ErrorCode) -> None:
    assert _error(messages) == error


def test_a_message_over_the_limit_is_too_large_even_if_its_checksum_is_wrong() -> None:
    messages = _spoilt(_plain((None, bytes(2_000), 5)), -1, 1)
    assert _error(messages, LogSettings(max_message_bytes=2_000)) == ErrorCode.MESSAGE_TOO_LARGE


def test_log_append_time_of_a_client_is_refused_where_it_would_count() -> None:
    """Kafka looks at the bit only where it does not look at the time."""
    flagged = _plain((None, b"v", 5), attributes=8)
    assert _read(_converted(flagged)) == [(0, None, b"v", 5)]
    assert not read_header(_converted(flagged)).is_log_append_time
    assert _error(flagged, LogSettings(message_timestamp_type="LogAppendTime")) == ErrorCode.INVALID_TIMESTAMP
    wrapper = _wrapped(_plain((None, b"v", 5)), Codec.GZIP, attributes=8)
    assert _read(_converted(wrapper)) == [(0, None, b"v", 9)]


def test_a_bomb_is_refused_for_good() -> None:
    packed = _wrapped(_plain((None, bytes(48 << 20), 5)), Codec.GZIP)
    assert _error(packed) == ErrorCode.INVALID_RECORD
    many = _wrapped(_plain((None, None, 5)) * 110_000, Codec.GZIP)
    assert _error(many) == ErrorCode.INVALID_RECORD


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", OLD_CODECS)
def test_a_set_cut_at_any_byte_is_nothing_or_what_came_whole(magic: int, codec: Codec) -> None:
    inside = _plain(*RECORDS, magic=magic)
    messages = inside if codec == Codec.NONE else _wrapped(inside, codec, magic=magic)
    for end in range(len(messages)):
        batch = convert_up(messages[:end], DEFAULTS)
        if codec:
            assert batch is None
        elif batch is not None:
            assert isinstance(batch, memoryview)
            assert len(_read(batch)) in (1, 2)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_set_is_converted_or_refused_and_nothing_else(data: st.DataObject) -> None:
    magic, codec = data.draw(st.sampled_from([0, 1])), data.draw(st.sampled_from(OLD_CODECS))
    inside = bytearray(_plain(*RECORDS, magic=magic))
    for position in data.draw(st.lists(st.integers(0, len(inside) - 1), max_size=2)):
        inside[position] = data.draw(st.integers(0, 255))
    messages = bytearray(inside if codec == Codec.NONE else _wrapped(bytes(inside), codec, magic=magic))
    for position in data.draw(st.lists(st.integers(0, len(messages) - 1), max_size=2)):
        messages[position] = data.draw(st.integers(0, 255))
    outcome = convert_up(bytes(messages), DEFAULTS)
    if isinstance(outcome, memoryview):
        assert checksum_matches(outcome, read_header(outcome))
        assert _read(outcome)


OPTIONAL_BYTES = st.none() | st.binary(max_size=40)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(OPTIONAL_BYTES, OPTIONAL_BYTES, st.integers(-1, 1 << 42)), min_size=1, max_size=8),
    st.sampled_from(OLD_CODECS),
    st.sampled_from([0, 1]),
)
def test_down_and_up_again_keeps_keys_values_times_and_offsets(records: list[Any], codec: Codec, magic: int) -> None:
    batch = build_batch([(key, value, (), time) for key, value, time in records], timestamp_ms=-1, codec=codec)
    down = b"".join(converted_down(batch, magic, 0, 1))
    assert _read(_converted(down)) == [
        (offset, key, value, time if magic else -1) for offset, (key, value, time) in enumerate(records)
    ]


def test_only_a_small_plain_set_is_converted_where_it_is() -> None:
    """A wrapper of 1 KB may unpack to 16 MB, on everybody's time."""
    assert is_small(b"")
    assert is_small(ONE * 10)
    assert not is_small(ONE * 200)
    assert not is_small(GZIPPED)


@pytest.mark.parametrize("codec", OLD_CODECS)
def test_a_long_conversion_is_many_small_steps(codec: Codec) -> None:
    """It was one piece, however many messages there were, whatever else its thread had to do."""
    inside = _plain(*[(b"k", b"v", 1_000)] * (5 * STEP_MESSAGES + 1))
    messages = inside if codec is Codec.NONE else _wrapped(inside, codec, offset=5 * STEP_MESSAGES)
    count = sum(1 for _ in conversion(messages, DEFAULTS))
    # Plain ones are looked at twice: all of them are checked before the first is converted.
    assert count == (10 if codec is Codec.NONE else 5)
    assert len(_read(_converted(messages))) == 5 * STEP_MESSAGES + 1
