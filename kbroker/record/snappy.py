"""Snappy without a native library: raw blocks and the xerial framing that Java's clients write.

    raw:    uvarint plain length, then literals and copies (tag's low 2 bits: literal, copy with 1, 2, 4 offset bytes)
    xerial: 82 'SNAPPY' 0, int32 version 1, int32 compatible 1, then blocks of int32 length + raw snappy

Pure Python is slow (some MB/s); the broker opens snappy only where a topic's configuration or a time lookup demands it.
Source: google/snappy format_description.txt, xerial/snappy-java SnappyOutputStream.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from kbroker.record.compression import CorruptRecords, ExcessiveRecords

_MAGIC = b"\x82SNAPPY\x00"
_FRAME_HEADER = _MAGIC + struct.pack(">ii", 1, 1)
_BLOCK_BYTES = 32 << 10
_LITERAL, _COPY_1, _COPY_2 = 0, 1, 2
_COPY_BYTES_MAX = 64


def compress(data: bytes, packed_max: int | None = None) -> bytes:
    """`data` in xerial framing, 32 KiB a block as Java does; a part of it that is over `packed_max`, if it all is."""
    out = bytearray(_FRAME_HEADER)
    for start in range(0, len(data), _BLOCK_BYTES):
        block = _compress_block(data[start : start + _BLOCK_BYTES])
        out += struct.pack(">i", len(block))
        out += block
        if packed_max is not None and len(out) > packed_max:
            break
    return bytes(out)


def decompress(data: bytes, limit: int) -> bytes:
    """The plain bytes of xerial frames or of one raw block; at most `limit`. Raises CorruptRecords."""
    return b"".join(decompressed(data, limit))


def decompressed(data: bytes, limit: int) -> Iterator[bytes]:
    """The plain bytes, block by block; see `decompress`."""
    if not data.startswith(_MAGIC):
        yield _decompress_block(data, limit)
        return
    position = len(_FRAME_HEADER)
    while position < len(data):
        if position + 4 > len(data):
            raise CorruptRecords("snappy: a block's length is cut")
        (length,) = struct.unpack_from(">i", data, position)
        position += 4
        if length < 0 or position + length > len(data):
            raise CorruptRecords(f"snappy: a block of {length} bytes where {len(data) - position} are left")
        block = _decompress_block(data[position : position + length], limit)
        limit -= len(block)
        yield block
        position += length


def _decompress_block(data: bytes, limit: int) -> bytes:
    try:
        expected, position = _read_uvarint(data)
        if expected > limit:
            raise ExcessiveRecords(f"snappy: a block claims {expected} bytes where {limit} are allowed")
        out = bytearray()
        while position < len(data):
            tag = data[position]
            if tag & 3 == _LITERAL:
                position = _literal(data, position, out)
            else:
                position = _copy(data, position, out)
            if len(out) > expected:
                raise CorruptRecords("snappy: a block is longer than it claims")
    except IndexError as error:
        raise CorruptRecords("snappy: a block is cut") from error
    if len(out) != expected:
        raise CorruptRecords(f"snappy: a block of {len(out)} bytes claims {expected}")
    return bytes(out)


def _read_uvarint(data: bytes) -> tuple[int, int]:
    value = 0
    for position in range(5):
        byte = data[position]
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return value, position + 1
    raise CorruptRecords("snappy: the length has more than 5 bytes")


def _literal(data: bytes, position: int, out: bytearray) -> int:
    length = data[position] >> 2
    position += 1
    if length >= 60:
        extra = length - 59
        length = int.from_bytes(data[position : position + extra], "little")
        position += extra
    end = position + length + 1
    if end > len(data):
        raise CorruptRecords("snappy: a literal is cut")
    out += data[position:end]
    return end


def _copy(data: bytes, position: int, out: bytearray) -> int:
    tag = data[position]
    if tag & 3 == _COPY_1:
        length = (tag >> 2 & 7) + 4
        distance = (tag >> 5) << 8 | data[position + 1]
        position += 2
    else:
        width = 2 if tag & 3 == _COPY_2 else 4
        length = (tag >> 2) + 1
        if position + 1 + width > len(data):
            raise CorruptRecords("snappy: a copy is cut")
        distance = int.from_bytes(data[position + 1 : position + 1 + width], "little")
        position += 1 + width
    start = len(out) - distance
    if distance == 0 or start < 0:
        raise CorruptRecords(f"snappy: a copy from {distance} bytes back at {len(out)}")
    if distance >= length:
        out += out[start : start + length]
    else:  # the copy overlaps itself: a repeated pattern
        pattern = bytes(out[start:])
        out += (pattern * (length // distance + 1))[:length]
    return position


def _compress_block(block: bytes) -> bytes:
    out = bytearray()
    _write_uvarint(out, len(block))
    seen: dict[bytes, int] = {}
    literal_start = position = 0
    last_start = len(block) - 4
    while position <= last_start:
        quad = block[position : position + 4]
        candidate = seen.get(quad)
        seen[quad] = position
        if candidate is None:
            position += 1
            continue
        length = 4
        while block[candidate + length : candidate + length + _COPY_BYTES_MAX] == block[
            position + length : position + length + _COPY_BYTES_MAX
        ] and position + length + _COPY_BYTES_MAX <= len(block):
            length += _COPY_BYTES_MAX
        while position + length < len(block) and block[candidate + length] == block[position + length]:
            length += 1
        _write_literal(out, block[literal_start:position])
        _write_copies(out, position - candidate, length)
        position += length
        literal_start = position
    _write_literal(out, block[literal_start:])
    return bytes(out)


def _write_uvarint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _write_literal(out: bytearray, data: bytes) -> None:
    if not data:
        return
    length = len(data) - 1
    if length < 60:
        out.append(length << 2)
    else:  # a block has at most 32 KiB: two bytes hold the length
        out.append(61 << 2)
        out += length.to_bytes(2, "little")
    out += data


def _write_copies(out: bytearray, distance: int, length: int) -> None:
    while length:
        step = min(length, _COPY_BYTES_MAX)
        out.append((step - 1) << 2 | _COPY_2)
        out += distance.to_bytes(2, "little")
        length -= step
