"""What a crash takes from the simulated disk, and what it leaves."""

from __future__ import annotations

import pytest

from kbroker.testing.simulated_disk import Crashed, Keep, Loss, SimulatedDisk
from kbroker.world import DiskFailure


def _written() -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.make_directory("d")
    file = disk.open("d/a", create=True)
    file.write_at(0, [b"synced"])
    file.sync()
    disk.sync_directory("d")
    file.write_at(6, [b"TAIL"])
    disk.open("d/unsynced-name", create=True).sync()
    return disk


def test_a_dead_process_leaves_all_it_wrote() -> None:
    after = _written().restarted(Loss.PROCESS_DIED)
    assert after.read("d/a") == b"syncedTAIL"
    assert after.exists("d/unsynced-name")


@pytest.mark.parametrize(
    ("keep", "left"),
    [(Keep.NOTHING, b""), (Keep.ALL, b"TAIL"), (Keep.HALF, b"TA"), (Keep.ZEROS, b"\0\0\0\0")],
)
def test_a_power_failure_leaves_what_was_synced_and_some_of_the_rest(keep: Keep, left: bytes) -> None:
    after = _written().restarted(Loss.POWER_FAILED, keep)
    assert after.read("d/a") == b"synced" + left
    assert not after.exists("d/unsynced-name")


def test_the_step_that_crashes_is_not_done() -> None:
    disk = _written()
    disk.crash_at = disk.steps + 1
    with pytest.raises(Crashed):
        disk.open("d/a").write_at(0, [b"never"])
    assert disk.restarted(Loss.PROCESS_DIED).read("d/a") == b"syncedTAIL"


def test_a_scripted_failure_hits_the_paths_that_it_names() -> None:
    disk = _written()
    disk.failing["d/a"] = "No space left on device"
    with pytest.raises(DiskFailure, match="No space left"):
        disk.open("d/a")
    disk.open("d/b", create=True)


def test_queued_writes_wait_and_finish_in_order() -> None:
    disk = SimulatedDisk(queues_writes=True)
    file = disk.open("a", create=True)
    done: list[DiskFailure | None] = []
    assert not disk.write(file, 0, [b"x"], done.append)
    assert not disk.write(file, 1, [b"y"], done.append)
    assert file.size() == 0
    assert disk.run_queued(1) == 1
    assert (file.size(), done) == (1, [None])
    assert disk.run_queued() == 1
    assert file.read_at(0, 9) == b"xy"
