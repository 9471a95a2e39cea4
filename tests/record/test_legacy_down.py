"""Record batches as message sets: against Kafka's own sets of the same records, and against ourselves."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kbroker.record.batch import HEADER_BYTES, build_batch, read_header, restamp_checksum, stamp_log_append_time
from kbroker.record.compression import Codec, decompress
from kbroker.record.legacy import Entry, Message, RefusedMessages, iterate_entries, iterate_messages
from kbroker.record.legacy_down import OVERFLOW, converted_down
from kbroker.record.legacy_lz4 import with_right_checksum
from protocol_specs.errors import ErrorCode

GOLDEN = Path(__file__).parent.parent / "golden" / "batches.jsonl.zst"
OLD_CODECS = [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4]


@cache
def _golden() -> dict[str, dict[str, Any]]:
    with zstandard.open(GOLDEN, "rt", encoding="utf-8") as lines:
        return {entry["name"]: entry for entry in map(json.loads, lines)}


def _down(batches: bytes | bytearray, magic: int = 1, first_offset: int = 0, bytes_max: int = 1 << 20) -> bytes:
    return b"".join(converted_down(batches, magic, first_offset, bytes_max))


def _read(messages: bytes) -> list[Message]:
    """Every message with its absolute offset."""
    found = []
    for entry in iterate_entries(messages):
        assert entry.is_sound
        inside = list(iterate_messages(entry))
        shift = entry.offset - inside[-1].offset if entry.magic and entry.codec else 0
        found += [one._replace(offset=one.offset + shift) for one in inside]
    return found


def _inside(entry: Entry) -> bytes:
    packed = bytes(entry.data[26 + (8 if entry.magic else 0) :])
    return decompress(entry.codec, with_right_checksum(packed) if entry.codec == Codec.LZ4 else packed)


def _of(name: str) -> str:
    """What Kafka's builder was given, without magic and codec."""
    return name.partition("-magic")[0]


PAIRS = [
    (current, old)
    for old in _golden()
    if "-magic2" not in old and _of(old) in ("few", "many", "blocks", "gaps")
    for current in [f"{_of(old)}-magic2-{_golden()[old]['codec']}"]
]


@pytest.mark.parametrize(("current", "old"), PAIRS)
def test_batches_of_kafka_become_the_sets_that_kafka_makes_of_the_same_records(current: str, old: str) -> None:
    magic = _golden()[old]["magic"]
    made = _down(base64.b64decode(_golden()[current]["bytes"]), magic)
    wanted = base64.b64decode(_golden()[old]["bytes"])
    if _golden()[old]["codec"] == "none":
        assert made == wanted
        return
    (mine,), (kafkas,) = iterate_entries(made), iterate_entries(wanted)
    assert mine.is_sound
    assert (mine.offset, mine.magic, mine.attributes) == (kafkas.offset, kafkas.magic, kafkas.attributes)
    if magic:
        assert bytes(mine.data[18:26]) == bytes(kafkas.data[18:26])  # the time
    if _of(old) == "gaps":  # its builder counted from before the first record, which a conversion cannot know
        assert _read(made) == _read(wanted)
    else:
        assert _inside(mine) == _inside(kafkas)  # compressors differ, what they pack does not


def test_headers_and_producers_are_left_out() -> None:
    plain = build_batch([(b"k", b"v")], timestamp_ms=5)
    rich = build_batch(
        [(b"k", b"v", [("h", b"x"), ("n", None)])],
        timestamp_ms=5,
        producer_id=4,
        producer_epoch=0,
        base_sequence=0,
        transactional=True,
    )
    assert _down(rich) == _down(plain) != b""


def test_log_append_time_is_the_time_of_every_message_and_of_the_wrapper() -> None:
    for codec in (Codec.NONE, Codec.GZIP):
        batch = build_batch([(None, b"a", (), 5), (None, b"b", (), 6)], timestamp_ms=5, codec=codec)
        stamp_log_append_time(batch, read_header(batch), 777)
        entries = list(iterate_entries(_down(batch)))
        assert {entry.attributes for entry in entries} == {8 | codec}
        assert [one.timestamp for one in _read(_down(batch))] == [777, 777]
        assert {entry.attributes for entry in iterate_entries(_down(batch, 0))} == {codec}


def test_a_plain_batch_begins_at_the_wanted_offset_a_compressed_one_where_it_begins() -> None:
    records = [(None, bytes([i])) for i in range(5)]
    plain = build_batch(records, timestamp_ms=5, base_offset=10)
    packed = build_batch(records, timestamp_ms=5, base_offset=10, codec=Codec.GZIP)
    assert [one.offset for one in _read(_down(plain, first_offset=13))] == [13, 14]
    assert [one.offset for one in _read(_down(packed, first_offset=13))] == [10, 11, 12, 13, 14]


def test_control_batches_are_left_out() -> None:
    marker = build_batch([(b"\0\0\0\1", b"")], timestamp_ms=5, base_offset=1, control=True)
    data = build_batch([(None, b"a")], timestamp_ms=5, base_offset=2)
    assert _down(marker + data) == _down(data)


