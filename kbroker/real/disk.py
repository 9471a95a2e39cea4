"""The operating system's files, with one writer thread and a small pool of workers, all started when first needed.

Writes go out in the calling thread while the page cache takes them quickly: some KB cost 3 us, 1 MB a quarter of a
millisecond. When a large one was slow (the kernel makes writers wait once too much is dirty: 20 ms and more), large
ones and whatever comes behind them go to the writer thread, in order, for a second. What blocks for long (fsync,
recovery, removal) runs on a worker. Completions travel to the thread that owns the state through `post`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import itertools
import os
import resource
import shutil
import struct
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from kbroker.world import Buffer, DirectoryLocked, DiskFailure

T = TypeVar("T")
Post = Callable[[Callable[[], None]], None]

INLINE_BYTES_MAX: Final = 128 << 10
"""Writes up to this size are made at once when nothing is queued; larger ones only while the disk is quick."""

SLOW_WRITE_S: Final = 0.004
"""A large write that waited and took longer held everybody else up. The page cache takes 1 MB in 0.25 ms; a write that
must wait for the medium takes 20 and more. The hand-over to a thread doubles the CPU of a 1 MB append, so it is no
default."""

_THREAD: Final = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)

WARY_S: Final = 1.0
"""For so long after a slow write the large ones go to the writer thread."""

WORKERS_MAX: Final = 4
"""Threads for blocking work; started one by one while work waits."""

BUFFERS_MAX: Final = 512
"""Buffers for one pwritev; Linux takes 1024."""


_SYNCFS: Final[Callable[[int], int] | None] = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
"""Linux: one call for all files of a volume, where ten thousand fsyncs take minutes. Python has no name for it."""


def _failure(path: str, error: OSError) -> DiskFailure:
    return DiskFailure(path, error.strerror or str(error))


class RealFile:
    """world.File on a descriptor."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def size(self) -> int:
        """See world.File."""
        try:
            return os.fstat(self._descriptor).st_size
        except OSError as error:
            raise _failure(self.path, error) from error

    def write_at(self, position: int, buffers: Sequence[Buffer]) -> None:
        """See world.File."""
        try:
            if len(buffers) == 1:
                buffer = buffers[0]
                written = os.pwrite(self._descriptor, buffer, position)
                if written != len(buffer):
                    self._write_rest(position + written, [memoryview(buffer)[written:]])
            else:
                self._write_rest(position, list(buffers))
        except OSError as error:
            raise _failure(self.path, error) from error

    def _write_rest(self, position: int, left: list[Buffer]) -> None:
        while left:
            written = os.pwritev(self._descriptor, left[:BUFFERS_MAX], position)
            position += written
            done = 0
            while done < len(left) and written >= len(left[done]):
                written -= len(left[done])
                done += 1
            del left[:done]
            if written:
                left[0] = memoryview(left[0])[written:]

    def read_at(self, position: int, length: int) -> bytes:
        """See world.File."""
        try:
            data = os.pread(self._descriptor, length, position)
            if len(data) == length or not data:
                return data
            parts = [data]
            got = len(data)
            while got < length and (data := os.pread(self._descriptor, length - got, position + got)):
                parts.append(data)
                got += len(data)
            return b"".join(parts)
        except OSError as error:
            raise _failure(self.path, error) from error

    def truncate(self, size: int) -> None:
        """See world.File."""
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise _failure(self.path, error) from error

    def sync(self) -> None:
        """See world.File."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise _failure(self.path, error) from error

    def close(self) -> None:
        """See world.File."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def view(self, position: int, length: int) -> memoryview | None:
        """See world.File: the bytes lie in the page cache, out of reach."""
        return None

    def views(self, position: int, length: int) -> list[memoryview] | None:
        """See world.File: as with view()."""
        return None

    def fileno(self) -> int:
        """See world.File."""
        return self._descriptor


