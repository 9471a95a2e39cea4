"""Which segments go, and how: out of sight at once, removed after `file.delete.delay.ms`, never under a reader."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import NamedTuple, Protocol

from kbroker.log.compaction.cleaning import Cleaned
from kbroker.log.nobody import only_costs_space
from kbroker.log.open_files import OpenFiles
from kbroker.log.place import Asleep, OldestSegment
from kbroker.log.recovery import SNAPSHOT_SUFFIX, remove_segment_files
from kbroker.log.segment import Segment, file_name
from kbroker.log.settings import LogSettings
from kbroker.world import Clock, Disk, DiskFailure


class Removing(Protocol):
    """The log that lets segments go."""

    directory: str
    is_closed: bool
    settings: LogSettings


_COPY_BYTES = 1 << 20
DELETED_SUFFIX = ".deleted"


class RetentionCase(NamedTuple):
    """What decides beside a segment itself. Offsets; `now_ms` since 1970."""

    settings: LogSettings
    now_ms: int
    log_start: int
    deletable_end: int
    """The high watermark."""


def expired_segments(segments: Sequence[Segment], case: RetentionCase) -> int:
    """How many segments from the front retention lets go: by log start, by age of the newest record, by bytes.

    The growing one goes by age and bytes alone, and never when it is empty.
    Source: Kafka's UnifiedLog.deletableSegments.
    """
    count = 0
    excess = sum(segment.size for segment in segments) - case.settings.retention_bytes
    for segment in segments:
        if not _is_expired(segment, case, excess, is_growing=segment is segments[-1]):
            break
        excess -= segment.size
        count += 1
    return count


def sleeps_on(asleep: Asleep, case: RetentionCase) -> bool:
    """Is it known of a log that sleeps that retention lets nothing of it go?"""
    oldest, measured = asleep.oldest, asleep.measured
    if oldest is None or measured is None:
        return False
    excess = measured.size_bytes - case.settings.retention_bytes
    return not _is_expired(oldest, case, excess, is_growing=asleep.segments_count == 1)


def _is_expired(segment: Segment | OldestSegment, case: RetentionCase, excess: int, *, is_growing: bool) -> bool:
    """Does the oldest segment go? `excess` is how many bytes the log has over its bound."""
    settings = case.settings
    if segment.next_offset > case.deletable_end or (not segment.size and is_growing):
        return False
    if segment.next_offset <= case.log_start and not is_growing:
        return True
    if "delete" not in settings.cleanup_policy:
        return False
    if settings.retention_bytes >= 0 and excess >= segment.size:
        return True
    # Asked last: a segment without times is as old as its file, which is opened for that.
    newest_ms = segment.largest_timestamp()
    return 0 <= settings.retention_ms < case.now_ms - (newest_ms if newest_ms >= 0 else segment.modified_ms())


def remove_later(
    disk: Disk, clock: Clock, log: Removing, segments: Sequence[Segment], kept_snapshots: Container[int]
) -> None:
    """Rename the files out of sight now, and remove them in a worker after the delay. May raise DiskFailure.

    Producer snapshots go too, but not those at offsets in `kept_snapshots`.
    """
    paths = []
    for segment in segments:
        segment.retire()
        for handle in segment.handles():
            if disk.exists(handle.path):
                disk.rename(handle.path, handle.path + DELETED_SUFFIX)
                paths.append(handle.path + DELETED_SUFFIX)
        if segment.base_offset not in kept_snapshots:
            paths.append(f"{log.directory}/{file_name(segment.base_offset)}{SNAPSHOT_SUFFIX}")

    def remove() -> None:
        for path in paths:
            if log.is_closed:
                return  # as in remove_in_worker
            disk.remove(path)

    due_ms = clock.monotonic_ms() + log.settings.file_delete_delay_ms
    clock.call_at(due_ms, lambda: disk.in_remover(remove, only_costs_space))


def remove_in_worker(
    disk: Disk, clock: Clock, log: Removing, segments: Sequence[Segment], done: Callable[[DiskFailure | None], None]
) -> None:
    """Like remove_later, but a worker renames: however many they are, nobody waits. `done` comes when it is over.

    They are out of the log already. A start after a crash in between finds them again, and retention drops them again.
    """
    for segment in segments:
        segment.retire()
    paths = [handle.path for segment in segments for handle in segment.handles()]
    doomed = [path + DELETED_SUFFIX for path in paths]
    doomed += [f"{log.directory}/{file_name(segment.base_offset)}{SNAPSHOT_SUFFIX}" for segment in segments]

    def rename() -> None:
        for path in paths:
            # The directory of a deleted log is gone, and by now another topic's may have its name.
            if log.is_closed:
                return
            try:
                disk.rename(path, path + DELETED_SUFFIX)
            except FileNotFoundError:
                continue  # an index that was never made

    def remove() -> None:
        for path in doomed:
            if log.is_closed:
                return
            disk.remove(path)

    def renamed(result: DiskFailure | None) -> None:
        done(result)
        due_ms = clock.monotonic_ms() + log.settings.file_delete_delay_ms
        clock.call_at(due_ms, lambda: disk.in_remover(remove, only_costs_space))

    disk.in_worker(rename, renamed)


def adopt_cleaned(files: OpenFiles, directory: str, cleaned: Cleaned, end: int, created_ms: int) -> Segment:
    """A cleaned segment under its own name, for the log; its last offset is before `end`. May raise DiskFailure."""
    segment = Segment(files, directory, cleaned.base_offset, created_ms)
    if not segment.adopt() or segment.size != cleaned.size:
        raise DiskFailure(segment.handle.path, "the cleaned segment is not what was written")
    segment.next_offset = end
    segment.first_timestamp = cleaned.first_timestamp
    segment.max_timestamp = cleaned.max_timestamp
    segment.last_offset_of_max = cleaned.last_offset_of_max
    return segment


def remove_now(disk: Disk, directory: str, segments: Sequence[Segment]) -> None:
    """Take segments away at once; leased slices of them stay readable until they are released."""
    for segment in reversed(segments):  # a crash in between leaves no hole
        segment.retire()
        remove_segment_files(disk, directory, segment.base_offset)
    # None of them may be back behind what comes there next, nor what a swap has replaced that a start has finished.
    disk.sync_directory(directory)


def end_left(segment: Segment, offset: int) -> int:
    """Behind the last batch that is left of the segment when it is cut before the one that holds `offset`.

    Raises DiskFailure, DamagedBatch.
    """
    found = segment.find(offset)
    return segment.end_before(segment.written if found is None else found.position)


def truncate_segment(disk: Disk, segment: Segment, offset: int, interval_bytes: int) -> None:
    """Cut the segment before the batch that holds `offset`; it becomes the growing one. May raise DiskFailure."""
    found = segment.find(offset)
    if found is not None:
        if segment.handle.pins:
            _replace_under_lease(disk, segment, found.position)
        else:
            segment.handle.file().truncate(found.position)
            # Old bytes may not be back among those that are written there next.
            segment.handle.file().sync()
        segment.size = segment.written = found.position
    segment.transactions.truncate_to(offset)
    reindex(segment, interval_bytes)


def _replace_under_lease(disk: Disk, segment: Segment, size: int) -> None:
    """Put a copy of the first `size` bytes in the file's place: readers keep the bytes that they lease."""
    path = segment.handle.path
    temporary = path + ".cut.cleaned"  # another name than the cleaner's, which may be busy with this very segment
    old = segment.handle.file()
    copy = disk.open(temporary, create=True)
    copy.truncate(0)
    for position in range(0, size, _COPY_BYTES):
        copy.write_at(position, [old.read_at(position, min(_COPY_BYTES, size - position))])
    copy.sync()
    copy.close()
    disk.rename(temporary, path)
    disk.sync_directory(segment.directory)
    segment.renew_handle()


def reindex(segment: Segment, interval_bytes: int) -> None:
    """Read all headers again, so that indexes, times and tail say what the file says."""
    written = segment.written
    segment.restart()
    segment.written = written
    for position, header in list(segment.headers(0)):
        segment.note_batch(header, position, interval_bytes)
    segment.offsets.flush()
    segment.times.flush()
