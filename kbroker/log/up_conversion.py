"""A message set of Produce 0 to 2 turned into the one record batch that the log takes; pure, in steps for a worker.

What Kafka checks of message sets alone is checked here; the batch goes through the same door as any other then, where
keys, times and sizes are judged again. Kafka takes either plain messages, which become one batch, or one wrapper.
Source: Kafka's UnifiedLog.analyzeAndValidateRecords, LogValidator (its ways for other magics).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Final

from kbroker.log.outcome import Refused
from kbroker.log.preparation import SMALL_BYTES, compression_level
from kbroker.log.settings import LogSettings
from kbroker.log.validation import refused_body
from kbroker.record.batch import CODEC_MASK, MAGIC, NO_TIMESTAMP, Buffer, Gathering
from kbroker.record.compression import CODEC_BY_NAME, UNREADABLE, Codec, CorruptRecords
from kbroker.record.legacy import (
    ATTRIBUTES_POSITION,
    MAGIC_END,
    Entry,
    Message,
    RefusedMessages,
    iterate_entries,
    iterate_messages,
)
from protocol_specs.errors import ErrorCode

STEP_MESSAGES: Final = 200
"""Messages checked, or converted, between two steps: about a millisecond."""

_MAGIC_POSITION = 16


def is_message_set(records: Buffer) -> bool:
    """Is it for `convert_up`, rather than record batches? What is too short to tell holds nothing in either form."""
    return len(records) < MAGIC_END or records[_MAGIC_POSITION] != MAGIC


def is_small(messages: Buffer) -> bool:
    """May it be converted where it is? Nothing compressed may: what that costs is not known before."""
    return len(messages) <= SMALL_BYTES and (
        len(messages) <= ATTRIBUTES_POSITION or not messages[ATTRIBUTES_POSITION] & CODEC_MASK
    )


def convert_up(messages: Buffer, settings: LogSettings) -> memoryview | Refused | None:
    """The record batch with the same records, packed as the topic wants it; None where there is no whole message.

    Times are kept (-1 in magic 0), offsets are counted anew.
    """
    steps = conversion(messages, settings)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome: memoryview | Refused | None = end.value
            return outcome


def conversion(messages: Buffer, settings: LogSettings) -> Generator[None, None, memoryview | Refused | None]:
    """What convert_up does, in small steps."""
    try:
        entries = yield from _checked(messages, settings)
        if not entries:
            return None
        source = entries[-1].codec
        wanted = settings.compression_type
        codec = Codec(source) if wanted == "producer" else CODEC_BY_NAME[wanted]
        gathering = Gathering(NO_TIMESTAMP)
        for count, one in enumerate(_opened(entries, settings), 1):
            gathering.add((one.key, one.value, (), one.timestamp))
            if count % STEP_MESSAGES == 0:
                yield
        batch = gathering.batch(codec=codec, level=compression_level(codec, settings))
    except RefusedMessages as error:
        return Refused(error.error, str(error))
    except UNREADABLE as error:
        return refused_body(error)
    return memoryview(batch)


def _checked(messages: Buffer, settings: LogSettings) -> Generator[None, None, Sequence[Entry]]:
    """The entries, each sound and not too large; more than one where none is compressed."""
    entries: list[Entry] = []
    for count, entry in enumerate(iterate_entries(messages), 1):
        if count % STEP_MESSAGES == 0:
            yield
        if entry.magic == MAGIC or (entries and entry.magic != entries[0].magic):
            raise RefusedMessages(ErrorCode.INVALID_RECORD, "messages of different magics")
        if len(entry.data) > settings.max_message_bytes:
            raise RefusedMessages(
                ErrorCode.MESSAGE_TOO_LARGE,
                f"a message of {len(entry.data)} bytes, max.message.bytes is {settings.max_message_bytes}",
            )
        if not entry.is_sound:
            raise RefusedMessages(ErrorCode.CORRUPT_MESSAGE, "the checksum of a message doesn't match")
        if entry.codec > Codec.ZSTD:
            raise CorruptRecords(f"no codec has the number {entry.codec}")
        entries.append(entry)
    if len(entries) > 1 and any(entry.codec for entry in entries):
        raise RefusedMessages(ErrorCode.INVALID_RECORD, "a compressed message that isn't alone")
    return entries


def _opened(entries: Sequence[Entry], settings: LogSettings) -> Iterator[Message]:
    for entry in entries:
        for message in iterate_messages(entry):
            if entry.is_log_append_time and (settings.is_log_append_time or message.timestamp == NO_TIMESTAMP):
                raise RefusedMessages(ErrorCode.INVALID_TIMESTAMP, "a client's message with LogAppendTime")
            if message.timestamp < NO_TIMESTAMP:
                raise RefusedMessages(ErrorCode.INVALID_TIMESTAMP, f"the timestamp {message.timestamp}")
            yield message
