"""One partition's log: batches get offsets, go to segments, are found again, and leave from the front.

    log_start <= flushed_end <= written_end <= log_end      (all but log_start exclusive; flushed_end may lag log_start)

`log_end` moves when an append is accepted, `written_end` when readers may see it, `flushed_end` when it has been
fsynced. While the disk is quick appends are written before `append_as_leader` returns; a queued one calls `on_progress`
later. A DiskFailure fails the log for good: it refuses everything with KAFKA_STORAGE_ERROR until it is opened again.

Whether it sleeps, is awake or has failed is KeptLog's: one look at `_is_usable` on the way of every append and read.
Source: Kafka's UnifiedLog and LocalLog.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from kbroker.log import recovery, removal
from kbroker.log.compaction.cleaning import Cleaned
from kbroker.log.compaction.progress import CleaningProgress
from kbroker.log.compaction.swap import finish_swap
from kbroker.log.cutting import cutting
from kbroker.log.kept_log import KeptLog
from kbroker.log.outcome import Appended, LogRead, Origin, Place, Refused, Stage, Ticket
from kbroker.log.partition_metadata import InconsistentTopicId
from kbroker.log.place import LogPlace
from kbroker.log.preparation import Preparation, needs_preparation
from kbroker.log.producer_state import StoredBatch, Unfit
from kbroker.log.reading import read_batches
from kbroker.log.run import AppendedRun, take_run
from kbroker.log.segment import Segment
from kbroker.log.settings import INT64_MAX
from kbroker.log.stamping import stamped
from kbroker.log.time_search import TimeSearch
from kbroker.log.transactions import aborted_between
from kbroker.log.txn_index import AbortedTransaction
from kbroker.log.validation import check_client_batch, read_client_header
from kbroker.record.batch import (
    CONTROL_BIT,
    PREFIX_BYTES,
    BatchHeader,
    checksum_matches,
    iterate_batches,
    read_header,
)
from kbroker.record.compression import CorruptRecords
from kbroker.record.markers import Marker, read_marker
from kbroker.world import Buffer, DiskFailure, Line
from protocol_specs.errors import ErrorCode

__all__ = ["Appended", "InconsistentTopicId", "LogRead", "Origin", "PartitionLog", "Refused", "Stage", "Ticket"]

T = TypeVar("T")

NOTHING: Final = b""


class PartitionLog(KeptLog):
    """See the module. All calls come from the thread that owns the state."""

    __slots__ = (
        "_appended_epoch",
        "_leaving",
        "_line",
        "_on_written",
        "_pending",
        "_promised_end",
        "_times",
        "cleaning",
    )

    def __init__(self, place: LogPlace, on_progress: Callable[[], None]) -> None:
        super().__init__(place, on_progress)
        # Of the newest batch since the log was opened or cut.
        self._appended_epoch = -1
        # Base offsets of segments whose files a worker is going to rename.
        self._leaving: set[int] = set()
        self._pending: deque[tuple[int, Segment, int]] = deque()
        self._line: Line | None = None
        self._on_written = self._written
        # Up to where somebody waits for a flush.
        self._promised_end = 0
        self._times = TimeSearch(place.disk)
        self.cleaning = CleaningProgress()

    # ---- transactions

    def last_stable_end(self, high_watermark: int) -> int:
        """Where readers of committed records stop: before the oldest transaction that is open or unreplicated."""
        if not self._is_usable:
            self._wake()
        first = self.producers.first_unstable_offset(high_watermark)
        return high_watermark if first is None else min(high_watermark, max(first, self.log_start))

    def aborted_transactions(self, start: int, end: int) -> list[AbortedTransaction]:
        """The aborted transactions that touch offsets [start, end). Raises DiskFailure, FileNotFoundError."""
        self._wake()
        if not self._has_aborted or start >= end:
            return []
        return aborted_between(self._segments.since(start), start, end)

    def aborted_in(self, read: LogRead, start: int) -> list[AbortedTransaction] | Refused:
        """The aborted transactions that touch what was read, from offset `start` on."""
        if not self._has_aborted or not len(read.records):
            return []
        try:
            return self.aborted_transactions(start, self._end_of(read))
        except (DiskFailure, FileNotFoundError) as error:
            return self.broken(error)

    def _end_of(self, read: LogRead) -> int:
        segment = self._segments.holding(read.segment_base)
        return segment.end_before(read.position + len(read.records))

    # ---- append

    def append_as_leader(
        self, records: Buffer, leader_epoch: int, *, origin: Origin = Origin.CLIENT
    ) -> Appended | Refused:
        """Append one batch: check, assign offsets, stamp in place, write; what must be opened is opened here.

        `records` must not change afterwards until the ticket is WRITTEN; a read-only buffer is stamped in a copy of its
        header. Batches of our own (origin) are trusted: no checksum, no limits.
        """
        if origin is Origin.CLIENT or origin is Origin.TRANSACTION:
            outcome = self.append_or_prepare(records, leader_epoch, origin=origin)
            if isinstance(outcome, Preparation):
                return self.append_prepared(outcome.run(), leader_epoch, origin=origin)
            return outcome
        if not self._is_usable and (refused := self._refusal()) is not None:
            return refused
        view = memoryview(records)
        return self._append(view, read_header(view), leader_epoch, self._clock.wall_ms(), origin)

    def append_or_prepare(
        self, records: Buffer, leader_epoch: int, *, origin: Origin = Origin.CLIENT
    ) -> Appended | Refused | Preparation:
        """As append_as_leader, for a client's batch; a Preparation where its body must be opened first.

        Nothing is promised then: run it, in a worker, and hand what it gives to append_prepared. Whatever is appended
        in between comes before it.
        """
        if not self._is_usable and (refused := self._refusal()) is not None:
            return refused
        view = memoryview(records)
        header = read_client_header(view, is_in_transaction=origin is Origin.TRANSACTION)
        if isinstance(header, Refused):
            return header
        now_ms = self._clock.wall_ms()
        settings = self.settings
        refused = check_client_batch(view, header, settings)
        if refused is not None:
            return refused
        if needs_preparation(header, settings, now_ms):
            return Preparation(view[: header.size], header, settings, now_ms, str(self.topic_partition))
        return self._append(view, header, leader_epoch, now_ms, origin)

    def in_worker(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """Run pure `work` on a thread of the disk's, and `done(result)` on the state's."""
        self._disk.in_worker(work, done)

    def append_prepared(
        self, prepared: memoryview | Refused, leader_epoch: int, *, origin: Origin = Origin.CLIENT
    ) -> Appended | Refused:
        """The end of what append_or_prepare began."""
        if not self._is_usable and (refused := self._refusal()) is not None:
            return refused
        if isinstance(prepared, Refused):
            return prepared
        return self._append(prepared, read_header(prepared), leader_epoch, self._clock.wall_ms(), origin)

    def append_run(self, batches: Sequence[memoryview], leader_epoch: int) -> AppendedRun | None:
        """Append as many of a client's batches as are plain, from the first on, with one write; see run.py.

        None where the first is not, or the log isn't in its everyday state: nothing was done then.
        """
        settings = self.settings
        if not self._is_usable or leader_epoch != self._appended_epoch or settings.flush_messages != INT64_MAX:
            return None
        segment, now_ms = self._segments.active, self._clock.wall_ms()
        position, is_over = segment.size, False
        try:
            run = take_run(batches, segment, self.producers, settings, self.log_end, leader_epoch, now_ms)
            is_written = bool(run.size) and self._write(segment, position, run.buffers, run.end, run.size)
            is_over = True
        except (DiskFailure, FileNotFoundError) as error:
            is_over = True
            self.broken(error)
            return None
        finally:
            if not is_over:
                self._broke_off()
        if not run.size:
            return None
        self.log_end = run.end
        if is_written:
            segment.written = position + run.size
            self.written_end = run.end
        self.is_dirty = True
        return AppendedRun(run.base_offsets, now_ms if settings.is_log_append_time else -1, Ticket(self, run.end))

    def _append(
        self, view: memoryview, header: BatchHeader, leader_epoch: int, now_ms: int, origin: Origin
    ) -> Appended | Refused:
        """A batch that is as it shall be stored: judge its producer, stamp it, write it."""
        is_clients = origin is Origin.CLIENT or origin is Origin.TRANSACTION
        size = header.batch_length + PREFIX_BYTES
        if is_clients and size > self.settings.segment_bytes:
            return Refused(
                ErrorCode.RECORD_LIST_TOO_LARGE,
                f"{size} bytes in one append, segment.bytes is {self.settings.segment_bytes}",
            )
        marker = None
        if header.producer_id >= 0:
            if header.attributes & CONTROL_BIT:
                marker = read_marker(view)
                known: StoredBatch | Unfit | None = self.producers.judge_marker(header, marker) if marker else None
            else:
                known = self.producers.judge(header, is_sequenced=is_clients)
            if known is not None:
                return self._duplicate(known) if isinstance(known, StoredBatch) else Refused(*known)
        base = self.log_end
        if len(view) != size:
            view = view[:size]
        is_timed = self.settings.is_log_append_time and origin is not Origin.QUORUM
        buffers = stamped(view, header, base, leader_epoch, now_ms if is_timed else None)
        header = header._replace(
            base_offset=base,
            partition_leader_epoch=leader_epoch,
            max_timestamp=now_ms if is_timed else header.max_timestamp,
        )
        return self._commit(header, buffers, now_ms, now_ms if is_timed else -1, marker)

    def _commit(
        self,
        header: BatchHeader,
        buffers: list[Buffer],
        now_ms: int,
        log_append_time_ms: int,
        marker: Marker | None = None,
    ) -> Appended | Refused:
        """Write a stamped batch behind the end, and account for it."""
        last = header.base_offset + header.last_offset_delta
        size = header.batch_length + PREFIX_BYTES
        segment = self._segments.active
        settings = self.settings
        end, is_over = last + 1, False
        try:
            if segment.must_roll_before(size, last, header.max_timestamp, now_ms, settings):
                segment = self.roll(header.base_offset)
            position = segment.size
            is_written = self._write(segment, position, buffers, end, size)
            segment.note_batch(header, position, settings.index_interval_bytes)
            if header.producer_id >= 0:
                if header.attributes & CONTROL_BIT:
                    self._end_transaction(header, marker, segment)
                else:
                    self.producers.update(header)
            is_over = True
        except (DiskFailure, FileNotFoundError) as error:
            is_over = True
            return self.broken(error)
        finally:
            if not is_over:
                self._broke_off()
        self.log_end = end
        if is_written:
            segment.written = position + size
            self.written_end = end
        if header.partition_leader_epoch != self._appended_epoch:
            self._epoch_appended(header)
        self.is_dirty = True
        promised = Stage.WRITTEN
        if end - self.flushed_end >= settings.flush_messages:
            promised = Stage.FLUSHED
            self._promised_end = end
            self.sync()
        return Appended(header.base_offset, last, log_append_time_ms, False, Ticket(self, end, promised))

    def _end_transaction(self, header: BatchHeader, marker: Marker | None, segment: Segment) -> None:
        """A marker was appended; None stands for one that compaction emptied."""
        aborted = self.producers.end_transaction(header, marker) if marker is not None else None
        if aborted is not None:
            segment.transactions.append(aborted)
            self._has_aborted = True

    def _write(self, segment: Segment, position: int, buffers: list[Buffer], end: int, size: int) -> bool:
        handle = segment.handle
        behind = self._line if self._pending else None
        line = self._disk.write(handle.file(create=True), position, buffers, self._on_written, behind=behind)
        if line is None:
            return True
        self._queued(line, end, segment, position + size)
        return False

    def _queued(self, line: Line, end: int, segment: Segment, position: int) -> None:
        self._line = line
        segment.handle.pins += 1
        self._pending.append((end, segment, position))

    def _written(self, failure: DiskFailure | None) -> None:
        """The oldest queued write is over."""
        end, segment, position = self._pending.popleft()
        segment.handle.unpin()
        if self.is_closed:
            return
        if failure is not None:
            self._fail(failure)
        elif self.failure is None:
            segment.written = position
            self.written_end = end
            if not position:
                self._syncing.file_made()
            is_sealed = segment is not self._segments.active and segment.written == segment.size
            if is_sealed or self._promised_end > self.flushed_end:
                self._syncing.start()
            if not self._disk.tells_more:
                self.on_progress()

    def _duplicate(self, stored: StoredBatch) -> Appended:
        """A batch that came before: its offsets again, and its largest timestamp whoever set that, as in Kafka.

        What was promised of it holds for its repetition, also after a restart that found it unflushed.
        """
        end = stored.last_offset + 1
        promised = Stage.WRITTEN
        if end > self.flushed_end and (end <= self._promised_end or self.settings.flush_messages == 1):
            promised = Stage.FLUSHED
            self._promised_end = max(self._promised_end, end)
            self.sync()
        first = stored.last_offset - stored.offset_delta
        return Appended(first, stored.last_offset, stored.timestamp, True, Ticket(self, end, promised))

    def append_as_follower(self, records: Buffer) -> Appended | Refused:
        """Append what a leader sent: whole batches with their offsets and epochs; a cut one at the end is left out."""
        if not self._is_usable and (refused := self._refusal()) is not None:
            return refused
        first, outcome = self.log_end, None
        try:
            for batch in iterate_batches(records):
                header = read_header(batch)
                if not checksum_matches(batch, header):
                    return Refused(
                        ErrorCode.CORRUPT_MESSAGE, f"the checksum at offset {header.base_offset} doesn't match"
                    )
                if header.base_offset < self.log_end:
                    return Refused(
                        ErrorCode.OFFSET_OUT_OF_RANGE, f"offset {header.base_offset} behind the end {self.log_end}"
                    )
                is_marker = header.is_control and header.producer_id >= 0
                marker = read_marker(batch) if is_marker else None
                outcome = self._commit(header, [batch], self._clock.wall_ms(), -1, marker)
                if isinstance(outcome, Refused):
                    return outcome
        except CorruptRecords as error:
            return Refused(ErrorCode.CORRUPT_MESSAGE, str(error))
        return Appended(first, self.log_end - 1, -1, False, Ticket(self, self.log_end))

    # ---- read

    def without_waiting(self, look: Callable[[], T]) -> T:
        """`look()`, which reads this log. Raises ColdRead where it would wait for the medium."""
        if not self._is_usable:
            self._wake()
        self._files.waits = False
        try:
            return look()
        finally:
            self._files.waits = True

    def place_of(self, offset: int) -> Place | None:
        """Where the batch that holds `offset` begins, or the next one; the end of what readers may see, behind it.

        None where that cannot be looked up: the log has failed then, or is damaged there.
        """
        if not self._is_usable and self._refusal() is not None:
            return None
        if offset < self.written_end:
            try:
                for segment in self._segments.since(offset):
                    found = segment.find(offset)
                    if found is not None:
                        return Place(segment.base_offset, found.position)
            except (DiskFailure, FileNotFoundError) as error:
                self.broken(error)
                return None
        last = self._segments.holding(self.written_end)
        return Place(last.base_offset, last.written)

    def read(self, offset: int, max_bytes: int, end: int, *, at_least_one: bool = True) -> LogRead | Refused:
        """Whole batches from the one that holds `offset`, within `max_bytes` and wholly before offset `end`.

        The first batch comes even when it is larger than `max_bytes`, if `at_least_one`. One segment's worth at most.
        """
        if not self._is_usable and (refused := self._refusal()) is not None:
            return refused
        if not self.log_start <= offset <= self.log_end:
            return Refused(
                ErrorCode.OFFSET_OUT_OF_RANGE, f"offset {offset} is outside [{self.log_start}, {self.log_end}]"
            )
        end = min(end, self.written_end)
        if offset >= end:
            return LogRead(NOTHING, offset, 0, 0)
        try:
            return read_batches(self._segments.since(offset), offset, max_bytes, end, at_least_one=at_least_one)
        except (DiskFailure, FileNotFoundError) as error:
            return self.broken(error)

    def offset_for_timestamp(self, timestamp: int) -> tuple[int, int, int] | Refused | None:
        """(offset, timestamp, leader epoch) of the first record at `timestamp` (ms) or later, or None."""
        if not self._is_usable and (refused := self._refusal()) is not None:
            return refused
        try:
            return self._times.first_at_or_after(timestamp, self._segments.all, self.log_start)
        except (DiskFailure, FileNotFoundError) as error:
            return self.broken(error)

    def max_timestamp(self) -> tuple[int, int, int] | Refused | None:
        """(offset, timestamp, leader epoch) of the first record with the largest timestamp; None in an empty log."""
        if not self._is_usable and (refused := self._refusal()) is not None:
            return refused
        try:
            return self._times.of_largest(self._segments.all)
        except (DiskFailure, FileNotFoundError) as error:
            return self.broken(error)

    def _epoch_appended(self, header: BatchHeader) -> None:
        """The first batch of an epoch, or of this opening: the file must know the epoch, for recovery trusts it."""
        self._appended_epoch = header.partition_leader_epoch
        self.epochs.assign(header.partition_leader_epoch, header.base_offset)
        if self.epochs.is_dirty:
            self._syncing.save_epochs()

    # ---- grow, shrink

    def roll(self, base_offset: int = 0) -> Segment:
        """Begin a new segment at the end, or at `base_offset` behind it, unless the active one is empty and there.

        May raise DiskFailure.
        """
        self._wake()
        active = self._segments.active
        base_offset = max(base_offset, self.log_end)
        if not active.size and active.base_offset == base_offset:
            return active
        self.on_sealing()
        active.stop_growing()
        fresh = Segment(self._files, self.directory, base_offset, self._clock.wall_ms())
        line = fresh.handle.make(self._on_written, behind=self._line if self._pending else None)
        if line is not None:
            self._queued(line, self.log_end, fresh, 0)
        self._segments.append(fresh)
        self._syncing.segment_sealed(active, base_offset, self.producers.frozen())
        return fresh

    def delete_before(self, offset: int) -> int:
        """Move the log start up to `offset`, dropping segments that end before it; the new log start."""
        if offset > self.log_start and self._refusal() is None:
            self._is_start_noted = True
            self._move_start(min(offset, self.log_end))
            self._drop_front(self._segments.ending_before(self.log_start))
        return self.log_start

    def _move_start(self, offset: int) -> None:
        self.log_start = offset
        self.is_dirty = True
        self.epochs.truncate_start(offset)
        if self.epochs.is_dirty:
            self._syncing.save_epochs()

    def apply_retention(self, deletable_end: int | None = None) -> int:
        """Drop segments that are too old or too many bytes; how many.

        None that reaches beyond `deletable_end`, the high watermark; none while the cleaner is at work.
        """
        if self.failure is not None or self.cleaning.is_under_way:
            return 0
        case = removal.RetentionCase(
            self.settings,
            now_ms=self._clock.wall_ms(),
            log_start=self.log_start,
            deletable_end=self.written_end if deletable_end is None else deletable_end,
        )
        if self._asleep is not None and removal.sleeps_on(self._asleep, case):
            return 0
        if self._refusal() is not None:
            return 0
        count = removal.expired_segments(self._segments.all, case)
        try:
            if count and count == len(self._segments):
                self.roll()
        except DiskFailure as failure:
            self._fail(failure)
            return 0
        return self._drop_front(count)

    def _drop_front(self, count: int) -> int:
        """Take `count` segments off the front, but never the active one, nor under the cleaner; how many.

        None before the file is there that tells where the log begins then: the next round of retention drops them.
        Nor while a worker renames others: were these gone first, a start after a crash would find a gap, in which a
        transaction may have ended.
        """
        first = self._segments.all[min(count, len(self._segments) - 1)]
        is_unmade = any(segment is first and not size for _, segment, size in self._pending)
        if self.cleaning.is_under_way or self._leaving or is_unmade:
            return 0
        doomed = self._segments.take_front(count)
        if doomed:
            self.is_dirty = True
            self._syncing.drop(doomed)
            self._move_start(max(self.log_start, self._segments.first_base))
            leaving = {segment.base_offset for segment in doomed}
            self._leaving |= leaving
            removal.remove_in_worker(self._disk, self._clock, self, doomed, lambda result: self._left(leaving, result))
        return len(doomed)

    def _left(self, bases: set[int], result: DiskFailure | None) -> None:
        self._leaving -= bases
        if self.is_closed or self.failure is not None:
            return
        if isinstance(result, DiskFailure):
            self._fail(result)
        else:
            self._syncing.dropped(bases)
            self._drop_front(self._segments.ending_before(self.log_start))

    def replace_segments(self, doomed: Sequence[Segment], fresh: Sequence[Cleaned]) -> None:
        """Cleaned segments, synced and durably named .swap, take the place of neighbours. May fail the log.

        Slices of the old ones stay readable until they are released. Offsets and the log start stay as they are.
        """
        ends = [*(cleaned.base_offset for cleaned in fresh[1:]), doomed[-1].next_offset]
        kept = {cleaned.base_offset for cleaned in fresh}
        self.is_dirty = True
        self._times.forget()
        self._syncing.forget(doomed)
        try:
            removal.remove_later(self._disk, self._clock, self, doomed, kept)
            for cleaned in fresh:
                finish_swap(self._disk, self.directory, cleaned.base_offset)
            adopted = [
                removal.adopt_cleaned(self._files, self.directory, cleaned, end, doomed[-1].created_ms)
                for cleaned, end in zip(fresh, ends, strict=True)
            ]
            self._segments.replace(doomed, adopted)
        except (DiskFailure, FileNotFoundError) as error:
            self.broken(error)

    def truncate_to(self, offset: int) -> None:
        """Drop everything from `offset` on (a follower that diverged). All writes must be over. May fail the log.

        Nothing that it drops is back after a power failure: it waits for the medium.
        """
        assert not self._pending, "truncation waits for queued writes"
        if self._refusal() is not None or offset >= self.log_end:
            return
        if offset < self._segments.first_base:
            self.truncate_fully_and_start_at(offset)
            return
        try:
            self._syncing.let_go()
            grows = self._segments.holding(offset - 1)
            # Its last segment grows again: that its indexes were on the medium says nothing any more.
            self.on_truncation(max(0, removal.end_left(grows, offset) - 1))
            self.cleaning.cut(self._disk, self.directory, offset)
            # The first segment stays where all of it goes: its name tells where the log begins.
            doomed = self._segments.take_back(offset)
            self._syncing.forget([grows, *doomed])
            with cutting(self._disk, self.directory):
                removal.remove_now(self._disk, self.directory, doomed)
                removal.truncate_segment(self._disk, grows, offset, self.settings.index_interval_bytes)
            self._truncated(offset)
            if grows.next_offset < offset:
                # In a hole that a power failure left: the name of the next segment tells where the log ends.
                self.roll()
        except DiskFailure as failure:
            self._fail(failure)

    def truncate_fully_and_start_at(self, offset: int) -> None:
        """Drop everything; the next batch gets `offset`. All writes must be over. May fail the log."""
        assert not self._pending, "truncation waits for queued writes"
        if self._refusal() is not None:
            return
        if offset in self._leaving:
            self._disk.drain()  # or its files, made anew, would be renamed in their place
        try:
            self._syncing.let_go()
            self.on_truncation(offset)
            self.cleaning.cut(self._disk, self.directory, offset)
            self._syncing.forget(self._segments.all)
            with cutting(self._disk, self.directory):
                removal.remove_now(self._disk, self.directory, self._segments.all)
                fresh = Segment(self._files, self.directory, offset, self._clock.wall_ms())
                fresh.handle.file(create=True)
                self._disk.sync_directory(self.directory)
            self._segments.reset([fresh])
            self.log_start = offset
            self.epochs.clear()
            self._truncated(offset)
        except DiskFailure as failure:
            self._fail(failure)

    def _truncated(self, offset: int) -> None:
        self.is_dirty = True
        self._times.forget()
        self.log_end = self.written_end = offset
        self.flushed_end = min(self.flushed_end, offset)
        self._promised_end = min(self._promised_end, offset)
        self.log_start = min(self.log_start, offset)
        self.epochs.truncate_end(offset)
        self._appended_epoch = -1
        self._syncing.truncated(offset)
        self._syncing.save_epochs()
        self.producers = recovery.load_producers(self._disk, self.directory, self._segments.all, offset)

    def expire_producers(self) -> int:
        """Forget producers silent for `producer.id.expiration.ms`; how many."""
        return self.producers.expire(self._clock.wall_ms(), self.settings.producer_id_expiration_ms)

    # ---- durability and the end

    def sync(self) -> None:
        """Bring everything written to the medium, in a worker; then flushed_end has moved and on_progress is called.

        One fsync serves all who ask while it is under way.
        """
        if self.failure is None and not self.is_closed:
            self._syncing.start()

    def sync_if_overdue(self) -> None:
        """Sync what has waited for `flush.ms` since the last sync."""
        if self.flushed_end < self.written_end:
            waited_ms = self._clock.monotonic_ms() - self.last_flush_ms
            if waited_ms >= self.settings.flush_ms:
                self.sync()

    def close(self, *, clean: bool) -> bool:
        """Give all files back; what comes later is refused.

        `clean`: complete indexes, producer snapshot and epochs first, fsynced (blocks).
        True when the next open may trust the files: `clean`, not failed, and no write was queued.
        """
        self.is_closed = True
        self._is_usable = False
        is_clean = clean and self.can_close_cleanly
        if self._asleep is not None:
            return is_clean  # nothing is open, and nothing is to be written
        if is_clean and self.must_be_written_out:
            try:
                self._syncing.finish(self.producers.snapshot())
            except (DiskFailure, FileNotFoundError) as error:
                self.broken(error)
                is_clean = False
        for segment in self._segments.all:
            segment.retire()
        return is_clean

    @property
    def can_close_cleanly(self) -> bool:
        """Not failed, and no write is queued."""
        return self.failure is None and not self._pending

    @property
    def must_be_written_out(self) -> bool:
        """Has a clean stop anything to bring to the medium?

        Not of a log that never held a batch: the next start finds its files as they were made, or makes them again.
        Thousands of those are dirty because they were looked at after a kill, or have a leader.
        """
        if not self.is_dirty or self.log_end or self.mended or len(self._segments) > 1:
            return self.is_dirty
        return not all(self._disk.exists(handle.path) for handle in self._segments.active.handles())

    def write_out(self) -> list[tuple[str, str]]:
        """Write all that a clean stop needs, unsynced; which files are left to be renamed. See log/stopping.py."""
        return self._syncing.write_out(self.producers.snapshot())

    def written_out(self) -> None:
        """All of that has its names and is on the medium."""
        self._syncing.finished()
