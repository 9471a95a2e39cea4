"""What the broker needs of the world, as protocols: Clock, Disk, Entropy, Transport.

Cores take these as arguments and never touch the real thing; `kbroker.real` and `kbroker.testing` implement them, and
one contract suite runs over every implementation. Everything here is called on the one thread that owns the state,
unless a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview


class DiskFailure(Exception):
    """An I/O error or a full disk: the log directory it names must go offline."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class JobFailed(Exception):
    """A thread met what is nobody's failure but ours, or whoever was told of its work's end did; the cause is chained.

    What it was to change is in an unknown state: the broker ends as if it had been killed.
    """

    def __init__(self, job: str, error: BaseException) -> None:
        super().__init__(f"{job}: {type(error).__name__}: {error}")
        self.job = job
        self.__cause__ = error


class ColdRead(Exception):
    """What was to be read lies on the medium, and the reader would not wait: let `file.warm` fetch it, then read again.

    Bytes from `position`, `length` of them.
    """

    def __init__(self, file: File, position: int, length: int) -> None:
        super().__init__(f"{file.path}: {length} bytes at {position}")
        self.file = file
        self.position = position
        self.length = length

    def warm(self, done: Callable[[DiskFailure | None], None]) -> None:
        """Have a worker fetch it."""
        self.file.warm(self.position, self.length, done)


class DirectoryLocked(Exception):
    """Another process owns the directory (its `.lock` file is locked)."""


class Timer(Protocol):
    """An action that is due at a moment of protocol time."""

    def cancel(self) -> None:
        """Never fire; harmless when fired or cancelled already."""


class Clock(Protocol):
    """Protocol time: sessions, rebalances, delayed answers, retention. Tests and users can move it."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970, as records and checkpoints carry them."""

    def monotonic_ms(self) -> int:
        """Milliseconds that never step back; for durations and deadlines."""

    def call_at(self, deadline_ms: int, action: Callable[[], None]) -> Timer:
        """Run `action` on the state's thread once monotonic_ms() reaches `deadline_ms`; never inside this call."""

    def soon(self, action: Callable[[], None]) -> Timer:
        """Run `action` on the state's thread when others were served, in the order of these calls."""


class RunningClock(Clock, Protocol):
    """A clock whose timers need a task to fire them."""

    async def run(self) -> None:
        """Fire timers as they come due; until cancelled."""


class Entropy(Protocol):
    """Randomness, so that a seed can replace it."""

    def uuid(self) -> bytes:
        """16 bytes of a random (version 4) uuid, whose text form never begins with a dash (as Kafka's)."""

    def below(self, end: int) -> int:
        """A uniform integer in [0, end)."""


class File(Protocol):
    """An open file. Sizes and positions in bytes. Every method may raise DiskFailure."""

    path: str

    @property
    def is_made(self) -> bool:
        """Is it there, or closed? See Disk.make."""

    def size(self) -> int:
        """The size that readers see."""

    def modified_ms(self) -> int:
        """When it was written or cut last, ms since 1970 by the disk's own clock."""

    def write_at(self, position: int, buffers: Sequence[Buffer]) -> None:
        """Write all of `buffers`, one after the other, at `position`, now; holes read as zeros."""

    def read_at(self, position: int, length: int) -> bytes:
        """Up to `length` bytes; fewer only at the end of the file."""

    def read_warm(self, position: int, length: int) -> bytes:
        """Like read_at, for bytes that lie in memory; never waits for the medium. Raises ColdRead."""

    def is_warm(self, position: int, length: int) -> bool:
        """Do the bytes lie in memory, as far as a few of them show? True where the system can't tell."""

    def warm(self, position: int, length: int, done: Callable[[DiskFailure | None], None]) -> None:
        """Bring the bytes into memory in a worker, then call `done` on the state's thread.

        close() may come meanwhile.
        """

    def truncate(self, size: int) -> None:
        """Cut or extend with zeros to `size`."""

    def sync(self) -> None:
        """Data and size reach the medium (fsync). Blocks: call it through Disk.in_worker."""

    def close(self) -> None:
        """Give the descriptor back; further use is a bug."""

    def view(self, position: int, length: int) -> memoryview | None:
        """The bytes in one piece where the file lives in memory, else None; a copy where they lie in several."""

    def views(self, position: int, length: int) -> list[memoryview] | None:
        """Like view, but in as many pieces as the file lies in, so that nothing is ever copied; short at the end."""

    def fileno(self) -> int:
        """The descriptor for sendfile; only asked where view() gave None."""

    def send_to(
        self, receiver: int, position: int, length: int, done: Callable[[int | DiskFailure], None]
    ) -> Callable[[], bool] | None:
        """Have a thread send bytes to a socket that blocks, by its descriptor; None where no thread is free.

        Only asked where view() gave None. `done` hears on the state's thread how many bytes went: fewer than `length`
        where the peer takes no more, or is gone, which the next to send to it will find. Whoever cannot wait for that
        asks what is returned: has the thread let go of the socket? close() may come meanwhile.
        """


class Line(Protocol):
    """Queued writes that are made one after the other, and none behind one that failed: they all fail as it did.

    What failed may have been made in part. Sound bytes behind a torn piece are damage; a log that just ends in one is
    cut there at the next start.
    """

    failure: DiskFailure | None
    """Of the first that failed."""


