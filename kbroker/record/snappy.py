"""Snappy as Kafka's clients write it: raw blocks, and the xerial framing of Java's.

    raw:    uvarint plain length, then literals and copies
    xerial: 82 'SNAPPY' 0, int32 version 1, int32 compatible 1, then blocks of int32 length + raw snappy

cramjam packs and unpacks the blocks; what one will unpack to stands in front of it, and is looked at first.
Source: google/snappy format_description.txt, xerial/snappy-java SnappyOutputStream and SnappyInputStream.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import cramjam

from kbroker.record.compression import CorruptRecords, ExcessiveRecords

_MAGIC: Final = b"\x82SNAPPY\x00"
_FRAME_HEADER: Final = _MAGIC + struct.pack(">ii", 1, 1)
_BLOCK_BYTES: Final = 32 << 10
_LENGTH: Final = struct.Struct(">i")
_MAGIC_AS_LENGTH: Final = _LENGTH.unpack_from(_MAGIC)[0]
"""Java begins again where a stream is followed by another: no block has this length."""

_EXPANSION_MAX: Final = 22
"""The longest copy makes 64 bytes of three: a block that claims more per byte is damaged, and nothing is set aside for
it."""


def compress(data: bytes) -> bytes:
    """`data` in xerial framing, 32 KiB a block as Java does."""
    parts = [_FRAME_HEADER]
    view = memoryview(data)
    for start in range(0, len(data), _BLOCK_BYTES):
        block = bytes(cramjam.snappy.compress_raw(view[start : start + _BLOCK_BYTES]))
        parts += (_LENGTH.pack(len(block)), block)
    return b"".join(parts)


def decompressed(data: bytes, limit: int) -> Iterator[bytes]:
    """The plain bytes of xerial frames or of one raw block, block by block.

    Raises CorruptRecords; ExcessiveRecords before a block takes it over `limit`.
    """
    if not data.startswith(_MAGIC):
        yield _unpacked(data, limit)
        return
    position = len(_FRAME_HEADER)
    while position < len(data):
        if position + _LENGTH.size > len(data):
            return  # Java stops where no length follows
        (length,) = _LENGTH.unpack_from(data, position)
        if length == _MAGIC_AS_LENGTH and data.startswith(_MAGIC, position):
            position += len(_FRAME_HEADER)
            if position > len(data):
                raise CorruptRecords("snappy: a stream's header is cut")
            continue
        position += _LENGTH.size
        if length < 0 or position + length > len(data):
            raise CorruptRecords(f"snappy: a block of {length} bytes where {len(data) - position} are left")
        block = _unpacked(data[position : position + length], limit)
        limit -= len(block)
        yield block
        position += length


def _unpacked(block: bytes, limit: int) -> bytes:
    try:
        expected = cramjam.snappy.decompress_raw_len(block)
        if expected > limit:
            raise ExcessiveRecords(f"snappy: a block claims {expected} bytes where {limit} are allowed")
        if expected > _EXPANSION_MAX * len(block):
            raise CorruptRecords(f"snappy: a block of {len(block)} bytes claims {expected}")
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise CorruptRecords(f"snappy: {error}") from error
