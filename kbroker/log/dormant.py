"""Logs that nobody has used since a clean stop, or since they were made: their ends are known, no file is open.

    found:  one listing, one small file  \
    made:   in a worker, with its files   --> asleep --anything that needs more than the ends--> awake, as loaded
                                                        after any clean stop (PartitionLog)

The recovery point that a clean stop wrote down is the end of the log where the newest producer snapshot agrees, as it
does after Kafka's own clean stop too. Ten thousand logs of which a few are used start in the time that listing them
takes, and hold neither descriptors nor indexes. How large their files are is looked up in a worker, once somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from kbroker.log.index import time_index
from kbroker.log.mended import Mended
from kbroker.log.nobody import only_costs_space
from kbroker.log.open_files import FileHandle, OpenFiles
from kbroker.log.partition_log import PartitionLog
from kbroker.log.partition_metadata import METADATA_FILE, claim_directory
from kbroker.log.place import Asleep, LogPlace, Measured
from kbroker.log.recovery import EPOCHS_FILE
from kbroker.log.removal import DELETED_SUFFIX
from kbroker.log.segment import file_name, is_file_name
from kbroker.record.batch import NO_TIMESTAMP
from kbroker.world import Disk, DiskFailure

SEGMENTS_ASLEEP_MAX: Final = 64
"""A log of more is loaded by the start: to wake it would hold up everybody, 120 ms for a thousand in memory."""

UNINDEXED_BYTES_MAX: Final = 1 << 20
"""So is one whose growing segment is larger and has lost an index, for all of it would be read: 1.7 s for 1 GB."""

MEASURED_TOGETHER: Final = 32
"""Logs in one piece of a worker's work, so that no fsync waits long behind it."""

_OF_A_SEGMENT: Final = (".log", ".index", ".timeindex", ".txnindex", ".snapshot")
_INDEXES: Final = (".index", ".timeindex")
_OF_THE_LOG: Final = (METADATA_FILE, EPOCHS_FILE)


def find_asleep(place: LogPlace, *, recovery_point: int, log_start: int) -> PartitionLog | None:
    """The log there, cleanly stopped at `recovery_point`; None where it must be looked at more closely.

    Raises DiskFailure, InconsistentTopicId.
    """
    disk, directory = place.disk, place.directory
    try:
        names = disk.list(directory)
    except FileNotFoundError:
        return None
    doomed = [name for name in names if _is_deleted(name)]
    names = [name for name in names if name not in doomed] if doomed else names
    bases, snapshots = _offsets(names)
    if not bases or recovery_point < max(bases[-1], log_start):
        return None
    if len(bases) > SEGMENTS_ASLEEP_MAX or not _is_indexed(place, bases, set(names)):
        return None
    # Kafka leaves no snapshot where nothing was ever written.
    if max(snapshots, default=0) != recovery_point:
        return None
    if recovery_point == bases[-1] and _size(disk, f"{directory}/{file_name(recovery_point)}.log"):
        return None  # the snapshot is from the roll
    ends = (*bases[1:], recovery_point)
    asleep = Asleep(recovery_point, log_start, bases[0], ends[0], bases[-1], len(bases), place.clock.wall_ms())
    mended: list[Mended] = []
    topic_id, _ = claim_directory(disk, directory, place.topic_id, mended)
    log = PartitionLog.asleep(place._replace(topic_id=topic_id), asleep)
    log.mended = mended
    if doomed:
        disk.in_remover(partial(_remove, disk, directory, doomed), only_costs_space)
    return log


def _is_deleted(name: str) -> bool:
    """Had it left a segment, its time not come when the broker stopped? A cut that is under way is another matter."""
    return name.endswith(DELETED_SUFFIX) and is_file_name(name[:20])


def _remove(disk: Disk, directory: str, names: Sequence[str]) -> None:
    for name in names:
        disk.remove(f"{directory}/{name}")


def make_files(disk: Disk, directory: str, topic_id: bytes) -> bool:
    """For a worker: the directory of a log that never was, with its topic's id and an empty segment.

    Its indexes are there too: Apache Kafka recovers a segment without, and says so of each. False, with nothing done,
    where a directory is there already. Raises DiskFailure.
    """
    if disk.is_directory(directory):
        return False
    claim_directory(disk, directory, topic_id, [])
    for suffix in (".index", ".timeindex", ".log"):
        disk.open(f"{directory}/{file_name(0)}{suffix}", create=True).close()
    return True


