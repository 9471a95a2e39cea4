"""What every world.Disk must do: one suite over the real, the memory and the simulated one."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kbroker.real import disk as disk_module
from kbroker.real.clock import RealClock
from kbroker.real.disk import RealDisk
from kbroker.real.memory_disk import MemoryDisk
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.world import ColdRead, DirectoryLocked, DiskFailure, JobFailed


class Bench:
    """A disk, a folder of its own, and the state's thread: run() does what was posted to it."""

    def __init__(self, disk: Any, folder: str, posted: queue.SimpleQueue[Callable[[], None]]) -> None:
        self.disk = disk
        self.folder = folder
        self._posted = posted

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def file(self, name: str, data: bytes = b"") -> Any:
        file = self.disk.open(self.path(name), create=True)
        if data:
            file.write_at(0, [data])
        return file

    def wait(self, is_over: Callable[[], bool]) -> None:
        while not is_over():
            self._posted.get(timeout=5)()


@pytest.fixture(params=["real", "memory", "simulated"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    if request.param == "real":
        disk: Any = RealDisk(posted.put)
        folder = str(tmp_path)
    else:
        disk = MemoryDisk() if request.param == "memory" else SimulatedDisk()
        folder = "/data"
        disk.make_directory(folder)
    yield Bench(disk, folder, posted)
    disk.close()


def test_a_missing_file_is_only_made_when_asked(bench: Bench) -> None:
    with pytest.raises(FileNotFoundError):
        bench.disk.open(bench.path("a"))
    bench.file("a", b"x").close()
    assert bench.disk.open(bench.path("a")).size() == 1
    assert bench.disk.exists(bench.path("a"))


def test_a_file_in_a_missing_directory_cannot_be_made(bench: Bench) -> None:
    with pytest.raises((DiskFailure, FileNotFoundError)):
        bench.disk.open(bench.path("none/a"), create=True)


def test_buffers_are_written_one_after_the_other(bench: Bench) -> None:
    file = bench.file("a")
    file.write_at(2, [b"one", bytearray(b"two"), memoryview(b"three")])
    assert file.read_at(0, 100) == b"\0\0onetwothree"
    assert file.size() == 13


def test_a_file_tells_when_it_was_changed_last(bench: Bench) -> None:
    file = bench.file("a", b"x")
    made_ms = file.modified_ms()
    file.write_at(1, [b"y"])
    file.truncate(1)
    changed_ms = file.modified_ms()
    file.read_at(0, 1)
    assert 0 < made_ms <= changed_ms <= RealClock().wall_ms()
    assert bench.disk.open(bench.path("a")).modified_ms() == changed_ms


@pytest.mark.parametrize("change", [lambda file: file.write_at(0, [b"y"]), lambda file: file.truncate(0)])
def test_a_change_makes_a_file_young_again(tmp_path: Path, change: Callable[[Any], None]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    os.utime(path, ns=(0, 5_000_000))
    disk = RealDisk(_never)
    file = disk.open(str(path))
    assert file.modified_ms() == 5
    change(file)
    assert file.modified_ms() > 5
    file.close()
    disk.close()


def _never(action: Callable[[], None]) -> None:
    raise AssertionError("nothing was handed to a thread")


def test_a_disk_in_memory_goes_by_the_clock_it_is_given() -> None:
    clock = VirtualClock(1_000)
    disk = MemoryDisk(clock.wall_ms)
    file = disk.open("/a", create=True)
    clock.advance(500)
    assert file.modified_ms() == 1_000
    file.write_at(0, [b"x"])
    assert file.modified_ms() == 1_500


def test_many_buffers_are_all_written(bench: Bench) -> None:
    file = bench.file("a")
    file.write_at(0, [b"%04d" % number for number in range(1500)])
    assert file.read_at(4 * 1499, 10) == b"1499"
    assert file.size() == 6000


def test_reads_are_short_only_at_the_end(bench: Bench) -> None:
    file = bench.file("a", b"0123456789")
    assert file.read_at(4, 3) == b"456"
    assert file.read_at(8, 5) == b"89"
    assert file.read_at(10, 5) == b""
    assert file.read_at(99, 5) == b""


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 8192, 70_000, 600_000])
def test_what_is_written_across_any_border_is_read_back(bench: Bench, size: int) -> None:
    file = bench.file("a")
    data = bytes(number % 251 for number in range(size))
    file.write_at(3000, [data])
    assert file.read_at(3000, size) == data
    pieces = file.views(3000, size)
    assert pieces is None or b"".join(pieces) == file.read_at(3000, size)
    view = file.view(3000, size)
    assert view is None or view == data


def test_holes_and_extensions_read_as_zeros(bench: Bench) -> None:
    file = bench.file("a", b"x" * 10)
    file.truncate(4)
    file.truncate(8)
    assert file.read_at(0, 99) == b"xxxx\0\0\0\0"
    file.write_at(10, [b"y"])
    assert file.read_at(0, 99) == b"xxxx\0\0\0\0\0\0y"


def test_a_large_file_shrinks_and_grows_again_with_zeros(bench: Bench) -> None:
    file = bench.file("a", b"z" * 20_000)
    file.truncate(0)
    assert file.size() == 0
    file.truncate(9000)
    assert file.read_at(0, 20_000) == bytes(9000)


def test_a_view_stays_while_the_file_grows(bench: Bench) -> None:
    file = bench.file("a", b"first")
    view = file.view(0, 5)
    for number in range(50):
        file.write_at(5 + number * 1000, [b"n" * 1000])
    assert view is None or view == b"first"


def test_directories_are_made_with_their_parents_and_listed_in_order(bench: Bench) -> None:
    bench.disk.make_directory(bench.path("b/c"))
    bench.disk.make_directory(bench.path("b/c"))
    bench.file("a")
    assert bench.disk.list(bench.folder) == ["a", "b"]
    assert bench.disk.list(bench.path("b")) == ["c"]
    assert bench.disk.is_directory(bench.path("b"))
    assert not bench.disk.is_directory(bench.path("a"))
    assert not bench.disk.is_directory(bench.path("none"))
    with pytest.raises(FileNotFoundError):
        bench.disk.list(bench.path("none"))


def test_replace_makes_or_changes_a_whole_file(bench: Bench) -> None:
    for data in (b"long contents", b"short", b""):
        bench.disk.replace(bench.path("a"), data)
        assert bench.disk.read(bench.path("a")) == data
    assert bench.disk.list(bench.folder) == ["a"]
    with pytest.raises(FileNotFoundError):
        bench.disk.read(bench.path("none"))


def test_rename_replaces_a_file_and_keeps_open_ones_usable(bench: Bench) -> None:
    old = bench.file("old", b"kept")
    bench.file("new", b"moved")
    bench.disk.rename(bench.path("new"), bench.path("old"))
    assert bench.disk.read(bench.path("old")) == b"moved"
    assert old.read_at(0, 9) == b"kept"
    with pytest.raises(FileNotFoundError):
        bench.disk.rename(bench.path("new"), bench.path("other"))


def test_a_directory_is_renamed_with_all_it_holds(bench: Bench) -> None:
    bench.disk.make_directory(bench.path("d/sub"))
    bench.file("d/sub/a", b"x")
    bench.file("dx", b"y")
    bench.disk.rename(bench.path("d"), bench.path("e"))
    assert bench.disk.list(bench.folder) == ["dx", "e"]
    assert bench.disk.read(bench.path("e/sub/a")) == b"x"
    assert not bench.disk.exists(bench.path("d"))


def test_removal_is_harmless_when_nothing_is_there_and_spares_open_files(bench: Bench) -> None:
    file = bench.file("a", b"kept")
    bench.disk.remove(bench.path("a"))
    bench.disk.remove(bench.path("a"))
    assert not bench.disk.exists(bench.path("a"))
    assert file.read_at(0, 9) == b"kept"
    bench.disk.make_directory(bench.path("d/sub"))
    bench.file("d/sub/a")
    bench.disk.remove_tree(bench.path("d"))
    bench.disk.remove_tree(bench.path("d"))
    assert bench.disk.list(bench.folder) == []


def test_a_lock_has_one_owner(bench: Bench) -> None:
    lock = bench.disk.lock(bench.path(".lock"))
    for _ in range(2):  # the failed attempt must not free it either
        with pytest.raises(DirectoryLocked):
            bench.disk.lock(bench.path(".lock"))
    lock.release()
    lock.release()
    bench.disk.lock(bench.path(".lock")).release()


def test_sync_and_volume_sizes_can_be_asked_for(bench: Bench) -> None:
    bench.file("a", b"x").sync()
    bench.disk.sync_directory(bench.folder)
    assert bench.disk.total_bytes(bench.folder) >= bench.disk.usable_bytes(bench.folder) >= -1


def test_a_small_write_is_done_at_once(bench: Bench) -> None:
    file = bench.file("a")
    done: list[DiskFailure | None] = []
    assert bench.disk.write(file, 0, [b"x"], done.append) is None
    assert file.read_at(0, 9) == b"x"
    assert done == []


@pytest.mark.parametrize("lane", ["in_worker", "in_background", "in_remover"])
def test_work_comes_back_with_its_result_or_its_failure(bench: Bench, lane: str) -> None:
    def broken() -> int:
        raise DiskFailure("a", "broken")

    results: list[Any] = []
    getattr(bench.disk, lane)(lambda: 7, results.append)
    bench.wait(lambda: len(results) == 1)
    getattr(bench.disk, lane)(broken, results.append)
    bench.wait(lambda: len(results) == 2)
    assert results[0] == 7
    assert isinstance(results[1], DiskFailure)


# ---- the real disk alone


Posted = queue.SimpleQueue[Callable[[], None]]
SMALL, LARGE = b"x", b"y" * 20


class Gate:
    """Holds the writer threads up: each write to a file waits until it is let through, and is noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_go_on = threading.Event()
        self.written: list[tuple[str, str, int, int]] = []
        quick = disk_module.RealFile.write_at

        def write_at(file: Any, position: int, buffers: Any) -> None:
            thread = threading.current_thread().name
            if thread != "MainThread":
                assert self.may_go_on.wait(5)
            self.written.append((thread, Path(file.path).name, position, sum(map(len, buffers))))
            quick(file, position, buffers)

        monkeypatch.setattr(disk_module.RealFile, "write_at", write_at)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[RealDisk]:
    """A disk that is never trusted; more than ten bytes are many."""
    disk = RealDisk(Posted().put, small_bytes_max=10, slow_write_s=0)
    yield disk
    disk.close()


def test_the_writes_of_one_line_finish_in_order(slow: RealDisk, tmp_path: Path) -> None:
    file = slow.open(str(tmp_path / "a"), create=True)
    order: list[int] = []
    line = None
    for number in range(5):
        data = b"%d" % number * (100 if number == 0 else 1)
        done = partial(lambda number, failure: order.append(number), number)
        line = slow.write(file, 100 * number, [data], done, behind=line)
        assert line is not None
    slow.drain()
    assert order == [0, 1, 2, 3, 4]
    assert file.read_at(0, 101) == b"0" * 100 + b"1"


def test_a_failed_write_says_so_wherever_it_is_done(slow: RealDisk, tmp_path: Path) -> None:
    quick = RealDisk()
    closed = quick.open(str(tmp_path / "a"), create=True)
    closed.close()
    with pytest.raises(DiskFailure, match="a: Bad file descriptor"):
        quick.write(closed, 0, [b"x"], lambda failure: None)
    failures: list[DiskFailure | None] = []
    for data in (SMALL, LARGE):
        assert slow.write(closed, 0, [data], failures.append) is not None
    slow.drain()
    assert [str(failure) for failure in failures] == [f"{tmp_path / 'a'}: Bad file descriptor"] * 2


@pytest.mark.parametrize("kind", ["real", "simulated"])
def test_nothing_is_written_behind_what_failed(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that was full for one write made a hole: no start accepted a metadata log with sound batches behind it."""
    disk: Any = RealDisk(Posted().put, slow_write_s=0) if kind == "real" else SimulatedDisk(queues_writes=True)
    folder = str(tmp_path) if kind == "real" else "/data"
    disk.make_directory(folder)
    file = disk.open(f"{folder}/a", create=True)
    write_at = type(file).write_at
    calls: list[int] = []

    def full_once(self: Any, position: int, buffers: Any) -> None:
        calls.append(position)
        if position == 4:
            write_at(self, position, [b"to"])
            raise DiskFailure(self.path, "No space left on device")
        write_at(self, position, buffers)

    monkeypatch.setattr(type(file), "write_at", full_once)
    monkeypatch.setattr("kbroker.real.writer.TOGETHER_MAX", 1)
    failures: list[DiskFailure | None] = []
    line = None
    for position in (0, 4, 8):
        line = disk.write(file, position, [b"torn"], failures.append, behind=line)
    disk.make(f"{folder}/b", failures.append, behind=line)
    disk.drain()
    assert failures[0] is None
    assert [str(failure) for failure in failures[1:]] == [f"{folder}/a: No space left on device"] * 3
    assert calls == [0, 4]
    assert (disk.list(folder), file.read_at(0, 99)) == (["a"], b"tornto")
    disk.write(file, 4, [b"."], failures.append)
    disk.drain()
    assert failures[-1] is not None, "another line is not stopped, and meets the disk as it is"
    disk.close()


def test_small_writes_go_to_a_thread_too_while_the_disk_is_slow(gate: Gate, slow: RealDisk, tmp_path: Path) -> None:
    """170 bytes stalled for up to 689 ms on the loop, while the large writes had gone to the thread already."""
    file = slow.open(str(tmp_path / "a"), create=True)
    assert slow.write(file, 0, [SMALL], lambda failure: None) is not None
    assert gate.written == []
    gate.may_go_on.set()
    slow.drain()
    assert gate.written == [("kbroker-disk-small-writer", "a", 0, 1)]


def test_a_small_write_does_not_wait_for_the_large_ones_of_others(
    slow: RealDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every append used to queue behind 1 MB writes to other logs: 30 ms on a disk of 100 MB/s."""
    mine, others = (slow.open(str(tmp_path / name), create=True) for name in ("mine", "others"))
    is_written = threading.Event()
    quick = disk_module.RealFile.write_at

    def write_at(file: Any, position: int, buffers: Any) -> None:
        assert file is mine or is_written.wait(5)
        quick(file, position, buffers)
        is_written.set()

    monkeypatch.setattr(disk_module.RealFile, "write_at", write_at)
    order: list[str] = []
    slow.write(others, 0, [LARGE], lambda failure: order.append("others"))
    slow.write(mine, 0, [SMALL], lambda failure: order.append("mine"))
    slow.drain()
    assert order == ["mine", "others"]


def test_neighbours_that_wait_are_written_in_one_call(gate: Gate, slow: RealDisk, tmp_path: Path) -> None:
    """A thread that is told of each small write by itself needs the interpreter after each."""
    first, other = (slow.open(str(tmp_path / name), create=True) for name in ("first", "other"))
    done: list[str] = []
    lines: dict[str, Any] = {}
    for file, position in ((other, 0), (first, 0), (first, 1), (first, 2), (first, 9), (other, 1), (first, 10)):
        finished = partial(lambda name, failure: done.append(name), f"{Path(file.path).name} {position}")
        lines[file.path] = slow.write(file, position, [SMALL], finished, behind=lines.get(file.path))
    gate.may_go_on.set()
    slow.drain()
    assert [entry[1:] for entry in gate.written[1:]] == [
        ("first", 0, 3),
        ("first", 9, 1),
        ("other", 1, 1),
        ("first", 10, 1),
    ]
    assert done == ["other 0", "first 0", "first 1", "first 2", "first 9", "other 1", "first 10"]


def test_one_wake_up_tells_of_all_that_is_over(gate: Gate, tmp_path: Path) -> None:
    posted = Posted()
    disk = RealDisk(posted.put, slow_write_s=0)
    files = [disk.open(str(tmp_path / str(number)), create=True) for number in range(5)]
    done: list[DiskFailure | None] = []
    for file in files:
        disk.write(file, 0, [SMALL], done.append)
    gate.may_go_on.set()
    disk._small_writer.close()  # joins its thread, so that all are over
    posted.get_nowait()()
    assert len(done) == 5
    assert posted.empty()
    disk.close()


def test_a_new_file_is_made_by_a_writers_thread_before_what_is_written_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop made the files of new segments, and waited for the journal of a busy file system."""
    disk = RealDisk(Posted().put)
    makers: list[str] = []
    opened = os.open
    monkeypatch.setattr(
        disk_module.os, "open", lambda *given: (makers.append(threading.current_thread().name), opened(*given))[1]
    )
    done: list[str] = []
    file, line = disk.make(str(tmp_path / "a"), lambda failure: done.append("made"))
    assert line is not None
    assert disk.write(file, 0, [LARGE], lambda failure: done.append("written"), behind=line) is line
    disk.drain()
    assert makers == ["kbroker-disk-small-writer"]
    assert (done, file.is_made, file.read_at(0, 99)) == (["made", "written"], True, LARGE)
    assert disk.write(file, 20, [SMALL], lambda failure: None) is None
    disk.close()


def test_a_new_file_that_is_closed_before_its_turn_is_not_made(gate: Gate, tmp_path: Path) -> None:
    disk = RealDisk(Posted().put)
    failures: list[DiskFailure | None] = []
    other, line = disk.make(str(tmp_path / "other"), failures.append)
    file, _ = disk.make(str(tmp_path / "a"), failures.append, behind=line)
    file.close()
    gate.may_go_on.set()
    disk.drain()
    assert failures == [None, None]
    assert disk.list(str(tmp_path)) == ["other"]
    other.close()
    disk.close()


def test_a_file_that_cannot_be_made_is_the_disks_failure(tmp_path: Path) -> None:
    disk = RealDisk(Posted().put)
    failures: list[DiskFailure | None] = []
    disk.make(str(tmp_path / "gone" / "a"), failures.append)
    disk.drain()
    assert isinstance(failures[0], DiskFailure)
    disk.close()


def test_a_queued_write_that_fails_for_no_reason_of_the_disks_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer's thread ended in silence: nobody was told, and a clean stop waited for ever."""
    disk = RealDisk(Posted().put, slow_write_s=0)
    file = disk.open(str(tmp_path / "a"), create=True)
    write_at = disk_module.RealFile.write_at

    def failing(file: Any, position: int, buffers: Any) -> None:
        write_at(file, position // position * position, buffers)

    monkeypatch.setattr(disk_module.RealFile, "write_at", failing)
    for position in range(3):
        disk.write(file, 5 * position, [SMALL], lambda failure: None)
    with pytest.raises(JobFailed, match=rf"writing {tmp_path}/a: ZeroDivisionError") as raised:
        disk.drain()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    disk.close()
    assert os.path.getsize(file.path) == 0, "the thread has ended"


def test_threads_are_started_when_needed_and_joined_at_the_end(tmp_path: Path) -> None:
    before = threading.active_count()
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    disk = RealDisk(posted.put, workers_max=2)
    assert threading.active_count() == before
    results: list[Any] = []
    for number in range(6):
        disk.in_worker(lambda number=number: number, results.append)  # type: ignore[misc]
    assert before < threading.active_count() <= before + 2
    disk.drain()
    assert sorted(results) == list(range(6))
    disk.close()
    disk.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("lane", ["in_background", "in_remover"])
def test_long_work_keeps_no_sync_waiting(tmp_path: Path, lane: str) -> None:
    """Four conversions for old readers, or four large topics that go, used to keep all workers, and every sync."""
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    disk = RealDisk(posted.put)
    is_over = threading.Event()
    order: list[str] = []
    for _ in range(8):
        getattr(disk, lane)(lambda: is_over.wait(5), lambda result: order.append("long"))
    disk.in_worker(is_over.set, lambda result: order.append("sync"))
    while len(order) < 9:
        posted.get(timeout=5)()
    assert order == ["sync", *["long"] * 8]
    disk.close()


def test_the_end_waits_for_no_more_than_the_removal_of_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop waited for all that was to be removed: 12 s for each 20 GB, where a supervisor kills after ten."""
    disk = RealDisk(Posted().put)
    for name in ("a", "b"):
        disk.make_directory(str(tmp_path / name))
        for number in range(3):
            disk.open(str(tmp_path / name / str(number)), create=True).close()
    has_begun, may_go_on = threading.Event(), threading.Event()
    unlink = os.unlink

    def slow(path: str) -> None:
        has_begun.set()
        assert may_go_on.wait(5)
        unlink(path)

    monkeypatch.setattr(disk_module.os, "unlink", slow)
    told: list[Any] = []
    for name in ("a", "b"):
        disk.in_remover(partial(disk.remove_tree, str(tmp_path / name)), told.append)
    assert has_begun.wait(5)
    disk.drain()
    (ending := threading.Thread(target=disk.close)).start()
    while not disk._is_closed:
        pass
    may_go_on.set()
    ending.join(5)
    assert not ending.is_alive()
    assert [len(disk.list(str(tmp_path / name))) for name in ("a", "b")] == [2, 3]
    assert told == []


def test_work_that_fails_for_no_reason_of_the_disks_is_not_waited_for(tmp_path: Path) -> None:
    """Its thread ended in silence: what waited for it, a clean stop before all, waited for ever."""
    disk = RealDisk(queue.SimpleQueue[Any]().put)
    disk.in_worker(lambda: 1 // 0, lambda result: None)
    with pytest.raises(JobFailed, match=r"test_work_that_fails.*: ZeroDivisionError") as raised:
        disk.drain()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    disk.close()


def test_a_file_without_a_name_is_closed_also_after_the_end(tmp_path: Path) -> None:
    """A worker closes it, for that frees its blocks; and the disk takes no work any more."""
    disk = RealDisk(_never)
    file = disk.open(str(tmp_path / "a"), create=True)
    os.unlink(file.path)
    descriptor = file.fileno()
    disk.close()
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_nobody_is_told_after_the_end() -> None:
    """What a worker had prepared was appended after an abort had unlocked the directory."""
    posted, told = queue.SimpleQueue[Any](), list[object]()
    disk = RealDisk(posted.put)
    disk.in_worker(lambda: None, told.append)
    disk.close()
    while not posted.empty():
        posted.get()()
    assert told == []


def test_what_drain_completed_is_not_completed_again(tmp_path: Path) -> None:
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    disk = RealDisk(posted.put)
    results: list[int | DiskFailure] = []
    disk.in_worker(lambda: 1, results.append)
    disk.drain()
    posted.get(timeout=5)()
    assert results == [1]
    disk.close()


def test_java_cannot_lock_what_we_hold(tmp_path: Path) -> None:
    """Java's FileChannel.lock is a POSIX record lock; asked here from a child, as from another process."""
    import subprocess
    import sys

    lock = RealDisk().lock(str(tmp_path / ".lock"))
    script = f"import fcntl; fcntl.lockf(open({str(tmp_path / '.lock')!r}, 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    refused = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, check=False)
    assert b"BlockingIOError" in refused.stderr
    lock.release()
    subprocess.run([sys.executable, "-S", "-c", script], check=True)


class Stopwatch:
    """Time for RealDisk: what each write takes, and whether it waits, is laid down before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.next_write = (0.0, False)
        self.waits = 0
        quick = disk_module.RealFile.write_at

        def write_at(file: Any, position: int, buffers: Any) -> None:
            elapsed, waits = self.next_write
            self.now += elapsed
            self.waits += waits
            quick(file, position, buffers)

        monkeypatch.setattr(disk_module.RealFile, "write_at", write_at)
        monkeypatch.setattr(disk_module.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(disk_module, "_waits", lambda: self.waits)


@pytest.fixture
def wary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., bool]]:
    """write(after_s, takes_s, waits) on a real disk: was it made at once?"""
    disk = RealDisk(Posted().put, small_bytes_max=10)
    file = disk.open(str(tmp_path / "f"), create=True)
    watch = Stopwatch(monkeypatch)

    def write(after_s: float, takes_s: float = 0.001, *, waits: bool = True, data: bytes = LARGE) -> bool:
        watch.now += after_s
        watch.next_write = takes_s, waits
        line = disk.write(file, 0, [data], lambda failure: None)
        disk.drain()
        return line is None

    yield write
    file.close()
    disk.close()


@pytest.mark.parametrize("stalled", [SMALL, LARGE])
@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_a_write_is_made_at_once_until_one_was_slow(wary: Callable[..., bool], stalled: bytes, data: bytes) -> None:
    """The page cache is quick until the kernel makes writers wait; then others must not wait with it."""
    assert wary(0, data=data)
    assert wary(0, 0.2, waits=False, data=stalled)  # another process had the processor
    assert wary(0, 0.2, data=stalled)
    assert not wary(0.5, data=data)
    assert wary(0.6, data=data)


def test_a_disk_that_stays_slow_is_not_tried_again_by_the_loop(wary: Callable[..., bool]) -> None:
    """It used to be tried each second: every second a write of 20 ms on the loop, one request in fifty late."""
    assert wary(0, 0.02)
    assert not any(wary(0.9, 0.02) for _ in range(20))
    assert not wary(0.9)
    assert wary(2.1)


def test_a_disk_that_stalls_again_is_trusted_ever_later(wary: Callable[..., bool]) -> None:
    assert wary(0, 0.02)
    assert wary(1.1, 0.02)
    assert not wary(1.1)
    assert wary(1.1, 0.02)
    assert not wary(3.9)
    assert wary(disk_module.WARY_S_MAX + 1, 0.02)
    assert wary(1.1)


def test_a_disk_is_not_quick_while_a_write_stalls_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stall is known when it is over; the loop would have tried the disk in the middle of one that lasts."""
    now = [1000.0]
    monkeypatch.setattr(disk_module.time, "monotonic", lambda: now[0])
    disk = RealDisk(Posted().put)
    file = disk.open(str(tmp_path / "a"), create=True)
    begun, may_go_on, loop = threading.Event(), threading.Event(), threading.get_ident()
    quick = disk_module.RealFile.write_at

    def write_at(file: Any, position: int, buffers: Any) -> None:
        if threading.get_ident() != loop:
            begun.set()
            assert may_go_on.wait(5)
        quick(file, position, buffers)

    monkeypatch.setattr(disk_module.RealFile, "write_at", write_at)
    disk._wary_until = now[0] + 1
    assert disk.write(file, 0, [SMALL], lambda failure: None) is not None
    assert begun.wait(5)
    now[0] += 2
    assert disk.write(file, 1, [SMALL], lambda failure: None) is not None
    may_go_on.set()
    disk.drain()
    now[0] += disk_module.WARY_S_MAX  # whatever it made of the stall
    assert disk.write(file, 2, [SMALL], lambda failure: None) is None
    disk.close()


def test_a_disk_is_behind_while_much_waits_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "QUEUED_BYTES_MAX", 150)
    disk = RealDisk(Posted().put, slow_write_s=0)
    file = disk.open(str(tmp_path / "a"), create=True)
    seen = [disk.is_behind]
    for position in (0, 100):
        disk.write(file, position, [b"x" * 100], lambda failure: None)
        seen.append(disk.is_behind)
    disk.drain()
    assert [*seen, disk.is_behind] == [False, False, True, False]
    disk.close()


def test_reads_that_will_not_wait_give_what_is_in_memory_or_nothing(bench: Bench) -> None:
    file = bench.file("a", b"0123456789")
    assert file.is_warm(2, 8)
    assert file.read_warm(2, 3) == b"234"
    assert file.read_warm(8, 5) == b"89"
    assert file.read_warm(10, 5) == b""
    failures: list[DiskFailure | None] = []
    file.warm(0, 10, failures.append)
    file.close()  # while it is being read, perhaps
    bench.wait(lambda: bool(failures))
    assert failures == [None]


def test_what_the_page_cache_lost_is_cold_until_it_is_warmed(tmp_path: Path) -> None:
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    disk = RealDisk(posted.put)
    file = disk.open(str(tmp_path / "a"), create=True)
    data = bytes(range(256)) * 8192
    file.write_at(0, [data])
    file.sync()
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if file.is_warm(0, len(data)):
        pytest.skip("this file system keeps its pages, or does not tell")
    with pytest.raises(ColdRead) as caught:
        file.read_warm(1 << 20, 1000)
    assert (caught.value.file, caught.value.position) == (file, 1 << 20)
    failures: list[DiskFailure | None] = []
    file.warm(0, len(data), failures.append)
    disk.drain()
    assert failures == [None]
    assert file.is_warm(0, len(data))
    assert file.read_warm(1 << 20, 1000) == data[:1000]
    file.close()
    disk.close()


def test_a_simulated_file_is_cold_until_it_is_warmed() -> None:
    disk = SimulatedDisk(queues_work=True)
    file = disk.open("a", create=True)
    file.write_at(0, [b"0123456789"])
    disk.cold.add("a")
    assert not file.is_warm(0, 10)
    with pytest.raises(ColdRead) as caught:
        file.read_warm(2, 5)
    failures: list[DiskFailure | None] = []
    caught.value.warm(failures.append)
    assert failures == []
    disk.run_queued()
    assert failures == [None]
    assert file.read_warm(2, 5) == b"23456"
    assert file.read_at(0, 10) == b"0123456789"


def test_the_blocks_of_a_removed_file_are_freed_by_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last close of a deleted segment used to free its blocks on the loop: 600 ms for 1 GB."""
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    disk = RealDisk(posted.put)
    kept, removed = (disk.open(str(tmp_path / name), create=True) for name in ("kept", "removed"))
    disk.remove(str(tmp_path / "removed"))
    closers: list[str] = []
    close = os.close
    monkeypatch.setattr(
        disk_module.os, "close", lambda fd: (closers.append(threading.current_thread().name), close(fd))
    )
    kept.close()
    removed.close()
    disk.drain()
    assert closers == ["MainThread", "kbroker-disk-worker-0"]
    disk.close()


def test_a_whole_volume_is_synced_at_once(bench: Bench) -> None:
    bench.file("a", b"x").close()
    assert bench.disk.sync_volume(bench.folder) in (True, False)
    assert bench.disk.read(bench.path("a")) == b"x"
