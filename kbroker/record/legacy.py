"""Message sets: what came before record batches, in Produce 0 to 2 and Fetch 0 to 3. Framing, reading, writing.

    0 offset i64        16 magic i8, 0 or 1         magic 0: 18 key, value
    8 size i32          17 attributes i8            magic 1: 18 timestamp i64   26 key, value
   12 crc u32 (IEEE, from the magic to the end)     key and value: length i32 (below zero: null) and bytes

A compressed message is a wrapper: its value is a message set. Magic 0 has absolute offsets inside; magic 1 has offsets
from 0 inside and the last one's absolute offset outside. Wrappers don't nest.
Source: KIP-31, KIP-32; Kafka's LegacyRecord, AbstractLegacyRecordBatch, ByteBufferLogInputStream.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from kbroker.record.batch import CODEC_MASK, LOG_APPEND_TIME_BIT, MAGIC, NO_TIMESTAMP, Buffer, window
from kbroker.record.compression import Codec, CorruptRecords, ExcessiveRecords, decompressed
from kbroker.record.legacy_lz4 import with_right_checksum
from kbroker.record.skim import BYTES_PER_RECORD, PLAIN_BYTES_FREE, PLAIN_BYTES_PER_BYTE, RECORDS_FREE
from protocol_specs.errors import ErrorCode

PREFIX_BYTES: Final = 12
"""Offset and size: the size counts what follows them."""
MESSAGE_BYTES_MIN: Final = 14
"""After the prefix, of a message of magic 0 without key and value; Kafka asks no more of the framing of magic 1."""
MAGIC_END: Final = 17
ATTRIBUTES_POSITION: Final = 17

_PREFIX = struct.Struct(">qi")
_HEAD = struct.Struct(">qiIbb")
_BODY_0 = struct.Struct(">bbi")
_BODY_1 = struct.Struct(">bbqi")
_INT64 = struct.Struct(">q")
_INT32 = struct.Struct(">i")
_CRC = struct.Struct(">I")
_MAGIC_POSITION = 16
_FIELDS_POSITION = 18


class RefusedMessages(CorruptRecords):
    """Messages that Kafka refuses with an error of its own; what is merely broken is a CorruptRecords."""

    def __init__(self, error: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.error = error


class Message(NamedTuple):
    """One message, opened. `timestamp` in milliseconds since 1970, -1 none: always in magic 0."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Entry(NamedTuple):
    """A message of a set as the set frames it: plain, or a wrapper. `data` starts at its offset."""

    offset: int
    crc: int
    magic: int
    attributes: int
    data: memoryview

    @property
    def codec(self) -> int:
        """The number of the compression codec, 0 for a plain message; see `Codec`."""
        return self.attributes & CODEC_MASK

    @property
    def is_log_append_time(self) -> bool:
        """Does it claim that a broker set its time?"""
        return self.magic > 0 and bool(self.attributes & LOG_APPEND_TIME_BIT)

    @property
    def is_sound(self) -> bool:
        """Does the CRC-32 agree?"""
        return zlib.crc32(self.data[_MAGIC_POSITION:]) == self.crc


def iterate_entries(messages: Buffer) -> Iterator[Entry]:
    """Each whole entry, framed and nothing more; a cut one at the end is left out.

    Raises RefusedMessages, CORRUPT_MESSAGE, for a size or a magic that no entry has.
    """
    view = memoryview(messages)
    position, end = 0, len(view)
    while end - position >= PREFIX_BYTES:
        offset, size = _PREFIX.unpack_from(view, position)
        _check_size(size)
        if end - position < MAGIC_END:
            return
        magic = view[position + _MAGIC_POSITION]
        if magic > MAGIC:
            raise RefusedMessages(ErrorCode.CORRUPT_MESSAGE, f"magic {magic} is unknown")
        stop = position + PREFIX_BYTES + size
        if stop > end:
            return
        _, _, crc, _, attributes = _HEAD.unpack_from(view, position)
        yield Entry(offset, crc, magic, attributes, view[position:stop])
        position = stop


