"""The codecs of record batches; each library is imported when its codec is first used, and every output is bounded.

snappy travels in xerial framing (what Java writes) and is read with or without it; lz4 and zstd are standard frames.
Source: KIP-110 and Apache Kafka's org.apache.kafka.common.compress.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

Buffer = bytes | bytearray | memoryview

DECOMPRESSED_BYTES_MAX: Final = 256 << 20
"""Where a batch is taken for a bomb: no client batches anywhere near this much before it compresses."""

PIECE_BYTES: Final = 256 << 10
"""How much is decompressed at a time: what is refused or looked through is never whole in memory."""
_INPUT_BYTES: Final = 16 << 10
"""How much gzip is given at a time: it hands back a copy of what it didn't take."""
_GZIP_MAGIC: Final = b"\x1f\x8b\x08"
_GZIP_MEMBER_BYTES_MIN: Final = 19

LZ4_DEFAULT_LEVEL: Final = 9
_LZ4_MAGIC: Final = b"\x04\x22\x4d\x18"
_LZ4_FLAGS_FIXED: Final = 0b11100011
_LZ4_FLAGS_WANTED: Final = 0b01100000
"""Version 1, independent blocks, no dictionary; checksums and content size are free."""

_ZSTD_SKIPPABLE: Final = 0x184D2A50
_ZSTD_BLOCK_REPEATED: Final = 1
_BLOCKS_AT_A_TIME: Final = 4096


class Codec(IntEnum):
    """Bits 0 to 2 of a batch's attributes."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


CODEC_BY_NAME: Final = {
    "uncompressed": Codec.NONE,
    "none": Codec.NONE,
    "gzip": Codec.GZIP,
    "snappy": Codec.SNAPPY,
    "lz4": Codec.LZ4,
    "zstd": Codec.ZSTD,
}
"""The names that `compression.type` takes, "producer" apart."""


class CorruptRecords(ValueError):
    """Bytes that aren't what their header promises: a cut varint, a bad compressed frame, a bomb."""


class ExcessiveRecords(CorruptRecords):
    """More records or bytes than whoever opens the batch will take: a bomb, or as good as one."""


UNREADABLE: Final = (CorruptRecords, struct.error, OverflowError, IndexError)
"""What whoever opens a client's records for others takes for the records' fault: a number that fits nowhere would be
a mistake of ours, too, but it happens in a worker, and costs that batch instead of the broker."""


def compress(codec: int, data: bytes, level: int | None = None) -> bytes:
    """`data` as one blob; `level` None is Kafka's default of the codec (gzip -1, lz4 9, zstd 3)."""
    if codec == Codec.NONE:
        return data
    if codec == Codec.GZIP:
        packer = zlib.compressobj(-1 if level is None else level, zlib.DEFLATED, 31)
        return packer.compress(data) + packer.flush()
    if codec == Codec.SNAPPY:
        from kbroker.record import snappy

        return snappy.compress(data)
    if codec == Codec.LZ4:
        import lz4.frame

        packed: bytes = lz4.frame.compress(
            data,
            # Kafka's default, 9, is the fast compressor; any other level is one of the thorough one.
            compression_level=0 if level in (None, LZ4_DEFAULT_LEVEL) else level,
            block_size=lz4.frame.BLOCKSIZE_MAX64KB,
            block_linked=False,
            store_size=False,
        )
        return packed
    if codec == Codec.ZSTD:
        import zstandard

        return zstandard.ZstdCompressor(level=3 if level is None else level).compress(data)
    raise CorruptRecords(f"no codec has the number {codec}")


def decompress(codec: int, data: Buffer, limit: int = DECOMPRESSED_BYTES_MAX) -> bytes:
    """What `compress` took, at most `limit` bytes of it. Raises CorruptRecords, ExcessiveRecords for bombs."""
    return b"".join(decompressed(codec, data, limit))


def decompressed(codec: int, data: Buffer, limit: int = DECOMPRESSED_BYTES_MAX) -> Iterator[bytes]:
    """What `compress` took, piece by piece. Raises CorruptRecords; ExcessiveRecords instead of going over `limit`."""
    left = limit
    for piece in _pieces(codec, data, limit):
        left -= len(piece)
        if left < 0:
            raise ExcessiveRecords(f"more than {limit} bytes when decompressed")
        yield piece


