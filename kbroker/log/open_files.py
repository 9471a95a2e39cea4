"""Files opened when needed and closed when too many are open, the longest unused first, never while in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final

from kbroker.world import Disk, DiskFailure, File, Line

OPEN_FILES_MAX: Final = 4096
"""Across all logs of one directory; a process may often have 65,536 descriptors, sometimes only 1,024."""


def open_files_max(descriptors_max: int | None) -> int:
    """How many files the logs may keep open in a process with so many descriptors: half are left to connections."""
    return OPEN_FILES_MAX if descriptors_max is None else max(1, min(OPEN_FILES_MAX, descriptors_max // 2))


class OpenFiles:
    """The open files of many logs on one disk, in the order of their last use."""

    __slots__ = ("_disk", "_limit", "_used", "waits")

    def __init__(self, disk: Disk, limit: int = OPEN_FILES_MAX) -> None:
        self._disk = disk
        self._limit = limit
        self._used: OrderedDict[FileHandle, None] = OrderedDict()
        self.waits = True
        """May a read wait for the medium? Not while others are served: it raises ColdRead then."""

    def __len__(self) -> int:
        return len(self._used)

    def opened(self, handle: FileHandle, *, create: bool) -> File:
        """Open the file of `handle` and close what is over the limit."""
        file = self._disk.open(handle.path, create=create)
        self._opened(handle)
        return file

    def made(
        self, handle: FileHandle, done: Callable[[DiskFailure | None], None], behind: Line | None
    ) -> tuple[File, Line | None]:
        """Have the file of `handle` made, and close what is over the limit."""
        made = self._disk.make(handle.path, done, behind=behind)
        self._opened(handle)
        return made

    def _opened(self, handle: FileHandle) -> None:
        self._used[handle] = None
        excess = len(self._used) - self._limit
        if excess > 0:
            self._close_unused(excess)

    def touch(self, handle: FileHandle) -> None:
        """It was used just now."""
        self._used.move_to_end(handle)

    def forget(self, handle: FileHandle) -> None:
        """Its owner closed it."""
        self._used.pop(handle, None)

    def _close_unused(self, count: int) -> None:
        """Those that were pinned when their turn came are left over from before: they go now too."""
        newest = next(reversed(self._used))
        unused = (handle for handle in self._used if not handle.pins and handle is not newest)
        for handle in list(islice(unused, count)):
            handle.close()


class FileHandle:
    """A path and, while open, its file. Pins keep it open: one per leased slice, queued write or sync under way."""

    __slots__ = ("_file", "_files", "_is_retired", "path", "pins")

    def __init__(self, files: OpenFiles, path: str) -> None:
        self.path = path
        self.pins = 0
        self._file: File | None = None
        self._files = files
        self._is_retired = False

    def file(self, *, create: bool = False) -> File:
        """The open file. Raises FileNotFoundError, DiskFailure."""
        file = self._file
        if file is not None:
            self._files.touch(self)
            return file
        file = self._file = self._files.opened(self, create=create)
        return file

    @property
    def is_open(self) -> bool:
        """Does it hold a descriptor?"""
        return self._file is not None

    def make(self, done: Callable[[DiskFailure | None], None], *, behind: Line | None) -> Line | None:
        """Make the file: at once, or in the line that is returned; see Disk.make. Raises DiskFailure."""
        self._file, line = self._files.made(self, done, behind)
        return line

    @property
    def may_wait(self) -> bool:
        """May a read wait for the medium, and its reader take its time?"""
        return self._files.waits

    def read(self, position: int, length: int) -> bytes:
        """Like File.read_at; raises ColdRead instead of waiting, unless `waits` of its OpenFiles."""
        file = self.file()
        return file.read_at(position, length) if self._files.waits else file.read_warm(position, length)

    def unpin(self) -> None:
        """One user less; a retired file closes with the last one."""
        self.pins -= 1
        if self._is_retired and not self.pins:
            self.close()

    def close(self) -> None:
        """Give the descriptor back; the next use opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._files.forget(self)

    def retire(self) -> None:
        """Close it for good, as soon as nobody uses it."""
        self._is_retired = True
        # One that is not made yet must not be any more: another topic's log may have its name by then.
        if not self.pins or (self._file is not None and not self._file.is_made):
            self.close()

    def renewed(self) -> FileHandle:
        """A handle for whatever has the path's name now."""
        return FileHandle(self._files, self.path)
