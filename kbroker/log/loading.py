"""Opening a log: what its files say, recovered where they cannot be trusted.

Source: Kafka's LogLoader.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

from kbroker.log import recovery
from kbroker.log.batch_walk import batches
from kbroker.log.cutting import cutting, finish_cut
from kbroker.log.damage import DamagedBatch
from kbroker.log.leader_epochs import LeaderEpochs
from kbroker.log.mended import Mended
from kbroker.log.open_files import FileHandle, OpenFiles
from kbroker.log.producer_state import ProducerState
from kbroker.log.recovery import LOG_SUFFIX
from kbroker.log.salvage import salvage
from kbroker.log.segment import Segment, file_name
from kbroker.log.segment_list import SegmentList
from kbroker.record.batch import checksum_matches
from kbroker.world import Clock, Disk, DiskFailure

_DAMAGE_REMEDY = "what is sound is served, the rest as it is or with CORRUPT_MESSAGE"


class Loaded(NamedTuple):
    """A log as its files have it."""

    segments: SegmentList
    epochs: LeaderEpochs
    epochs_on_disk: list[tuple[int, int]]
    """(leader epoch, start offset) pairs of the file, as it was found."""
    producers: ProducerState
    log_start: int
    flushed_end: int
    is_dirty: bool
    """Do the files say less than what is known now?"""
    has_lost_end: bool
    """Does it end before where it was cleanly stopped?"""


def load_log(
    disk: Disk,
    files: OpenFiles,
    directory: str,
    clock: Clock,
    index_interval_bytes: int,
    mended: list[Mended],
    *,
    recovery_point: int,
    log_start: int,
    clean: bool,
) -> Loaded:
    """The log in `directory`, made anew where there is none; `clean` trusts what is there.

    What was damaged or missing is added to `mended`, losses first. Raises DiskFailure.
    """
    epochs = recovery.load_epochs(disk, directory, mended)
    epochs_on_disk = epochs.entries()
    promised_end = max(recovery_point, _stopped_at(disk, directory) if clean else 0)
    loader = _Segments(disk, files, directory, epochs, mended, index_interval_bytes, clock.wall_ms())
    found = loader.load(recovery_point, promised_end, clean=clean)
    was_clean = clean
    lacks = _lost_end(found, promised_end, log_start, was_clean=was_clean)
    if lacks is not None:
        clean = False
        mended.insert(0, lacks)
    is_new = not found or recovery.remove_if_before(disk, directory, found, log_start)
    if is_new:
        found = [Segment(files, directory, log_start, clock.wall_ms())]
        found[0].handle.file(create=True)
    segments = SegmentList(found)
    end = segments.active.next_offset
    flushed_end = end if clean else min(recovery_point, end)
    log_start = min(max(log_start, segments.first_base), end)
    # One that begins at the end is of a leader that wrote nothing: after a clean stop it will hardly be another.
    epochs.truncate_end(end + 1 if clean else end)
    # A crash may leave a file that begins later than the log: the start that it was cut to was not written down yet.
    known_end = flushed_end if clean or not epochs_on_disk else 0
    recovery.complete_epochs(epochs, found, log_start, known_end, mended)
    producers = recovery.load_producers(disk, directory, found, end, clean=clean, mended=mended)
    is_dirty = is_new or not clean or bool(mended)
    has_lost_end = was_clean and lacks is not None and lacks.is_loss
    return Loaded(segments, epochs, epochs_on_disk, producers, log_start, flushed_end, is_dirty, has_lost_end)


def _stopped_at(disk: Disk, directory: str) -> int:
    """Where the newest producer snapshot says that the log ended; 0 without one."""
    return max(recovery.snapshot_offsets(disk, directory), default=0)


def _lost_end(segments: Sequence[Segment], promised_end: int, log_start: int, *, was_clean: bool) -> Mended | None:
    """Does the log end before what had reached the medium, or was it cut after a clean stop? One line says it all."""
    # What had been deleted is not lost: a start that was interrupted may have removed some of it.
    end = max(log_start, segments[-1].next_offset if segments else 0)
    last = segments[-1] if segments else None
    if end >= promised_end and not (was_clean and last and last.cut_bytes):
        return None
    remedy = f"served up to offset {end}"
    if last is None:
        return Mended("every segment", f"up to offset {promised_end} is missing", remedy, is_loss=True)
    gone = f"{last.cut_bytes} bytes" + (f" and {last.cut_segments} segments" if last.cut_segments else "")
    is_cut = last.cut_bytes or last.cut_segments
    last.cut_bytes = last.cut_segments = 0
    if end >= promised_end:
        return Mended(_name(last), f"has {gone} behind its last batch that are none", "cut")
    problem = f"ends at offset {end}, not at {promised_end} as when it was {'stopped' if was_clean else 'flushed'}"
    if is_cut:
        problem = f"is damaged at byte {last.size}, so that it {problem}"
        remedy = f"{gone} are cut, it is {remedy}"
    return Mended(_name(last), problem, remedy, is_loss=True)


def _name(segment: Segment) -> str:
    return segment.handle.path.rpartition("/")[2]


class _Segments:
    """Reads one directory's segments, from the oldest on."""

    def __init__(
        self,
        disk: Disk,
        files: OpenFiles,
        directory: str,
        epochs: LeaderEpochs,
        mended: list[Mended],
        interval_bytes: int,
        created_ms: int,
    ) -> None:
        self._disk = disk
        self._files = files
        self._directory = directory
        self._epochs = epochs
        self._mended = mended
        self._interval_bytes = interval_bytes
        self._created_ms = created_ms
        self._is_read = False
        self._found: list[Segment] = []

    def load(self, recovery_point: int, promised_end: int, *, clean: bool) -> list[Segment]:
        """All of them, the last one ready to grow; an empty list in a new directory.

        Segments behind a cut one go. Raises DamagedBatch for messages of an old format.
        """
        bases, missing = recovery.base_offsets(self._disk, self._directory, self._mended, clean=clean)
        for number, base in enumerate(bases):
            next_base = bases[number + 1] if number + 1 < len(bases) else None
            if self._found and self._found[-1].next_offset > base:
                self._drop_old(bases[number:])
                break
            segment = Segment(self._files, self._directory, base, self._created_ms)
            self._found.append(segment)
            if clean or (next_base is not None and next_base <= recovery_point):
                self._take(segment, next_base, promised_end)
            elif not self._recover(segment, next_base):
                self._drop(segment, bases[number + 1 :])
                break
        finish_cut(self._disk, self._directory, self._found)
        for before, behind in pairwise(self._found):
            self._say_missing(
                [base for base in missing if before.base_offset < base < behind.base_offset], before, behind
            )
        recovery.rebuild_transaction_indexes(self._disk, self._directory, self._found)
        if self._found:
            self._found[-1].offsets.load()
            self._found[-1].times.load()
        return self._found

    def _take(self, segment: Segment, next_base: int | None, promised_end: int) -> None:
        """A segment that was wholly on the medium. `promised_end`: where the last one ended."""
        is_last = next_base is None
        lacking = segment.lacking_index(self._interval_bytes) if (is_adopted := segment.adopt()) else None
        is_adopted = is_adopted and lacking is None
        if is_adopted and (not is_last or _ends_soundly(segment)):
            segment.next_offset = segment.next_offset if next_base is None else next_base
            return
        end = promised_end if next_base is None else next_base
        bad_index = None if is_adopted or not segment.size else self._bad_index(segment, lacking)
        indexed = segment.offsets.last
        with self._no_half_made_indexes(segment):
            damaged_at, sound_end = salvage(
                self._disk, segment, self._interval_bytes, self._epochs, end, is_last=is_last
            )
        if damaged_at is not None:
            self._say_loss(segment, f"is damaged at byte {damaged_at}")
        elif not is_last and indexed is not None and sound_end <= segment.base_offset + indexed[0] < end:
            self._say_loss(segment, f"ends at offset {sound_end}, before what its index knows")
        elif bad_index is not None and not segment.cut_bytes:
            self._mended.append(bad_index)
        if not is_last:
            segment.seal()
        elif damaged_at is not None:
            self._go_on_behind(segment)

    def _say_missing(self, bases: Sequence[int], before: Segment, behind: Segment) -> None:
        """Segments are gone from between two others, all but an index: neither a crash nor compaction leaves that.

        Whether offsets that are missing without such a trace were cleaned away, nobody knows here.
        """
        if bases and _end_of(before) <= bases[0]:
            problem = f"is missing, and with it offsets {bases[0]} to {behind.base_offset - 1}"
            remedy = "what comes behind them is served"
            self._mended.insert(0, Mended(file_name(bases[0]) + LOG_SUFFIX, problem, remedy, is_loss=True))

    def _say_loss(self, segment: Segment, problem: str) -> None:
        self._mended.insert(0, Mended(_name(segment), problem, _DAMAGE_REMEDY, is_loss=True))

    def _go_on_behind(self, damaged: Segment) -> None:
        """A later recovery would cut all that came behind the damage: let it come to a new segment."""
        damaged.seal()
        fresh = Segment(self._files, self._directory, damaged.next_offset, self._created_ms)
        fresh.handle.file(create=True)
        self._found.append(fresh)

    def _recover(self, segment: Segment, next_base: int | None) -> bool:
        """A segment that may not have reached the medium; False when it ends at a bad batch."""
        if not self._is_read:
            # The checkpoint may speak of batches that others have replaced; those that are read say it themselves.
            self._epochs.truncate_end(segment.base_offset)
            self._is_read = True
        expected = max(self._found[-2].next_offset if len(self._found) > 1 else 0, segment.base_offset)
        with self._no_half_made_indexes(segment):
            is_whole = recovery.recover(segment, expected, self._interval_bytes, self._epochs)
        if next_base is not None:
            segment.seal()
        return is_whole

    def _drop_old(self, bases: Sequence[int]) -> None:
        """Remove segments that were there before the last one found grew past them: a log that lost its end, and the
        power before the medium knew of that, has them back. What was recovered is newer; Kafka would take both.
        """
        last = self._found[-1]
        problem = f"begins before the end of the segment before it, which is offset {last.next_offset}"
        self._mended.append(Mended(file_name(bases[0]) + LOG_SUFFIX, problem, "removed with what follows"))
        self._drop(last, bases)
        last.cut_segments = 0

    def _drop(self, segment: Segment, later_bases: Sequence[int]) -> None:
        """Cut the segment behind its sound part.

        Nothing of that may be back, behind what comes there next, after another crash. The damage goes last: it tells a
        start after a crash in between to do this again.
        """
        segment.cut_segments = len(later_bases)
        with cutting(self._disk, self._directory):
            for later in reversed(later_bases):  # no index without a log stays between others
                recovery.remove_segment_files(self._disk, self._directory, later)
            self._disk.sync_directory(self._directory)
            segment.handle.file().truncate(segment.size)
            segment.handle.file().sync()

    @contextmanager
    def _no_half_made_indexes(self, segment: Segment) -> Iterator[None]:
        try:
            yield
        except DiskFailure:
            segment.retire()
            for handle in segment.handles()[1:]:
                self._disk.remove(handle.path)
            raise

    def _bad_index(self, segment: Segment, lacking: FileHandle | None) -> Mended:
        """Why a segment could not be adopted."""
        handle = segment.offsets.handle  # which else leads beyond the segment's end
        if lacking is not None:
            handle = lacking
        elif segment.offsets.adopt() and not segment.times.adopt():
            handle = segment.times.handle
        elif not segment.transactions.adopt(segment.base_offset):
            handle = segment.transactions.handle
        problem = "is damaged" if self._disk.exists(handle.path) else "is missing"
        return Mended(handle.path.rpartition("/")[2], problem, "made anew from the batches")


def _end_of(segment: Segment) -> int:
    """Behind its last batch; its base where that cannot be read."""
    try:
        return segment.end_before(segment.written)
    except DamagedBatch:
        return segment.base_offset


def _ends_soundly(segment: Segment) -> bool:
    """Are the batches behind the last index entry as they were written? Then the adopted segment may grow on."""
    try:
        segment.adopt_end()
    except DamagedBatch:
        return False
    last = segment.offsets.last
    tail = batches(segment.handle.file(), segment.size, last[1] if last else 0)
    return all(checksum_matches(batch, header) for _, header, batch in tail)