def new_asleep(place: LogPlace) -> PartitionLog:
    """The log of which make_files has just made the files."""
    nothing = Measured(0, 0, NO_TIMESTAMP)
    return PartitionLog.asleep(place, Asleep(0, 0, 0, 0, 0, 1, place.clock.wall_ms(), nothing))


def _offsets(names: Sequence[str]) -> tuple[list[int], list[int]]:
    """The base offsets of segments and the offsets of producer snapshots, both rising.

    Neither where a name is not one that a clean stop leaves.
    """
    bases, snapshots = [], []
    for name in names:
        stem, suffix = name[:20], name[20:]
        if suffix in _OF_A_SEGMENT and is_file_name(stem):
            if suffix == ".log":
                bases.append(int(stem))
            elif suffix == ".snapshot":
                snapshots.append(int(stem))
        elif name not in _OF_THE_LOG:
            return [], []
    return bases, snapshots


def _is_indexed(place: LogPlace, bases: Sequence[int], names: set[str]) -> bool:
    """Has every segment its indexes, or is it the last one and small?"""
    unindexed = [base for base in bases if not names.issuperset(file_name(base) + suffix for suffix in _INDEXES)]
    if unindexed == [bases[-1]]:
        return _size(place.disk, f"{place.directory}/{file_name(bases[-1])}.log") <= UNINDEXED_BYTES_MAX
    return not unindexed


def _size(disk: Disk, path: str) -> int:
    file = disk.open(path)
    try:
        return file.size()
    finally:
        file.close()


# ---- measuring


def measure_sleeping(disk: Disk, logs: Iterable[PartitionLog], done: Callable[[], None]) -> None:
    """Learn, in a worker and some logs at a time, how large those are that sleep and were not measured yet.

    Then `done` is called. A disk that refuses fails the log, as it would when it wakes.
    """
    left = [log for log in logs if log.is_unmeasured]

    def step() -> None:
        several = [log for log in left[-MEASURED_TOGETHER:] if log.is_unmeasured]
        del left[-MEASURED_TOGETHER:]
        if several:
            work = partial(_measure_all, disk, [log.directory for log in several])
            disk.in_worker(work, partial(over, several))
        elif left:
            step()
        else:
            done()

    def over(several: list[PartitionLog], results: list[Measured | DiskFailure | None] | DiskFailure) -> None:
        assert isinstance(results, list), "each has its own failure"
        for log, result in zip(several, results, strict=True):
            log.note_measured(result)
        step()

    step()


def _measure_all(disk: Disk, directories: Sequence[str]) -> list[Measured | DiskFailure | None]:
    return [_measure(disk, directory) for directory in directories]


def _measure(disk: Disk, directory: str) -> Measured | DiskFailure | None:
    """None where the files are not as a clean stop leaves them: whoever wakes the log will see."""
    try:
        stems = [name[:-4] for name in disk.list(directory) if name.endswith(".log")]
        sizes = [_size(disk, f"{directory}/{stem}.log") for stem in stems]
        newest_ms = _newest_ms(disk, f"{directory}/{stems[0]}") if sizes and sizes[0] else NO_TIMESTAMP
    except FileNotFoundError:
        return None
    except DiskFailure as failure:
        return failure
    return Measured(sum(sizes), sizes[0], newest_ms) if sizes and newest_ms is not None else None


def _newest_ms(disk: Disk, stem: str) -> int | None:
    """The last entry of a time index has the largest timestamp; without one, when the segment was written last.

    None where the index is damaged. Raises FileNotFoundError.
    """
    index = time_index(FileHandle(OpenFiles(disk), f"{stem}.timeindex"))
    try:
        if not index.adopt():
            return None
        newest_ms = index.last[0] if index.last is not None else NO_TIMESTAMP
    finally:
        index.handle.close()
    return newest_ms if newest_ms >= 0 else _modified_ms(disk, f"{stem}.log")


def _modified_ms(disk: Disk, path: str) -> int:
    file = disk.open(path)
    try:
        return file.modified_ms()
    finally:
        file.close()
