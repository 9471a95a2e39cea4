"""Record batches turned back into message sets, for Fetch 0 to 3: batch by batch, in small steps.

Headers are left out, control batches too; records of transactions are plain messages. A compressed batch becomes a
wrapper of the same codec with all its records, from an uncompressed one those before the wanted offset are left out.
Source: Kafka's RecordsUtil.downConvert, LazyDownConversionRecords, MemoryRecordsBuilder.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kbroker.record.batch import LOG_APPEND_TIME_BIT, BatchHeader, Buffer, iterate_batches, read_bytes, read_header
from kbroker.record.compression import UNREADABLE, Codec, ExcessiveRecords, compress
from kbroker.record.legacy import Message, RefusedMessages, write_message
from kbroker.record.legacy_lz4 import with_old_checksum
from kbroker.record.skim import bounded_spans, plain_bytes_max
from kbroker.record.varint import read_varint, read_varint32
from protocol_specs.errors import ErrorCode

STEP_RECORDS: Final = 200
"""Records converted between two steps: about a millisecond."""

LEVELS: Final[dict[int, int]] = {Codec.LZ4: 0}
"""Where the default is a slow one: what is sent once isn't worth it. Kafka too uses its fast compressor."""

OVERFLOW: Final = (-1).to_bytes(8, "big", signed=True) + (61).to_bytes(4, "big")
"""The beginning of a message that is larger than what was fetched, where nothing that was read has a form of old: an
old consumer says that it can't get past it, as it does with Kafka, instead of asking the same again for ever."""


def converted_down(batches: Buffer, magic: int, first_offset: int, bytes_max: int) -> Iterator[bytes]:
    """Message sets of `magic` (0 or 1) to be joined, `bytes_max` at most but for the first batch that has such a form.

    Some pieces are empty: each is a step of bounded work. Raises RefusedMessages where the first batch can't be
    converted; one behind others ends the answer, so that it is first in the next.
    """
    left = bytes_max
    is_first = True
    try:
        for batch in iterate_batches(batches):
            header = read_header(batch)
            if header.is_control:
                continue
            for piece in _converted(batch, header, magic, first_offset, None if is_first else left):
                left -= len(piece)
                is_first = is_first and not piece
                yield piece
    except _NoRoom:
        return
    except UNREADABLE as error:
        if not is_first:
            return
        raise _refusal(error) from error
    if is_first and len(batches):
        yield OVERFLOW


class _NoRoom(Exception):
    """What comes next is larger than what is left."""


def _refusal(error: Exception) -> RefusedMessages:
    """Where the first batch can't be converted: Kafka's code where it has one."""
    if isinstance(error, RefusedMessages):
        return error
    code = ErrorCode.UNSUPPORTED_VERSION if isinstance(error, ExcessiveRecords) else ErrorCode.CORRUPT_MESSAGE
    return RefusedMessages(code, str(error))


def _converted(
    batch: memoryview, header: BatchHeader, magic: int, first_offset: int, room: int | None
) -> Iterator[bytes]:
    """One batch in whole messages, at most `room` bytes if that is given. Raises _NoRoom, CorruptRecords."""
    if header.codec == Codec.ZSTD:
        raise RefusedMessages(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, "zstd came with record batches")
    if header.codec:
        yield from _wrapped(batch, header, magic, room)
        return
    attributes = LOG_APPEND_TIME_BIT if magic and header.is_log_append_time else 0
    out = bytearray()
    for count, message in enumerate(_messages(batch, header)):
        if message.offset >= first_offset:
            before = len(out)
            write_message(out, magic, attributes, message.offset, message.timestamp, message.key, message.value)
            if room is not None and len(out) > room:
                yield bytes(memoryview(out)[:before])
                raise _NoRoom
        if count % STEP_RECORDS == STEP_RECORDS - 1:
            yield bytes(out)
            if room is not None:
                room -= len(out)
            out.clear()
    yield bytes(out)


def _wrapped(batch: memoryview, header: BatchHeader, magic: int, room: int | None) -> Iterator[bytes]:
    """A compressed batch as one wrapper: its key is null, its offset and time are those of its last and its newest."""
    attributes = LOG_APPEND_TIME_BIT if magic and header.is_log_append_time else 0
    limit = plain_bytes_max(header)
    inside = bytearray()
    base, last, newest = -1, -1, -1
    for count, message in enumerate(_messages(batch, header)):
        base, last = message.offset if not count else base, message.offset
        newest = max(newest, message.timestamp)
        inner_offset = last - base if magic else last
        write_message(inside, magic, attributes, inner_offset, message.timestamp, message.key, message.value)
        if len(inside) > limit:
            raise ExcessiveRecords(f"more than {limit} bytes as messages")
        if count % STEP_RECORDS == STEP_RECORDS - 1:
            yield b""
    if not inside:
        return
    packed = compress(header.codec, bytes(inside), LEVELS.get(header.codec))
    if magic == 0 and header.codec == Codec.LZ4:
        packed = with_old_checksum(packed)
    out = bytearray()
    write_message(out, magic, attributes | header.codec, last, newest, None, packed)
    if room is not None and len(out) > room:
        raise _NoRoom
    yield bytes(out)


def _messages(batch: memoryview, header: BatchHeader) -> Iterator[Message]:
    """The records without their headers, which are left unread; bounded like those of a client."""
    for data, start, end in bounded_spans(batch, header):
        timestamp_delta, position = read_varint(data, start + 1)
        offset_delta, position = read_varint32(data, position)
        key, position = read_bytes(data, position, end)
        value, _ = read_bytes(data, position, end)
        yield Message(header.base_offset + offset_delta, header.time_of(timestamp_delta), key, value)