def iterate_messages(entry: Entry) -> Iterator[Message]:
    """The messages of an entry that is sound: itself, or what it wraps, decompressed within bounds.

    Raises RefusedMessages, ExcessiveRecords over the bounds, CorruptRecords for what is broken.
    """
    if entry.codec == Codec.NONE:
        yield _message(entry.data, 0, len(entry.data), entry.magic, entry.offset, None)
        return
    wrapper = _message(entry.data, 0, len(entry.data), entry.magic, entry.offset, None)
    if wrapper.value is None:
        raise RefusedMessages(ErrorCode.INVALID_RECORD, "a compressed message without a value")
    if entry.codec == Codec.ZSTD:
        raise RefusedMessages(ErrorCode.INVALID_RECORD, "zstd came with record batches")
    timestamp = wrapper.timestamp if entry.is_log_append_time else None
    records_max = RECORDS_FREE + len(entry.data) // BYTES_PER_RECORD
    count, last_offset = 0, -1
    for message in _wrapped(entry, wrapper.value, timestamp):
        count += 1
        if count > records_max:
            raise ExcessiveRecords(f"more than {records_max} messages in {len(entry.data)} bytes")
        last_offset = message.offset
        yield message
    if not count:
        raise RefusedMessages(ErrorCode.INVALID_RECORD, "a compressed message with nothing in it")
    # Some librdkafka left the wrapper's offset at 0.
    if entry.magic and 0 != entry.offset < last_offset:
        raise RefusedMessages(
            ErrorCode.INVALID_RECORD, f"a wrapper with offset {entry.offset} whose last message has {last_offset}"
        )


def _wrapped(entry: Entry, packed: bytes, timestamp: int | None) -> Iterator[Message]:
    """The messages inside of a wrapper, with the offsets that they have there; a cut one at the end is left out."""
    if entry.magic == 0 and entry.codec == Codec.LZ4:
        packed = with_right_checksum(packed)
    limit = PLAIN_BYTES_FREE + PLAIN_BYTES_PER_BYTE * len(entry.data)
    pieces = decompressed(entry.codec, packed, limit)
    data, position = next(pieces, b""), 0
    while True:
        if len(data) - position < PREFIX_BYTES:
            data, position = window(data, position, pieces, PREFIX_BYTES), 0
            if len(data) < PREFIX_BYTES:
                return
        offset, size = _PREFIX.unpack_from(data, position)
        _check_size(size)
        stop = position + PREFIX_BYTES + size
        if stop > len(data):
            data, position, stop = window(data, position, pieces, PREFIX_BYTES + size), 0, PREFIX_BYTES + size
            if len(data) < stop:
                return
        _check_wrapped(data, position, stop, entry.magic)
        yield _message(data, position, stop, entry.magic, offset, timestamp)
        position = stop


def _check_size(size: int) -> None:
    if size < MESSAGE_BYTES_MIN:
        raise RefusedMessages(ErrorCode.CORRUPT_MESSAGE, f"a message of {size} bytes")


def _check_wrapped(data: bytes, position: int, stop: int, magic: int) -> None:
    _, _, crc, inner_magic, attributes = _HEAD.unpack_from(data, position)
    if attributes & CODEC_MASK:
        raise RefusedMessages(ErrorCode.INVALID_RECORD, "a compressed message inside of another")
    if inner_magic != magic:
        raise RefusedMessages(ErrorCode.INVALID_RECORD, f"a message of magic {inner_magic} in one of magic {magic}")
    if zlib.crc32(data[position + _MAGIC_POSITION : stop]) != crc:
        raise RefusedMessages(ErrorCode.CORRUPT_MESSAGE, "the checksum of a wrapped message doesn't match")


def _message(data: Buffer, position: int, stop: int, magic: int, offset: int, timestamp: int | None) -> Message:
    """The message at `position`; `timestamp` takes the place of its own. Bytes behind the value are left alone."""
    position += _FIELDS_POSITION
    if magic:
        if stop - position < _INT64.size:
            raise CorruptRecords("a message of magic 1 ends in its timestamp")
        if timestamp is None:
            (timestamp,) = _INT64.unpack_from(data, position)
        position += _INT64.size
    else:
        timestamp = NO_TIMESTAMP
    key, position = _read_bytes(data, position, stop)
    value, position = _read_bytes(data, position, stop)
    return Message(offset, timestamp, key, value)


def _read_bytes(data: Buffer, position: int, stop: int) -> tuple[bytes | None, int]:
    if stop - position < _INT32.size:
        raise CorruptRecords("a message ends in a length")
    (length,) = _INT32.unpack_from(data, position)
    position += _INT32.size
    if length < 0:
        return None, position
    if length > stop - position:
        raise CorruptRecords(f"{length} bytes where {stop - position} are left")
    return bytes(data[position : position + length]), position + length


def write_message(
    out: bytearray,
    magic: int,
    attributes: int,
    offset: int,
    timestamp: int,
    key: Buffer | None,
    value: Buffer | None,
) -> None:
    """Append one message, checksum and all; magic 0 leaves the timestamp out."""
    key_length = -1 if key is None else len(key)
    if magic:
        body = bytearray(_BODY_1.pack(magic, attributes, timestamp, key_length))
    else:
        body = bytearray(_BODY_0.pack(magic, attributes, key_length))
    if key is not None:
        body += key
    body += _INT32.pack(-1 if value is None else len(value))
    if value is not None:
        body += value
    out += _PREFIX.pack(offset, len(body) + _CRC.size)
    out += _CRC.pack(zlib.crc32(body))
    out += body
