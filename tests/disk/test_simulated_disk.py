"""What a crash takes from the simulated disk, and what it leaves."""

from __future__ import annotations

from random import Random

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
    line = disk.write(file, 0, [b"x"], done.append)
    assert line is not None
    assert disk.write(file, 1, [b"y"], done.append, behind=line) is line
    assert file.size() == 0
    assert disk.run_queued(1) == 1
    assert (file.size(), done) == (1, [None])
    assert disk.run_queued() == 1
    assert file.read_at(0, 9) == b"xy"


def _outcomes(disk: SimulatedDisk, path: str, count: int = 200) -> set[bytes | None]:
    """What power failures leave of a file; None: not even the name."""
    found = set()
    for seed in range(count):
        after = disk.restarted(Loss.POWER_FAILED, below=Random(seed).randrange)
        found.add(after.read(path) if after.exists(path) else None)
    return found


def test_a_dead_process_leaves_unsynced_bytes_at_the_mercy_of_a_later_power_failure() -> None:
    """A restart used to make everything durable, which hid what recovery forgot to sync."""
    after = _written().restarted(Loss.PROCESS_DIED)
    assert after.restarted(Loss.POWER_FAILED).read("d/a") == b"synced"
    assert not after.restarted(Loss.POWER_FAILED).exists("d/unsynced-name")


def test_pages_reach_the_medium_in_any_order_and_synced_bytes_stay() -> None:
    disk = SimulatedDisk(page_bytes=4)
    disk.make_directory("d")
    file = disk.open("d/a", create=True)
    file.write_at(0, [b"synced"])
    file.sync()
    disk.sync_directory("d")
    file.write_at(6, [b"TAILTAIL"])
    found = _outcomes(disk, "d/a")
    assert all(data is not None and data.startswith(b"synced") for data in found)
    assert b"synced\0\0ILTAIL" in found, "a later page without an earlier one"
    assert b"syncedTA\0\0\0\0IL" in found, "a hole"
    assert {b"synced", b"syncedTAILTAIL"} <= found
    assert any(data is not None and len(data) == 11 for data in found), "torn"


def test_bytes_written_over_synced_ones_are_the_old_or_the_new() -> None:
    disk = SimulatedDisk(page_bytes=4)
    disk.make_directory("d")
    file = disk.open("d/a", create=True)
    file.write_at(0, [b"oldoldol"])
    file.sync()
    disk.sync_directory("d")
    file.write_at(0, [b"newnewne"])
    assert _outcomes(disk, "d/a") == {b"oldoldol", b"newnewne", b"newnldol", b"oldoewne"}


def test_a_cut_file_may_be_back_whole_or_in_part() -> None:
    disk = SimulatedDisk(page_bytes=4)
    disk.make_directory("d")
    file = disk.open("d/a", create=True)
    file.write_at(0, [b"oldoldol"])
    file.sync()
    disk.sync_directory("d")
    file.truncate(2)
    found = _outcomes(disk, "d/a")
    assert {b"oldoldol", b"ol"} <= found
    file.sync()
    assert _outcomes(disk, "d/a") == {b"ol"}


def test_unsynced_names_come_and_go_in_their_order() -> None:
    disk = SimulatedDisk()
    disk.make_directory("d")
    disk.replace("d/a", b"a")
    disk.replace("d/b", b"b")
    disk.rename("d/a", "d/c")
    disk.remove("d/b")
    found = set()
    for seed in range(50):
        found.add(tuple(disk.restarted(Loss.POWER_FAILED, below=Random(seed).randrange).list("d")))
    assert found == {("a", "b"), ("b", "c"), ("c",)}
    disk.sync_directory("d")
    assert disk.restarted(Loss.POWER_FAILED).list("d") == ["c"]


def test_a_crash_while_a_file_is_replaced_leaves_the_old_one_and_a_temporary_name() -> None:
    disk = SimulatedDisk()
    disk.make_directory("d")
    disk.replace("d/a", b"old")
    first = disk.steps
    found = []
    for step in range(1, 5):
        copy = disk.restarted(Loss.PROCESS_DIED)
        copy.crash_at = step
        with pytest.raises(Crashed):
            copy.replace("d/a", b"new")
        found.append((copy.restarted(Loss.PROCESS_DIED).read("d/a"), copy.restarted(Loss.PROCESS_DIED).list("d")))
    disk.replace("d/a", b"new")
    assert disk.steps - first == 4
    assert found == [
        (b"old", ["a"]),
        (b"old", ["a", "a.1.tmp"]),
        (b"old", ["a", "a.1.tmp"]),
        (b"new", ["a"]),
    ]


def test_a_renamed_directory_is_synced_under_its_new_name_alone() -> None:
    disk = SimulatedDisk()
    disk.make_directory("d/t-0")
    disk.sync_directory("d/t-0")
    disk.rename("d/t-0", "d/t-0-delete")
    assert disk.restarted(Loss.POWER_FAILED).list("d") == ["t-0"]
    disk.sync_directory("d/t-0-delete")
    assert disk.restarted(Loss.POWER_FAILED).list("d") == ["t-0-delete"]


def test_each_step_is_announced_before_it_is_made() -> None:
    disk = _written()
    seen: list[tuple[str, bytes]] = []
    disk.on_step = lambda path: seen.append((path, disk.restarted(Loss.PROCESS_DIED).read("d/a")))
    disk.open("d/a").write_at(10, [b"!"])
    assert seen == [("d/a", b"syncedTAIL")]


def test_a_synced_volume_keeps_every_byte_and_name() -> None:
    disk = SimulatedDisk()
    disk.make_directory("/a/b")
    disk.open("/a/b/old", create=True).write_at(0, [b"bytes"])
    disk.rename("/a/b/old", "/a/b/new")
    assert disk.sync_volume("/a")
    disk.open("/a/b/late", create=True)
    after = disk.restarted(Loss.POWER_FAILED, Keep.NOTHING)
    assert after.list("/a/b") == ["new"]
    assert after.read("/a/b/new") == b"bytes"


def test_what_workers_do_ends_in_any_order_and_is_told_in_that_order() -> None:
    """Four of them begin what was asked for in its order. Any other thread does one thing after the other."""
    disk = SimulatedDisk(queues_work=True)
    done: list[str] = []
    for name in ("0", "1", "2", "3", "4"):
        disk.in_worker(lambda name=name: done.append(name), lambda _, name=name: done.append(f"told {name}"))
    for name in ("b0", "b1"):
        disk.in_background(lambda name=name: done.append(name), lambda _: None)
    choices = [3, 0, 4, 3, 3, 3]
    seen: list[int] = []

    def order(count: int) -> int:
        seen.append(count)
        return choices.pop(0)

    disk.order = order
    assert disk.run_queued(6) == 6
    assert done == ["3", "0", "told 3", "b0", "b1", "told 0"]
    assert seen == [5, 6, 5, 5, 5, 4]
