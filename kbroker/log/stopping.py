"""The clean stop of many logs at once: all of them are written out, then their volume is synced as a whole.

    write everything, small files under temporary names -> sync -> rename -> sync -> nobody is dirty any more

A log by itself takes some ten fsyncs; ten thousand of them took minutes. What is interrupted here is recovered by the
next start as after any crash, since nobody has said yet that the stop was clean.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from kbroker.log.partition_log import PartitionLog
from kbroker.world import Disk

TOGETHER_MIN: Final = 16
"""Fewer logs are synced one by one: a sync of the volume takes along whatever other programs have written there."""


def write_out_together(disk: Disk, path: str, logs: Collection[PartitionLog]) -> None:
    """Bring what is dirty of many `logs` in the directory `path` to the medium; closing them has nothing to do then.

    Does nothing where there are few, or where the disk cannot. May raise DiskFailure, FileNotFoundError.
    """
    dirty = [log for log in logs if log.must_be_written_out and log.can_close_cleanly]
    if len(dirty) < TOGETHER_MIN or not disk.sync_volume(path):
        return
    renames = [names for log in dirty for names in log.write_out()]
    disk.sync_volume(path)
    for temporary, final in renames:
        disk.rename(temporary, final)
    disk.sync_volume(path)
    for log in dirty:
        log.written_out()