def _pieces(codec: int, data: Buffer, limit: int) -> Iterator[bytes]:
    if codec == Codec.NONE:
        return iter((bytes(data),))
    if codec == Codec.GZIP:
        return _gunzip(memoryview(data))
    if codec == Codec.SNAPPY:
        from kbroker.record import snappy

        return snappy.decompressed(bytes(data), limit)
    if codec == Codec.LZ4:
        return _unlz4(data)
    if codec == Codec.ZSTD:
        return _unzstd(data)
    raise CorruptRecords(f"no codec has the number {codec}")


def _gunzip(data: memoryview) -> Iterator[bytes]:
    """Members may follow each other; what follows and is none is passed over, as Java's GZIPInputStream does."""
    unpacker = zlib.decompressobj(31)
    rest: Buffer = b""
    position = 0
    try:
        while True:
            if not rest:
                rest = data[position : position + _INPUT_BYTES]
                position += len(rest)
            is_last = not rest
            part = unpacker.decompress(rest, PIECE_BYTES)
            yield part
            if unpacker.eof:
                rest = unpacker.unused_data
                begin = position - len(rest)
                if len(data) - begin < _GZIP_MEMBER_BYTES_MIN or bytes(data[begin : begin + 3]) != _GZIP_MAGIC:
                    return
                unpacker = zlib.decompressobj(31)
            elif is_last and not part:
                raise CorruptRecords("gzip: the stream is cut")
            else:
                rest = unpacker.unconsumed_tail
    except zlib.error as error:
        raise CorruptRecords(f"gzip: {error}") from error


def lz4_defect(data: Buffer) -> str | None:
    """What of an lz4 frame Java's reader can't take though the library can; None: nothing.

    Source: Kafka's Lz4BlockInputStream.FLG.
    """
    if len(data) < 5 or data[:4] != _LZ4_MAGIC:
        return "no lz4 frame"
    flags = data[4]
    if flags & _LZ4_FLAGS_FIXED != _LZ4_FLAGS_WANTED:
        return f"an lz4 frame with flags {flags:#04x}: blocks must be independent, and no dictionary named"
    return None


def _unlz4(data: Buffer) -> Iterator[bytes]:
    """One frame; what stands behind it is passed over, as Kafka's Lz4BlockInputStream does."""
    import lz4.frame

    unpacker = lz4.frame.LZ4FrameDecompressor()
    rest = bytes(data)
    try:
        while not unpacker.eof:
            part: bytes = unpacker.decompress(rest, max_length=PIECE_BYTES)
            rest = b""
            yield part
            if not unpacker.eof and (unpacker.needs_input or not part):
                raise CorruptRecords("lz4: the frame is cut")
    except (RuntimeError, EOFError) as error:
        raise CorruptRecords(f"lz4: {error}") from error


def _unzstd(data: Buffer) -> Iterator[bytes]:
    """Frames may follow each other. Windows of more than 128 MiB are refused by the library."""
    import zstandard

    unpacker = zstandard.ZstdDecompressor()
    try:
        with unpacker.stream_reader(data, read_across_frames=True) as reader:
            while part := reader.read(PIECE_BYTES):
                yield part
        yield from _whole_zstd_frames(memoryview(data))
    except zstandard.ZstdError as error:
        raise CorruptRecords(f"zstd: {error}") from error


def _whole_zstd_frames(data: memoryview) -> Iterator[bytes]:
    """Raises CorruptRecords where the last frame is cut, which the library doesn't tell; b"" now and then till then.

    Source: RFC 8878, 3.1.
    """
    import zstandard

    position = blocks = 0
    while position < len(data):
        if int.from_bytes(data[position : position + 4], "little") & ~0xF == _ZSTD_SKIPPABLE:
            position += 8 + int.from_bytes(data[position + 4 : position + 8], "little")
            continue
        parameters = zstandard.get_frame_parameters(data[position:])
        position += zstandard.frame_header_size(data[position:])
        is_last = False
        while not is_last:
            if position + 3 > len(data):
                raise CorruptRecords("zstd: the frame is cut")
            block = int.from_bytes(data[position : position + 3], "little")
            is_last = bool(block & 1)
            position += 3 + (1 if block >> 1 & 3 == _ZSTD_BLOCK_REPEATED else block >> 3)
            blocks += 1
            if not blocks % _BLOCKS_AT_A_TIME:
                yield b""
        position += 4 if parameters.has_checksum else 0
    if position > len(data):
        raise CorruptRecords("zstd: the frame is cut")
