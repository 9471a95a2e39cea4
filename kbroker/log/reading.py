"""Reading by offset: whole batches of one segment, as a leased slice of its file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kbroker.log.outcome import LogRead
from kbroker.log.segment import Segment
from kbroker.world import FileSlice

NOTHING: Final = b""


def read_batches(segments: Iterable[Segment], offset: int, max_bytes: int, end: int, *, at_least_one: bool) -> LogRead:
    """From the batch that holds `offset`, within `max_bytes` and wholly before offset `end`.

    `segments` begin with the one where `offset` belongs. May raise DiskFailure, FileNotFoundError.
    """
    for segment in segments:
        found = segment.find(offset)
        if found is None:
            continue  # behind its last batch: a gap that compaction left
        base, start = found
        stop = segment.cut(start, max_bytes, end, at_least_one=at_least_one)
        if stop <= start:
            break
        handle = segment.handle
        records = FileSlice(handle.file(), start, stop - start, handle.unpin)
        handle.pins += 1
        return LogRead(records, base, start, segment.base_offset)
    return LogRead(NOTHING, offset, 0, 0)
