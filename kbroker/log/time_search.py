"""Searching by time: the first record that is as young as a timestamp, or younger.

Source: Kafka's UnifiedLog.fetchOffsetByTimestamp, LogSegment.findOffsetByTimestamp.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kbroker.log.segment import Segment
from kbroker.record.batch import BatchHeader
from kbroker.record.compression import CorruptRecords
from kbroker.record.skim import skim_records

OPENED_BATCHES_MAX: Final = 4
"""How many batches one search by time opens. The largest time in an honest header is a record's: the first batch ends
the search, or the second where the log starts inside the first. What lying headers hide is found by its batch alone."""


def first_at_or_after(timestamp: int, segments: Iterable[Segment], log_start: int) -> tuple[int, int, int] | None:
    """(offset, timestamp, leader epoch) of the first record from `log_start` on at `timestamp` (ms) or later, or None.

    May raise DiskFailure, FileNotFoundError.
    """
    opened = 0
    for segment in segments:
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
