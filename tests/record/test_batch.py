"""Record batches: bytes by hand, by ourselves, and by Apache Kafka's own builder."""

from __future__ import annotations

import base64
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kbroker.record.batch import (
    HEADER_BYTES,
    build_batch,
    checksum_matches,
    iterate_batches,
    iterate_records,
    read_header,
    stamp,
    stamp_log_append_time,
)
from kbroker.record.compression import (
    CODEC_BY_NAME,
    Codec,
    CorruptRecords,
    ExcessiveRecords,
    compress,
    decompress,
    decompressed,
)
from kbroker.record.rebuild import recompressed
from kbroker.record.skim import skim_records
from kbroker.record.varint import read_varint, write_varint

GOLDEN = Path(__file__).parent.parent / "golden" / "batches.jsonl.zst"
TEXT = b"the quick brown fox jumps over the lazy dog " * 3000


@cache
def _golden() -> list[dict[str, Any]]:
    with zstandard.open(GOLDEN, "rt", encoding="utf-8") as lines:
        return [entry for entry in map(json.loads, lines) if entry["magic"] == 2]


def _names() -> list[str]:
    return [entry["name"] for entry in _golden()]


def _entry(name: str) -> dict[str, Any]:
    return next(entry for entry in _golden() if entry["name"] == name)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _as_kafka_reads(record: dict[str, Any]) -> tuple[Any, ...]:
    headers = tuple((name, _bytes(value)) for name, value in record["headers"])
    return record["offset"], record["timestamp"], _bytes(record["key"]), _bytes(record["value"]), headers


def test_there_are_golden_batches_of_every_codec() -> None:
    assert {entry["codec"] for entry in _golden()} == {"none", "gzip", "snappy", "lz4", "zstd"}


@pytest.mark.parametrize("name", _names())
def test_headers_and_records_of_kafka_are_read_as_kafka_reads_them(name: str) -> None:
    entry = _entry(name)
    batches = list(iterate_batches(base64.b64decode(entry["bytes"])))
    assert len(batches) == len(entry["batches"])
    for batch, wanted in zip(batches, entry["batches"], strict=True):
        header = read_header(batch)
        assert checksum_matches(batch, header)
        assert (header.base_offset, header.last_offset, header.size) == (
            wanted["base_offset"],
            wanted["last_offset"],
            wanted["size_bytes"],
        )
        assert (header.partition_leader_epoch, header.attributes, header.crc) == (
            wanted["leader_epoch"],
            wanted["attributes"],
            wanted["crc"],
        )
        assert (header.producer_id, header.producer_epoch, header.base_sequence) == (
            wanted["producer_id"],
            wanted["producer_epoch"],
            wanted["base_sequence"],
        )
        assert (header.max_timestamp, header.is_transactional, header.is_control) == (
            wanted["max_timestamp"],
            wanted["transactional"],
            wanted["control"],
        )
        assert header.has_delete_horizon == (wanted["delete_horizon_ms"] is not None)
        assert header.is_log_append_time == (wanted["timestamp_type"] == "LogAppendTime")
    assert [tuple(record) for batch in batches for record in iterate_records(batch)] == [
        _as_kafka_reads(record) for record in entry["records"]
    ]


@pytest.mark.parametrize("name", [name for name in _names() if name.endswith("magic2-none")])
def test_uncompressed_batches_are_built_byte_for_byte_as_kafka_builds_them(name: str) -> None:
    entry = _entry(name)
    for original in iterate_batches(base64.b64decode(entry["bytes"])):
        header = read_header(original)
        records = [
            (record.key, record.value, record.headers, record.timestamp, record.offset - header.base_offset)
            for record in iterate_records(original)
        ]
        # Neither emptied batches, delete horizons nor overwritten times are what a builder makes.
        is_plain = header.codec == Codec.NONE and not header.has_delete_horizon and not header.is_log_append_time
        is_made = records and is_plain
        if not is_made or records[-1][4] != header.last_offset_delta:
            continue
        built = build_batch(
            records,
            timestamp_ms=header.max_timestamp,
            base_offset=header.base_offset,
            leader_epoch=header.partition_leader_epoch,
            producer_id=header.producer_id,
            producer_epoch=header.producer_epoch,
            base_sequence=header.base_sequence,
            transactional=header.is_transactional,
            control=header.is_control,
        )
        assert built == original


