"""Zig-zag varints as records carry them: 7 bits a byte, least significant first, at most 10 bytes (64 bits)."""

from __future__ import annotations

from typing import Final

from kbroker.record.compression import CorruptRecords

VARINT_BYTES_MAX: Final = 10
VARINT32_BYTES_MAX: Final = 5

_UINT64_MAX: Final = (1 << 64) - 1
_SIGN: Final = 1 << 63


def wrapped(value: int) -> int:
    """A sum or a difference of 64-bit integers as it comes out in Java: what doesn't fit comes round the other side.

    A client chooses both, and what is larger could not be written again.
    """
    return (value + _SIGN & _UINT64_MAX) - _SIGN


def write_varint(out: bytearray, value: int) -> None:
    """Append `value` (a signed 64-bit integer) to `out`."""
    rest = (value << 1) ^ (value >> 63)
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The value at `position` and the position behind it. Raises CorruptRecords when it is cut or overlong.

    Ten bytes have room for more than 64 bits; the rest is dropped, as in Java.
    """
    try:
        byte = data[position]
        if byte < 0x80:
            return (byte >> 1) ^ -(byte & 1), position + 1
        value = byte & 0x7F
        for shift in range(7, 70, 7):
            position += 1
            byte = data[position]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                value &= _UINT64_MAX
                return (value >> 1) ^ -(value & 1), position + 1
    except IndexError as error:
        raise CorruptRecords("a varint is cut") from error
    raise CorruptRecords("a varint of more than 10 bytes")


def read_varint32(data: bytes, position: int) -> tuple[int, int]:
    """As read_varint for what must fit 32 bits: lengths, counts and offset deltas have at most 5 bytes."""
    try:
        byte = data[position]
        if byte < 0x80:
            return (byte >> 1) ^ -(byte & 1), position + 1
        second = data[position + 1]
    except IndexError as error:
        raise CorruptRecords("a varint is cut") from error
    if second < 0x80:
        value = byte & 0x7F | second << 7
        return (value >> 1) ^ -(value & 1), position + 2
    value, end = read_varint(data, position)
    if end - position > VARINT32_BYTES_MAX or not -0x80000000 <= value <= 0x7FFFFFFF:
        raise CorruptRecords(f"a varint of {end - position} bytes where 32 bits are meant")
    return value, end
