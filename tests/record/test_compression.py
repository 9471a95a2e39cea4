"""The codecs as Java's readers see them: which streams are whole, what is passed over, what is refused; and bombs."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys

import cramjam
import lz4.frame
import pytest
import zstandard

from kbroker.record.compression import (
    DECOMPRESSED_BYTES_MAX,
    Codec,
    CorruptRecords,
    ExcessiveRecords,
    compress,
    decompress,
    decompressed,
    lz4_defect,
)

PACKED = [Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD]
TEXT = b"".join(b'{"id":%d,"name":"user-%d"}' % (number, number * 7919 % 9973) for number in range(6_000))
XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)


def raw_snappy(data: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(data))


# ---- gzip


def test_gzip_members_may_follow_each_other() -> None:
    assert decompress(Codec.GZIP, compress(Codec.GZIP, b"one") + compress(Codec.GZIP, b"two")) == b"onetwo"


@pytest.mark.parametrize("junk", [b"\x00" * 40, b"not a member, but long enough to be one", b"\x1f\x8b\x08\x00"])
def test_what_follows_a_gzip_member_and_is_none_is_passed_over_as_in_java(junk: bytes) -> None:
    """It was an error, so that what Java's GZIPInputStream reads was refused."""
    assert decompress(Codec.GZIP, compress(Codec.GZIP, TEXT) + junk) == TEXT


def test_a_second_gzip_member_that_is_damaged_is_corrupt() -> None:
    second = bytearray(compress(Codec.GZIP, TEXT))
    second[-6] ^= 1
    with pytest.raises(CorruptRecords, match="gzip"):
        decompress(Codec.GZIP, compress(Codec.GZIP, b"one") + second)


def test_a_gzip_member_with_a_name_and_a_comment_is_read() -> None:
    named = bytearray(gzip.compress(b"plain", mtime=0))
    named[3] |= 0x18
    assert decompress(Codec.GZIP, bytes(named[:10]) + b"name\0comment\0" + bytes(named[10:])) == b"plain"


# ---- snappy


@pytest.mark.parametrize(
    "data", [b"x", TEXT, bytes(100_000), os.urandom(70_000)], ids=["one", "text", "zeros", "random"]
)
def test_snappy_is_read_raw_and_framed(data: bytes) -> None:
    assert decompress(Codec.SNAPPY, raw_snappy(data)) == data
    framed = XERIAL + struct.pack(">i", len(raw_snappy(data))) + raw_snappy(data)
    assert decompress(Codec.SNAPPY, framed) == data


def test_snappy_is_written_in_blocks_of_32_kib_behind_the_xerial_header() -> None:
    packed, position, plain = compress(Codec.SNAPPY, TEXT), len(XERIAL), []
    assert packed.startswith(XERIAL)
    while position < len(packed):
        (length,) = struct.unpack_from(">i", packed, position)
        plain.append(bytes(cramjam.snappy.decompress_raw(packed[position + 4 : position + 4 + length])))
        position += 4 + length
    assert b"".join(plain) == TEXT
    assert {len(block) for block in plain[:-1]} == {32 << 10}


def test_xerial_streams_may_follow_each_other_as_java_reads_them() -> None:
    """The second header was taken for a block of negative length."""
    assert decompress(Codec.SNAPPY, compress(Codec.SNAPPY, b"one") + compress(Codec.SNAPPY, b"two")) == b"onetwo"


@pytest.mark.parametrize("junk", [b"\0", b"\0\0\0", b"abc", XERIAL[:3]])
def test_too_few_bytes_for_the_length_of_a_xerial_block_are_passed_over_as_in_java(junk: bytes) -> None:
    """They were taken for a length that is cut."""
    assert decompress(Codec.SNAPPY, compress(Codec.SNAPPY, TEXT) + junk) == TEXT