class RealLock:
    """world.Lock: an open file that the operating system holds locked."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """See world.Lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _take(descriptor: int) -> None:
    """Lock the whole file against Java's FileChannel.lock and against another broker in this process.

    Java takes POSIX record locks. Where the system has them, locks of the open file description conflict with those
    and between two openings in one process; elsewhere flock keeps this process apart and lockf the others.
    """
    command = getattr(fcntl, "F_OFD_SETLK", None)
    if command is not None:
        fcntl.fcntl(descriptor, command, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class RealDisk:
    """world.Disk on the operating system. `post` hands an action to the state's thread; it may be set later."""

    def __init__(
        self,
        post: Post | None = None,
        *,
        inline_bytes_max: int = INLINE_BYTES_MAX,
        slow_write_s: float = SLOW_WRITE_S,
        workers_max: int = WORKERS_MAX,
    ) -> None:
        self.post = post
        self.inline_bytes_max = inline_bytes_max
        self._slow_write_s = slow_write_s
        # A disk is quick until it shows otherwise; with a threshold of 0 it is never trusted with a large write.
        self._wary_until = 0.0 if slow_write_s > 0 else float("inf")
        self._workers_max = workers_max
        self._writer: threading.Thread | None = None
        self._writes: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._writes_queued = 0
        self._workers: list[threading.Thread] = []
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._work_under_way = 0
        self._completions: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._temporary_names = itertools.count()
        self._is_closed = False

    def open(self, path: str, *, create: bool = False) -> RealFile:
        """See world.Disk."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        try:
            return RealFile(path, os.open(path, flags, 0o644))
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not create:
                raise
            raise _failure(path, error) from error

    def exists(self, path: str) -> bool:
        """See world.Disk."""
        return os.path.exists(path)

    def list(self, path: str) -> list[str]:
        """See world.Disk."""
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _failure(path, error) from error

    def is_directory(self, path: str) -> bool:
        """See world.Disk."""
        return os.path.isdir(path)

    def make_directory(self, path: str) -> None:
        """See world.Disk."""
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise _failure(path, error) from error

    def read(self, path: str) -> bytes:
        """See world.Disk."""
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _failure(path, error) from error

    def replace(self, path: str, data: bytes) -> None:
        """See world.Disk."""
        temporary = f"{path}.{next(self._temporary_names)}.tmp"
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            raise _failure(path, error) from error
        self.sync_directory(os.path.dirname(path))

    def rename(self, source: str, target: str) -> None:
        """See world.Disk."""
        try:
            os.replace(source, target)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _failure(source, error) from error

    def remove(self, path: str) -> None:
        """See world.Disk."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _failure(path, error) from error

    def remove_tree(self, path: str) -> None:
        """See world.Disk."""
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _failure(path, error) from error

    def sync_directory(self, path: str) -> None:
        """See world.Disk."""
        try:
            descriptor = os.open(path or ".", os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _failure(path, error) from error

    def sync_volume(self, path: str) -> bool:
        """See world.Disk."""
        if _SYNCFS is None:
            return False
        try:
            descriptor = os.open(path or ".", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _SYNCFS(descriptor) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _failure(path, error) from error
        return True

    def lock(self, path: str) -> RealLock:
        """See world.Disk."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _failure(path, error) from error
        try:
            _take(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise DirectoryLocked(f"{path} is locked by another process or broker") from error
            raise _failure(path, error) from error
        return RealLock(descriptor)

    def total_bytes(self, path: str) -> int:
        """See world.Disk."""
        try:
            return shutil.disk_usage(path).total
        except OSError:
            return -1

    def usable_bytes(self, path: str) -> int:
        """See world.Disk."""
        try:
            return shutil.disk_usage(path).free
        except OSError:
            return -1

    def write(
        self, file: Any, position: int, buffers: Sequence[Buffer], done: Callable[[DiskFailure | None], None]
    ) -> bool:
        """See world.Disk."""
        if not self._writes_queued:
            size = len(buffers[0]) if len(buffers) == 1 else sum(map(len, buffers))
            if size <= self.inline_bytes_max:
                file.write_at(position, buffers)
                return True
            started = time.monotonic()
            if started >= self._wary_until:
                waits = _waits()
                file.write_at(position, buffers)
                ended = time.monotonic()
                if ended - started > self._slow_write_s and _waits() > waits:
                    self._wary_until = ended + WARY_S
                return True
        if self._writer is None:
            self._writer = self._start(self._writes, "disk-writer")
        self._writes_queued += 1
        self._writes.put(lambda: self._write_queued(file, position, buffers, done))
        return False

    def _write_queued(
        self, file: Any, position: int, buffers: Sequence[Buffer], done: Callable[[DiskFailure | None], None]
    ) -> None:
        failure = None
        try:
            file.write_at(position, buffers)
        except DiskFailure as error:
            failure = error

        def finish() -> None:
            self._writes_queued -= 1
            done(failure)

        self._hand_over(finish)

    def in_worker(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """See world.Disk."""
        self._work_under_way += 1
        if self._work_under_way > len(self._workers) and len(self._workers) < self._workers_max:
            self._workers.append(self._start(self._work, f"disk-worker-{len(self._workers)}"))
        self._work.put(lambda: self._run_work(work, done))

    def _run_work(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        result: T | DiskFailure
        try:
            result = work()
        except DiskFailure as error:
            result = error
        except OSError as error:  # a file that was there is gone: done() must be called all the same
            result = _failure(error.filename or "a file", error)

        def finish() -> None:
            self._work_under_way -= 1
            done(result)

        self._hand_over(finish)

    def _hand_over(self, action: Callable[[], None]) -> None:
        if self.post is None:
            raise AssertionError("RealDisk needs `post` before it queues anything")
        self._completions.put(action)
        self.post(self._complete_one)

    def _complete_one(self) -> None:
        try:
            action = self._completions.get_nowait()
        except Empty:
            return  # drain() was faster
        action()

    def drain(self) -> None:
        """Wait in this thread, the state's, until everything queued is done, and run the completions here."""
        while self._writes_queued or self._work_under_way:
            self._completions.get()()

    def _start(self, queue: SimpleQueue[Callable[[], None] | None], name: str) -> threading.Thread:
        if self._is_closed:
            raise AssertionError("the disk is closed")
        thread = threading.Thread(target=_run_queue, args=(queue,), name=f"kbroker-{name}", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Let the threads finish what is queued, and join them; completions are still posted. Harmless twice."""
        self._is_closed = True
        if self._writer is not None:
            self._writes.put(None)
            self._writer.join()
            self._writer = None
        for _ in self._workers:
            self._work.put(None)
        for worker in self._workers:
            worker.join()
        self._workers = []


def _waits() -> int:
    """How often this thread has waited for something; losing the processor to another process does not count."""
    return resource.getrusage(_THREAD).ru_nvcsw


def _run_queue(queue: SimpleQueue[Callable[[], None] | None]) -> None:
    while (action := queue.get()) is not None:
        action()
