"""What a start after a power failure may trust: recovery points, indexes, markers, names, each at its worst moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from log_workshop import DIRECTORY, Workshop

from kbroker.log.directory import CLEAN_FILE, LogDirectory
from kbroker.record.batch import build_batch
from kbroker.testing.simulated_disk import Crashed, Loss, SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock

NEVER_INDEXED = 1 << 20
"""Bytes between two index entries: there are none but those that a stop or a roll asks for."""


@pytest.fixture
def shop(make: Callable[[Any], Workshop]) -> Workshop:
    """A new log on a disk that forgets, its work in line until run_queued()."""
    workshop = make(SimulatedDisk(queues_work=True))
    workshop.disk.make_directory("/data")
    workshop.open(index_interval_bytes=NEVER_INDEXED)
    return workshop


def power_fails(shop: Workshop, **extra: Any) -> None:
    shop.disk = shop.disk.restarted(Loss.POWER_FAILED, **extra)


def shortest(count: int) -> int:
    """Of a file that had more sizes than one: the least. Of names: as last synced."""
    return 3 if count == 4 else 0


# ---- recovery points


def test_a_recovery_point_at_the_end_of_a_growing_segment_does_not_vouch_for_its_indexes(shop: Workshop) -> None:
    """Written down before the log rolled there, it did: of the sealed segment an empty time index was trusted, so that
    searches passed it over and retention thought it old."""
    shop.open(index_interval_bytes=0)
    for _ in range(4):
        shop.append()
        shop.clock.advance(1)
    shop.log.sync()
    shop.disk.run_queued()
    assert shop.log.flushed_end == 4
    checkpoint = shop.log.recovery_point
    shop.log.roll()
    newest = shop.log.segments[0].max_timestamp
    shop.disk.sync_directory(DIRECTORY)
    power_fails(shop)
    log = shop.open(recovery_point=checkpoint)
    assert [segment.base_offset for segment in log.segments] == [0, 4]
    assert log.segments[0].max_timestamp == newest
    assert log.offset_for_timestamp(newest) == (3, newest, 0)


def test_a_segment_that_grows_again_is_not_trusted_for_what_it_was(shop: Workshop) -> None:
    """A truncation to its end left the recovery point there, and wrote its time index anew."""
    shop.append(2)
    shop.disk.run_queued()
    shop.reopen(clean=True)
    shop.clock.advance(1)
    shop.append(1)
    shop.log.roll()
    newest = shop.log.segments[0].max_timestamp
    shop.disk.run_queued()
    checkpoints = [shop.log.recovery_point]
    assert checkpoints == [3]
    shop.log.on_truncation = lambda end: checkpoints.append(min(checkpoints[-1], end))
    shop.append(1)
    shop.log.truncate_to(3)
    shop.log.roll()
    shop.disk.sync_directory(DIRECTORY)
    power_fails(shop, below=shortest)
    log = shop.open(recovery_point=checkpoints[-1])
    assert log.segments[0].max_timestamp == newest


# ---- leader epochs


def test_epochs_that_were_cut_for_a_start_that_is_lost_again_are_no_damage(shop: Workshop) -> None:
    """Whoever deleted records shortly before a crash was told that the file of the epochs lacked some."""
    for epoch in (0, 1):
        shop.append(epoch=epoch)
    shop.log.roll()
    shop.append(epoch=2)
    shop.disk.run_queued()
    checkpoint = shop.log.recovery_point
    shop.log.delete_before(1)
    shop.disk.run_queued()
    shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
    log = shop.open(recovery_point=checkpoint)
    assert (log.log_start, log.epochs.entries(), log.mended) == (0, [(0, 0), (1, 1), (2, 2)], [])


# ---- the marker of a clean stop


class Counted:
    """world.Entropy that counts."""

    def __init__(self) -> None:
        self._count = 0

    def uuid(self) -> bytes:
        self._count += 1
        return self._count.to_bytes(16, "big")

    def below(self, end: int) -> int:
        return 0


def start(disk: SimulatedDisk) -> LogDirectory:
    return LogDirectory.open(disk, "/data", VirtualClock(), Counted(), node_id=1)


def test_a_marker_whose_removal_was_interrupted_is_gone_before_the_metadata_log_is_recovered() -> None:
    """A power failure brought it back, and what the second start had half done was trusted: a time index, cut for new
    entries that never came."""
    disk = SimulatedDisk()
    disk.make_directory("/data")
    directory = start(disk)
    metadata = directory.open_metadata_log()
    directory.begin()
    metadata.append_as_leader(build_batch([(None, b"v")], timestamp_ms=1), 0)
    assert directory.close(clean=True)
    directory = start(disk)
    directory.open_metadata_log()
    disk.crash_at = disk.steps + 2
    with pytest.raises(Crashed):
        directory.begin()
    disk = disk.restarted(Loss.PROCESS_DIED)
    assert not disk.exists(f"/data/{CLEAN_FILE}")
    assert disk.restarted(Loss.POWER_FAILED).exists(f"/data/{CLEAN_FILE}")
    start(disk).open_metadata_log()
    assert not disk.restarted(Loss.POWER_FAILED).exists(f"/data/{CLEAN_FILE}")
