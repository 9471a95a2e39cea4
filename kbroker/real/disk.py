"""The operating system's files, with two writer threads and a small pool of workers, all started when first needed.

Writes go out in the calling thread while the page cache takes them quickly: some KB cost 3 us, 1 MB a quarter of a
millisecond. When the kernel is about to write back, or a write was slow all the same (it makes whoever writes wait: 20
ms, and half a second even for a hundred bytes), all go to the writer threads, in order, until that is over: small ones
have a thread of their own, or they would wait for the large ones of others. What blocks for long (fsync, recovery,
removal) runs on a worker, cold reads on readers of their own. Completions travel to the state's thread by `post`.
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
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import outcome

from kbroker.real.lanes import Lane
from kbroker.real.writeback import Writeback
from kbroker.real.writer import Write, Writer, WriterLine, Written
from kbroker.world import Buffer, ColdRead, DirectoryLocked, DiskFailure, JobFailed, Line

T = TypeVar("T")
Post = Callable[[Callable[[], None]], None]

SMALL_BYTES_MAX: Final = 128 << 10
"""Writes up to this size do not wait behind larger ones, where a thread makes them."""

SLOW_WRITE_S: Final = 0.004
"""A write that waited and took longer held everybody else up. The page cache takes 1 MB in 0.25 ms; a write that must
wait for the medium takes 20 and more. The hand-over to a thread doubles the CPU of an append, so it is no default."""

_THREAD: Final = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)

WARY_S: Final = 1.0
"""For so long after a slow write, be it a writer thread's own, all writes go to these threads."""

WARY_S_MAX: Final = 256.0
"""Each write that is slow again although none was for that long doubles the time, so that a disk that stalls again and
again is tried ever more seldom; it begins anew once the disk was quick for this long."""

WORKERS_MAX: Final = 4
"""Threads for blocking work; started one by one while work waits."""

QUEUED_BYTES_MAX: Final = 64 << 20
"""With more than this waiting for the writer threads the disk is behind: a connection then waits for its own last
request, so that what is held grows no further than by one request of each."""

READERS_MAX: Final = 2
"""Threads for cold reads, of their own: a reader doesn't wait for the syncs of others."""

SENDERS_MAX: Final = 3
"""Threads that send large slices, as many as Kafka's num.network.threads has. What finds none free is the loop's."""

COMPLETIONS_PER_TURN: Final = 32
"""What is over is told to so many, each write for itself, before others have a turn: some tens of microseconds each."""

BUFFERS_MAX: Final = 512
"""Buffers for one pwritev; Linux takes 1024."""

_CAN_REFUSE_TO_WAIT: Final = hasattr(os, "preadv") and hasattr(os, "RWF_NOWAIT")
"""Linux: a read that fails where it would have to wait for the medium."""

WARM_SAMPLE_BYTES: Final = 256 << 10
"""One byte of so many is asked for, to know whether they are in memory: 1.7 us. Pages come and go in rows."""

WARM_PIECE_BYTES: Final = 256 << 10
"""Read at once to bring a file into memory; the piece itself is dropped."""


_SYNCFS: Final[Callable[[int], int] | None] = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
"""Linux: one call for all files of a volume, where ten thousand fsyncs take minutes. Python has no name for it."""


_UNMADE: Final = -2
"""In place of the descriptor of a file that a writer thread is going to make."""


def _raise(error: OSError) -> None:
    raise error


def _failure(path: str, error: OSError) -> DiskFailure:
    return DiskFailure(path, error.strerror or str(error))


