"""One segment: a `.log` file of batches, its indexes, and where in them an offset or a time is found.

`size` counts what is assigned, `written` what readers may see; they differ while a large write is queued. The last
batches of the growing segment are remembered (`tail`), so that a reader at the end needs neither index nor file.
Source: Kafka's LogSegment.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from crc32c import crc32c

from kbroker.log.damage import DamagedBatch
from kbroker.log.index import OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES, offset_index, time_index
from kbroker.log.open_files import FileHandle, OpenFiles
from kbroker.log.settings import INT64_MAX, LogSettings
from kbroker.log.txn_index import TransactionIndex
from kbroker.record.batch import HEADER_BYTES, MAGIC, NO_TIMESTAMP, BatchHeader, read_header
from kbroker.world import Disk, DiskFailure

INT32_MAX: Final = 0x7FFFFFFF
_DIGITS: Final = 20
TAIL_BATCHES_MAX: Final = 1024
"""Batches remembered at the end of a growing segment; half of them go when it is full."""
_WINDOW_BYTES = 16 << 10
"""Read at once while walking headers: some index intervals of small batches."""
_FIRST_WINDOW_BYTES = 5 << 10
"""Most walks end within the index interval in which they begin."""


_LONG_WALK_BYTES = 1 << 20
"""Some ten milliseconds of small batches."""


class Found(NamedTuple):
    """A batch in a segment: its base offset, its byte."""

    base_offset: int
    position: int


_NOWHERE: Final = Found(-1, -1)


def file_name(base_offset: int) -> str:
    """The 20 digits that a segment's files are named by."""
    return f"{base_offset:0{_DIGITS}d}"


def is_file_name(stem: str) -> bool:
    """Is it such a name? People put other files beside them."""
    return len(stem) == _DIGITS and stem.isascii() and stem.isdigit() and int(stem) <= INT64_MAX


def offsets_named(names: Iterable[str], suffix: str) -> list[int]:
    """The offsets that files with this suffix are named by, rising."""
    stems = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    return sorted(int(stem) for stem in stems if is_file_name(stem))


