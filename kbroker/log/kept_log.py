"""What a log is before anything is done with it: whose it is, its ends, its files once they are loaded, its fate.

    asleep (see log/place.py) --the first call that its ends do not answer--> awake --DiskFailure--> failed
    any of them --close()--> closed: nothing of it touches the disk, where another topic's log may have its name by now

What most calls need is that it `_is_usable`: awake, and neither failed nor closed. PartitionLog appends, reads and lets
go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from kbroker.log import syncing
from kbroker.log.damage import DamagedBatch, DamagedIndex
from kbroker.log.leader_epochs import LeaderEpochs
from kbroker.log.loading import load_log
from kbroker.log.mended import Mended
from kbroker.log.nobody import nobody_told
from kbroker.log.open_files import OpenFiles
from kbroker.log.outcome import Progress, Refused
from kbroker.log.partition_metadata import claim_directory
from kbroker.log.place import Asleep, LogPlace, Measured
from kbroker.log.producer_state import ProducerState
from kbroker.log.segment import Segment
from kbroker.log.segment_list import SegmentList
from kbroker.world import DiskFailure
from protocol_specs.errors import ErrorCode


class KeptLog(Progress):
    """See the module. All calls come from the thread that owns the state."""

    __slots__ = (
        "_asleep",
        "_clock",
        "_disk",
        "_files",
        "_has_aborted",
        "_is_start_noted",
        "_is_usable",
        "_segments",
        "_syncing",
        "directory",
        "epochs",
        "has_lost_end",
        "is_closed",
        "is_dirty",
        "is_fenced",
        "last_flush_ms",
        "log_start",
        "mended",
        "on_failure",
        "on_progress",
        "on_sealing",
        "on_truncation",
        "on_woken",
        "producers",
        "settings",
        "topic_id",
        "topic_partition",
    )

    def __init__(self, place: LogPlace, on_progress: Callable[[], None]) -> None:
        super().__init__()
        self.directory = place.directory
        self.topic_partition = place.topic_partition
        self.topic_id = place.topic_id
        self.settings = place.settings
        self.on_progress = on_progress
        self.on_failure: Callable[[DiskFailure], None] = nobody_told
        self.on_sealing: Callable[[], None] = nobody_told
        self.on_truncation: Callable[[int], None] = nobody_told
        self.on_woken: Callable[[KeptLog], None] = nobody_told
        # What opening found damaged or missing beside the batches.
        self.mended: list[Mended] = []
        self.log_start = 0
        # By DeleteRecords, at any time: see noted_start.
        self._is_start_noted = False
        self.is_dirty = False
        self.is_closed = False
        # Found shorter than it was when it was cleanly stopped; see fence().
        self.has_lost_end = False
        self.is_fenced = False
        self._disk = disk = place.disk
        self._clock = place.clock
        self._files = OpenFiles(disk) if place.files is None else place.files
        self._is_usable = False
        self._asleep: Asleep | None = None
        # Not there before it is loaded, nor are the epochs.
        self._segments: SegmentList
        # Whoever asks a log that sleeps sees nobody write: a clean stop leaves nothing unreplicated.
        self.producers = ProducerState()
        self._has_aborted = False
        self._syncing = syncing.Syncing(self, disk)

    @classmethod
    def open(
        cls,
        place: LogPlace,
        *,
        recovery_point: int = 0,
        log_start: int = 0,
        clean: bool = False,
        on_progress: Callable[[], None] = nobody_told,
    ) -> Self:
        """Open or create the log; `clean` trusts what is there, otherwise it is recovered.

        None of its files stays open: of many logs few are used. Raises DiskFailure, InconsistentTopicId.
        """
        log = cls(place, on_progress)
        log.topic_id, log.is_dirty = claim_directory(place.disk, place.directory, place.topic_id, log.mended)
        log._load(recovery_point, log_start, clean=clean)
        for segment in log._segments.all:
            segment.rest()
        return log

    @classmethod
    def asleep(cls, place: LogPlace, asleep: Asleep) -> Self:
        """A log that is there, closed; its files are not looked at before it is used."""
        log = cls(place, nobody_told)
        log.log_end = log.written_end = log.flushed_end = asleep.recovery_point
        log.log_start = max(asleep.log_start, asleep.first_base)
        log._is_start_noted = asleep.log_start > 0
        log._asleep = asleep
        return log

    def _load(self, recovery_point: int, log_start: int, *, clean: bool) -> None:
        self.last_flush_ms = self._clock.monotonic_ms()
        loaded = load_log(
            self._disk,
            self._files,
            self.directory,
            self._clock,
            self.settings.index_interval_bytes,
            self.mended,
            recovery_point=recovery_point,
            log_start=log_start,
            clean=clean,
        )
        self._segments, self.epochs, self.producers = loaded.segments, loaded.epochs, loaded.producers
        self.log_start, self.flushed_end = loaded.log_start, loaded.flushed_end
        self._is_start_noted = log_start > 0
        self.log_end = self.written_end = loaded.segments.active.next_offset
        # A short way out for the many logs without an aborted transaction.
        self._has_aborted = any(len(segment.transactions) for segment in loaded.segments.all)
        self.is_dirty = self.is_dirty or loaded.is_dirty
        self._syncing.loaded(loaded.segments.all, loaded.epochs_on_disk)
        self.has_lost_end = loaded.has_lost_end
        self._is_usable = True

    def _wake(self) -> None:
        """Load it if it sleeps. What goes wrong fails the log; a damaged batch that alone."""
        if self._asleep is None:
            return
        asleep, self._asleep = self._asleep, None
        if self.is_closed and self.failure is None:
            # Its directory is gone, and by now another topic's may have its name.
            self.failure = DiskFailure(self.directory, "the log is closed")
        if self.failure is not None:
            self._stand_in()
            return
        self.mended = []  # what was found up to now has been told
        promised_end = self.log_end
        try:
            self._load(asleep.recovery_point, asleep.log_start, clean=True)
            if self.log_end < promised_end:
                self.on_truncation(self.log_end)
        except (DiskFailure, FileNotFoundError) as error:
            self._stand_in()
            if isinstance(error, DamagedBatch):
                self.failure = error
                self.on_progress()
            else:
                self.broken(error)
            self.on_woken(self)
            return
        self.on_woken(self)
        for epoch, start in asleep.epochs:
            self.assign_epoch(epoch, min(start, self.log_end))

    def _stand_in(self) -> None:
        """Something to look at where loading failed; nothing of it touches the disk."""
        self._segments = SegmentList([Segment(self._files, self.directory, self.log_end, self._clock.wall_ms())])
        self.epochs = LeaderEpochs()

    def _refusal(self) -> Refused | None:
        """Why it cannot be used even when it is awake."""
        self._wake()
        if self.failure is not None:
            return self._storage_error()
        if self.is_closed:
            return Refused(ErrorCode.KAFKA_STORAGE_ERROR, "the log is closed")
        if self.is_fenced:
            return Refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, "the log has lost its end: no leader epoch yet")
        return None

    # ---- what it is

    @property
    def latest_epoch(self) -> int:
        """The leader epoch of the newest batch, -1 when there is none."""
        self._wake()
        return self.epochs.latest

    @property
    def recovery_point(self) -> int:
        """Up to where the next start may trust segments that end before it, indexes included; at most flushed_end."""
        return self.flushed_end if self._asleep else min(self.flushed_end, self._syncing.trusted_end)

    @property
    def size_bytes(self) -> int:
        """All segments, without indexes."""
        if self._asleep is not None and self._asleep.measured is not None:
            return self._asleep.measured.size_bytes
        self._wake()
        return self._segments.size_bytes

    @property
    def has_moved_start(self) -> bool:
        """Does the log start behind the beginning of its first segment (DeleteRecords)?"""
        return self.log_start > (self._asleep.first_base if self._asleep else self._segments.first_base)

    @property
    def noted_start(self) -> int | None:
        """The log start for the directory's checkpoint; None: that of the first segment, which its name tells.

        Once DeleteRecords has moved it, it stays noted, also when segments before it are gone: nobody syncs their
        removal, so that a power failure may bring them back.
        """
        return self.log_start if self._is_start_noted else None

    @property
    def segments(self) -> tuple[Segment, ...]:
        """From the oldest to the one that grows."""
        self._wake()
        return tuple(self._segments.all)

    @property
    def segments_count(self) -> int:
        """How many there are."""
        return self._asleep.segments_count if self._asleep else len(self._segments)

    @property
    def last_base(self) -> int:
        """Where the segment begins that grows."""
        return self._asleep.last_base if self._asleep else self._segments.active.base_offset

    @property
    def is_asleep(self) -> bool:
        """Has nobody used it since a clean stop?"""
        return self._asleep is not None

    @property
    def is_syncing(self) -> bool:
        """Is a worker bringing it to the medium?"""
        return self._syncing.is_under_way

    @property
    def is_unmeasured(self) -> bool:
        """Does it sleep, without that anybody knows how large its files are?"""
        return self._asleep is not None and self._asleep.measured is None and not self.is_closed

    def note_measured(self, result: Measured | DiskFailure | None) -> None:
        """How large its files are; nothing changes them before it wakes. None: they must be looked at more closely."""
        if self._asleep is None or self.is_closed:
            return
        if isinstance(result, DiskFailure):
            self.broken(result)
        else:
            self._asleep.measured = result

    @property
    def cut(self) -> tuple[int, int]:
        """What opening took away behind the last sound batch: bytes of its segment, and whole segments after it."""
        if self._asleep is not None:
            return 0, 0
        last = self._segments.active
        return last.cut_bytes, last.cut_segments

    # ---- leader epochs

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """The largest known leader epoch up to `epoch`, and the offset where it ends; (-1, -1) unknown (KIP-101)."""
        self._wake()
        return self.epochs.end_of(epoch, self.log_end)

    def assign_epoch(self, epoch: int, start: int) -> None:
        """Leader epoch `epoch` begins at offset `start`: known from the first batch, or from becoming the leader.

        The file may lag behind until a batch comes: an epoch without one is assigned again by the next start.
        """
        if self._asleep is not None:
            self._asleep.epochs.append((epoch, start))
            return
        self.epochs.assign(epoch, start)
        if self.epochs.is_dirty:
            self.is_dirty = True

    def epoch_at(self, offset: int) -> int:
        """The leader epoch that `offset` was or will be written in, -1 unknown."""
        self._wake()
        return self.epochs.epoch_at(offset)

    def fence(self) -> None:
        """Refuse reads and appends up to `unfence`: what it lost must not be replaced in the leader epoch it was of.

        If the broker stops before that, the next start takes the log for one that was not stopped in order, and has a
        new epoch for it.
        """
        self.is_fenced = True
        self._is_usable = False

    def unfence(self) -> None:
        """What comes from now on is of a newer leader epoch."""
        self.is_fenced = False
        self._is_usable = self._asleep is None and self.failure is None and not self.is_closed

    # ---- its fate

    def synced_to(self, end: int) -> None:
        """A sync of everything before offset `end` is over (called by Syncing)."""
        self.flushed_end = max(self.flushed_end, min(end, self.log_end))
        self.last_flush_ms = self._clock.monotonic_ms()
        self.on_progress()

    def fail(self, failure: DiskFailure) -> None:
        """The log directory went offline."""
        self._fail(failure)

    def _fail(self, failure: DiskFailure) -> None:
        if self.failure is None:
            self.failure = failure
            self._is_usable = False
            self.on_failure(failure)
            self.on_progress()

    def _broke_off(self) -> None:
        """An error of ours came in the middle of an append: of a batch that is accounted for nobody knows whether it is
        written, and what came behind it would be lost at the next start. This log alone fails."""
        if self.failure is None:
            self.failure = DiskFailure(self.directory, "an append broke off: the next start recovers the log")
            self._is_usable = False
            self.on_progress()

    def broken(self, error: DiskFailure | FileNotFoundError) -> Refused:
        """Fail: the disk refused, or somebody took a file away: either way the log is not what it was.

        What is damaged fails nothing but what met it: the other batches are as readable as before.
        """
        if isinstance(error, DamagedBatch):
            return Refused(ErrorCode.CORRUPT_MESSAGE, str(error))
        if isinstance(error, DamagedIndex):
            return Refused(ErrorCode.UNKNOWN_SERVER_ERROR, str(error))
        if isinstance(error, FileNotFoundError):
            error = DiskFailure(error.filename or self.directory, "No such file or directory")
        self._fail(error)
        return self._storage_error()

    def _storage_error(self) -> Refused:
        return Refused(ErrorCode.KAFKA_STORAGE_ERROR, str(self.failure))