def test_a_batch_by_hand() -> None:
    batch = build_batch([(b"k", b"v", [("h", None)])], timestamp_ms=0x0102, leader_epoch=5, base_offset=7)
    assert batch.hex(" ") == (
        "00 00 00 00 00 00 00 07 00 00 00 3d 00 00 00 05 02"
        f" {batch[17:21].hex(' ')}"
        " 00 00 00 00 00 00 00 00 00 00 00 00 01 02 00 00 00 00 00 00 01 02"
        " ff ff ff ff ff ff ff ff ff ff ff ff ff ff 00 00 00 01"
        " 16 00 00 00 02 6b 02 76 02 02 68 01"
    )
    assert checksum_matches(batch, read_header(batch))


def test_stamping_leaves_the_checksum_right() -> None:
    batch = build_batch([(None, b"v")], timestamp_ms=5)
    stamp(batch, 1 << 40, 9)
    header = read_header(batch)
    assert (header.base_offset, header.partition_leader_epoch) == (1 << 40, 9)
    assert checksum_matches(batch, header)


def test_log_append_time_overrides_the_time_of_every_record() -> None:
    batch = build_batch([(None, b"v", (), 5), (None, b"w", (), 6)], timestamp_ms=5)
    stamp_log_append_time(batch, read_header(batch), 777)
    header = read_header(batch)
    assert (header.is_log_append_time, header.max_timestamp, header.base_timestamp) == (True, 777, 5)
    assert checksum_matches(batch, header)
    assert [record.timestamp for record in iterate_records(batch)] == [777, 777]


def test_the_last_sequence_wraps() -> None:
    records = [(None, b"v")] * 3
    header = read_header(
        build_batch(records, timestamp_ms=1, producer_id=1, producer_epoch=0, base_sequence=0x7FFFFFFE)
    )
    assert header.last_sequence == 0
    assert read_header(build_batch(records, timestamp_ms=1)).last_sequence == -1


def test_a_cut_batch_at_the_end_is_left_out() -> None:
    batch = build_batch([(None, b"v")], timestamp_ms=1)
    assert len(list(iterate_batches(bytes(batch) * 2 + batch[:-1]))) == 2
    with pytest.raises(CorruptRecords):
        list(iterate_batches(bytes(HEADER_BYTES)))


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("data", [b"", b"x", TEXT, os.urandom(70_000)], ids=["empty", "one", "text", "random"])
def test_every_codec_gives_back_what_it_took(codec: Codec, data: bytes) -> None:
    assert decompress(codec, compress(codec, data)) == data


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD])
def test_what_a_codec_gives_is_bounded(codec: Codec) -> None:
    packed = compress(codec, bytes(1 << 20))
    assert len(decompress(codec, packed, 1 << 20)) == 1 << 20
    with pytest.raises(CorruptRecords):
        decompress(codec, packed, (1 << 20) - 1)


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD])
def test_damaged_compression_is_corrupt_or_plain_bytes_and_nothing_else(codec: Codec) -> None:
    packed = compress(codec, TEXT[:2000])
    for position in range(0, len(packed), max(1, len(packed) // 60)):
        for damaged in (packed[:position], packed[:position] + b"\xff" + packed[position + 1 :]):
            try:
                plain = decompress(codec, damaged, 1 << 20)
            except CorruptRecords:
                continue
            assert isinstance(plain, bytes)


@pytest.mark.parametrize("codec", [6, 7])
def test_an_unknown_codec_is_corrupt(codec: int) -> None:
    with pytest.raises(CorruptRecords, match="no codec"):
        decompress(codec, b"")


@pytest.mark.parametrize("name", CODEC_BY_NAME)
def test_a_batch_is_recompressed_with_its_records_untouched(name: str) -> None:
    batch = build_batch([(b"a", b"1"), (None, TEXT)], timestamp_ms=5, codec=Codec.GZIP, producer_id=3, base_sequence=8)
    rebuilt = recompressed(batch, CODEC_BY_NAME[name], None)
    header = read_header(rebuilt)
    assert (header.codec, header.size, header.producer_id) == (CODEC_BY_NAME[name], len(rebuilt), 3)
    assert checksum_matches(rebuilt, header)
    assert list(iterate_records(rebuilt)) == list(iterate_records(batch))


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_varints_come_back(value: int) -> None:
    out = bytearray(b"x")
    write_varint(out, value)
    assert read_varint(bytes(out), 1) == (value, len(out))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 11])
