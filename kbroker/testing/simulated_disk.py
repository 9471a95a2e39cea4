"""A disk that forgets on command: what was written and what was synced are kept apart, and any step may fail.

Every change (a write, a truncation, a new name, a rename, a removal, a sync) is a step, counted and announced to
`on_step`; `crash_at = n` makes the n-th raise Crashed. `restarted(...)` gives the disk as the next process finds it:

    PROCESS_DIED   all that was written is there, synced or not: the page cache outlives a process
    POWER_FAILED   per file: what was synced, plus as much of the rest as `keep` says; names as last synced. Or, where
                   `below` decides: some pages of the rest, and some of the later names, in their order per directory

Only a medium that keeps what fsync promised is simulated. Pages of a file reach it in any order, each whole or not at
all. Nothing here uses a thread: queued writes and work wait in a list until `run_queued()`, or are done at once. They
are done in their order, or where `order` decides, as threads might do them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from functools import partial
from typing import Final, NamedTuple, TypeVar

from kbroker.real.memory_disk import MemoryFile
from kbroker.world import Buffer, ColdRead, DirectoryLocked, DiskFailure, File, Line

T = TypeVar("T")
Below = Callable[[int], int]
"""A uniform integer in [0, n): `world.Entropy.below`, or that of a seeded generator."""

PAGE_BYTES: Final = 4096
"""What a medium writes whole or not at all; scripts with small files ask for smaller pages."""


WORKERS: Final = 4
"""As many as kbroker.real.disk has."""


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
    """One file's bytes: `live` as readers see them, `durable` as last synced, `shortest` its least size since."""

    __slots__ = ("durable", "live", "shortest")

    def __init__(self, data: bytes = b"", durable: bytes = b"", shortest: int = 0) -> None:
        self.live = MemoryFile("")
        if data:
            self.live.write_at(0, [data])
        self.durable = durable
        self.shortest = shortest

    def contents(self) -> bytes:
        return self.live.read_at(0, self.live.size())

    def sync(self) -> None:
        self.durable = self.contents()
        self.shortest = len(self.durable)

    def copied(self) -> _Node:
        return _Node(self.contents(), self.durable, self.shortest)


class _Folder:
    """One directory's names: `live` as everybody sees them, `durable` as last synced, and what changed in between."""

    __slots__ = ("changes", "durable", "live")

    def __init__(self) -> None:
        self.live: dict[str, _Node | _Folder] = {}
        self.durable: dict[str, _Node | _Folder] = {}
        self.changes: list[_Change] = []

    def change(self, gone: str | None, name: str | None, entry: _Node | _Folder | None) -> None:
        """One atomic step: `gone` disappears, `name` is `entry` from now on."""
        change = _Change(gone, name, entry)
        change.apply(self.live)
        self.changes.append(change)

    def keep_changes(self, count: int) -> None:
        """The oldest `count` changes have reached the medium."""
        for change in self.changes[:count]:
            change.apply(self.durable)
        del self.changes[:count]

    def keep_name_of(self, entry: _Folder) -> None:
        """The name of a directory in it has reached the medium, with all that was changed before."""
        last = max((at for at, change in enumerate(self.changes, 1) if change.entry is entry), default=0)
        self.keep_changes(last)


class _Change:
    """A change of a directory's names, waiting for the medium."""

    __slots__ = ("entry", "gone", "name")

    def __init__(self, gone: str | None, name: str | None, entry: _Node | _Folder | None) -> None:
        self.gone = gone
        self.name = name
        self.entry = entry

    def apply(self, names: dict[str, _Node | _Folder]) -> None:
        if self.gone is not None:
            names.pop(self.gone, None)
        if self.name is not None and self.entry is not None:
            names[self.name] = self.entry


