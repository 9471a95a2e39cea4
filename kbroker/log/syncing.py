"""Bringing a log to the medium: fsync in a worker, one for all who wait; epochs and producer snapshots beside it.

A sealed segment is synced whole, with its indexes, which are written then and not before: recovery trusts what lies
before the recovery point. Of the growing segment only the log matters; its indexes are rebuilt anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from kbroker.log.checkpoints import format_epochs
from kbroker.log.nobody import only_costs_space
from kbroker.log.open_files import FileHandle
from kbroker.log.partition_metadata import sync_claim
from kbroker.log.producer_state import Frozen
from kbroker.log.recovery import EPOCHS_FILE, LOG_SUFFIX, SNAPSHOT_SUFFIX
from kbroker.log.segment import Segment, file_name
from kbroker.log.settings import INT64_MAX
from kbroker.world import Disk, DiskFailure

if TYPE_CHECKING:
    from kbroker.log.kept_log import KeptLog

SEGMENTS_MAX: Final = 64
"""Sealed segments synced at once, the oldest first: all their files are open meanwhile, and a start that found no
recovery point has every segment to sync."""


def _remove(disk: Disk, paths: Sequence[str]) -> None:
    for path in paths:
        disk.remove(path)


def _is_there(segment: Segment, handle: FileHandle) -> bool:
    """Has the file been made? Indexes are with the segment's first sync."""
    return segment.is_complete or handle not in (segment.offsets.handle, segment.times.handle)