def test_nothing_but_control_batches_is_a_message_that_is_too_large() -> None:
    """An empty answer would be asked for again for ever."""
    marker = build_batch([(b"\0\0\0\1", b"")], timestamp_ms=5, control=True)
    assert _down(marker) == OVERFLOW
    assert list(iterate_entries(OVERFLOW)) == []
    assert _down(b"") == b""


@pytest.mark.parametrize("magic", [0, 1])
def test_zstd_is_refused_where_it_comes_first_and_ends_the_set_elsewhere(magic: int) -> None:
    old = build_batch([(None, b"a")], timestamp_ms=5)
    new = build_batch([(None, b"b")], timestamp_ms=5, base_offset=1, codec=Codec.ZSTD)
    assert _down(old + new + old, magic) == _down(old, magic)
    with pytest.raises(RefusedMessages) as refused:
        _down(new + old, magic)
    assert refused.value.error == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE


def test_a_broken_batch_is_refused_where_it_comes_first_and_ends_the_set_elsewhere() -> None:
    good = build_batch([(None, b"a")], timestamp_ms=5)
    bad = build_batch([(None, b"b" * 40)], timestamp_ms=5, base_offset=1, codec=Codec.GZIP)
    bad[HEADER_BYTES + 12 :] = bytes(len(bad) - HEADER_BYTES - 12)
    restamp_checksum(bad, len(bad))
    assert _down(good + bad) == _down(good)
    with pytest.raises(RefusedMessages) as refused:
        _down(bad)
    assert refused.value.error == ErrorCode.CORRUPT_MESSAGE


def test_a_damaged_length_behind_others_ends_the_set() -> None:
    """What it raised was no refusal: the worker failed, and a flipped bit and an old consumer ended the broker."""
    good = build_batch([(None, b"a")], timestamp_ms=5)
    bad = build_batch([(None, b"b")], timestamp_ms=5, base_offset=1)
    bad[8:12] = bytes(4)
    assert _down(good + bad + good) == _down(good)
    with pytest.raises(RefusedMessages) as refused:
        _down(bad + good)
    assert refused.value.error == ErrorCode.CORRUPT_MESSAGE


def test_what_is_too_much_to_open_needs_a_newer_version() -> None:
    bomb = build_batch([(None, bytes(48 << 20))], timestamp_ms=5, codec=Codec.GZIP)
    with pytest.raises(RefusedMessages) as refused:
        _down(bomb)
    assert refused.value.error == ErrorCode.UNSUPPORTED_VERSION


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP])
def test_the_set_is_no_larger_than_its_limit_but_for_the_first_batch(codec: Codec) -> None:
    batches = [
        bytes(build_batch([(None, b"v")] * 400, timestamp_ms=5, base_offset=400 * i, codec=codec)) for i in range(5)
    ]
    first, whole = _down(batches[0]), _down(b"".join(batches))
    assert first == _down(b"".join(batches), bytes_max=1)
    assert len(first) > 5_000 or codec
    for limit in range(len(first), len(whole) + 1, 997):
        made = _down(b"".join(batches), bytes_max=limit)
        assert whole.startswith(made)
        assert made.startswith(first)
        assert limit - len(first) < len(made) <= limit
        if not codec:
            assert limit - 35 <= len(made)
        assert [one.offset for one in _read(made)] == list(range(len(_read(made))))


def test_conversion_goes_in_small_steps() -> None:
    batch = build_batch([(None, b"v")] * 5_000, timestamp_ms=5, codec=Codec.GZIP)
    assert len(list(converted_down(batch, 1, 0, 1))) >= 25


OPTIONAL_BYTES = st.none() | st.binary(max_size=40)
RECORDS = st.lists(
    st.tuples(OPTIONAL_BYTES, OPTIONAL_BYTES, st.just(()), st.integers(-1, 1 << 42)), min_size=1, max_size=8
)


@settings(max_examples=100, deadline=None)
@given(RECORDS, st.sampled_from(OLD_CODECS), st.sampled_from([0, 1]), st.integers(0, 1 << 40))
def test_keys_values_times_and_offsets_come_through(
    records: list[Any], codec: Codec, magic: int, base_offset: int
) -> None:
    batch = build_batch(records, timestamp_ms=-1, codec=codec, base_offset=base_offset)
    expected = [
        Message(base_offset + i, time if magic else -1, key, value) for i, (key, value, _, time) in enumerate(records)
    ]
    assert _read(_down(batch, magic)) == expected


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_body_is_converted_or_refused_and_nothing_else(data: st.DataObject) -> None:
    codec = data.draw(st.sampled_from(OLD_CODECS))
    batch = build_batch([(b"key", b"value" * 5, [("h", b"1")])] * 3, timestamp_ms=1, codec=codec)
    for position in data.draw(st.lists(st.integers(HEADER_BYTES, len(batch) - 1), max_size=3)):
        batch[position] = data.draw(st.integers(0, 255))
    magic = data.draw(st.sampled_from([0, 1]))
    try:
        made = _down(batch, magic)
    except RefusedMessages:
        return
    assert all(entry.is_sound for entry in iterate_entries(made))