class SimulatedFile:
    """world.File over a node of the simulated disk; without one, a file that is going to be made by a queued write."""

    __slots__ = ("_disk", "_found", "_is_closed", "path")

    def __init__(self, disk: SimulatedDisk, path: str, node: _Node | None) -> None:
        self.path = path
        self._disk = disk
        self._found = node
        self._is_closed = False

    @property
    def _node(self) -> _Node:
        if self._found is None:
            raise DiskFailure(self.path, "Bad file descriptor")
        return self._found

    @property
    def is_made(self) -> bool:
        """See world.File."""
        return self._found is not None or self._is_closed

    def make(self) -> None:
        """Its turn has come. Nothing happens when it was closed meanwhile."""
        if not self._is_closed:
            self._found = self._disk.open(self.path, create=True)._node

    def size(self) -> int:
        """See world.File."""
        return self._node.live.size()

    def modified_ms(self) -> int:
        """See world.File."""
        self._disk.check(self.path)
        return self._node.live.modified_ms()

    def write_at(self, position: int, buffers: Sequence[Buffer]) -> None:
        """See world.File. The step that crashes is not done; of one that fails, as much as `torn` of the disk says."""
        live = self._node.live
        try:
            self._disk.step(self.path, takes_room=True)
        except DiskFailure:
            data = b"".join(buffers)
            if data and self._disk.torn is not None:
                live.write_at(position, [data[: self._disk.torn(len(data))]])
            raise
        live.write_at(position, buffers)

    def read_at(self, position: int, length: int) -> bytes:
        """See world.File."""
        self._disk.check(self.path)
        return self._node.live.read_at(position, length)

    def read_warm(self, position: int, length: int) -> bytes:
        """See world.File."""
        if not self.is_warm(position, length):
            raise ColdRead(self, position, length)
        return self.read_at(position, length)

    def is_warm(self, position: int, length: int) -> bool:
        """See world.File."""
        return self._disk.is_warm(self.path, position, position + length)

    def warm(self, position: int, length: int, done: Callable[[DiskFailure | None], None]) -> None:
        """See world.File."""
        self._disk.in_worker(lambda: self._disk.note_warm(self.path, position, position + length), done)

    def truncate(self, size: int) -> None:
        """See world.File."""
        self._disk.step(self.path)
        self._node.live.truncate(size)
        self._node.shortest = min(self._node.shortest, size)

    def sync(self) -> None:
        """See world.File."""
        self._disk.step(self.path)
        self._node.sync()

    def close(self) -> None:
        """See world.File: there is no descriptor, but one that is not made yet will not be."""
        self._is_closed = True

    def view(self, position: int, length: int) -> memoryview | None:
        """See world.File."""
        return self._node.live.view(position, length)

    def views(self, position: int, length: int) -> list[memoryview] | None:
        """See world.File."""
        return self._node.live.views(position, length)

    def fileno(self) -> int:
        """See world.File: never asked, because view() always answers."""
        raise AssertionError("a simulated file has no descriptor")

    def send_to(
        self, receiver: int, position: int, length: int, done: Callable[[int | DiskFailure], None]
    ) -> Callable[[], bool] | None:
        """See world.File: never asked, either."""
        raise AssertionError("a simulated file has no descriptor")


class SimulatedLock:
    """world.Lock: it ends with the simulated process."""

    def __init__(self, held: set[str], path: str) -> None:
        self._held = held
        self._path = path

    def release(self) -> None:
        """See world.Lock."""
        self._held.discard(self._path)


def _nobody_told(path: str) -> None:
    """Nobody follows the steps."""


class SimulatedLine:
    """world.Line."""

    def __init__(self) -> None:
        self.failure: DiskFailure | None = None


class _Job(NamedTuple):
    """What waits in line."""

    lane: object
    """Whatever does such jobs one after the other; None: the workers, of whom there are several."""
    work: Callable[[], Callable[[], None]]
    """Gives what the state's thread does when it hears of it."""


