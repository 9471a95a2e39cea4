"""Searching by time: the first record that is as young as a timestamp, or younger.

Segments and indexes lead to a batch; which of its records it is, only the opened batch tells. A large or compressed one
is opened in a worker where the search may not wait, and its finding is remembered for the next try.
Source: Kafka's UnifiedLog.fetchOffsetByTimestamp, LogSegment.findOffsetByTimestamp.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Final, NamedTuple

from kbroker.log.segment import Segment
from kbroker.record.batch import BatchHeader
from kbroker.record.compression import UNREADABLE
from kbroker.record.skim import skim_records
from kbroker.world import ColdRead, Disk, DiskFailure

OPENED_BATCHES_MAX: Final = 4
"""How many batches one search by time opens. The largest time in an honest header is a record's: the first batch ends
the search, or the second where the log starts inside the first. What lying headers hide is found by its batch alone."""

PROMPT_BYTES_MAX: Final = 16 << 10
"""An uncompressed batch up to this size is opened where it is found: some 100 us."""

REMEMBERED_MAX: Final = 16
"""Findings of workers that one log keeps; a search needs its own until its next try."""

_LARGEST_TIMESTAMP: Final = attrgetter("max_timestamp")


class Sought(NamedTuple):
    """A question to one batch: its first record at `timestamp` or later, from offset `log_start` on."""

    segment: Segment
    position: int
    header: BatchHeader
    timestamp: int
    log_start: int

    @property
    def key(self) -> tuple[int, int, int, int]:
        """The same question has the same one, as long as the segment lives and is not cut."""
        return self.segment.base_offset, self.position, self.timestamp, self.log_start

    @property
    def is_prompt(self) -> bool:
        """Is it answered in no time?"""
        return self.header.size <= PROMPT_BYTES_MAX and not self.header.codec

    def answer(self, batch: bytes) -> tuple[int, int] | None:
        """(offset, timestamp) of the record, None when it is not here. Pure."""
        try:
            for record in skim_records(batch):
                if record.timestamp >= self.timestamp and record.offset >= self.log_start:
                    return record.offset, record.timestamp
        except UNREADABLE:
            # Accepted by its header alone; no record can be named, so the batch is.
            return max(self.header.base_offset, self.log_start), self.header.max_timestamp
        return None


class Unopened(ColdRead):
    """A batch must be opened before a search can go on; what a worker finds in it, the next try knows."""

    def __init__(self, search: TimeSearch, sought: Sought) -> None:
        super().__init__(sought.segment.handle.file(), sought.position, sought.header.size)
        self._search = search
        self._sought = sought

    def warm(self, done: Callable[[DiskFailure | None], None]) -> None:
        """See ColdRead."""
        self._search.open_in_worker(self._sought, done)


class TimeSearch:
    """Searches one log by time. Remembers the largest time up to each sealed segment: those do not change."""

    __slots__ = ("_disk", "_found", "_reached", "_sealed")

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._sealed: Sequence[Segment] = []
        self._reached: list[int] = []
        self._found: dict[tuple[int, int, int, int], tuple[int, int] | None] = {}

    def forget(self) -> None:
        """The log was cut, or segments were replaced."""
        self._sealed, self._reached, self._found = [], [], {}

    def first_at_or_after(
        self, timestamp: int, segments: Sequence[Segment], log_start: int
    ) -> tuple[int, int, int] | None:
        """(offset, timestamp, leader epoch) of the first record from `log_start` on at `timestamp` (ms) or later.

        None without one. May raise DiskFailure, FileNotFoundError; ColdRead where it may not wait.
        """
        opened = 0
        for segment in segments[self._first_reaching(timestamp, segments) :]:
            if segment.next_offset <= log_start or segment.largest_timestamp() < timestamp:
                continue
            for position, header in segment.find_time(timestamp, max(log_start, segment.base_offset)):
                if opened == OPENED_BATCHES_MAX or header.is_log_append_time:
                    return max(header.base_offset, log_start), header.max_timestamp, header.partition_leader_epoch
                opened += 1
                found = self._ask(Sought(segment, position, header, timestamp, log_start))
                if found is not None:
                    return (*found, header.partition_leader_epoch)
        return None

    def of_largest(self, segments: Sequence[Segment]) -> tuple[int, int, int] | None:
        """(offset, timestamp, leader epoch) of the first record with the largest timestamp; None in an empty log.

        In whatever the segments hold, be it before the log's start; of records without times the first. Kafka likewise.
        Raises as first_at_or_after.
        """
        segment = max(segments, key=_LARGEST_TIMESTAMP)
        found = segment.find(segment.last_offset_of_max)
        for position, header in segment.headers(found.position) if found is not None else ():
            if header.max_timestamp < segment.max_timestamp:
                continue
            if header.is_log_append_time:
                return header.base_offset, header.max_timestamp, header.partition_leader_epoch
            named = self._ask(Sought(segment, position, header, header.max_timestamp, segment.base_offset))
            # A header may claim a time that none of its records has.
            return None if named is None else (*named, header.partition_leader_epoch)
        return None

    def _first_reaching(self, timestamp: int, segments: Sequence[Segment]) -> int:
        """The number of the first segment whose largest time is at least `timestamp`; else of the last one."""
        sealed = segments[:-1]
        if sealed != self._sealed:
            self._reached = list(accumulate(map(_LARGEST_TIMESTAMP, sealed), max))
            self._sealed = sealed
        return bisect_left(self._reached, timestamp)

    def _ask(self, sought: Sought) -> tuple[int, int] | None:
        handle = sought.segment.handle
        if sought.is_prompt or handle.may_wait:
            return sought.answer(sought.segment.read_batch(sought.position, sought.header.size))
        if sought.key in self._found:
            return self._found[sought.key]
        raise Unopened(self, sought)

    def open_in_worker(self, sought: Sought, done: Callable[[DiskFailure | None], None]) -> None:
        """Read and open the batch, and remember what it answers."""
        handle = sought.segment.handle
        file, found = handle.file(), self._found
        handle.pins += 1

        def work() -> tuple[int, int] | None:
            return sought.answer(file.read_at(sought.position, sought.header.size))

        def over(result: tuple[int, int] | DiskFailure | None) -> None:
            handle.unpin()
            if isinstance(result, DiskFailure):
                done(result)
                return
            if len(found) >= REMEMBERED_MAX:
                del found[next(iter(found))]
            found[sought.key] = result
            done(None)

        self._disk.in_worker(work, over)
