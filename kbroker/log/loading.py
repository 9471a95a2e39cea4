"""Opening a log: what its files say, recovered where they cannot be trusted.

Source: Kafka's LogLoader.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from kbroker.log import recovery
from kbroker.log.leader_epochs import LeaderEpochs
from kbroker.log.mended import Mended
from kbroker.log.open_files import OpenFiles
from kbroker.log.producer_state import ProducerState
from kbroker.log.segment import Segment
from kbroker.log.segment_list import SegmentList
from kbroker.world import Clock, Disk


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

    What was damaged or missing is added to `mended`. Raises DiskFailure.
    """
    epochs = recovery.load_epochs(disk, directory, mended)
    epochs_on_disk = epochs.entries()
    load = partial(
        recovery.load_segments,
        disk,
        files,
        directory,
        recovery_point=recovery_point,
        interval_bytes=index_interval_bytes,
        epochs=epochs,
        created_ms=clock.wall_ms(),
        mended=mended,
    )
    found = load(clean=clean)
    lacks = recovery.lost_end(disk, directory, found, recovery_point, log_start) if clean else None
    if lacks is not None:
        clean = False
        mended.insert(0, lacks)
        found = load(clean=False)
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
    recovery.complete_epochs(epochs, found, log_start, flushed_end, mended)
    producers = recovery.load_producers(disk, directory, found, end, clean=clean, mended=mended)
    is_dirty = is_new or not clean or bool(mended)
    return Loaded(segments, epochs, epochs_on_disk, producers, log_start, flushed_end, is_dirty)
