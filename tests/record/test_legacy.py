"""Message sets: Kafka's own, ours, and damaged ones."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kbroker.record.compression import Codec, CorruptRecords, ExcessiveRecords, compress
from kbroker.record.legacy import Message, RefusedMessages, iterate_entries, iterate_messages, write_message
from kbroker.record.legacy_lz4 import with_old_checksum, with_right_checksum, xxhash32
from protocol_specs.disk.legacy_message import LegacyMessage
from protocol_specs.errors import ErrorCode

GOLDEN = Path(__file__).parent.parent / "golden" / "batches.jsonl.zst"
LZ4_CHECKSUM_POSITION = 6


@cache
def _golden(of_old: bool) -> dict[str, dict[str, Any]]:
    with zstandard.open(GOLDEN, "rt", encoding="utf-8") as lines:
        return {entry["name"]: entry for entry in map(json.loads, lines) if (entry["magic"] < 2) == of_old}


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _records(entry: dict[str, Any]) -> list[Message]:
    return [
        Message(record["offset"], record["timestamp"], _bytes(record["key"]), _bytes(record["value"]))
        for record in entry["records"]
    ]


def _read(messages: bytes) -> list[Message]:
    """Every message with its absolute offset."""
    found = []
    for entry in iterate_entries(messages):
        assert entry.is_sound
        inside = list(iterate_messages(entry))
        shift = entry.offset - inside[-1].offset if entry.magic and entry.codec else 0
        found += [one._replace(offset=one.offset + shift) for one in inside]
    return found


def _set(*values: bytes | None, magic: int = 1, codec: int = 0, time: int = 5, offset: int | None = None) -> bytes:
    """A message set; with a codec, one wrapper."""
    inside = bytearray()
    for index, value in enumerate(values):
        write_message(inside, magic, 0, index, time, None, value)
    if not codec:
        return bytes(inside)
    packed = compress(codec, bytes(inside))
    out = bytearray()
    last = len(values) - 1 if offset is None else offset
    write_message(
        out, magic, codec, last, time, None, with_old_checksum(packed) if (magic, codec) == (0, 3) else packed
    )
    return bytes(out)


def _opened(messages: bytes) -> list[Message]:
    return [one for entry in iterate_entries(messages) for one in iterate_messages(entry)]


def _error(messages: bytes) -> ErrorCode:
    with pytest.raises(RefusedMessages) as refused:
        _opened(messages)
    return refused.value.error


# ---- Kafka's own


def test_there_are_golden_sets_of_both_magics_and_every_codec() -> None:
    kinds = {(entry["magic"], entry["codec"]) for entry in _golden(True).values()}
    assert kinds == {(magic, codec) for magic in (0, 1) for codec in ("none", "gzip", "snappy", "lz4")}


@pytest.mark.parametrize("name", _golden(True))
def test_messages_of_kafka_are_read_as_kafka_reads_them(name: str) -> None:
    entry = _golden(True)[name]
    assert _read(base64.b64decode(entry["bytes"])) == _records(entry)


@pytest.mark.parametrize("name", [name for name in _golden(True) if name.endswith("-none")])
def test_plain_messages_are_written_byte_for_byte_as_kafka_writes_them(name: str) -> None:
    entry = _golden(True)[name]
    attributes = 8 if entry["batches"][0]["timestamp_type"] == "LogAppendTime" else 0
    out = bytearray()
    for one in _records(entry):
        write_message(out, entry["magic"], attributes, one.offset, one.timestamp, one.key, one.value)
    assert out == base64.b64decode(entry["bytes"])


@pytest.mark.parametrize("name", _golden(True))
def test_entries_are_framed_as_they_are_declared(name: str) -> None:
    for entry in iterate_entries(base64.b64decode(_golden(True)[name]["bytes"])):
        declared = LegacyMessage.parse_version(entry.magic, bytes(entry.data))
        assert (declared.offset, declared.crc, declared.magic) == (entry.offset, entry.crc, entry.magic)
        assert (declared.attributes, declared.message_size) == (entry.attributes, len(entry.data) - 12)


def test_lz4_of_magic_0_has_kafkas_old_checksum() -> None:
    entry = _golden(True)["few-magic0-lz4"]
    (wrapper,) = iterate_entries(base64.b64decode(entry["bytes"]))
    frame = bytes(wrapper.data[26:])
    assert with_old_checksum(with_right_checksum(frame)) == frame != with_right_checksum(frame)
    with pytest.raises(RuntimeError, match="header"):
        lz4.frame.decompress(frame)
    assert lz4.frame.decompress(with_right_checksum(frame))


# ---- reading


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4])
def test_a_set_comes_back(magic: int, codec: Codec) -> None:
    values = [b"a", None, b"", b"x" * 100_000, b"end"]
    read = _opened(_set(*values, magic=magic, codec=codec))
    assert [one.value for one in read] == values
    assert {one.timestamp for one in read} == {5 if magic else -1}
    assert [one.offset for one in read] == [0, 1, 2, 3, 4]


def test_lz4_of_magic_0_is_read_with_either_checksum_and_of_magic_1_with_the_right_one_alone() -> None:
    plain = _set(b"a", magic=0)
    for frame in (compress(Codec.LZ4, plain), with_old_checksum(compress(Codec.LZ4, plain))):
        out = bytearray()
        write_message(out, 0, Codec.LZ4, 0, -1, None, frame)
        assert [one.value for one in _opened(bytes(out))] == [b"a"]
    out = bytearray()
    write_message(out, 1, Codec.LZ4, 0, 5, None, with_old_checksum(compress(Codec.LZ4, _set(b"a"))))
    with pytest.raises(CorruptRecords, match="lz4"):
        _opened(bytes(out))


@pytest.mark.parametrize("store_size", [False, True])
def test_the_checksum_of_a_descriptor_covers_the_content_size(store_size: bool) -> None:
    frame = lz4.frame.compress(b"abc" * 50, store_size=store_size)
    position = 14 if store_size else 6
    spoilt = frame[:position] + bytes([frame[position] ^ 0xFF]) + frame[position + 1 :]
    assert with_right_checksum(spoilt) == frame


@pytest.mark.parametrize(("data", "value"), [(b"", 0x02CC5D05), (b"a", 0x550D7456), (b"abc", 0x32D153FF)])
def test_xxhash32_agrees_with_its_specification(data: bytes, value: int) -> None:
    assert xxhash32(data) == value


def test_a_wrapper_with_log_append_time_gives_its_time_to_all_it_wraps() -> None:
    out = bytearray()
    write_message(out, 1, Codec.GZIP | 8, 1, 777, None, compress(Codec.GZIP, _set(b"a", b"b")))
    assert [one.timestamp for one in _opened(bytes(out))] == [777, 777]


def test_a_cut_message_at_the_end_is_left_out_inside_and_outside() -> None:
    whole = _set(b"first", b"second")
    for end in range(len(whole)):
        expected = [b"first"] if end >= len(_set(b"first")) else []
        assert [one.value for one in _opened(whole[:end])] == expected
        if expected:
            out = bytearray()
            write_message(out, 1, Codec.GZIP, 1, 5, None, compress(Codec.GZIP, whole[:end]))
            assert [one.value for one in _opened(bytes(out))] == expected


def test_a_wrapper_may_have_offset_0_whatever_is_inside() -> None:
    assert [one.value for one in _opened(_set(b"a", b"b", b"c", codec=Codec.GZIP, offset=0))] == [b"a", b"b", b"c"]


# ---- refusing


def _sized(size: int) -> bytes:
    return struct.pack(">qi", 0, size) + bytes(40)


@pytest.mark.parametrize("size", [-1, 0, 13, -(1 << 31)])
def test_an_impossible_size_is_corrupt_inside_and_outside(size: int) -> None:
    assert _error(_sized(size)) == ErrorCode.CORRUPT_MESSAGE
    out = bytearray()
    write_message(out, 1, Codec.GZIP, 0, 5, None, compress(Codec.GZIP, _sized(size)))
    assert _error(bytes(out)) == ErrorCode.CORRUPT_MESSAGE


def test_an_unknown_magic_is_corrupt() -> None:
    messages = bytearray(_set(b"a"))
    messages[16] = 3
    assert _error(bytes(messages)) == ErrorCode.CORRUPT_MESSAGE


def test_a_wrong_checksum_inside_is_corrupt() -> None:
    inside = bytearray(_set(b"abc"))
    inside[-1] ^= 1
    out = bytearray()
    write_message(out, 1, Codec.GZIP, 0, 5, None, compress(Codec.GZIP, bytes(inside)))
    assert _error(bytes(out)) == ErrorCode.CORRUPT_MESSAGE


def _wrapper(value: bytes | None, magic: int = 1, codec: int = Codec.GZIP, offset: int = 0) -> bytes:
    out = bytearray()
    write_message(out, magic, codec, offset, 5, None, value)
    return bytes(out)


@pytest.mark.parametrize(
    "messages",
    [
        _wrapper(None),
        _wrapper(compress(Codec.GZIP, b"")),
        _wrapper(compress(Codec.GZIP, _wrapper(compress(Codec.GZIP, _set(b"a"))))),
        _wrapper(compress(Codec.GZIP, _set(b"a", magic=0))),
        _wrapper(compress(Codec.GZIP, _set(b"a", magic=1)), magic=0),
        _wrapper(compress(Codec.ZSTD, _set(b"a")), codec=Codec.ZSTD),
        _set(b"a", b"b", b"c", codec=Codec.GZIP, offset=1),
    ],
    ids=["null", "nothing inside", "nested", "0 in 1", "1 in 0", "zstd", "wrapper offset too small"],
)
def test_a_wrapper_that_cannot_be_is_invalid(messages: bytes) -> None:
    assert _error(messages) == ErrorCode.INVALID_RECORD


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.SNAPPY, Codec.LZ4])
@pytest.mark.parametrize("magic", [0, 1])
def test_a_broken_compressed_value_is_broken_and_nothing_else(codec: Codec, magic: int) -> None:
    packed = compress(codec, _set(b"abc" * 20, b"d" * 50, magic=magic))
    for end in range(len(packed)):
        with pytest.raises(CorruptRecords):
            _opened(_wrapper(packed[:end], magic=magic, codec=codec))


def _signed(body: bytes) -> bytes:
    return struct.pack(">qiI", 0, len(body) + 4, zlib.crc32(body)) + body


@pytest.mark.parametrize(
    "body",
    [
        struct.pack(">bbq", 1, 0, 5),
        struct.pack(">bbqi", 1, 0, 5, 1) + b"k",
        struct.pack(">bbqi", 1, 0, 5, 1 << 30) + bytes(10),
        struct.pack(">bbi", 0, 0, 5) + b"keys",
        struct.pack(">bbii", 0, 0, -1, 7) + b"value?"[:6],
    ],
)
def test_lengths_that_lie_under_a_right_checksum_are_broken(body: bytes) -> None:
    with pytest.raises(CorruptRecords):
        _opened(_signed(body))


def test_bytes_behind_the_value_are_left_alone_as_kafka_leaves_them() -> None:
    assert [one.value for one in _opened(_signed(struct.pack(">bbii", 0, 0, -1, 1) + b"vjunk"))] == [b"v"]


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.LZ4])
def test_a_bomb_ends_early(codec: Codec) -> None:
    packed = compress(codec, _set(bytes(48 << 20)))
    with pytest.raises(ExcessiveRecords):
        _opened(_wrapper(packed, codec=codec))


def test_a_wrapper_of_more_messages_than_its_weight_allows_ends_early() -> None:
    empty = _set(None)
    with pytest.raises(ExcessiveRecords, match="messages"):
        _opened(_wrapper(compress(Codec.GZIP, empty * 110_000)))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_set_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    magic, codec = data.draw(st.sampled_from([0, 1])), data.draw(st.sampled_from([0, 1, 2, 3]))
    messages = bytearray(_set(b"key" * 9, None, b"v", magic=magic, codec=codec))
    for position in data.draw(st.lists(st.integers(0, len(messages) - 1), max_size=3)):
        messages[position] = data.draw(st.integers(0, 255))
    del messages[data.draw(st.integers(0, len(messages))) :]
    try:
        for one in _opened(bytes(messages)):
            assert isinstance(one, Message)
    except CorruptRecords:
        return
