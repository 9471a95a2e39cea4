"""Which part of a log is dirty, whether there is enough of it to act, and which segments become one.

    |  clean: every key once  |  dirty: to be cleaned  |  not yet: too young, not replicated, open, growing  |
    log start             first dirty            first uncleanable                                      log end

Source: Kafka's LogCleanerManager.cleanableOffsets and calculateCleanableBytes, Cleaner.groupSegmentsBySize.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from kbroker.log.index import OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES
from kbroker.log.segment import INT32_MAX, Segment
from kbroker.log.settings import INT64_MAX, LogSettings

GROUP_SEGMENTS_MAX: Final = 64
"""Segments that become one in one step: each costs three renames on the state's thread, some 10 us apiece. Kafka has
no such bound; more of them meet in the next round."""


class Cleanable(NamedTuple):
    """What a round would clean. Offsets are absolute, `end` is the base of a segment; sizes in bytes."""

    first_dirty: int
    end: int
    clean_bytes: int
    dirty_bytes: int
    is_overdue: bool
    """Has a record waited for `max.compaction.lag.ms`?"""

    @property
    def dirty_ratio(self) -> float:
        """The dirty share of what can be cleaned, 0 where there is nothing."""
        total = self.clean_bytes + self.dirty_bytes
        return self.dirty_bytes / total if total else 0.0

    def is_enough(self, settings: LogSettings) -> bool:
        """Is it dirty enough, or has it waited too long?"""
        return self.dirty_bytes > 0 and (self.is_overdue or self.dirty_ratio > settings.min_cleanable_dirty_ratio)


def cleanable(
    segments: Sequence[Segment],
    settings: LogSettings,
    *,
    checkpoint: int | None,
    log_start: int,
    log_end: int,
    stable_end: int,
    now_ms: int,
) -> Cleanable:
    """What of a log a round may clean now.

    `checkpoint` is where the last round ended, `stable_end` the high watermark or the first open transaction. May raise
    DiskFailure where the time of a segment must be read from it.
    """
    first_dirty = log_start if checkpoint is None or not log_start <= checkpoint <= log_end else checkpoint
    bases = [segment.base_offset for segment in segments]
    sealed = len(segments) - 1
    dirty_from = max(0, bisect_right(bases, first_dirty) - 1)
    # A segment goes as a whole: the one that holds the first unstable offset stays.
    stop = max(0, min(sealed, bisect_right(bases, max(stable_end, first_dirty)) - 1))
    for index in range(dirty_from, stop):
        if _is_young(segments[index], settings, now_ms):
            stop = index
            break
    dirty = segments[dirty_from : max(dirty_from, stop)]
    return Cleanable(
        first_dirty,
        bases[stop],
        sum(segment.size for segment in segments[: bisect_right(bases, first_dirty - 1)]),
        sum(segment.size for segment in dirty),
        _is_overdue(segments[dirty_from:sealed], settings, now_ms),
    )


def _is_young(segment: Segment, settings: LogSettings, now_ms: int) -> bool:
    lag_ms, newest_ms = settings.min_compaction_lag_ms, segment.largest_timestamp()
    return lag_ms > 0 and (newest_ms if newest_ms >= 0 else segment.modified_ms()) > now_ms - lag_ms


def _is_overdue(dirty: Sequence[Segment], settings: LogSettings, now_ms: int) -> bool:
    if settings.max_compaction_lag_ms == INT64_MAX:
        return False
    latest_ms = now_ms - settings.max_compaction_lag_ms
    return any(segment.size and 0 < _first_timestamp(segment) < latest_ms for segment in dirty)


def _first_timestamp(segment: Segment) -> int:
    """The largest timestamp of its first batch, as Kafka takes a segment's age."""
    if segment.first_timestamp < 0:
        segment.first_timestamp = next(segment.headers(0))[1].max_timestamp
    return segment.first_timestamp


def grouped(segments: Sequence[Segment], settings: LogSettings, end: int) -> list[list[Segment]]:
    """Neighbours that fit into one segment together, by bytes, index entries and span of offsets.

    `segments` are those to be cleaned, `end` is where they end (exclusive).
    """
    groups: list[list[Segment]] = []
    size = offset_bytes = time_bytes = 0
    for index, segment in enumerate(segments):
        last_offset = (segments[index + 1].base_offset if index + 1 < len(segments) else end) - 1
        size += segment.size
        offset_bytes += len(segment.offsets) * OFFSET_ENTRY_BYTES
        time_bytes += len(segment.times) * TIME_ENTRY_BYTES
        if (
            groups
            and len(groups[-1]) < GROUP_SEGMENTS_MAX
            and size <= settings.segment_bytes
            and max(offset_bytes, time_bytes) <= settings.segment_index_bytes
            and (not segment.size or last_offset - groups[-1][0].base_offset <= INT32_MAX)
        ):
            groups[-1].append(segment)
        else:
            groups.append([segment])
            size = segment.size
            offset_bytes = len(segment.offsets) * OFFSET_ENTRY_BYTES
            time_bytes = len(segment.times) * TIME_ENTRY_BYTES
    return groups
