"""A disk that forgets on command: what was written and what was synced are kept apart, and any step may fail.

Every change (a write, a truncation, a new name, a rename, a removal) is counted; `crash_at = n` makes the n-th raise
Crashed. Afterwards `restarted(...)` gives the disk as the next process finds it:

    PROCESS_DIED   all that was written is there: the page cache outlives a process
    POWER_FAILED   per file: what was synced, plus as much of the rest as `keep` says; names as last synced

Only a medium that keeps what fsync promised is simulated, at the granularity of whole writes and of cut ones. Nothing
here uses a thread: queued writes and work wait in a list until `run_queued()`, or are done at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TypeVar

from kbroker.real.memory_disk import MemoryFile
from kbroker.world import Buffer, DirectoryLocked, DiskFailure, File

T = TypeVar("T")


class Crashed(BaseException):
    """The simulated process or machine stopped here. A BaseException: nobody may handle it but the test."""


class Loss(Enum):
    """What a crash takes."""

    PROCESS_DIED = "process died"
    POWER_FAILED = "power failed"


class Keep(Enum):
    """What a power failure leaves of bytes that were written but not synced."""

    NOTHING = "nothing"
    ALL = "all"
    HALF = "half"
    ZEROS = "zeros"
    """The size grew, the bytes did not: a torn tail as journalling file systems leave it."""


class _Node:
    """One file's bytes: `live` as readers see them, `durable` as last synced."""

    __slots__ = ("durable", "live")

    def __init__(self) -> None:
        self.live = MemoryFile("")
        self.durable = b""

    def contents(self) -> bytes:
        return self.live.read_at(0, self.live.size())


class SimulatedFile:
    """world.File over a node of the simulated disk."""

    __slots__ = ("_disk", "_node", "path")

    def __init__(self, disk: SimulatedDisk, path: str, node: _Node) -> None:
        self.path = path
        self._disk = disk
        self._node = node

    def size(self) -> int:
        """See world.File."""
        return self._node.live.size()

    def write_at(self, position: int, buffers: Sequence[Buffer]) -> None:
        """See world.File. The step that crashes is not done."""
        self._disk.step(self.path)
        self._node.live.write_at(position, buffers)

    def read_at(self, position: int, length: int) -> bytes:
        """See world.File."""
        self._disk.check(self.path)
        return self._node.live.read_at(position, length)

    def truncate(self, size: int) -> None:
        """See world.File."""
        self._disk.step(self.path)
        self._node.live.truncate(size)

    def sync(self) -> None:
        """See world.File."""
        self._disk.step(self.path)
        self._node.durable = self._node.contents()

    def close(self) -> None:
        """See world.File: there is no descriptor."""

    def view(self, position: int, length: int) -> memoryview | None:
        """See world.File."""
        return self._node.live.view(position, length)

    def views(self, position: int, length: int) -> list[memoryview] | None:
        """See world.File."""
        return self._node.live.views(position, length)

    def fileno(self) -> int:
        """See world.File: never asked, because view() always answers."""
        raise AssertionError("a simulated file has no descriptor")


class SimulatedLock:
    """world.Lock: it ends with the simulated process."""

    def __init__(self, held: set[str], path: str) -> None:
        self._held = held
        self._path = path

    def release(self) -> None:
        """See world.Lock."""
        self._held.discard(self._path)