@pytest.mark.parametrize("length", [4, 8, 15])
def test_a_second_xerial_header_that_is_cut_is_corrupt(length: int) -> None:
    """It was passed over from its eighth byte on."""
    with pytest.raises(CorruptRecords, match="snappy"):
        decompress(Codec.SNAPPY, compress(Codec.SNAPPY, TEXT) + XERIAL[:length])


@pytest.mark.parametrize(
    "damaged",
    [
        XERIAL + struct.pack(">i", 5) + b"abc",
        XERIAL + struct.pack(">i", -5) + b"abcde",
        XERIAL + struct.pack(">i", 0),
        b"",
        b"\xff\xff\xff\xff\xff\xff\x01",
        b"\x05\x10a",
    ],
    ids=["a cut block", "a negative length", "an empty block", "nothing", "no length", "a short block"],
)
def test_damaged_snappy_is_corrupt(damaged: bytes) -> None:
    with pytest.raises(CorruptRecords, match="snappy"):
        decompress(Codec.SNAPPY, damaged)


def test_a_snappy_block_that_claims_more_than_snappy_can_hold_is_corrupt_before_memory_is_taken() -> None:
    """Two hundred megabytes were set aside for a block of eight bytes."""
    with pytest.raises(CorruptRecords, match="claims 209715200"):
        decompress(Codec.SNAPPY, b"\x80\x80\x80\x64" + b"\x00abc", DECOMPRESSED_BYTES_MAX)


# ---- lz4


@pytest.mark.parametrize("options", [{"store_size": True}, {"content_checksum": True}, {"block_checksum": True}, {}])
def test_lz4_frames_with_sizes_and_checksums_are_read(options: dict[str, bool]) -> None:
    packed = lz4.frame.compress(TEXT, block_linked=False, **{"store_size": False, **options})
    assert lz4_defect(packed) is None
    assert decompress(Codec.LZ4, packed) == TEXT


def test_linked_lz4_blocks_are_read_but_known_for_what_java_cannot_read() -> None:
    packed = lz4.frame.compress(TEXT, block_linked=True)
    assert decompress(Codec.LZ4, packed) == TEXT
    assert "independent" in str(lz4_defect(packed))


@pytest.mark.parametrize("data", [b"", b"\x04\x22\x4d", b"\x50\x2a\x4d\x18" + bytes(20), bytes(40)])
def test_what_does_not_begin_as_an_lz4_frame_is_none(data: bytes) -> None:
    assert lz4_defect(data) == "no lz4 frame"


def test_only_the_first_lz4_frame_counts_as_in_java() -> None:
    assert decompress(Codec.LZ4, compress(Codec.LZ4, b"one") + compress(Codec.LZ4, b"two")) == b"one"


@pytest.mark.parametrize("option", ["content_checksum", "block_checksum"])
def test_a_wrong_lz4_checksum_is_corrupt(option: str) -> None:
    packed = bytearray(lz4.frame.compress(TEXT, block_linked=False, **{option: True}))
    packed[-9] ^= 0x40
    with pytest.raises(CorruptRecords, match="lz4"):
        decompress(Codec.LZ4, packed)


def test_lz4_is_written_as_kafka_writes_it() -> None:
    packed = compress(Codec.LZ4, TEXT)
    assert (packed[4], packed[5]) == (0x60, 0x40)  # version 1, independent blocks, nothing else; 64 KiB


# ---- zstd


def test_zstd_frames_may_follow_each_other_and_be_skippable() -> None:
    skippable = struct.pack("<II", 0x184D2A53, 7) + b"skipped"
    packed = compress(Codec.ZSTD, b"one") + skippable + compress(Codec.ZSTD, b"two")
    assert decompress(Codec.ZSTD, packed) == b"onetwo"


def test_zstd_without_a_content_size_is_read() -> None:
    packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    packed = packer.compress(TEXT) + packer.flush()
    assert zstandard.get_frame_parameters(packed).content_size == zstandard.CONTENTSIZE_UNKNOWN
    assert decompress(Codec.ZSTD, packed) == TEXT


