"""A tree of files in memory: the disk of tests and of brokers that need not remember.

A file is a row of extents that never move: 4 KiB, then each as large as all before it, so that a slice of a large file
crosses few borders and a view stays valid while the file grows. Large extents are anonymous maps whose pages cost
nothing until they are written.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from kbroker.world import Buffer, DirectoryLocked, DiskFailure, File, Line

T = TypeVar("T")

FIRST_EXTENT_BYTES: Final = 4096
MAP_BYTES_MIN: Final = 256 << 10
"""Smaller extents are plain bytes: the number of maps in a process is bounded."""


def _extent_of(position: int) -> int:
    return (position // FIRST_EXTENT_BYTES).bit_length()


def _extent_start(index: int) -> int:
    return FIRST_EXTENT_BYTES << (index - 1) if index else 0


def _new_extent(index: int) -> memoryview:
    size = FIRST_EXTENT_BYTES << (index - 1) if index else FIRST_EXTENT_BYTES
    if size < MAP_BYTES_MIN:
        return memoryview(bytearray(size))
    private = getattr(mmap, "MAP_PRIVATE", None)
    anonymous = getattr(mmap, "MAP_ANONYMOUS", None)
    if private is None or anonymous is None:
        return memoryview(mmap.mmap(-1, size))
    return memoryview(mmap.mmap(-1, size, flags=private | anonymous))


def system_ms() -> int:
    """The machine's wall clock, for a disk of a world that has no other."""
    return time.time_ns() // 1_000_000


class MemoryFile:
    """world.File in memory. Every opening of a path is the same object; it lives on after its removal while in use."""

    __slots__ = ("_extents", "_modified_ms", "_size", "_wall_ms", "path")

    def __init__(self, path: str, wall_ms: Callable[[], int] = system_ms) -> None:
        self.path = path
        self._extents: list[memoryview] = []
        self._size = 0
        self._wall_ms = wall_ms
        self._modified_ms = wall_ms()

    @property
    def is_made(self) -> bool:
        """See world.File."""
        return True

    def size(self) -> int:
        """See world.File."""
        return self._size

    def modified_ms(self) -> int:
        """See world.File."""
        return self._modified_ms

    def write_at(self, position: int, buffers: Sequence[Buffer]) -> None:
        """See world.File."""
        self._modified_ms = self._wall_ms()
        for buffer in buffers:
            self._write(position, buffer)
            position += len(buffer)

    def _write(self, position: int, buffer: Buffer) -> None:
        end = position + len(buffer)
        self._reserve(end)
        index = _extent_of(position)
        extent, start = self._extents[index], _extent_start(index)
        if end <= start + len(extent):
            extent[position - start : end - start] = buffer
        else:
            rest = memoryview(buffer)
            while rest:
                extent, start = self._extents[index], _extent_start(index)
                step = min(len(rest), start + len(extent) - position)
                extent[position - start : position - start + step] = rest[:step]
                rest = rest[step:]
                position += step
                index += 1
        if end > self._size:
            self._size = end

    def _reserve(self, end: int) -> None:
        while len(self._extents) <= _extent_of(max(end - 1, 0)):
            self._extents.append(_new_extent(len(self._extents)))

    def read_at(self, position: int, length: int) -> bytes:
        """See world.File."""
        return b"".join(self.views(position, length))

    def read_warm(self, position: int, length: int) -> bytes:
        """See world.File."""
        return self.read_at(position, length)

    def is_warm(self, position: int, length: int) -> bool:
        """See world.File: always."""
        return True

    def warm(self, position: int, length: int, done: Callable[[DiskFailure | None], None]) -> None:
        """See world.File."""
        done(None)

    def views(self, position: int, length: int) -> list[memoryview]:
        """See world.File."""
        end = min(position + length, self._size)
        parts = []
        while position < end:
            index = _extent_of(position)
            extent, start = self._extents[index], _extent_start(index)
            stop = min(end, start + len(extent))
            parts.append(extent[position - start : stop - start])
            position = stop
        return parts

    def truncate(self, size: int) -> None:
        """See world.File."""
        if size < self._size:
            for part in self.views(size, self._size - size):
                part[:] = bytes(len(part))
            del self._extents[_extent_of(max(size - 1, 0)) + 1 :]
        else:
            self._reserve(size)
        self._size = size
        self._modified_ms = self._wall_ms()

    def sync(self) -> None:
        """See world.File: memory is as far as it goes."""

    def close(self) -> None:
        """See world.File: there is no descriptor."""

    def view(self, position: int, length: int) -> memoryview | None:
        """See world.File; a copy where the slice crosses an extent's border."""
        index = _extent_of(position)
        if index < len(self._extents):
            extent, start = self._extents[index], _extent_start(index)
            end = position + length
            if end <= start + len(extent) and end <= self._size:
                return extent[position - start : end - start]
        return memoryview(self.read_at(position, length))

    def fileno(self) -> int:
        """See world.File: never asked, because view() always answers."""
        raise AssertionError("a file in memory has no descriptor")

    def send_to(
        self, receiver: int, position: int, length: int, done: Callable[[int | DiskFailure], None]
    ) -> Callable[[], bool] | None:
        """See world.File: never asked, either."""
        raise AssertionError("a file in memory has no descriptor")