class SimulatedDisk:
    """world.Disk with memory for what is durable.

    `queues_writes` puts every write, `queues_work` every in_worker call, in line until run_queued(). `failing` maps a
    piece of a path to the reason that every use of such a path fails with.
    """

    def __init__(self, *, queues_writes: bool = False, queues_work: bool = False) -> None:
        self.steps = 0
        self.crash_at: int | None = None
        self.failing: dict[str, str] = {}
        self.queues_writes = queues_writes
        self.queues_work = queues_work
        self._queue: deque[Callable[[], None]] = deque()
        self._writes_queued = 0
        self._files: dict[str, _Node] = {}
        self._directories: set[str] = {""}
        self._durable_files: dict[str, _Node] = {}
        self._durable_directories: set[str] = {""}
        self._directory_renames: list[tuple[str, str]] = []
        self._locks: set[str] = set()

    # ---- what goes wrong

    def step(self, path: str) -> None:
        """A change is about to be made. Raises Crashed or DiskFailure when the script says so."""
        self.check(path)
        self.steps += 1
        if self.crash_at is not None and self.steps >= self.crash_at:
            raise Crashed

    def check(self, path: str) -> None:
        """Raises DiskFailure when the script says that `path` is broken."""
        for piece, reason in self.failing.items():
            if piece in path:
                raise DiskFailure(path, reason)

    def restarted(self, loss: Loss, keep: Keep = Keep.NOTHING) -> SimulatedDisk:
        """A new disk with what is left; this one is not to be used any more."""
        after = SimulatedDisk()
        is_power = loss is Loss.POWER_FAILED
        files = self._durable_files if is_power else self._files
        after._directories = set(self._durable_directories if is_power else self._directories)
        after._durable_directories = set(after._directories)
        for path, node in files.items():
            fresh = _Node()
            data = _after_power_failure(node, keep) if is_power else node.contents()
            fresh.live.write_at(0, [data])
            fresh.durable = data
            after._files[path] = fresh
        after._durable_files = dict(after._files)
        return after

    # ---- world.Disk

    def open(self, path: str, *, create: bool = False) -> SimulatedFile:
        """See world.Disk."""
        self.check(path)
        node = self._files.get(path)
        if node is None:
            if not create:
                raise FileNotFoundError(path)
            self.step(path)
            if _parent(path) not in self._directories:
                raise DiskFailure(path, "No such directory")
            node = self._files[path] = _Node()
        return SimulatedFile(self, path, node)

    def exists(self, path: str) -> bool:
        """See world.Disk."""
        return path in self._files or self.is_directory(path)

    def list(self, path: str) -> list[str]:
        """See world.Disk."""
        self.check(path)
        path = path.rstrip("/")
        if path not in self._directories:
            raise FileNotFoundError(path)
        names = (*self._files, *self._directories - {""})
        return sorted(name.rpartition("/")[2] for name in names if _parent(name) == path)

    def is_directory(self, path: str) -> bool:
        """See world.Disk."""
        return path.rstrip("/") in self._directories

    def make_directory(self, path: str) -> None:
        """See world.Disk."""
        path = path.rstrip("/")
        if path in self._directories:
            return
        self.make_directory(_parent(path))
        self.step(path)
        if path in self._files:
            raise DiskFailure(path, "Not a directory")
        self._directories.add(path)

    def read(self, path: str) -> bytes:
        """See world.Disk."""
        file = self.open(path)
        return file.read_at(0, file.size())

    def replace(self, path: str, data: bytes) -> None:
        """See world.Disk: one step, and durable."""
        self.step(path)
        if _parent(path) not in self._directories:
            raise DiskFailure(path, "No such directory")
        node = _Node()
        node.live.write_at(0, [data])
        node.durable = bytes(data)
        self._files[path] = node
        self._make_durable(_parent(path))

    def rename(self, source: str, target: str) -> None:
        """See world.Disk."""
        if not self.exists(source):
            raise FileNotFoundError(source)
        self.step(source)
        if source in self._files:
            self._files[target] = self._files.pop(source)
            return
        self._files, self._directories = _renamed(self._files, self._directories, source, target)
        self._directory_renames.append((source, target))

    def remove(self, path: str) -> None:
        """See world.Disk."""
        if path in self._files:
            self.step(path)
            del self._files[path]

    def remove_tree(self, path: str) -> None:
        """See world.Disk."""
        path = path.rstrip("/")
        if path in self._directories:
            self.step(path)
            self._files = {name: node for name, node in self._files.items() if not name.startswith(path + "/")}
            self._directories = {name for name in self._directories if name != path and not name.startswith(path + "/")}

    def sync_directory(self, path: str) -> None:
        """See world.Disk."""
        self.step(path)
        self._make_durable(path.rstrip("/"))

    def _make_durable(self, path: str) -> None:
        """The names in `path`, and `path` itself with its parents (as journalling file systems do)."""
        for source, target in self._directory_renames:
            if _parent(source) == path:
                self._durable_files, self._durable_directories = _renamed(
                    self._durable_files, self._durable_directories, source, target
                )
        self._directory_renames = [names for names in self._directory_renames if _parent(names[0]) != path]
        for name in [name for name in self._durable_files if _parent(name) == path and name not in self._files]:
            del self._durable_files[name]
        self._durable_files.update({name: node for name, node in self._files.items() if _parent(name) == path})
        while path not in self._durable_directories:
            self._durable_directories.add(path)
            path = _parent(path)

    def lock(self, path: str) -> SimulatedLock:
        """See world.Disk."""
        if path in self._locks:
            raise DirectoryLocked(f"{path} is locked by another broker")
        self.open(path, create=True)
        self._locks.add(path)
        return SimulatedLock(self._locks, path)

    def total_bytes(self, path: str) -> int:
        """See world.Disk."""
        return -1

    def usable_bytes(self, path: str) -> int:
        """See world.Disk."""
        return -1

    def write(
        self, file: File, position: int, buffers: Sequence[Buffer], done: Callable[[DiskFailure | None], None]
    ) -> bool:
        """See world.Disk."""
        if not (self.queues_writes or self._writes_queued):
            file.write_at(position, buffers)
            return True
        self._writes_queued += 1

        def run() -> None:
            self._writes_queued -= 1
            failure = None
            try:
                file.write_at(position, buffers)
            except DiskFailure as error:
                failure = error
            done(failure)

        self._queue.append(run)
        return False

    def in_worker(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """See world.Disk."""

        def run() -> None:
            result: T | DiskFailure
            try:
                result = work()
            except DiskFailure as error:
                result = error
            done(result)

        if self.queues_work:
            self._queue.append(run)
        else:
            run()

    def run_queued(self, count: int | None = None) -> int:
        """Do the oldest `count` (None: all, those added meanwhile too) of what is queued; how many were done."""
        done = 0
        while self._queue and (count is None or done < count):
            self._queue.popleft()()
            done += 1
        return done

    def drain(self) -> None:
        """Do all that is queued."""
        self.run_queued()

    def close(self) -> None:
        """Nothing runs that could be joined."""


def _after_power_failure(node: _Node, keep: Keep) -> bytes:
    live, durable = node.contents(), node.durable
    if keep is Keep.ALL:
        return live
    unsynced = len(live) - len(durable)
    if keep is Keep.NOTHING or unsynced <= 0:
        return durable
    if keep is Keep.HALF:
        return durable + live[len(durable) : len(durable) + unsynced // 2]
    return durable + bytes(unsynced)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _renamed(
    files: dict[str, _Node], directories: set[str], source: str, target: str
) -> tuple[dict[str, _Node], set[str]]:
    """Both with the directory `source` called `target`."""
    inside = source + "/"
    return (
        {_moved(name, inside, target): node for name, node in files.items()},
        {target if name == source else _moved(name, inside, target) for name in directories},
    )


def _moved(name: str, inside: str, target: str) -> str:
    return f"{target}/{name[len(inside) :]}" if name.startswith(inside) else name
