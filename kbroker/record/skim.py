"""What the broker itself wants to know of a client's records: where they are and when; and how many it opens.

The body is looked through window by window and nothing is kept, so that a batch costs about what it weighs, however
well it is compressed. Headers of records are left unread. What is over the bounds is refused, not cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from kbroker.record.batch import BatchHeader, Buffer, read_header, record_spans
from kbroker.record.compression import DECOMPRESSED_BYTES_MAX, CorruptRecords, ExcessiveRecords
from kbroker.record.varint import read_varint, read_varint32

PLAIN_BYTES_FREE: Final = 16 << 20
PLAIN_BYTES_PER_BYTE: Final = 128
"""A batch may decompress to the first and so many times its size: 1 MB that shrank a hundredfold passes, a bomb of
1 KB ends after some 10 ms."""

RECORDS_FREE: Final = 100_000
BYTES_PER_RECORD: Final = 4
"""A batch may have the first many records and one more for so many of its bytes. A record takes some 2 µs, and has 7
bytes at least before it is compressed."""


class Skimmed(NamedTuple):
    """One record: its offset, and its time in milliseconds since 1970."""

    offset: int
    timestamp: int


def plain_bytes_max(header: BatchHeader) -> int:
    """How many bytes the body may have when decompressed."""
    return min(DECOMPRESSED_BYTES_MAX, PLAIN_BYTES_FREE + PLAIN_BYTES_PER_BYTE * header.size)


def bounded_spans(
    batch: Buffer, header: BatchHeader, limit: int = DECOMPRESSED_BYTES_MAX
) -> Iterator[tuple[bytes, int, int]]:
    """As record_spans, for a client's batch. Raises ExcessiveRecords at once where it has too many records."""
    records_max = RECORDS_FREE + header.size // BYTES_PER_RECORD
    if header.records_count > records_max:
        raise ExcessiveRecords(f"{header.records_count} records in {header.size} bytes, opened are {records_max}")
    return record_spans(batch, header, min(limit, plain_bytes_max(header)))


def skim_records(batch: Buffer) -> Iterator[Skimmed]:
    """Each record of one whole batch, in order. Raises CorruptRecords; ExcessiveRecords over the bounds."""
    header = read_header(batch)
    for data, start, end in bounded_spans(batch, header):
        timestamp_delta, position = read_varint(data, start + 1)
        offset_delta, position = read_varint32(data, position)
        key_length, position = read_varint(data, position)
        value_length, position = read_varint(data, position + max(0, key_length))
        if position + max(0, value_length) >= end:
            raise CorruptRecords(f"a key of {key_length} and a value of {value_length} bytes in {end - start}")
        yield Skimmed(header.base_offset + offset_delta, header.time_of(timestamp_delta))