class Syncing:
    """The durability side of one log."""

    __slots__ = (
        "_being_synced",
        "_disk",
        "_end_under_way",
        "_epochs_on_disk",
        "_has_new_id",
        "_has_new_names",
        "_is_again",
        "_leaving",
        "_left_indexes",
        "_log",
        "_saves_epochs",
        "_sealed",
        "_snapshots",
        "_unsynced_leaving",
        "is_under_way",
    )

    def __init__(self, log: KeptLog, disk: Disk) -> None:
        self._log = log
        self._disk = disk
        self._sealed: list[Segment] = []
        # Base offsets of dropped segments that are not renamed yet; of those that are not synced either.
        self._leaving: set[int] = set()
        self._unsynced_leaving: set[int] = set()
        # Index files that a sync under way has made for them.
        self._left_indexes: list[str] = []
        self._being_synced: list[Segment] = []
        self._snapshots: list[tuple[int, Frozen]] = []
        self.is_under_way = False
        self._end_under_way = 0
        self._is_again = False
        self._saves_epochs = False
        self._epochs_on_disk: list[tuple[int, int]] = []
        # A file's name may be unsynced though its bytes are; true at the start, since nobody knows.
        self._has_new_names = True
        self._has_new_id = True

    def loaded(self, segments: Sequence[Segment], epochs_on_disk: list[tuple[int, int]]) -> None:
        """The log was read at its start. The process that wrote the segments may not have synced them."""
        flushed_end = self._log.flushed_end
        # One that lost its last batches ends before the next begins, which is up to where it would be trusted.
        self._sealed += [segment for segment, following in pairwise(segments) if following.base_offset > flushed_end]
        self._epochs_on_disk = epochs_on_disk
        if self._begun(self._log.epochs.entries()) != self._begun(epochs_on_disk):
            self.save_epochs()

    def _begun(self, epochs: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those with a batch in the log: the file may lag behind with others, see KeptLog.assign_epoch."""
        return [entry for entry in epochs if entry[1] < self._log.log_end]

    def segment_sealed(self, segment: Segment, end: int, snapshot: Frozen) -> None:
        """The log rolled at offset `end`: sync the old segment soon, keep the producers as they were."""
        self._has_new_names = True
        self._sealed.append(segment)
        self._snapshots.append((end, snapshot))
        if segment.written == segment.size:
            self.start()

    def file_made(self) -> None:
        """A new segment has its file, in line with the writes."""
        self._has_new_names = True

    def forget(self, segments: Sequence[Segment]) -> None:
        """They leave the log, or grow again: what is left to be synced of them is nobody's business any more."""
        gone = {segment.base_offset for segment in segments}
        self._sealed = [segment for segment in self._sealed if segment.base_offset not in gone]
        self._being_synced = [segment for segment in self._being_synced if segment.base_offset not in gone]
        for offset, frozen in self._snapshots:
            if offset in gone:
                frozen.drop()
        self._snapshots = [(offset, frozen) for offset, frozen in self._snapshots if offset not in gone]

    def drop(self, segments: Sequence[Segment]) -> None:
        """They leave the front of the log, and a worker renames them.

        Before that is on the medium nothing behind one that was not synced counts as flushed: a power failure would
        bring it back torn, and recovery ends there.
        """
        bases = {segment.base_offset for segment in segments}
        self._leaving |= bases
        self._unsynced_leaving |= bases.intersection(segment.base_offset for segment in self._sealed)
        self.forget(segments)

    def dropped(self, bases: set[int]) -> None:
        """Their files have other names."""
        self._leaving -= bases
        if self._left_indexes and not self._leaving:
            self._remove(self._left_indexes)
            self._left_indexes = []
        if self._unsynced_leaving & bases:
            self._unsynced_leaving -= bases
            self._has_new_names = True
            self.start()

    @property
    def trusted_end(self) -> int:
        """Inside or at the base of the oldest segment of which indexes or epochs may not have reached the medium.

        INT64_MAX without one. The growing one counts, too: it may be sealed at its end before the next checkpoint.
        """
        log = self._log
        growing = [segment for segment in log.segments[-1:] if log.is_dirty and segment.size]
        unsynced = [
            max(segment.base_offset, segment.next_offset - 1)
            for segment in (*self._being_synced, *self._sealed, *growing)
        ]
        epochs = [entry[1] for entry in self._log.epochs.entries() if entry not in self._epochs_on_disk]
        return min((*unsynced, *epochs), default=INT64_MAX)

    def truncated(self, end: int) -> None:
        """The log was cut at `end`: what is written there from now on, no sync under way has seen."""
        self._end_under_way = min(self._end_under_way, end)

    def start(self) -> None:
        """Sync what is written by now; harmless when nothing is."""
        log = self._log
        if self.is_under_way:
            self._is_again = self._is_again or bool(self._sealed) or log.written_end > self._end_under_way
            return
        if self._unsynced_leaving:
            return  # dropped() comes back to it
        end = log.written_end
        whole = [segment for segment in self._sealed if segment.written == segment.size]
        if end <= log.flushed_end and not whole:
            return
        sealed = whole[:SEGMENTS_MAX]
        if len(whole) > len(sealed):
            end = min(end, whole[SEGMENTS_MAX].base_offset)
            self._is_again = True
        self._sealed = [segment for segment in self._sealed if segment not in sealed]
        # What a snapshot says must be in the log: else a batch that is sent again passes for a duplicate.
        snapshots = [snapshot for snapshot in self._snapshots if snapshot[0] <= end]
        self._snapshots = [snapshot for snapshot in self._snapshots if snapshot[0] > end]
        handles = [handle for segment in sealed for handle in segment.handles() if _is_there(segment, handle)]
        # Those that a queued write has not filled yet hold some of what is written, and stay to be synced whole.
        growing = (*self._sealed, log.segments[-1])
        handles += [segment.handle for segment in growing if segment.written and segment.base_offset < end]
        try:
            work = self._work(handles, [segment for segment in sealed if not segment.is_complete], snapshots)
        except (DiskFailure, FileNotFoundError) as error:
            for handle in handles:
                handle.unpin()
            log.broken(error)
            return
        self.is_under_way = True
        self._being_synced = sealed
        self._end_under_way = end
        self._disk.in_worker(work, lambda result: self._finished(result, handles, sealed))

    def _work(
        self, handles: list[FileHandle], incomplete: list[Segment], snapshots: list[tuple[int, Frozen]]
    ) -> Callable[[], None]:
        for handle in handles:
            handle.pins += 1  # or the first might be closed for the last to be opened
        files = [handle.file() for handle in handles]
        disk, log, directory = self._disk, self._log, self._log.directory
        # An index that is completed may be a new file, made after the names were synced last.
        has_new_names, self._has_new_names = self._has_new_names or bool(incomplete), False
        has_new_id, self._has_new_id = self._has_new_id, False

        def work() -> None:
            if has_new_id and not log.is_closed:
                sync_claim(disk, directory)
            for segment in incomplete:
                # The directory of a deleted log is gone, and by now another topic's may have its name.
                if log.is_closed:
                    return
                segment.complete_indexes(disk, lambda: log.is_closed)
            for file in files:
                file.sync()
            for offset, producers in snapshots:
                if log.is_closed:
                    return
                disk.replace(f"{directory}/{file_name(offset)}{SNAPSHOT_SUFFIX}", producers.packed())
            if has_new_names and not log.is_closed:
                disk.sync_directory(directory)
                disk.sync_directory(directory.rpartition("/")[0])

        return work

    def _finished(self, result: DiskFailure | None, handles: list[FileHandle], sealed: list[Segment]) -> None:
        for handle in handles:
            handle.unpin()
        self.is_under_way = False
        log = self._log
        if log.is_closed:
            # Its directory may have been renamed meanwhile, so a failure says nothing.
            return
        if isinstance(result, DiskFailure):
            log.fail(result)
            return
        self._complete(sealed)
        self._being_synced = []
        end = self._end_under_way
        if self._is_again:
            self._is_again = False
            self.start()
        log.synced_to(end)

    def _complete(self, sealed: list[Segment]) -> None:
        """Their indexes are in their files; those of a segment that has left the log meanwhile follow it.

        Not before its log has another name: a start that finds that without them reads all of it, and tells of damage.
        """
        left = []
        for segment in sealed:
            # One that was complete took its indexes along, and by now a cleaned one may have their names.
            if segment.is_complete:
                continue
            if segment in self._being_synced:
                segment.completed()
            else:
                paths = [segment.offsets.handle.path, segment.times.handle.path]
                if segment.base_offset in self._leaving:
                    self._left_indexes += paths
                else:
                    left += paths
        if left:
            self._remove(left)

    def _remove(self, paths: Sequence[str]) -> None:
        self._disk.in_worker(partial(_remove, self._disk, paths), only_costs_space)

    def let_go(self) -> None:
        """The log is going to be cut: no worker may write the indexes of its segments any more. Blocks."""
        if any(not segment.is_complete for segment in self._being_synced):
            self._disk.drain()

    def save_epochs(self) -> None:
        """Bring the leader epochs to their file, in a worker.

        Recovery reads those that begin behind the recovery point from the batches.
        """
        if self._saves_epochs:
            return
        self._saves_epochs = True
        self._save_epochs()

    def _save_epochs(self) -> None:
        data = format_epochs(self._log.epochs.saving())
        disk, log, path = self._disk, self._log, f"{self._log.directory}/{EPOCHS_FILE}"

        def work() -> None:
            # The directory of a deleted log is gone, and by now another topic's may have its name.
            if not log.is_closed:
                disk.replace(path, data)

        entries = self._log.epochs.entries()
        disk.in_worker(work, lambda result: self._epochs_saved(result, entries))

    def _epochs_saved(self, result: DiskFailure | None, entries: list[tuple[int, int]]) -> None:
        self._saves_epochs = False
        if self._log.is_closed:
            return
        if isinstance(result, DiskFailure):
            self._log.fail(result)
            return
        self._epochs_on_disk = entries
        if self._log.epochs.is_dirty:
            self.save_epochs()

    def finish(self, snapshot: bytes) -> None:
        """Everything complete and on the medium, in the calling thread: a clean stop.

        May raise DiskFailure, FileNotFoundError.
        """
        log, disk = self._log, self._disk
        for handle in self._completed():
            handle.file(create=True).sync()
        for path, data in self._small_files(snapshot):
            disk.replace(path, data)
        disk.sync_directory(log.directory)
        self.finished()

    def write_out(self, snapshot: bytes) -> list[tuple[str, str]]:
        """Like finish, but nothing is synced, and small files are left under the first of two names."""
        for handle in self._completed():
            if not handle.path.endswith(LOG_SUFFIX):
                handle.file(create=True)
        renames = []
        for path, data in self._small_files(snapshot):
            temporary = f"{path}.tmp"
            file = self._disk.open(temporary, create=True)
            file.truncate(0)
            file.write_at(0, [data])
            file.close()
            renames.append((temporary, path))
        return renames

    def _completed(self) -> list[FileHandle]:
        """The files that a clean stop must bring to the medium, their indexes complete."""
        segments = (*self._being_synced, *self._sealed, self._log.segments[-1])
        for segment in segments:
            segment.finish_indexes()
        return [handle for segment in segments for handle in segment.handles()]

    def _small_files(self, snapshot: bytes) -> list[tuple[str, bytes]]:
        log = self._log
        snapshots = [*((offset, frozen.packed()) for offset, frozen in self._snapshots), (log.log_end, snapshot)]
        files = [(f"{log.directory}/{file_name(offset)}{SNAPSHOT_SUFFIX}", data) for offset, data in snapshots]
        if log.epochs.entries() != self._epochs_on_disk:
            files.append((f"{log.directory}/{EPOCHS_FILE}", format_epochs(log.epochs.entries())))
        return files

    def finished(self) -> None:
        """All that is written has reached the medium."""
        log = self._log
        self._sealed, self._being_synced, self._snapshots = [], [], []
        self._epochs_on_disk = list(log.epochs.entries())
        log.flushed_end = log.log_end
        log.is_dirty = False
