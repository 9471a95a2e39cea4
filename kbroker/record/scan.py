"""Every record of a batch looked at in one pass: what Kafka asks of them before it takes the batch.

The body is gone through window by window and nothing of it is kept. Every byte of every record is parsed, as a consumer
will; on the way records without a key and records out of time are found, whether the offsets count up from 0, and the
largest time. It is a generator of small steps: whoever drives it decides when others have their turn.
Source: Kafka's DefaultRecord.readFrom, DefaultRecordBatch.RecordIterator, LogValidator.validateRecord.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, NamedTuple

from kbroker.record.batch import HEADER_BYTES, NO_TIMESTAMP, BatchHeader, Buffer
from kbroker.record.compression import Codec, CorruptRecords, lz4_defect
from kbroker.record.skim import bounded_spans
from kbroker.record.varint import read_varint, read_varint32, wrapped

STEP_RECORDS: Final = 512
"""Records, or headers of one, between two steps: under a millisecond."""

NAMED_MAX: Final = 100
"""How many wrong records of a batch are named; Kafka names all, each in some 70 bytes of the answer."""

INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1


class Demands(NamedTuple):
    """What is asked of every record. Times in milliseconds since 1970, both included."""

    needs_key: bool = False
    earliest: int = INT64_MIN
    latest: int = INT64_MAX


class Scan(NamedTuple):
    """What was found. `wrong` names the first records at fault: (index, time), None where the key is missing."""

    max_timestamp: int
    is_dense: bool
    """Are the offsets 0, 1, 2, ... from the base?"""
    wrong: tuple[tuple[int, int | None], ...] = ()
    is_mistimed: bool = False
    """Is any record out of time, named or not?"""


def scan_records(batch: Buffer, header: BatchHeader, demands: Demands, limit: int) -> Generator[None, None, Scan]:
    """Go through at most `limit` bytes of records.

    Raises CorruptRecords where they aren't what the header promises, or can't be unpacked by Java's readers;
    ExcessiveRecords over the bounds.
    """
    spans = bounded_spans(batch, header, limit)
    if header.codec == Codec.LZ4 and (defect := lz4_defect(memoryview(batch)[HEADER_BYTES : header.size])):
        raise CorruptRecords(defect)
    needs_key, earliest, latest = demands
    fixed_time = header.max_timestamp if header.is_log_append_time else None
    base_timestamp, newest, is_dense, is_mistimed = header.base_timestamp, NO_TIMESTAMP, True, False
    wrong: list[tuple[int, int | None]] = []
    try:
        for index, (data, start, end) in enumerate(spans):
            if not index % STEP_RECORDS:
                yield
            # One-byte varints, the usual case, are read in place: a call costs as much as the rest of it.
            position = start + 2
            byte = data[start + 1]
            if byte < 0x80:
                timestamp = base_timestamp + ((byte >> 1) ^ -(byte & 1))
            else:
                delta, position = read_varint(data, start + 1)
                timestamp = base_timestamp + delta
            byte = data[position]
            if byte < 0x80:
                offset = (byte >> 1) ^ -(byte & 1)
                position += 1
            else:
                offset, position = read_varint32(data, position)
            byte = data[position]
            if byte < 0x80:
                key_bytes = (byte >> 1) ^ -(byte & 1)
                position += 1
            else:
                key_bytes, position = read_varint32(data, position)
            value_bytes, position = read_varint32(data, position + key_bytes if key_bytes > 0 else position)
            if value_bytes > 0:
                position += value_bytes
            if position >= end or data[position]:
                is_whole = (yield from _past_headers(data, position, end)) == end
            else:
                is_whole = position + 1 == end
            if not is_whole:
                raise CorruptRecords(f"the fields of record {index} don't end where its {end - start} bytes do")
            if offset != index:
                is_dense = False
            if fixed_time is not None:
                timestamp = fixed_time
            elif not INT64_MIN <= timestamp <= INT64_MAX:
                timestamp = wrapped(timestamp)
            if timestamp > newest:
                newest = timestamp
            if needs_key and key_bytes < 0:
                if len(wrong) < NAMED_MAX:
                    wrong.append((index, None))
            elif not earliest <= timestamp <= latest and timestamp != NO_TIMESTAMP:
                is_mistimed = True
                if len(wrong) < NAMED_MAX:
                    wrong.append((index, timestamp))
    except IndexError as error:
        raise CorruptRecords("a record is cut") from error
    return Scan(newest, is_dense, tuple(wrong), is_mistimed)


def _past_headers(data: bytes, position: int, end: int) -> Generator[None, None, int]:
    """The position behind the headers whose count stands at `position`."""
    count, position = read_varint32(data, position)
    if not 0 <= count <= end - position:
        raise CorruptRecords(f"{count} headers in {end - position} bytes")
    for number in range(count):
        if number % STEP_RECORDS == STEP_RECORDS - 1:
            yield
        name_bytes, position = read_varint32(data, position)
        if name_bytes < 0:
            raise CorruptRecords("a header without a name")
        content_bytes, position = read_varint32(data, position + name_bytes)
        position += max(0, content_bytes)
        if position > end:
            raise CorruptRecords(f"a header ends {position - end} bytes behind its record")
    return position
