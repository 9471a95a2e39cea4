"""The codecs of record batches; each library is imported when its codec is first used, and every output is bounded.

snappy travels in xerial framing (what Java writes) and is read with or without it; lz4 and zstd are standard frames.
Source: KIP-110 and Apache Kafka's org.apache.kafka.common.compress.
"""

from __future__ import annotations

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


def compress(codec: int, data: bytes, level: int | None = None, packed_max: int | None = None) -> bytes:
    """`data` as one blob; `level` None is Kafka's default of the codec (gzip -1, lz4 9, zstd 3).

    Where the blob has more than `packed_max` bytes it may be cut behind them: whoever says so has no use for it. That
    spares snappy, the only slow codec, its work.
    """
    if codec == Codec.NONE:
        return data
    if codec == Codec.GZIP:
        packer = zlib.compressobj(-1 if level is None else level, zlib.DEFLATED, 31)
        return packer.compress(data) + packer.flush()
    if codec == Codec.SNAPPY:
        from kbroker.record import snappy

        return snappy.compress(data, packed_max)
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
    """Members may follow each other."""
    unpacker = None
    rest: Buffer = b""
    position = 0
    try:
        while True:
            if not rest:
                rest = data[position : position + _INPUT_BYTES]
                position += len(rest)
            if unpacker is None:
                if not rest:
                    return
                unpacker = zlib.decompressobj(31)
            is_last = not rest
            part = unpacker.decompress(rest, PIECE_BYTES)
            yield part
            if unpacker.eof:
                rest, unpacker = unpacker.unused_data, None
            elif is_last and not part:
                raise CorruptRecords("gzip: the stream is cut")
            else:
                rest = unpacker.unconsumed_tail
    except zlib.error as error:
        raise CorruptRecords(f"gzip: {error}") from error


def _unlz4(data: Buffer) -> Iterator[bytes]:
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
    import zstandard

    unpacker = zstandard.ZstdDecompressor()
    try:
        with unpacker.stream_reader(data, read_across_frames=True) as reader:
            while part := reader.read(PIECE_BYTES):
                yield part
    except zstandard.ZstdError as error:
        raise CorruptRecords(f"zstd: {error}") from error
