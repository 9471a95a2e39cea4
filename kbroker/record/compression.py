"""The codecs of record batches; each library is imported when its codec is first used, and every output is bounded.

snappy travels in xerial framing (what Java writes) and is read with or without it; lz4 and zstd are standard frames.
Source: KIP-110 and Apache Kafka's org.apache.kafka.common.compress.
"""

from __future__ import annotations

import zlib
from enum import IntEnum
from typing import Final

Buffer = bytes | bytearray | memoryview

DECOMPRESSED_BYTES_MAX: Final = 256 << 20
"""Where a batch is taken for a bomb: no client batches anywhere near this much before it compresses."""


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
            compression_level=9 if level is None else level,
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
    """What `compress` took, at most `limit` bytes of it. Raises CorruptRecords for bad frames and bombs."""
    if codec == Codec.NONE:
        plain = bytes(data)
    elif codec == Codec.GZIP:
        plain = _gunzip(data, limit)
    elif codec == Codec.SNAPPY:
        from kbroker.record import snappy

        plain = snappy.decompress(bytes(data), limit)
    elif codec == Codec.LZ4:
        plain = _unlz4(data, limit)
    elif codec == Codec.ZSTD:
        plain = _unzstd(data, limit)
    else:
        raise CorruptRecords(f"no codec has the number {codec}")
    if len(plain) > limit:
        raise CorruptRecords(f"more than {limit} bytes when decompressed")
    return plain


def _gunzip(data: Buffer, limit: int) -> bytes:
    parts = []
    rest: Buffer = data
    room = limit + 1
    while len(rest) and room > 0:  # members may follow each other
        unpacker = zlib.decompressobj(31)
        try:
            part = unpacker.decompress(rest, room)
        except zlib.error as error:
            raise CorruptRecords(f"gzip: {error}") from error
        parts.append(part)
        room -= len(part)
        if not unpacker.eof and room > 0:
            raise CorruptRecords("gzip: the stream is cut")
        rest = unpacker.unused_data
    return b"".join(parts)


def _unlz4(data: Buffer, limit: int) -> bytes:
    import lz4.frame

    unpacker = lz4.frame.LZ4FrameDecompressor()
    try:
        plain: bytes = unpacker.decompress(bytes(data), max_length=limit + 1)
    except (RuntimeError, EOFError) as error:
        raise CorruptRecords(f"lz4: {error}") from error
    if not unpacker.eof and len(plain) <= limit:
        raise CorruptRecords("lz4: the frame is cut")
    return plain


def _unzstd(data: Buffer, limit: int) -> bytes:
    import zstandard

    unpacker = zstandard.ZstdDecompressor()
    try:
        with unpacker.stream_reader(data, read_across_frames=True) as reader:
            parts = []
            room = limit + 1
            while room > 0 and (part := reader.read(room)):
                parts.append(part)
                room -= len(part)
    except zstandard.ZstdError as error:
        raise CorruptRecords(f"zstd: {error}") from error
    return b"".join(parts)