class Segment:
    """See the module. Positions and sizes in bytes; offsets absolute unless called relative."""

    __slots__ = (
        "_bytes_since_entry",
        "_next_read",
        "_tail_bases",
        "_tail_lasts",
        "_tail_positions",
        "base_offset",
        "created_ms",
        "cut_bytes",
        "cut_segments",
        "directory",
        "first_timestamp",
        "handle",
        "last_offset_of_max",
        "max_timestamp",
        "next_offset",
        "offsets",
        "size",
        "times",
        "transactions",
        "written",
    )

    def __init__(self, files: OpenFiles, directory: str, base_offset: int, created_ms: int) -> None:
        self.directory = directory
        self.base_offset = base_offset
        # What recovery took away behind the last sound batch, for whoever tells the user.
        self.cut_bytes = self.cut_segments = 0
        stem = f"{directory}/{file_name(base_offset)}"
        self.handle = FileHandle(files, stem + ".log")
        self.offsets = offset_index(FileHandle(files, stem + ".index"))
        self.times = time_index(FileHandle(files, stem + ".timeindex"))
        self.transactions = TransactionIndex(FileHandle(files, stem + ".txnindex"))
        self.created_ms = created_ms
        self.next_offset = base_offset
        self.size = 0
        self.written = 0
        self.first_timestamp = NO_TIMESTAMP
        self.max_timestamp = NO_TIMESTAMP
        self.last_offset_of_max = base_offset
        self._bytes_since_entry = 0
        self._tail_bases: list[int] = []
        self._tail_lasts: list[int] = []
        self._tail_positions: list[int] = []
        self._next_read = _NOWHERE

    # ---- growing

    def note_batch(self, header: BatchHeader, position: int, interval_bytes: int) -> None:
        """Account for a batch at `position`: index entries, time, tail. The bytes are written by the log."""
        last = header.base_offset + header.last_offset_delta
        timestamp = header.max_timestamp
        if timestamp > self.max_timestamp:
            self.max_timestamp = timestamp
            self.last_offset_of_max = last
        if position == 0:
            self.first_timestamp = timestamp
        if self._bytes_since_entry > interval_bytes:
            self.offsets.append(last - self.base_offset, position)
            self._note_time()
            self._bytes_since_entry = 0
        size = header.batch_length + 12
        self._bytes_since_entry += size
        self.size = position + size
        self.next_offset = last + 1
        lasts = self._tail_lasts
        lasts.append(last)
        self._tail_bases.append(header.base_offset)
        self._tail_positions.append(position)
        if len(lasts) > TAIL_BATCHES_MAX:
            half = TAIL_BATCHES_MAX // 2
            del lasts[:half], self._tail_bases[:half], self._tail_positions[:half]

    def _note_time(self) -> None:
        newest = self.times.last
        if self.max_timestamp > (newest[0] if newest else NO_TIMESTAMP):
            self.times.append(self.max_timestamp, self.last_offset_of_max - self.base_offset)

    def must_roll_before(
        self, size: int, last_offset: int, max_timestamp: int, now_ms: int, settings: LogSettings
    ) -> bool:
        """Does a batch of `size` bytes belong into a new segment? By bytes, time, full index, or too far an offset."""
        if not self.size:
            return last_offset - self.base_offset > INT32_MAX
        if self.size + size > settings.segment_bytes:
            return True
        if self.first_timestamp >= 0:
            waited_ms = max_timestamp - self.first_timestamp
        else:
            waited_ms = now_ms - self.created_ms
        return (
            (
                waited_ms > settings.segment_ms_max - settings.segment_jitter_ms
                and waited_ms > settings.segment_ms_max - self._jitter_ms(settings)
            )
            or len(self.offsets) >= settings.segment_index_bytes // OFFSET_ENTRY_BYTES
            or len(self.times) >= settings.segment_index_bytes // TIME_ENTRY_BYTES - 1
            or last_offset - self.base_offset > INT32_MAX
        )

    def _jitter_ms(self, settings: LogSettings) -> int:
        """How much earlier than `segment.ms` it is full: below `segment.jitter.ms`, another for each segment.

        Kafka draws it; logs that began together must not roll together, and a name spreads them as well as a die.
        """
        bound = min(settings.segment_jitter_ms, settings.segment_ms)
        return crc32c(self.handle.path.encode()) % bound if bound > 0 else 0

    def stop_growing(self) -> None:
        """The last time entry is forced; the indexes stay in memory until somebody completes their files."""
        if self.size:
            self._note_time()
        self._forget_tail()

    @property
    def is_complete(self) -> bool:
        """Does it grow no more, with all of its indexes in their files?"""
        return self.offsets.is_complete and self.times.is_complete

    def complete_indexes(self, disk: Disk, is_gone: Callable[[], bool]) -> None:
        """Bring both to their files, synced, unless the log `is_gone`. In a worker. Raises DiskFailure."""
        self.offsets.complete(disk, is_gone)
        self.times.complete(disk, is_gone)

    def completed(self) -> None:
        """complete_indexes() is over: searches read the files from now on."""
        self.offsets.completed()
        self.times.completed()

    def seal(self) -> None:
        """It grows no more: the last time entry is forced, the indexes go to their files."""
        self.finish_indexes()
        self.offsets.seal()
        self.times.seal()
        self._forget_tail()

    def finish_indexes(self) -> None:
        """Both index files complete, with the entry of the largest timestamp."""
        if self.size:
            self._note_time()
        self.offsets.flush()
        self.times.flush()

    def replace_indexes(self, disk: Disk) -> None:
        """As finish_indexes(), where files that were trusted are at stake. Raises DiskFailure."""
        if self.size:
            self._note_time()
        self.offsets.replace(disk)
        self.times.replace(disk)

    def _forget_tail(self) -> None:
        self._tail_bases.clear()
        self._tail_lasts.clear()
        self._tail_positions.clear()

    # ---- finding

    def find(self, offset: int) -> Found | None:
        """The first written batch whose last offset is at least `offset`, None behind the end."""
        lasts = self._tail_lasts
        if lasts and offset >= self._tail_bases[0]:
            index = bisect_left(lasts, offset)
            if index == len(lasts) or self._tail_positions[index] >= self.written:
                return None
            return Found(self._tail_bases[index], self._tail_positions[index])
        if offset == self._next_read.base_offset:
            return self._next_read
        entry = self.offsets.floor(offset - self.base_offset)
        start = entry[1] if entry else 0
        try:
            found = self._first_from(start, offset)
        except DamagedBatch as damage:
            if damage.position != start:
                raise
            found = None
        if found is None or (found.position == start and found.base_offset > offset):
            # Behind the end, in a gap of compaction, or led astray by a damaged index, past batches that are there.
            truthful = self._truthful_start(offset, start)
            if found is None or truthful != start:
                found = self._first_from(truthful, offset)
        return found

    def _first_from(self, start: int, offset: int) -> Found | None:
        """The first batch from byte `start` on whose last offset is at least `offset`."""
        for position, header in self.headers(start):
            if header.base_offset + header.last_offset_delta >= offset:
                return Found(header.base_offset, position)
        return None

    def _truthful_start(self, offset: int, start: int) -> int:
        """The byte of the last batch at or before `offset` that the index and the log agree on; 0 without one.

        That is `start`, where the index sent us, but for a damaged index.
        """
        if self._begins_before(start, offset):
            return start
        positions = (at for key, at in self.offsets.entries() if key <= offset - self.base_offset)
        return next((at for at in sorted(positions, reverse=True) if self._begins_before(at, offset)), 0)

    def _begins_before(self, position: int, offset: int) -> bool:
        """Does a batch begin at byte `position` that holds `offset` or an earlier one?"""
        try:
            _, header = next(self.headers(position))
        except (DamagedBatch, StopIteration):
            return False
        return header.base_offset <= offset

    def cut(self, start: int, bytes_max: int, end: int, *, at_least_one: bool) -> int:
        """Where whole batches from position `start` stop: within `bytes_max`, before the one that reaches offset `end`.

        The first batch comes whole even when it is larger, if `at_least_one`. `start` itself when there is nothing.
        """
        stop = self.written
        if end < self.next_offset:
            try:
                bound = self.find(end)
            except DamagedBatch as damage:
                if damage.position <= start:
                    raise
                stop = damage.position
            else:
                stop = bound.position if bound is not None else stop
        if stop - start <= bytes_max:
            return max(stop, start)
        limit = self._boundary(start, start + bytes_max)
        if limit == start and at_least_one:
            limit = self._batch_end(start)
        return limit

    def _boundary(self, start: int, position: int) -> int:
        """The last beginning of a batch at or before `position`, from `start` on."""
        tail = self._tail_positions
        if tail and position >= tail[0]:
            return max(start, tail[bisect_right(tail, position) - 1])
        entry = self.offsets.floor_by_value(position)
        boundary = max(start, entry[1] if entry else 0)
        try:
            for at, header in self.headers(boundary):
                boundary = at
                if at + header.size > position:
                    # Whoever is given what lies before it asks for it next: then nothing is looked up or read for that.
                    self._next_read = Found(header.base_offset, at)
                    break
        except DamagedBatch as damage:
            # What is sound is read up to there; who reads on from there is told. A damaged index leads into a batch.
            boundary = damage.position if damage.position != boundary else start
        return boundary

    def end_before(self, position: int) -> int:
        """Behind the last offset of the batch that ends at `position`, a boundary between batches."""
        tail = self._tail_positions
        if tail and position > tail[0]:
            return self._tail_lasts[bisect_left(tail, position) - 1] + 1
        entry = self.offsets.floor_by_value(position - 1)
        end = self.base_offset
        for at, header in self.headers(entry[1] if entry else 0):
            if at >= position:
                break
            end = header.last_offset + 1
        return end

    def _batch_end(self, position: int) -> int:
        tail = self._tail_positions
        if tail and position >= tail[0]:
            index = bisect_right(tail, position)
            return tail[index] if index < len(tail) else self.size
        return position + next(self.headers(position))[1].size

    def headers(self, position: int) -> Iterator[tuple[int, BatchHeader]]:
        """(position, header) of each written batch from `position`, which must be a batch's.

        Raises DamagedBatch at a header that no append could have written.
        """
        if position < 0:  # as a damaged index may say
            raise DamagedBatch(self.handle.path, f"no batch begins at byte {position}", position)
        window, start, window_bytes = b"", position, _FIRST_WINDOW_BYTES
        expected = self.base_offset
        # Not known yet of one that is read for the first time.
        end = self.next_offset if self.next_offset > expected else expected + INT32_MAX + 1
        while (left := self.written - position) > 0:
            inside = position - start
            if inside + HEADER_BYTES > len(window):
                window = self.handle.read(position, min(window_bytes, left))
                start, inside, window_bytes = position, 0, _WINDOW_BYTES
            header = read_header(window, inside) if len(window) - inside >= HEADER_BYTES else None
            if header is None or not self._can_hold(header, left, expected, end):
                raise DamagedBatch(self.handle.path, f"the batch at byte {position} is damaged", position)
            yield position, header
            position += header.size
            expected = header.base_offset + header.last_offset_delta + 1

    def readable_headers(self, position: int) -> Iterator[tuple[int, BatchHeader]]:
        """As headers(), but what is damaged is passed over: the index says where the next batch begins."""
        start: int | None = position
        while start is not None:
            try:
                yield from self.headers(start)
                return
            except DamagedBatch as damage:
                start = next((at for _, at in self.offsets.entries() if at > damage.position), None)

    def _can_hold(self, header: BatchHeader, left: int, expected: int, end: int) -> bool:
        """Can a batch like this stand where `left` bytes and offsets from `expected` to `end` remain?"""
        return (
            header.magic == MAGIC
            and HEADER_BYTES <= header.size <= left
            and header.base_offset >= expected
            and header.last_offset_delta >= 0
            and header.last_offset < end
        )

    def read_batch(self, position: int, size: int) -> bytes:
        """The whole batch of `size` bytes at `position`."""
        return self.handle.read(position, size)

    def largest_timestamp(self) -> int:
        """The largest timestamp of its records, -1 when none has a time."""
        return self.max_timestamp

    def modified_ms(self) -> int:
        """When its file was written last, ms since 1970: the age of records without times, as in Kafka.

        When the log was opened where the file can't be asked; whoever reads or writes it next is told why.
        """
        try:
            return self.handle.file().modified_ms()
        except (DiskFailure, FileNotFoundError):
            return self.created_ms

    def find_time(self, timestamp: int, from_offset: int) -> Iterator[tuple[int, BatchHeader]]:
        """(position, header) of batches whose largest timestamp is at least `timestamp`, from `from_offset` on."""
        entry = self.times.floor(timestamp - 1)
        start = max(from_offset, self.base_offset + entry[1] if entry else from_offset)
        found = self.find(start)
        if found is None:
            return
        for position, header in self.headers(found.position):
            if header.max_timestamp >= timestamp:
                yield position, header

    # ---- opening, shrinking, leaving

    def adopt(self) -> bool:
        """Trust files that were closed cleanly: sizes, indexes, the end behind the last index entry.

        False when an index is missing or can't belong to the log: it must be rebuilt by `recover`.
        """
        self.size = self.written = self.handle.file().size()
        if not (self.offsets.adopt() and self.times.adopt() and self.transactions.adopt(self.base_offset)):
            return False
        last = self.offsets.last
        if last is not None and last[1] >= self.size:
            return False
        if self.times.last is not None:
            self.max_timestamp = self.times.last[0]
            self.last_offset_of_max = self.base_offset + self.times.last[1]
        return True

    def lacking_index(self, interval_bytes: int) -> FileHandle | None:
        """Of an adopted segment: the index that has no entry and must have had some.

        The largest time is noted when a segment is closed, wherever a batch has one. An offset is noted for a batch
        that begins behind the interval; small segments are not looked at for that, since their walks are short, and
        Kafka's followers note one for all that came together.
        """
        with suppress(DamagedBatch):
            if not len(self.times) and self.size and next(self.headers(0))[1].max_timestamp >= 0:
                return self.times.handle
            if not len(self.offsets) and self.size > _LONG_WALK_BYTES:
                starts = (position for position, _ in self.headers(0))
                return self.offsets.handle if any(position > interval_bytes for position in starts) else None
        return None

    def adopt_end(self) -> None:
        """The end of an adopted segment that grows on: walk the batches behind the last index entry.

        Raises DamagedBatch for a header among those that no append could have written.
        """
        last = self.offsets.last
        self._bytes_since_entry = 0
        for position, header in self.headers(last[1] if last else 0):
            if position == 0:
                self.first_timestamp = header.max_timestamp
            self.next_offset = header.last_offset + 1
            self._bytes_since_entry += header.size
            if header.max_timestamp > self.max_timestamp:
                self.max_timestamp = header.max_timestamp
                self.last_offset_of_max = header.last_offset
        if last and self.size:
            # A damaged first batch has no time: the segment's age is that of its file then.
            with suppress(DamagedBatch):
                self.first_timestamp = next(self.headers(0))[1].max_timestamp
        self.offsets.load()
        self.times.load()

    def restart(self) -> None:
        """Forget what is known and indexed of the file: `note_batch` will be told again."""
        self.offsets.reset()
        self.times.reset()
        self._forget_tail()
        self._next_read = _NOWHERE
        self.next_offset = self.base_offset
        self.size = self.written = 0
        self.first_timestamp = self.max_timestamp = NO_TIMESTAMP
        self.last_offset_of_max = self.base_offset
        self._bytes_since_entry = 0

    def handles(self) -> tuple[FileHandle, ...]:
        """The log, its two indexes, and the index of aborted transactions where there is one."""
        if self.transactions.exists:
            return self.handle, self.offsets.handle, self.times.handle, self.transactions.handle
        return self.handle, self.offsets.handle, self.times.handle

    def rest(self) -> None:
        """Give back the descriptors that nobody uses at this moment; the next use opens the files again."""
        for handle in self.handles():
            if not handle.pins:
                handle.close()

    def renew_handle(self) -> None:
        """Another file has taken the log's name: the old one closes with its last lease."""
        old = self.handle
        self.handle = old.renewed()
        old.retire()

    def retire(self) -> None:
        """Close the files as soon as no slice of them is leased."""
        for handle in self.handles():
            handle.retire()