class MemoryLock:
    """world.Lock: a name in the disk's set."""

    __slots__ = ("_held", "_path")

    def __init__(self, held: set[str], path: str) -> None:
        self._held = held
        self._path = path

    def release(self) -> None:
        """See world.Lock."""
        self._held.discard(self._path)


class MemoryDisk:
    """world.Disk in memory. Everything is done at once, completions included; no thread is used."""

    def __init__(self, wall_ms: Callable[[], int] = system_ms) -> None:
        self._wall_ms = wall_ms
        # A directory's names, each with its file, or None where it is a directory itself.
        self._directories: dict[str, dict[str, MemoryFile | None]] = {"": {}}
        self._locks: set[str] = set()

    def open(self, path: str, *, create: bool = False) -> MemoryFile:
        """See world.Disk."""
        names, name = self._inside(path)
        file = names.get(name) if names is not None else None
        if file is None:
            if not create:
                raise FileNotFoundError(path)
            if names is None or name in names:
                raise DiskFailure(path, "No such directory" if names is None else "Is a directory")
            file = names[name] = MemoryFile(path, self._wall_ms)
        return file

    def _inside(self, path: str) -> tuple[dict[str, MemoryFile | None] | None, str]:
        parent, _, name = path.rpartition("/")
        return self._directories.get(parent), name

    def exists(self, path: str) -> bool:
        """See world.Disk."""
        names, name = self._inside(path.rstrip("/"))
        return names is not None and name in names

    def list(self, path: str) -> list[str]:
        """See world.Disk."""
        names = self._directories.get(path.rstrip("/"))
        if names is None:
            raise FileNotFoundError(path)
        return sorted(names)

    def is_directory(self, path: str) -> bool:
        """See world.Disk."""
        return path.rstrip("/") in self._directories

    def make_directory(self, path: str) -> None:
        """See world.Disk."""
        path = path.rstrip("/")
        if path in self._directories:
            return
        parent, _, name = path.rpartition("/")
        self.make_directory(parent)
        if name in self._directories[parent]:
            raise DiskFailure(path, "Not a directory")
        self._directories[parent][name] = None
        self._directories[path] = {}

    def read(self, path: str) -> bytes:
        """See world.Disk."""
        file = self.open(path)
        return file.read_at(0, file.size())

    def replace(self, path: str, data: bytes) -> None:
        """See world.Disk."""
        self.remove(path)
        self.open(path, create=True).write_at(0, [data])

    def rename(self, source: str, target: str) -> None:
        """See world.Disk."""
        names, name = self._inside(source)
        targets, target_name = self._inside(target)
        if names is None or name not in names:
            raise FileNotFoundError(source)
        if targets is None:
            raise DiskFailure(target, "No such directory")
        file = names.pop(name)
        if file is None:
            self._rename_directory(source, target)
        else:
            file.path = target
        targets[target_name] = file

    def _rename_directory(self, source: str, target: str) -> None:
        inside = self._directories.pop(source)
        self._directories[target] = inside
        for name, file in inside.items():
            if file is None:
                self._rename_directory(f"{source}/{name}", f"{target}/{name}")
            else:
                file.path = f"{target}/{name}"

    def remove(self, path: str) -> None:
        """See world.Disk."""
        names, name = self._inside(path)
        if names is not None and names.get(name) is not None:
            del names[name]

    def remove_tree(self, path: str) -> None:
        """See world.Disk."""
        path = path.rstrip("/")
        inside = self._directories.pop(path, None)
        if inside is None:
            return
        for name, file in inside.items():
            if file is None:
                self.remove_tree(f"{path}/{name}")
        names, name = self._inside(path)
        if names is not None:
            names.pop(name, None)

    def sync_directory(self, path: str) -> None:
        """See world.Disk: memory is as far as it goes."""

    def sync_volume(self, path: str) -> bool:
        """See world.Disk."""
        return True

    def lock(self, path: str) -> MemoryLock:
        """See world.Disk."""
        if path in self._locks:
            raise DirectoryLocked(f"{path} is locked by another broker")
        self.open(path, create=True)
        self._locks.add(path)
        return MemoryLock(self._locks, path)

    def total_bytes(self, path: str) -> int:
        """See world.Disk."""
        return -1

    def usable_bytes(self, path: str) -> int:
        """See world.Disk."""
        return -1

    def make(
        self, path: str, done: Callable[[DiskFailure | None], None], *, behind: Line | None = None
    ) -> tuple[MemoryFile, None]:
        """See world.Disk."""
        return self.open(path, create=True), None

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
    ) -> None:
        """See world.Disk."""
        file.write_at(position, buffers)

    def in_worker(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """See world.Disk: done before this returns."""
        result: T | DiskFailure
        try:
            result = work()
        except DiskFailure as failure:
            result = failure
        done(result)

    def in_background(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """See world.Disk: done before this returns."""
        self.in_worker(work, done)

    def in_remover(self, work: Callable[[], T], done: Callable[[T | DiskFailure], None]) -> None:
        """See world.Disk: done before this returns."""
        self.in_worker(work, done)

    def drain(self) -> None:
        """Nothing is ever queued."""

    def close(self) -> None:
        """Nothing runs that could be joined; the files stay for the next broker on this disk."""
