"""A log that nobody has used since a clean stop: it knows its ends, and opens none of its files until it is needed.

    found: one listing, one small file --anything that needs more--> PartitionLog, loaded as after any clean stop

The recovery point that a clean stop wrote down is the end of the log where the newest producer snapshot agrees, as it
does after Kafka's own clean stop too. Ten thousand logs of which a few are used start in the time that listing them
takes, and hold neither descriptors nor indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final, NamedTuple

from kbroker.log.damage import DamagedBatch
from kbroker.log.leader_epochs import LeaderEpochs
from kbroker.log.open_files import OpenFiles
from kbroker.log.partition_log import PartitionLog
from kbroker.log.partition_metadata import METADATA_FILE, claim_directory
from kbroker.log.producer_state import ProducerState
from kbroker.log.recovery import EPOCHS_FILE
from kbroker.log.segment import Segment, file_name
from kbroker.log.segment_list import SegmentList
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.world import Clock, Disk, DiskFailure

_OF_A_SEGMENT: Final = (".log", ".index", ".timeindex", ".txnindex", ".snapshot")
_OF_THE_LOG: Final = (METADATA_FILE, EPOCHS_FILE)


class Asleep(NamedTuple):
    """What loading needs, and what was learnt meanwhile."""

    recovery_point: int
    log_start: int
    first_base: int
    segments_count: int
    epochs: list[tuple[int, int]]
    """(leader epoch, start offset) pairs that came without a batch."""


class DormantLog(PartitionLog):
    """See the module. It becomes a plain PartitionLog, in place, at the first use that its ends do not answer."""

    __slots__ = ()

    _asleep: Asleep

    @classmethod
    def found(
        cls,
        disk: Disk,
        directory: str,
        topic_partition: TopicPartition,
        topic_id: bytes,
        settings: LogSettings,
        clock: Clock,
        files: OpenFiles,
        *,
        recovery_point: int,
        log_start: int,
    ) -> DormantLog | None:
        """The log in `directory`, cleanly stopped at `recovery_point`; None where it must be looked at more closely.

        Raises DiskFailure, InconsistentTopicId.
        """
        try:
            names = disk.list(directory)
        except FileNotFoundError:
            return None
        bases, snapshots = _offsets(names)
        if not bases or max(snapshots, default=-1) != recovery_point or recovery_point < max(bases[-1], log_start):
            return None
        if recovery_point == bases[-1] and _size(disk, f"{directory}/{file_name(recovery_point)}.log"):
            return None  # the snapshot is from the roll
        log = cls(disk, directory, topic_partition, topic_id, settings, clock, files, _no_progress)
        log.topic_id, _ = claim_directory(disk, directory, topic_id, log.mended)
        log.last_flush_ms = clock.monotonic_ms()
        log.log_end = log.written_end = log.flushed_end = recovery_point
        log.log_start = max(log_start, bases[0])
        log._asleep = Asleep(recovery_point, log_start, bases[0], len(bases), [])
        # Whoever asks who is writing sees nobody: a clean stop leaves nothing unreplicated.
        log.producers = ProducerState()
        return log

    def __getattr__(self, name: str) -> Any:
        """A part that is only there when awake. Unset slots come here, nothing else does."""
        if name not in PartitionLog.__slots__ or type(self) is not DormantLog:
            raise AttributeError(name)
        self.wake()
        return getattr(self, name)

    def wake(self) -> None:
        """Load what a clean stop left. What goes wrong fails the log; a damaged batch that alone."""
        asleep, promised_end, stand_in = self._asleep, self.log_end, self._stand_in
        if self.is_closed:
            # Its directory is gone, and by now another topic's may have its name.
            self._refuse_closed(promised_end)
            return
        self.mended = []  # what was found up to now has been told
        object.__setattr__(self, "__class__", PartitionLog)
        try:
            self._load(asleep.recovery_point, asleep.log_start, clean=True)
            if self.log_end < promised_end:
                self.on_truncation(self.log_end)
        except (DiskFailure, FileNotFoundError) as error:
            stand_in(promised_end)
            if isinstance(error, DamagedBatch):
                self.failure = error
                self.on_progress()
            else:
                self.broken(error)
            self.on_woken(self)
            return
        self.on_woken(self)
        for epoch, start in asleep.epochs:
            self.assign_epoch(epoch, start)

    def _refuse_closed(self, end: int) -> None:
        self._stand_in(end)
        object.__setattr__(self, "__class__", PartitionLog)
        if self.failure is None:
            self.failure = DiskFailure(self.directory, "the log is closed")

    def _stand_in(self, end: int) -> None:
        """Something to look at for whoever comes before the failure is known; nothing of it touches the disk."""
        self._segments = SegmentList([Segment(self._files, self.directory, end, self._clock.wall_ms())])
        self.epochs, self.producers = LeaderEpochs(), ProducerState()
        self.log_end = self.written_end = self.flushed_end = end

    # ---- what the ends answer

    @property
    def recovery_point(self) -> int:
        """See PartitionLog."""
        return self.flushed_end

    @property
    def has_moved_start(self) -> bool:
        """See PartitionLog."""
        return self.log_start > self._asleep.first_base

    @property
    def segments_count(self) -> int:
        """See PartitionLog."""
        return self._asleep.segments_count

    @property
    def cut(self) -> tuple[int, int]:
        """See PartitionLog: nothing is cut after a clean stop."""
        return 0, 0

    def assign_epoch(self, epoch: int, start: int) -> None:
        """See PartitionLog."""
        self._asleep.epochs.append((epoch, start))

    def expire_producers(self) -> int:
        """See PartitionLog: they are not in memory."""
        return 0

    def close(self, *, clean: bool) -> bool:
        """See PartitionLog: nothing is open, and nothing is to be written."""
        self.is_closed = True
        is_clean: bool = self.can_close_cleanly
        return clean and is_clean


def _offsets(names: Sequence[str]) -> tuple[list[int], list[int]]:
    """The base offsets of segments and the offsets of producer snapshots, both rising.

    Neither where a name is not one that a clean stop leaves.
    """
    bases, snapshots = [], []
    for name in names:
        stem, suffix = name[:20], name[20:]
        if suffix in _OF_A_SEGMENT and stem.isdigit():
            if suffix == ".log":
                bases.append(int(stem))
            elif suffix == ".snapshot":
                snapshots.append(int(stem))
        elif name not in _OF_THE_LOG:
            return [], []
    return bases, snapshots


def _size(disk: Disk, path: str) -> int:
    file = disk.open(path)
    try:
        return file.size()
    finally:
        file.close()


def _no_progress() -> None:
    """Nobody waits."""


def _waking(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def awake(self: DormantLog, *arguments: Any, **named: Any) -> Any:
        self.wake()
        return method(self, *arguments, **named)

    return awake


ANSWERED_ASLEEP: Final = frozenset({"fail", "broken", "sync_if_overdue", "synced_to", "open"})
"""Public methods of PartitionLog that need nothing but the ends."""

for _name, _member in list(vars(PartitionLog).items()):
    if callable(_member) and not _name.startswith("_") and _name not in ANSWERED_ASLEEP | set(vars(DormantLog)):
        # Woken first, so that a failure to load is there when the method looks for one.
        setattr(DormantLog, _name, _waking(_member))