class Disk(Protocol):
    """A tree of files. Paths are strings with '/', relative to nothing or absolute, as the caller got them."""

    def open(self, path: str, *, create: bool = False) -> File:
        """Open for reading and writing; missing and not `create`: FileNotFoundError."""

    def exists(self, path: str) -> bool:
        """Is there a file or directory of that name?"""

    def list(self, path: str) -> list[str]:
        """The sorted names in a directory; FileNotFoundError if it is missing."""

    def is_directory(self, path: str) -> bool:
        """False also when nothing is there."""

    def make_directory(self, path: str) -> None:
        """Create it and its parents; harmless when it exists."""

    def read(self, path: str) -> bytes:
        """A whole small file; FileNotFoundError if it is missing."""

    def replace(self, path: str, data: bytes) -> None:
        """Write a small file atomically and durably: temporary name, fsync, rename, fsync of the directory."""

    def rename(self, source: str, target: str) -> None:
        """Atomically, replacing `target` when it is a file."""

    def remove(self, path: str) -> None:
        """A file; harmless when it is missing."""

    def remove_tree(self, path: str) -> None:
        """A directory with all it holds; harmless when it is missing."""

    def sync_directory(self, path: str) -> None:
        """Names made, renamed or removed in `path` reach the medium."""

    def sync_volume(self, path: str) -> bool:
        """All that was written and named on the volume of the directory `path` reaches the medium, whoever wrote it.

        Blocks. False where the system offers no such thing: nothing is promised then.
        """

    def lock(self, path: str) -> Lock:
        """Own the lock file at `path`, created if missing. Raises DirectoryLocked."""

    def total_bytes(self, path: str) -> int:
        """The size of the volume under `path`; -1 unknown."""

    def usable_bytes(self, path: str) -> int:
        """What is free there; -1 unknown."""

    def write(
        self,
        file: File,
        position: int,
        buffers: Sequence[Buffer],
        done: Callable[[DiskFailure | None], None],
        *,
        behind: Line | None = None,
    ) -> Line | None:
        """Write like File.write_at: at once while the disk is quick, else by a writer thread.

        None: it is written and `done` will not be called (a failure was raised). A Line: queued; `buffers` must stay
        unchanged until `done(failure)` is called on the state's thread; the writes of one line finish in order. Whoever
        has a write queued and may not overtake it says where: `behind` is what its write got.
        """

    def make(
        self, path: str, done: Callable[[DiskFailure | None], None], *, behind: Line | None = None
    ) -> tuple[File, Line | None]:
        """A new file, for writing: made at once, or by a writer thread, as with write(). May raise DiskFailure.

        Until then it can be closed, which keeps it from being made, and written to in that line.
        """

    @property
    def is_behind(self) -> bool:
        """Do queued writes hold so much memory that a connection should have one request under way, and no more?"""

    @property
    def tells_more(self) -> bool:
        """Asked in the `done` of a write: is another one of the same file told of as soon as this returns?"""

    def drain(self) -> None:
        """Wait until queued writes and work are over, and run their completions now. Blocks: for stops and cuts."""

    def close(self) -> None:
        """Finish what is queued and join the threads; the disk is not used afterwards."""

    def in_worker(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """Run blocking `work` (no shared state) on a worker thread, then `done(result)` on the state's thread.

        A DiskFailure raised by `work` arrives as the result; anything else it raises is a JobFailed on the state's
        thread, and `done` is not called. A simulated disk uses no thread.
        """

    def in_background(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """Like in_worker, for long work that is mostly Python: one after the other, and no sync waits behind it."""

    def in_remover(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """Like in_worker, for work that frees what files held: seconds for some GB, and no sync waits behind it.

        Nor does drain(), and close() drops what has not begun: the next start finds it.
        """


class Lock(Protocol):
    """An owned lock file."""

    def release(self) -> None:
        """Give it up."""


@dataclass(slots=True, eq=False)
class FileSlice:
    """`length` bytes of a file from `position`, leased: the file stays open and its bytes stay put until release()."""

    file: File
    position: int
    length: int
    release: Callable[[], None]
    warm_end: int = 0
    """Up to here the file was in memory when it was last looked at; a byte's position."""

    def __len__(self) -> int:
        return self.length


Chunk = bytes | bytearray | memoryview | FileSlice
"""What an answer is made of; len() is its size in bytes (memoryviews are of bytes)."""


class Transport(Protocol):
    """One connection's bytes: plain socket, TLS or memory. Errors of the peer raise ConnectionLost."""

    peer: str
    local_host: str
    local_port: int
    is_taken: bool
    """Is the peer taking what a thread sends it? The thread gives up soon where it takes nothing."""

    async def receive_into(self, buffer: memoryview, expected: int = 1) -> int:
        """Wait for bytes; how many arrived, 0 at the end of the stream.

        `expected` bytes are known to be on their way: a transport may wait for some of them to gather.
        """

    def send_now(self, chunks: list[Chunk]) -> bool:
        """Try to send everything without waiting; True when all is gone. What was sent is removed from `chunks`.

        Raises DiskFailure where a slice's file cannot be read; all is released then, as with ConnectionLost.
        """

    async def send(self, chunks: list[Chunk]) -> None:
        """Send all; releases every FileSlice in any case."""

    async def close(self) -> None:
        """Close now; harmless twice."""


class ConnectionLost(Exception):
    """The peer closed or reset the connection, or the operating system gave it up."""


@dataclass(frozen=True, slots=True)
class World:
    """The three things a broker takes from outside, and how to ask for a listener (`network`, see kbroker.real)."""

    clock: RunningClock
    disk: Disk
    entropy: Entropy
    network: Any