@pytest.mark.parametrize("has_checksum", [False, True])
def test_a_cut_zstd_frame_is_corrupt_wherever_it_is_cut(has_checksum: bool) -> None:
    """What came before the cut was taken for all there is."""
    packed = zstandard.ZstdCompressor(write_checksum=has_checksum).compress(TEXT[:20_000] + bytes(300_000))
    for cut in [*range(1, 20), len(packed) // 2, len(packed) - 3]:
        with pytest.raises(CorruptRecords, match="zstd"):
            decompress(Codec.ZSTD, packed[:-cut])


def test_a_wrong_zstd_checksum_is_corrupt() -> None:
    packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(TEXT))
    packed[-1] ^= 1
    with pytest.raises(CorruptRecords, match="zstd"):
        decompress(Codec.ZSTD, packed)


@pytest.mark.parametrize(("window_log", "is_taken"), [(27, True), (28, False)])
def test_zstd_windows_above_128_mib_are_refused(window_log: int, is_taken: bool) -> None:
    raw_block = (5 << 3 | 1).to_bytes(3, "little") + b"plain"
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([(window_log - 10) << 3]) + raw_block
    if is_taken:
        assert decompress(Codec.ZSTD, frame) == b"plain"
        return
    with pytest.raises(CorruptRecords, match="zstd"):
        decompress(Codec.ZSTD, frame)


# ---- levels


@pytest.mark.parametrize(
    ("codec", "levels"),
    [
        (Codec.GZIP, [None, -1, *range(1, 10)]),
        (Codec.LZ4, [None, *range(1, 18)]),
        (Codec.ZSTD, [None, -131072, -1000, -1, *range(23)]),
    ],
)
def test_every_level_that_kafka_knows_is_taken(codec: Codec, levels: list[int | None]) -> None:
    data = TEXT[:30_000]
    assert {decompress(codec, compress(codec, data, level)) for level in levels} == {data}


@pytest.mark.parametrize(("codec", "low", "high"), [(Codec.GZIP, 1, 9), (Codec.LZ4, 9, 12), (Codec.ZSTD, -1000, 19)])
def test_levels_make_a_difference(codec: Codec, low: int, high: int) -> None:
    assert len(compress(codec, TEXT, low)) > len(compress(codec, TEXT, high))


def test_the_default_of_lz4_is_the_fast_compressor_as_in_kafka() -> None:
    """Level 9 was given to the library, whose 9 takes 15 times as long."""
    fast = lz4.frame.compress(TEXT, block_linked=False, block_size=lz4.frame.BLOCKSIZE_MAX64KB, store_size=False)
    assert compress(Codec.LZ4, TEXT) == compress(Codec.LZ4, TEXT, 9) == fast
    assert len(compress(Codec.LZ4, TEXT, 10)) < len(fast)


# ---- bombs, and what nobody uses


@pytest.mark.parametrize("codec", PACKED)
def test_a_bomb_of_bombs_ends_at_the_limit(codec: Codec) -> None:
    bomb = compress(codec, bytes(2 << 20))
    bomb += bomb if codec in (Codec.GZIP, Codec.ZSTD) else b""
    taken: list[int] = []
    with pytest.raises(ExcessiveRecords):
        taken += [len(piece) for piece in decompressed(codec, bomb, 1 << 20)]
    assert max(taken, default=0) <= 256 << 10


def test_a_million_empty_zstd_blocks_are_walked_in_steps() -> None:
    empty, last = b"\x00\x00\x00", (1 | 4 << 3).to_bytes(3, "little")
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + empty * 20_000 + last + b"last"
    pieces = list(decompressed(Codec.ZSTD, frame))
    assert b"".join(pieces) == b"last"
    assert pieces.count(b"") >= 4


def test_no_codec_is_loaded_before_it_is_used() -> None:
    script = (
        "import sys, kbroker.record.batch\n"
        "print([name for name in ('cramjam', 'lz4', 'zstandard') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
