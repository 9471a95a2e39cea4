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
from kbroker.real.disk import RealDisk
from kbroker.real.memory_disk import MemoryDisk
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.world import ColdRead, DirectoryLocked, DiskFailure


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
    assert bench.disk.write(file, 0, [b"x"], done.append)
    assert file.read_at(0, 9) == b"x"
    assert done == []


@pytest.mark.parametrize("lane", ["in_worker", "in_background"])
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


def test_a_large_write_and_what_comes_behind_it_finish_in_order(tmp_path: Path) -> None:
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    disk = RealDisk(posted.put, inline_bytes_max=10, slow_write_s=0)
    file = disk.open(str(tmp_path / "a"), create=True)
    order: list[int] = []
    for number in range(5):
        data = b"%d" % number * (100 if number == 0 else 1)
        done = partial(lambda number, failure: order.append(number), number)
        assert not disk.write(file, 100 * number, [data], done, in_line=number > 0)
    disk.drain()
    assert order == [0, 1, 2, 3, 4]
    assert file.read_at(0, 101) == b"0" * 100 + b"1"
    assert disk.write(file, 0, [b"x"], lambda failure: None, in_line=True)
    disk.close()


def test_a_failed_write_says_so_wherever_it_is_done(tmp_path: Path) -> None:
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    disk = RealDisk(posted.put, inline_bytes_max=10, slow_write_s=0)
    file = disk.open(str(tmp_path / "a"), create=True)
    file.close()
    with pytest.raises(DiskFailure, match="a: Bad file descriptor"):
        disk.write(file, 0, [b"x"], lambda failure: None)
    failures: list[DiskFailure | None] = []
    assert not disk.write(file, 0, [b"x" * 11], failures.append)
    disk.drain()
    assert isinstance(failures[0], DiskFailure)
    disk.close()


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


def test_long_work_in_the_background_keeps_no_sync_waiting(tmp_path: Path) -> None:
    """Four conversions for old readers used to keep all workers, and every append that waits for its sync."""
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    disk = RealDisk(posted.put)
    is_over = threading.Event()
    order: list[str] = []
    for _ in range(8):
        disk.in_background(lambda: is_over.wait(5), lambda result: order.append("background"))
    disk.in_worker(is_over.set, lambda result: order.append("sync"))
    disk.drain()
    assert order == ["sync", *["background"] * 8]
    disk.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_work_that_fails_for_no_reason_of_the_disks_is_not_waited_for(tmp_path: Path) -> None:
    """Its thread ended in silence: what waited for it, a clean stop before all, waited for ever."""
    disk = RealDisk(queue.SimpleQueue[Any]().put)
    disk.in_worker(lambda: 1 // 0, lambda result: None)
    with pytest.raises(AssertionError, match="a worker failed"):
        disk.drain()
    disk.close()


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
    """write(after_s, takes_s, waits) of 20 bytes, which are many, on a real disk: was it made at once?"""
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    disk = RealDisk(posted.put, inline_bytes_max=10)
    file = disk.open(str(tmp_path / "f"), create=True)
    watch = Stopwatch(monkeypatch)

    def write(after_s: float, takes_s: float = 0.001, *, waits: bool = True) -> bool:
        watch.now += after_s
        watch.next_write = takes_s, waits
        is_done = disk.write(file, 0, [b"x" * 20], lambda failure: None)
        disk.drain()
        return is_done

    yield write
    file.close()
    disk.close()


def test_a_large_write_is_made_at_once_until_one_was_slow(wary: Callable[..., bool]) -> None:
    """The page cache is quick until the kernel makes writers wait; then others must not wait with it."""
    assert wary(0)
    assert wary(0, 0.2, waits=False)  # another process had the processor
    assert wary(0, 0.2)
    assert not wary(0.5)
    assert wary(0.6)


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


def test_a_small_write_does_not_wait_for_the_large_ones_of_others(tmp_path: Path) -> None:
    """Every append used to queue behind 1 MB writes to other logs: 30 ms on a disk of 100 MB/s."""
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    disk = RealDisk(posted.put, inline_bytes_max=10, slow_write_s=0)
    mine, others = (disk.open(str(tmp_path / name), create=True) for name in ("mine", "others"))
    assert not disk.write(others, 0, [b"x" * 100], lambda failure: None)
    assert disk.write(mine, 0, [b"x"], lambda failure: None)
    disk.drain()
    disk.close()


def test_a_disk_is_behind_while_much_waits_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "QUEUED_BYTES_MAX", 150)
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    disk = RealDisk(posted.put, inline_bytes_max=10, slow_write_s=0)
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