class RealFile:
    """world.File on a descriptor."""

    __slots__ = ("_descriptor", "_disk", "_left", "_lent", "path")

    def __init__(self, path: str, descriptor: int, disk: RealDisk) -> None:
        self.path = path
        self._descriptor = descriptor
        self._disk = disk
        # Threads that read from it; the descriptor that they leave to be closed.
        self._lent = 0
        self._left = -1

    @property
    def is_made(self) -> bool:
        """See world.File."""
        return self._descriptor != _UNMADE

    def _make(self) -> None:
        """In a writer's thread."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o644)
        if self._descriptor == _UNMADE:
            self._descriptor = descriptor
        else:
            os.close(descriptor)  # its owner closed it at this very moment

    def size(self) -> int:
        """See world.File."""
        try:
            return os.fstat(self._descriptor).st_size
        except OSError as error:
            raise _failure(self.path, error) from error

    def modified_ms(self) -> int:
        """See world.File."""
        try:
            return os.fstat(self._descriptor).st_mtime_ns // 1_000_000
        except OSError as error:
            raise _failure(self.path, error) from error

    def write_at(self, position: int, buffers: Sequence[Buffer]) -> None:
        """See world.File."""
        try:
            if self._descriptor == _UNMADE:
                self._make()
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

    def read_warm(self, position: int, length: int) -> bytes:
        """See world.File."""
        if not _CAN_REFUSE_TO_WAIT:
            return self.read_at(position, length)
        data = bytearray(length)
        try:
            got = os.preadv(self._descriptor, (data,), position, os.RWF_NOWAIT)
        except BlockingIOError:
            raise ColdRead(self, position, length) from None
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return self.read_at(position, length)
            raise _failure(self.path, error) from error
        if got == length:
            return bytes(data)
        # Where pages that are in memory end, a read that will not wait ends too, as it does at the end of the file.
        rest = min(position + length, self.size()) - (position + got)
        if rest > 0:
            raise ColdRead(self, position + got, rest)
        return bytes(memoryview(data)[:got])

    def is_warm(self, position: int, length: int) -> bool:
        """See world.File."""
        if not _CAN_REFUSE_TO_WAIT:
            return True
        byte, descriptor = (bytearray(1),), self._descriptor
        try:
            for at in range(position, position + length - 1, WARM_SAMPLE_BYTES):
                os.preadv(descriptor, byte, at, os.RWF_NOWAIT)
            os.preadv(descriptor, byte, position + length - 1, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return True
            raise _failure(self.path, error) from error
        return True

    def warm(self, position: int, length: int, done: Callable[[DiskFailure | None], None]) -> None:
        """See world.File."""
        self._disk.in_reader(partial(self._fetch, self._descriptor, position, length), self._lend(done))

    def _lend(self, done: Callable[[T], None]) -> Callable[[T], None]:
        """A thread has the descriptor until this is called, which calls `done`."""
        self._lent += 1

        def over(result: T) -> None:
            self._lent -= 1
            if not self._lent and self._left >= 0:
                self._disk.close_descriptor(self._left)
                self._left = -1
            done(result)

        return over

    def _fetch(self, descriptor: int, position: int, length: int) -> None:
        """In a worker: read what the page cache lacks, and have as much begun of what follows."""
        try:
            os.posix_fadvise(descriptor, position, 2 * length, os.POSIX_FADV_WILLNEED)
            piece = (bytearray(min(length, WARM_PIECE_BYTES)),)
            end = position + length
            while position < end and (got := os.preadv(descriptor, piece, position)):
                position += got
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
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if self._lent:
            self._left = descriptor
        else:
            self._disk.close_descriptor(descriptor)

    def view(self, position: int, length: int) -> memoryview | None:
        """See world.File: the bytes lie in the page cache, out of reach."""
        return None

    def views(self, position: int, length: int) -> list[memoryview] | None:
        """See world.File: as with view()."""
        return None

    def fileno(self) -> int:
        """See world.File."""
        return self._descriptor

    def send_to(
        self, receiver: int, position: int, length: int, done: Callable[[int | DiskFailure], None]
    ) -> Callable[[], bool] | None:
        """See world.File."""
        if not self._disk.has_free_sender:
            return None
        is_out = threading.Event()
        work = partial(self._send, self._descriptor, receiver, position, length, is_out.set)
        self._disk.in_sender(work, self._lend(done))
        return is_out.is_set

    def _send(self, descriptor: int, receiver: int, position: int, length: int, let_go: Callable[[], None]) -> int:
        """In a thread: how many bytes the socket took before its time was over, or its peer was gone."""
        sent = 0
        try:
            while sent < length and (went := os.sendfile(receiver, descriptor, position + sent, length - sent)):
                sent += went
        except OSError as error:
            if error.errno == errno.EIO:
                raise _failure(self.path, error) from error
        finally:
            let_go()
        return sent


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
        small_bytes_max: int = SMALL_BYTES_MAX,
        slow_write_s: float = SLOW_WRITE_S,
        workers_max: int = WORKERS_MAX,
        writeback: Writeback | None = None,
    ) -> None:
        self.post = post
        self._thread = threading.get_ident()
        self._small_bytes_max = small_bytes_max
        self._slow_write_s = slow_write_s
        # A disk is quick until it shows otherwise; with a threshold of 0 it is never trusted.
        self._wary_until = 0.0 if slow_write_s > 0 else float("inf")
        self._wary_s = WARY_S
        self._slow_at = float("-inf")
        self._writeback = writeback
        self._writer = Writer("disk-writer", self._write_slowly, self._hand_over_written)
        self._small_writer = Writer("disk-small-writer", self._write_slowly, self._hand_over_written)
        self._workers = Lane("disk-worker", workers_max)
        self._readers = Lane("disk-reader", READERS_MAX)
        self._senders = Lane("disk-sender", SENDERS_MAX)
        self._background = Lane("disk-background", 1)
        self._remover = Lane("disk-remover", 1)
        self._bytes_queued = 0
        self.tells_more = False
        # Each gives back how many it told.
        self._completions: SimpleQueue[Callable[[], int]] = SimpleQueue()
        self._is_posted = False
        self._temporary_names = itertools.count()
        self._is_closed = False

    def open(self, path: str, *, create: bool = False) -> RealFile:
        """See world.Disk."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        try:
            return RealFile(path, os.open(path, flags, 0o644), self)
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
            for folder, _, names in os.walk(path, topdown=False, onerror=_raise):
                for name in names:
                    if self._is_closed:
                        return  # the next start removes the rest
                    os.unlink(os.path.join(folder, name))
                os.rmdir(folder)
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

    def close_descriptor(self, descriptor: int) -> None:
        """Close it; in a thread where that frees the blocks of a file without a name: 600 ms for 1 GB."""
        is_elsewhere = threading.get_ident() != self._thread
        if is_elsewhere or self.post is None or self._is_closed or os.fstat(descriptor).st_nlink:
            os.close(descriptor)
        else:
            self.in_worker(partial(os.close, descriptor), _ignore)

    @property
    def is_behind(self) -> bool:
        """See world.Disk."""
        return self._bytes_queued > QUEUED_BYTES_MAX

    def write(
        self,
        file: Any,
        position: int,
        buffers: Sequence[Buffer],
        done: Callable[[DiskFailure | None], None],
        *,
        behind: Line | None = None,
    ) -> WriterLine | None:
        """See world.Disk."""
        if behind is None and self._is_quick(time.monotonic()):
            if self._write_slowly(file, position, buffers):
                self._be_wary()
            return None
        return self._write_later(file, position, buffers, done, behind)

    def make(
        self, path: str, done: Callable[[DiskFailure | None], None], *, behind: Line | None = None
    ) -> tuple[RealFile, WriterLine]:
        """See world.Disk: never by the loop, whatever the disk was like; the journal may be busy at any time."""
        file = RealFile(path, _UNMADE, self)
        return file, self._write_later(file, 0, (), done, behind)

    def _write_later(
        self,
        file: RealFile,
        position: int,
        buffers: Sequence[Buffer],
        done: Callable[[DiskFailure | None], None],
        behind: Line | None,
    ) -> WriterLine:
        size = len(buffers[0]) if len(buffers) == 1 else sum(map(len, buffers))
        if isinstance(behind, WriterLine):
            line = behind
        else:
            line = WriterLine(self._small_writer if size <= self._small_bytes_max else self._writer)
        if self._is_closed:
            raise AssertionError("the disk is closed")
        self._bytes_queued += size
        line.writer.put(Write(line, file, position, buffers, size, done))
        return line

    def _is_quick(self, now: float) -> bool:
        """Was no write slow lately, nor is any at this moment, nor is the next likely to be?"""
        if now < self._wary_until or (self._writeback is not None and self._writeback.is_near(now)):
            return False
        slow_s = self._slow_write_s
        return not (self._writer.is_stuck(now, slow_s) or self._small_writer.is_stuck(now, slow_s))

    def _write_slowly(self, file: Any, position: int, buffers: Sequence[Buffer]) -> bool:
        """Write; did it take long because it had to wait?"""
        started, waits = time.monotonic(), _waits()
        file.write_at(position, buffers)
        ended = time.monotonic()
        if ended - started <= self._slow_write_s or _waits() == waits:
            return False
        if started - self._slow_at > WARY_S_MAX:
            self._wary_s = WARY_S
        self._slow_at = ended
        return True

    def _be_wary(self) -> None:
        """A write held the loop up: the next may be long in coming, but not soon."""
        self._wary_until = self._slow_at + self._wary_s
        self._wary_s = min(2 * self._wary_s, WARY_S_MAX)

    def _hand_over_written(self, written: Written) -> None:
        """In a writer's thread: a completion tells of no more writes than a turn has room for."""
        for first in range(0, len(written.writes), COMPLETIONS_PER_TURN):
            self._hand_over(partial(self._tell_written, written, first))

    def _tell_written(self, written: Written, first: int) -> int:
        if written.error is not None:
            raise JobFailed(f"writing {written.writes[0].file.path}", written.error)
        if written.is_slow:
            self._wary_until = max(self._wary_until, self._slow_at + self._wary_s)
        writes = written.writes[first : first + COMPLETIONS_PER_TURN]
        last = writes[-1]
        for write in writes:
            written.writer.under_way -= 1
            self._bytes_queued -= write.size
            self.tells_more = write is not last
            write.done(written.failure)
        return len(writes)

    def in_worker(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """See world.Disk."""
        self._put(self._workers, partial(self._run_work, self._workers, work, done))

    def in_background(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """See world.Disk: they would share one interpreter anyway."""
        self._put(self._background, partial(self._run_work, self._background, work, done))

    def in_remover(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """See world.Disk: one at a time, so that the medium is not busy with nothing else."""
        self._put(self._remover, partial(self._run_work, self._remover, work, done))

    def in_reader(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """Like in_worker, for a read that somebody waits for."""
        self._put(self._readers, partial(self._run_work, self._readers, work, done))

    @property
    def has_free_sender(self) -> bool:
        """Would in_sender begin at once?"""
        return self._senders.under_way < SENDERS_MAX

    def in_sender(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """Like in_worker, for what a peer is sent, who may keep a thread waiting."""
        self._put(self._senders, partial(self._run_work, self._senders, work, done))

    @property
    def _threads(self) -> tuple[Writer | Lane, ...]:
        """Of which the end is waited for; not what depends on a peer, or what the next start would remove."""
        return self._writer, self._small_writer, self._workers, self._readers, self._background

    def _put(self, lane: Lane, action: Callable[[], None]) -> None:
        if self._is_closed:
            raise AssertionError("the disk is closed")
        lane.put(action)

    def _run_work(self, lane: Lane, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        ended = outcome.capture(work)

        def finish() -> int:
            lane.under_way -= 1
            if isinstance(ended, outcome.Value):
                done(ended.value)
            elif isinstance(ended.error, DiskFailure):
                done(ended.error)
            elif isinstance(ended.error, OSError):  # a file that was there is gone: done() must be called all the same
                done(_failure(ended.error.filename or "a file", ended.error))
            else:
                raise JobFailed(job_name(work), ended.error)
            return 1

        self._hand_over(finish)

    def _hand_over(self, action: Callable[[], int]) -> None:
        """From any thread: one wake-up of the state's serves all that is over by then."""
        if self.post is None:
            raise AssertionError("RealDisk needs `post` before it queues anything")
        self._completions.put(action)
        # Whoever sees True was seen: _complete() clears it before it looks.
        if not self._is_posted:
            self._is_posted = True
            self.post(self._complete)

    def _complete(self) -> None:
        assert self.post is not None
        self._is_posted = False
        if self._is_closed:
            return  # the directory may be another process's by now
        told = 0
        try:
            while told < COMPLETIONS_PER_TURN:
                told += self._completions.get_nowait()()
        except Empty:
            return  # drain() may have been faster
        self._is_posted = True
        self.post(self._complete)

    def drain(self) -> None:
        """Wait in this thread, the state's, until everything queued is done, and run the completions here.

        Raises JobFailed.
        """
        while any(each.under_way for each in self._threads):
            self._completions.get()()

    def close(self) -> None:
        """Let the threads finish what is queued, and join them; nobody is told any more. Harmless twice."""
        self._is_closed = True
        for each in self._threads:
            each.close()
        self._senders.close()
        self._remover.close(drops=True)


def job_name(action: Callable[..., object]) -> str:
    """What to call an action in the log: where its function stands."""
    while isinstance(action, partial):
        action = action.func
    return f"{getattr(action, '__module__', '?')}.{getattr(action, '__qualname__', repr(action))}"


def _ignore(result: object) -> None:
    """A descriptor that can't be closed is gone all the same."""


def _waits() -> int:
    """How often this thread has waited for something; losing the processor to another process does not count."""
    return resource.getrusage(_THREAD).ru_nvcsw
