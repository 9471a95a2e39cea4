"""Searching by time: the first record that is as young as a timestamp, or younger.

Source: Kafka's UnifiedLog.fetchOffsetByTimestamp, LogSegment.findOffsetByTimestamp.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Final

from kbroker.log.segment import Segment
from kbroker.record.batch import NO_TIMESTAMP, BatchHeader
from kbroker.record.compression import CorruptRecords
from kbroker.record.skim import skim_records

OPENED_BATCHES_MAX: Final = 4
"""How many batches one search by time opens. The largest time in an honest header is a record's: the first batch ends
the search, or the second where the log starts inside the first. What lying headers hide is found by its batch alone."""

_LARGEST_TIMESTAMP: Final = attrgetter("max_timestamp")


class LargestTimes:
    """The largest time in a log up to each of its sealed segments, which do not change: many are passed in one step."""

    __slots__ = ("_reached", "_sealed")

    def __init__(self) -> None:
        self._sealed: Sequence[Segment] = []
        self._reached: list[int] = []

    def first_reaching(self, timestamp: int, segments: Sequence[Segment]) -> int:
        """The number of the first segment whose largest time is at least `timestamp`; else of the last one."""
        sealed = segments[:-1]
        if sealed != self._sealed:
            self._reached = list(accumulate(map(_LARGEST_TIMESTAMP, sealed), max))
            self._sealed = sealed
        return bisect_left(self._reached, timestamp)


def largest_timestamp(segments: Sequence[Segment]) -> int:
    """Of all segments, -1 without any."""
    return max(map(_LARGEST_TIMESTAMP, segments), default=NO_TIMESTAMP)


def first_at_or_after(
    timestamp: int, segments: Sequence[Segment], log_start: int, times: LargestTimes
) -> tuple[int, int, int] | None:
    """(offset, timestamp, leader epoch) of the first record from `log_start` on at `timestamp` (ms) or later, or None.

    May raise DiskFailure, FileNotFoundError.
    """
    opened = 0
    for segment in segments[times.first_reaching(timestamp, segments) :]:
        if segment.next_offset <= log_start or segment.largest_timestamp() < timestamp:
            continue
        for position, header in segment.find_time(timestamp, max(log_start, segment.base_offset)):
            if opened == OPENED_BATCHES_MAX:
                return max(header.base_offset, log_start), header.max_timestamp, header.partition_leader_epoch
            opened += 1
            found = _first_record(segment, position, header, timestamp, log_start)
            if found is not None:
                return (*found, header.partition_leader_epoch)
    return None


def _first_record(
    segment: Segment, position: int, header: BatchHeader, timestamp: int, log_start: int
) -> tuple[int, int] | None:
    if header.is_log_append_time:
        return max(header.base_offset, log_start), header.max_timestamp
    try:
        for record in skim_records(segment.read_batch(position, header.size)):
            if record.timestamp >= timestamp and record.offset >= log_start:
                return record.offset, record.timestamp
    except CorruptRecords:
        # Accepted by its header alone; no record can be named, so the batch is.
        return max(header.base_offset, log_start), header.max_timestamp
    return None
