"""What a log loses at its end stays lost, also where the process dies before the medium knows of it.

    note made -> files removed, directory synced, last segment cut and synced -> note removed

A killed process leaves files as it saw them: the next start finds the log as short as it became, and nothing else that
tells it that the medium may still have the rest. Were it to go on from there, a power failure would bring the old
segments back beside the new ones, or old batches among those that were written over them. So a note lies in the
directory meanwhile, and a start that finds one waits for the medium before the log grows. Starts without pay nothing.
Its suffix is that of files which Apache Kafka's start removes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from kbroker.log.segment import Segment
from kbroker.world import Disk

NOTE_FILE: Final = "cut-under-way.deleted"


@contextmanager
def cutting(disk: Disk, directory: str) -> Iterator[None]:
    """The log loses its end meanwhile; whoever cuts syncs what he cuts. May raise DiskFailure.

    What fails on the way leaves the note to the next start.
    """
    disk.open(_note(directory), create=True).close()
    yield
    disk.remove(_note(directory))


def finish_cut(disk: Disk, directory: str, segments: Sequence[Segment]) -> None:
    """At a start: wait for the medium where the last process may not have. The last of `segments` is the one that it
    cut. May raise DiskFailure."""
    if not disk.exists(_note(directory)):
        return
    disk.sync_directory(directory)
    for segment in segments[-1:]:
        segment.handle.file().sync()
    disk.remove(_note(directory))


def _note(directory: str) -> str:
    return f"{directory}/{NOTE_FILE}"
