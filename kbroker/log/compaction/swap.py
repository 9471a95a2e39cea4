"""How cleaned segments take the place of old ones, so that a crash at any step leaves the one or the other.

    N.log.cleaned      being written            a start removes it
    N.log.swap         whole and on the medium  a start puts it in place of what it covers
    M.log.deleted      replaced, goes soon      a start removes it
    N.log

The files of one segment (log, indexes) change their names one after the other, the log first, so that a segment which
is only partly named .swap still has a file named .cleaned: a start takes that for unfinished. Nothing old changes its
name before the names .swap have reached the medium.
Source: Kafka's LocalLog.replaceSegments, LogLoader.removeTempFilesAndCollectSwapFiles.
"""

from __future__ import annotations

from typing import Final

from kbroker.log.batch_walk import batches
from kbroker.log.segment import file_name, is_file_name
from kbroker.world import Disk

CLEANED_SUFFIX: Final = ".cleaned"
SWAP_SUFFIX: Final = ".swap"
_FILES = (".log", ".index", ".timeindex", ".txnindex")


def begin_swap(disk: Disk, directory: str, base: int) -> None:
    """The cleaned segment at `base` is whole and synced: name it .swap. Its names are not on the medium yet."""
    _rename_all(disk, directory, base, CLEANED_SUFFIX, SWAP_SUFFIX)


def finish_swap(disk: Disk, directory: str, base: int) -> None:
    """What it covers is out of the way: give the segment its name."""
    _rename_all(disk, directory, base, SWAP_SUFFIX, "")


def abandon_swap(disk: Disk, directory: str, base: int) -> None:
    """Take a segment named .swap away; its log is named .cleaned first, so that a start does the same from there on."""
    log = f"{directory}/{file_name(base)}{_FILES[0]}"
    if disk.exists(log + SWAP_SUFFIX):
        disk.rename(log + SWAP_SUFFIX, log + CLEANED_SUFFIX)
    _remove_all(disk, directory, base, SWAP_SUFFIX)
    disk.remove(log + CLEANED_SUFFIX)


def discard_cleaned(disk: Disk, directory: str, base: int) -> None:
    """Take a segment away that was being written."""
    _remove_all(disk, directory, base, CLEANED_SUFFIX)


def _rename_all(disk: Disk, directory: str, base: int, old: str, new: str) -> None:
    for suffix in _FILES:
        path = f"{directory}/{file_name(base)}{suffix}"
        if disk.exists(path + old):
            disk.rename(path + old, path + new)


def _remove_all(disk: Disk, directory: str, base: int, suffix: str) -> None:
    for kind in reversed(_FILES):
        disk.remove(f"{directory}/{file_name(base)}{kind}{suffix}")


def complete_swaps(disk: Disk, directory: str) -> None:
    """At a start, before anything else is looked at: finish the swaps that were interrupted, undo unfinished ones.

    Harmless in a directory without any. May itself be interrupted. May raise DiskFailure.
    """
    names = [name for name in disk.list(directory) if is_file_name(name[:20])]
    swaps = [name for name in names if name.endswith(SWAP_SUFFIX)]
    if not swaps:
        return
    unfinished = min((int(name[:20]) for name in names if name.endswith(CLEANED_SUFFIX)), default=None)
    if unfinished is not None:
        for name in [name for name in swaps if int(name[:20]) >= unfinished]:
            disk.remove(f"{directory}/{name}")
            swaps.remove(name)
    logs = [name for name in swaps if name.endswith(".log" + SWAP_SUFFIX)]
    if logs:
        # The names .swap may be what a process left that died: after a power failure the old segments would be back,
        # although what was cleaned had been served.
        disk.sync_directory(directory)
        start = min(int(name[:20]) for name in logs)
        end = max(_end_of(disk, f"{directory}/{name}", int(name[:20])) for name in logs)
        for name in names:
            if start <= int(name[:20]) < end and name[20:] in _FILES:
                disk.remove(f"{directory}/{name}")
    # The logs first: while one is named .swap, another start takes the indexes beside it for old ones.
    for name in sorted(swaps, key=lambda name: name not in logs):
        disk.rename(f"{directory}/{name}", f"{directory}/{name.removesuffix(SWAP_SUFFIX)}")


def _end_of(disk: Disk, path: str, base: int) -> int:
    """Behind the last offset that the segment's batches cover; its base when it has none."""
    file = disk.open(path)
    try:
        # Where it was damaged since, recovery will say so.
        return max([base, *(header.last_offset + 1 for _, header, _ in batches(file, file.size()))])
    finally:
        file.close()
