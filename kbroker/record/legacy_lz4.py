"""The checksum of an lz4 frame's descriptor as Kafka wrote it before magic 1: over the frame's magic number too.

    0 magic number u32   4 flags   5 block size   6 content size u64 if flag 8, dictionary id u32 if flag 1   checksum

The checksum is the second byte of an xxHash-32 over the descriptor, flags to the byte before it. Messages of magic 0
are written with the wrong one, which their clients expect, and read with any, as Kafka does.
Source: KAFKA-3160, Kafka's Lz4BlockInputStream and Lz4BlockOutputStream, lz4_Frame_format.md, xxhash_spec.md.
"""

from __future__ import annotations

from typing import Final

_DESCRIPTOR_START: Final = 4
_FLAGS_POSITION: Final = 4
_HEADER_BYTES_MIN: Final = 7
_CONTENT_SIZE_FLAG: Final = 0x08
_DICTIONARY_FLAG: Final = 0x01

_PRIME_1: Final = 2654435761
_PRIME_2: Final = 2246822519
_PRIME_3: Final = 3266489917
_PRIME_4: Final = 668265263
_PRIME_5: Final = 374761393
_MASK: Final = 0xFFFFFFFF
_SHORT_END: Final = 16


def with_right_checksum(frame: bytes) -> bytes:
    """The frame as the format has it, whatever stood for the checksum; one that is too short is left as it is."""
    position = _checksum_position(frame)
    if position >= len(frame):
        return frame
    return _with_checksum(frame, position, frame[_DESCRIPTOR_START:position])


def with_old_checksum(frame: bytes) -> bytes:
    """The frame as readers of magic 0 want it."""
    position = _checksum_position(frame)
    return _with_checksum(frame, position, frame[:position])


def _checksum_position(frame: bytes) -> int:
    if len(frame) < _HEADER_BYTES_MIN:
        return len(frame)
    flags = frame[_FLAGS_POSITION]
    return 6 + (8 if flags & _CONTENT_SIZE_FLAG else 0) + (4 if flags & _DICTIONARY_FLAG else 0)


def _with_checksum(frame: bytes, position: int, checked: bytes) -> bytes:
    return frame[:position] + bytes([xxhash32(checked) >> 8 & 0xFF]) + frame[position + 1 :]


def xxhash32(data: bytes) -> int:
    """xxHash-32 with seed 0 of fewer than 16 bytes, which no descriptor exceeds."""
    assert len(data) < _SHORT_END
    value = (_PRIME_5 + len(data)) & _MASK
    whole = len(data) & ~3
    for position in range(0, whole, 4):
        lane = int.from_bytes(data[position : position + 4], "little")
        value = _rotated((value + lane * _PRIME_3) & _MASK, 17) * _PRIME_4 & _MASK
    for byte in data[whole:]:
        value = _rotated((value + byte * _PRIME_5) & _MASK, 11) * _PRIME_1 & _MASK
    value = (value ^ value >> 15) * _PRIME_2 & _MASK
    value = (value ^ value >> 13) * _PRIME_3 & _MASK
    return value ^ value >> 16


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & _MASK