class SimulatedDisk:
    """world.Disk with memory for what is durable.

    `queues_writes` puts every write and every new segment, `queues_work` every in_worker call, in line until
    run_queued(). `failing` maps a piece of a path to the reason that every use of such a path fails with. `on_step` is
    told the path of each step before it is made. Files with one of the `cold` pieces in their path are out of memory
    until they are warmed. While it `is_full` nothing is written or made; `torn` says how many of its bytes a write
    that fails has made all the same. `order` chooses what a thread has done next of what is queued, or that the state's
    thread hears of the oldest that is over: work begins in its order, but not everything ends in it.
    """

    def __init__(self, *, queues_writes: bool = False, queues_work: bool = False, page_bytes: int = PAGE_BYTES) -> None:
        self.steps = 0
        self.crash_at: int | None = None
        self.on_step: Callable[[str], None] = _nobody_told
        self.failing: dict[str, str] = {}
        self.is_full = False
        self.torn: Below | None = None
        self.cold: set[str] = set()
        self.warmed: list[tuple[str, int, int]] = []
        self.queues_writes = queues_writes
        self.queues_work = queues_work
        self.page_bytes = page_bytes
        self.order: Below | None = None
        self._queue: deque[_Job] = deque()
        # Over, and the state's thread has not heard of it.
        self._told: deque[Callable[[], None]] = deque()
        self._root = _Folder()
        self._locks: set[str] = set()
        self._temporary_names = 0

    # ---- what goes wrong

    def step(self, path: str, *, takes_room: bool = False) -> None:
        """A change is about to be made. Raises Crashed or DiskFailure when the script says so."""
        self.check(path)
        self.steps += 1
        self.on_step(path)
        if self.crash_at is not None and self.steps >= self.crash_at:
            raise Crashed
        if takes_room and self.is_full:
            raise DiskFailure(path, "No space left on device")

    def check(self, path: str) -> None:
        """Raises DiskFailure when the script says that `path` is broken."""
        for piece, reason in self.failing.items():
            if piece in path:
                raise DiskFailure(path, reason)

    def is_warm(self, path: str, start: int, end: int) -> bool:
        """Is the piece of a file in memory?"""
        if not any(piece in path for piece in self.cold):
            return True
        return any(name == path and known <= start and end <= until for name, known, until in self.warmed)

    def note_warm(self, path: str, start: int, end: int) -> None:
        """The piece is in memory from now on."""
        self.check(path)
        self.warmed.append((path, start, end))

    def restarted(self, loss: Loss, keep: Keep = Keep.NOTHING, *, below: Below | None = None) -> SimulatedDisk:
        """A new disk with what is left; this one may go on by itself.

        Where `below` is given it chooses for each file what a power failure leaves, instead of `keep`: nothing, all, or
        some pages, later ones without earlier ones too; and for each directory how many of its changes.
        """
        after = SimulatedDisk(page_bytes=self.page_bytes)
        after._temporary_names = self._temporary_names
        if loss is Loss.PROCESS_DIED:
            after._root = _copied(self._root, {})
        else:
            after._root = self._after_power_failure(self._root, keep, below)
        return after

    def _after_power_failure(self, folder: _Folder, keep: Keep, below: Below | None) -> _Folder:
        names = dict(folder.durable)
        if below is not None:
            for change in folder.changes[: below(len(folder.changes) + 1)]:
                change.apply(names)
        after = _Folder()
        for name, entry in names.items():
            if isinstance(entry, _Folder):
                after.live[name] = self._after_power_failure(entry, keep, below)
            else:
                data = _left_of(entry, keep, below, self.page_bytes)
                after.live[name] = _Node(data, data, len(data))
        after.durable = dict(after.live)
        return after

    # ---- names

    def _entry(self, path: str) -> _Node | _Folder | None:
        entry: _Node | _Folder | None = self._root
        for name in _parts(path):
            if not isinstance(entry, _Folder):
                return None
            entry = entry.live.get(name)
        return entry

    def _node(self, path: str) -> _Node | None:
        entry = self._entry(path)
        return entry if isinstance(entry, _Node) else None

    def _folder_of(self, path: str) -> tuple[_Folder, str]:
        """The directory that `path` is or would be in, and its name there. Raises DiskFailure without one."""
        *parents, name = _parts(path)
        folder = self._entry("/".join(parents))
        if not isinstance(folder, _Folder):
            raise DiskFailure(path, "No such directory")
        return folder, name

    # ---- world.Disk

    def open(self, path: str, *, create: bool = False) -> SimulatedFile:
        """See world.Disk."""
        self.check(path)
        node = self._node(path)
        if node is None:
            if not create:
                raise FileNotFoundError(path)
            self.step(path, takes_room=True)
            folder, name = self._folder_of(path)
            node = _Node()
            folder.change(None, name, node)
        return SimulatedFile(self, path, node)

    def exists(self, path: str) -> bool:
        """See world.Disk."""
        return self._entry(path) is not None

    def list(self, path: str) -> list[str]:
        """See world.Disk."""
        self.check(path)
        folder = self._entry(path)
        if not isinstance(folder, _Folder):
            raise FileNotFoundError(path)
        return sorted(folder.live)

    def is_directory(self, path: str) -> bool:
        """See world.Disk."""
        return isinstance(self._entry(path), _Folder)

    def make_directory(self, path: str) -> None:
        """See world.Disk."""
        if self.is_directory(path):
            return
        self.make_directory(path.rstrip("/").rpartition("/")[0])
        self.step(path, takes_room=True)
        folder, name = self._folder_of(path)
        if name in folder.live:
            raise DiskFailure(path, "Not a directory")
        folder.change(None, name, _Folder())

    def read(self, path: str) -> bytes:
        """See world.Disk."""
        file = self.open(path)
        return file.read_at(0, file.size())

    def replace(self, path: str, data: bytes) -> None:
        """See world.Disk. Steps: a temporary name, its bytes written and synced, the rename, the directory synced."""
        self.step(path, takes_room=True)
        folder, name = self._folder_of(path)
        temporary = f"{name}.{self._temporary_names}.tmp"
        self._temporary_names += 1
        node = _Node()
        folder.change(None, temporary, node)
        self.step(path, takes_room=True)
        node.live.write_at(0, [data])
        node.sync()
        self.step(path)
        folder.change(temporary, name, node)
        self.sync_directory(path.rpartition("/")[0])

    def rename(self, source: str, target: str) -> None:
        """See world.Disk; within one directory."""
        entry = self._entry(source)
        if entry is None:
            raise FileNotFoundError(source)
        self.step(source)
        folder, name = self._folder_of(source)
        other, new_name = self._folder_of(target)
        assert other is folder, "nobody moves a file to another directory"
        folder.change(name, new_name, entry)

    def remove(self, path: str) -> None:
        """See world.Disk."""
        if self._node(path) is not None:
            self.step(path)
            folder, name = self._folder_of(path)
            folder.change(name, None, None)

    def remove_tree(self, path: str) -> None:
        """See world.Disk. A step for every name."""
        folder = self._entry(path)
        if not isinstance(folder, _Folder):
            return
        path = path.rstrip("/")
        for name, entry in sorted(folder.live.items()):
            if isinstance(entry, _Folder):
                self.remove_tree(f"{path}/{name}")
            else:
                self.remove(f"{path}/{name}")
        self.step(path)
        parent, name = self._folder_of(path)
        parent.change(name, None, None)

    def sync_directory(self, path: str) -> None:
        """See world.Disk. Makes the directory's own name durable too, as journalling file systems do."""
        self.step(path)
        folder = self._entry(path)
        if not isinstance(folder, _Folder):
            raise DiskFailure(path, "No such directory")
        folder.keep_changes(len(folder.changes))
        for parent, child in self._chain(path):
            parent.keep_name_of(child)

    def sync_volume(self, path: str) -> bool:
        """See world.Disk: one step."""
        self.step(path)
        folders = [self._root]
        while folders:
            folder = folders.pop()
            folder.keep_changes(len(folder.changes))
            for entry in folder.live.values():
                if isinstance(entry, _Folder):
                    folders.append(entry)
                else:
                    entry.sync()
        return True

    def _chain(self, path: str) -> Iterator[tuple[_Folder, _Folder]]:
        """Each directory above `path` with the one below it, from the root."""
        folder = self._root
        for name in _parts(path):
            child = folder.live[name]
            assert isinstance(child, _Folder)
            yield folder, child
            folder = child

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

    def make(
        self, path: str, done: Callable[[DiskFailure | None], None], *, behind: Line | None = None
    ) -> tuple[SimulatedFile, Line | None]:
        """See world.Disk: as write()."""
        if not self.queues_writes and behind is None:
            return self.open(path, create=True), None
        file = SimulatedFile(self, path, None)
        return file, self._write_later(file.make, done, behind)

    @property
    def is_behind(self) -> bool:
        """See world.Disk: never."""
        return False

    @property
    def tells_more(self) -> bool:
        """See world.Disk: never."""
        return False

    def write(
        self,
        file: File,
        position: int,
        buffers: Sequence[Buffer],
        done: Callable[[DiskFailure | None], None],
        *,
        behind: Line | None = None,
    ) -> Line | None:
        """See world.Disk."""
        if not self.queues_writes and behind is None:
            file.write_at(position, buffers)
            return None
        return self._write_later(lambda: file.write_at(position, buffers), done, behind)

    def _write_later(
        self, write: Callable[[], None], done: Callable[[DiskFailure | None], None], behind: Line | None
    ) -> Line:
        line = behind or SimulatedLine()

        def work() -> Callable[[], None]:
            try:
                if line.failure is None:
                    write()
            except DiskFailure as error:
                line.failure = error
            return partial(done, line.failure)

        self._queue.append(_Job(line, work))
        return line

    def in_worker(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """See world.Disk."""
        self._do(None, work, done)

    def in_background(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """See world.Disk."""
        self._do("background", work, done)

    def in_remover(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """See world.Disk."""
        self._do("remover", work, done)

    def _do(self, lane: object, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        def outcome() -> Callable[[], None]:
            result: T | DiskFailure
            try:
                result = work()
            except DiskFailure as error:
                result = error
            return partial(done, result)

        if self.queues_work:
            self._queue.append(_Job(lane, outcome))
        else:
            outcome()()

    def run_queued(self, count: int | None = None) -> int:
        """Do the oldest `count` (None: all, those added meanwhile too) of what is queued; how many were done.

        Where `order` decides, what is done and that it is told count apart.
        """
        done = 0
        while (self._queue or self._told) and (count is None or done < count):
            if self.order is not None:
                self._go_on(self.order)
            elif self._told:
                self._told.popleft()()
            else:
                self._queue.popleft().work()()
            done += 1
        return done

    def _go_on(self, order: Below) -> None:
        ready = self._ready()
        number = order(len(ready) + bool(self._told))
        if number == len(ready):
            self._told.popleft()()
        else:
            job = ready[number]
            self._queue.remove(job)
            self._told.append(job.work())

    def _ready(self) -> Sequence[_Job]:
        """The jobs that threads are at: the first of each lane, and as many as there are workers."""
        ready: deque[_Job] = deque()
        for job in self._queue:
            before = sum(each.lane == job.lane for each in ready)
            if before < (WORKERS if job.lane is None else 1):
                ready.append(job)
        return ready

    def drain(self) -> None:
        """Do all that is queued."""
        self.run_queued()

    def close(self) -> None:
        """Nothing runs that could be joined."""


def _parts(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


def _copied(folder: _Folder, copies: dict[int, _Node | _Folder]) -> _Folder:
    """The directory with all that it holds and has held since it was last synced; each entry is copied once."""
    copy = _Folder()
    copies[id(folder)] = copy

    def of(entry: _Node | _Folder) -> _Node | _Folder:
        known = copies.get(id(entry))
        if known is None:
            known = _copied(entry, copies) if isinstance(entry, _Folder) else entry.copied()
            copies[id(entry)] = known
        return known

    copy.live = {name: of(entry) for name, entry in folder.live.items()}
    copy.durable = {name: of(entry) for name, entry in folder.durable.items()}
    copy.changes = [
        _Change(change.gone, change.name, None if change.entry is None else of(change.entry))
        for change in folder.changes
    ]
    return copy


def _left_of(node: _Node, keep: Keep, below: Below | None, page_bytes: int) -> bytes:
    """What a power failure leaves of a file."""
    live, durable = node.contents(), node.durable
    if keep is Keep.ALL:
        return live
    if below is not None:
        return _mixed(node, below, page_bytes)
    unsynced = len(live) - len(durable)
    if keep is Keep.NOTHING or unsynced <= 0:
        return durable
    if keep is Keep.HALF:
        return durable + live[len(durable) : len(durable) + unsynced // 2]
    return durable + bytes(unsynced)


def _mixed(node: _Node, below: Below, page_bytes: int) -> bytes:
    """Some size that the file may have had, and for each page either what was synced, or what was written, or zeros
    where it lay behind the end meanwhile."""
    live, durable = node.contents(), node.durable
    if live == durable and node.shortest == len(live):
        return live
    choice = below(4)
    if choice == 0:
        return durable
    if choice == 1:
        return live
    smallest, largest = min(node.shortest, len(durable), len(live)), max(len(durable), len(live))
    size = len(live) if choice == 2 else smallest + below(largest - smallest + 1)
    left = bytearray()
    for start in range(0, size, page_bytes):
        end = min(start + page_bytes, size)
        sources = [durable[start:end], live[start:end]]
        if end > node.shortest:
            sources.append(durable[start : min(end, node.shortest)])
        left += sources[below(len(sources))].ljust(end - start, b"\0")
    return bytes(left)