def test_cut_and_overlong_varints_are_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptRecords):
        read_varint(data, 0)


OPTIONAL_BYTES = st.none() | st.binary(max_size=40)
RECORDS = st.lists(
    st.tuples(
        OPTIONAL_BYTES,
        OPTIONAL_BYTES,
        st.lists(st.tuples(st.text(max_size=5), OPTIONAL_BYTES), max_size=3),
        st.integers(0, 1 << 42),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(RECORDS, st.sampled_from([Codec.NONE, Codec.GZIP, Codec.LZ4]))
def test_records_come_back_from_a_batch(records: list[Any], codec: Codec) -> None:
    batch = build_batch(records, timestamp_ms=1, codec=codec)
    read = [(record.key, record.value, list(record.headers), record.timestamp) for record in iterate_records(batch)]
    assert read == [(key, value, headers, time) for key, value, headers, time in records]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_body_is_corrupt_or_read_and_nothing_else(data: st.DataObject) -> None:
    batch = build_batch([(b"key", b"value" * 5, [("h", b"1")])] * 3, timestamp_ms=1)
    position = data.draw(st.integers(HEADER_BYTES, len(batch) - 1))
    batch[position] = data.draw(st.integers(0, 255))
    try:
        records = list(iterate_records(batch))
    except CorruptRecords:
        return
    assert len(records) == 3


@settings(max_examples=60, deadline=None)
@given(RECORDS, st.sampled_from(list(Codec)))
def test_skimming_sees_offsets_and_times_as_reading_does(records: list[Any], codec: Codec) -> None:
    batch = build_batch(records, timestamp_ms=1, codec=codec, base_offset=70)
    read = [(record.offset, record.timestamp) for record in iterate_records(batch)]
    assert [tuple(skimmed) for skimmed in skim_records(batch)] == read


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_body_is_skimmed_or_corrupt_and_nothing_else(data: st.DataObject) -> None:
    batch = build_batch([(b"key", b"value" * 5, [("h", b"1")])] * 3, timestamp_ms=1)
    position = data.draw(st.integers(HEADER_BYTES, len(batch) - 1))
    batch[position] = data.draw(st.integers(0, 255))
    try:
        assert len(list(skim_records(batch))) == 3
    except CorruptRecords:
        return


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD])
def test_records_across_windows_come_back(codec: Codec) -> None:
    values = [os.urandom(size) for size in (70_000, 0, 5, 600_000, 1)]
    batch = build_batch([(None, value) for value in values], timestamp_ms=1, codec=codec)
    assert [record.value for record in iterate_records(batch)] == values


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD])
def test_a_bomb_is_not_unpacked_further_than_the_limit(codec: Codec) -> None:
    """All that fitted 256 MiB was in memory before anybody looked at it."""
    packed = compress(codec, bytes(1 << 20))
    taken: list[bytes] = []
    with pytest.raises(ExcessiveRecords):
        taken.extend(decompressed(codec, packed, 300_000))
    assert sum(map(len, taken)) <= 300_000


def test_many_empty_gzip_members_are_read_in_one_pass() -> None:
    """The rest of the input was copied at every member: 1 MB of them took seconds."""
    members = compress(Codec.GZIP, b"") * 3_000
    assert decompress(Codec.GZIP, members + compress(Codec.GZIP, b"end")) == b"end"


def test_a_record_of_millions_of_headers_is_skimmed_without_reading_them() -> None:
    """Every header of a batch that shrank to nothing became an object."""
    batch = build_batch([(b"k", None, [("", None)] * 100)], timestamp_ms=5)
    batch[HEADER_BYTES + 10 :] = b"\xff" * (len(batch) - HEADER_BYTES - 10)
    with pytest.raises(CorruptRecords):
        list(iterate_records(batch))
    assert [tuple(skimmed) for skimmed in skim_records(batch)] == [(0, 5)]
