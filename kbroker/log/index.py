"""`.index` and `.timeindex`: sparse, sorted, fixed-width entries that lead near a batch.

    .index      8 bytes: int32 last offset of a batch - base, int32 position of that batch
    .timeindex 12 bytes: int64 largest timestamp so far, int32 last offset of the batch that has it - base

The growing index of a log's active segment lives in memory; the worker that syncs the segment when it is full writes
its file, and so does a clean stop. After a crash it is rebuilt from the log, and its file is only touched where it says
anything else. Those of older segments stay on disk: a search reads some 4 KB of them.
Source: Kafka's OffsetIndex, TimeIndex.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from kbroker.log.open_files import FileHandle
from kbroker.world import ColdRead, Disk, File

OFFSET_ENTRY_BYTES: Final = 8
TIME_ENTRY_BYTES: Final = 12
_PAGE_ENTRIES = 512

_OFFSET_ENTRY = struct.Struct(">ii")
_TIME_ENTRY = struct.Struct(">qi")


class SparseIndex:
    """Two parallel rising columns, (key, value); in memory while growing, searched on disk once sealed."""

    __slots__ = ("_count", "_entry", "_is_rebuilt", "_keys", "_values", "_written", "handle", "last")

    def __init__(self, handle: FileHandle, entry: struct.Struct, key_code: str) -> None:
        self.handle = handle
        self._entry = entry
        self._keys: array[int] | None = array(key_code)
        self._values: array[int] = array("i")
        self._count = 0
        self._written = 0
        # The file may still hold what was there before a reset.
        self._is_rebuilt = False
        self.last: tuple[int, int] | None = None

    def __len__(self) -> int:
        return self._count

    def append(self, key: int, value: int) -> None:
        """Add an entry behind the last, in memory; the caller keeps the order."""
        assert self._keys is not None, "a sealed index doesn't grow"
        self._keys.append(key)
        self._values.append(value)
        self._count += 1
        self.last = (key, value)

    @property
    def is_complete(self) -> bool:
        """Does its file hold all, and is nothing added any more?"""
        return self._keys is None

    def complete(self, disk: Disk, is_gone: Callable[[], bool]) -> None:
        """Bring a full index to its file, synced; nothing is added meanwhile. In a worker. Raises DiskFailure.

        Nothing is written where the log `is_gone` by then: what has just been opened may be another's.
        """
        file = disk.open(self.handle.path, create=True)
        try:
            if is_gone():
                return
            count = self._cut_to_common(file) if self._is_rebuilt else self._written
            if count < self._count:
                file.write_at(count * self._entry.size, [self._packed(count)])
            file.sync()
        finally:
            file.close()

    def completed(self) -> None:
        """complete() is over: give the memory back."""
        self._written, self._is_rebuilt = self._count, False
        self._keys = None
        self._values = array("i")

    def flush(self) -> None:
        """Write the entries that the file lacks."""
        if self._is_rebuilt:
            try:
                self._written = self._cut_to_common(self.handle.file())
            except FileNotFoundError:
                self._written = 0
            self._is_rebuilt = False
        if self._keys is None or self._written == self._count:
            return
        self.handle.file(create=True).write_at(self._written * self._entry.size, [self._packed(self._written)])
        self._written = self._count

    def replace(self, disk: Disk) -> None:
        """Put what was rebuilt in the place of a file that was trusted, durably and at once: no crash leaves a mixture,
        of which the next start would know nothing. Raises DiskFailure."""
        disk.replace(self.handle.path, self._packed(0))
        self.handle.close()
        self._written, self._is_rebuilt = self._count, False

    def _packed(self, start: int) -> bytes:
        """The entries from number `start` on, as the file has them: a quarter of a million in some milliseconds."""
        assert self._keys is not None
        keys, values = self._keys[start:], self._values[start:]
        if sys.byteorder == "little":
            keys.byteswap()
            values.byteswap()
        words = array("i", keys.tobytes())
        width, key_width = self._entry.size // 4, keys.itemsize // 4
        packed = array("i", bytes(len(values) * self._entry.size))
        for word in range(key_width):
            packed[word::width] = words[word::key_width]
        packed[key_width::width] = values
        return packed.tobytes()

    def _cut_to_common(self, file: File) -> int:
        """Cut the file behind the entries that it shares with the rebuilt ones; how many these are.

        Mostly that is all of it: ten thousand files that are emptied and written again take minutes.
        """
        data, size = self._packed(0), file.size()
        found = file.read_at(0, min(size, len(data)))
        same = len(found)
        if data[:same] != found:
            same = next(at for at, (mine, theirs) in enumerate(zip(data, found, strict=False)) if mine != theirs)
        count = same // self._entry.size
        if size > count * self._entry.size:
            file.truncate(count * self._entry.size)
        return count

    def seal(self) -> None:
        """Write all and give the memory back: nothing is added any more."""
        if self._keys is None:
            return
        self.flush()
        self.handle.file(create=True)
        self._keys = None
        self._values = array("i")

    def load(self) -> None:
        """Take a sealed index back into memory, to grow again."""
        if self._keys is not None:
            return
        data = self.handle.file().read_at(0, self._count * self._entry.size)
        self._keys = array("q" if self._entry is _TIME_ENTRY else "i")
        for key, value in self._entry.iter_unpack(data):
            self._keys.append(key)
            self._values.append(value)
        self._written = self._count

    def reset(self) -> None:
        """Forget everything: it is going to be rebuilt. The file keeps what it has until the next flush."""
        self._keys = array("q" if self._entry is _TIME_ENTRY else "i")
        self._values = array("i")
        self._count = self._written = 0
        self.last = None
        self._is_rebuilt = True

    def adopt(self) -> bool:
        """Trust the file as it is and stay on disk; False when it is missing or its size or order can't be right.

        Looks at the first and the last entry. Neither index ends in zeros: those never reached the medium.
        """
        try:
            file = self.handle.file()
        except FileNotFoundError:
            return False
        size = file.size()
        if size % self._entry.size:
            return False
        self._count = self._written = size // self._entry.size
        self._is_rebuilt = False
        self._keys = None
        self._values = array("i")
        if not self._count:
            self.last = None
            return True
        first, last = self._read(0), self._read(self._count - 1)
        self.last = last
        is_rising = self._count == 1 or (first[0] < last[0] and first[1] < last[1])
        return is_rising and min(*first, *last) >= 0 and last != (0, 0)

    def truncate(self, key_end: int, *, column: int = 0) -> None:
        """Drop entries whose key (column 0) or value (column 1) is `key_end` or more. Loads a sealed index."""
        self.load()
        assert self._keys is not None
        rows: Sequence[int] = self._keys if column == 0 else self._values
        keep = bisect_right(rows, key_end - 1)
        del self._keys[keep:], self._values[keep:]
        self._count = keep
        self.last = (self._keys[-1], self._values[-1]) if keep else None
        if self._written > keep:
            self._written = keep
            self.handle.file().truncate(keep * self._entry.size)

    def floor(self, key: int) -> tuple[int, int] | None:
        """The last entry whose key is at most `key`."""
        if self._keys is not None:
            index = bisect_right(self._keys, key) - 1
            return (self._keys[index], self._values[index]) if index >= 0 else None
        return self._search(key, 0)

    def floor_by_value(self, value: int) -> tuple[int, int] | None:
        """The last entry whose value is at most `value`."""
        if self._keys is not None:
            index = bisect_right(self._values, value) - 1
            return (self._keys[index], self._values[index]) if index >= 0 else None
        return self._search(value, 1)

    def entries(self) -> list[tuple[int, int]]:
        """All of them, for checks and tools."""
        if self._keys is not None:
            return list(zip(self._keys, self._values, strict=True))
        data = self.handle.file().read_at(0, self._count * self._entry.size)
        return list(self._entry.iter_unpack(data))

    def _read(self, index: int) -> tuple[int, int]:
        data = self._bytes(index * self._entry.size, self._entry.size)
        key, value = self._entry.unpack(data)
        return key, value

    def _bytes(self, position: int, length: int) -> bytes:
        """Raises ColdRead for the whole index: a search jumps about in it."""
        try:
            return self.handle.read(position, length)
        except ColdRead as cold:
            raise ColdRead(cold.file, 0, self._count * self._entry.size) from None

    def _search(self, wanted: int, column: int) -> tuple[int, int] | None:
        """Halve the file until one page of entries is left, then read that page."""
        low, high = 0, self._count
        while high - low > _PAGE_ENTRIES:
            middle = (low + high) // 2
            if self._read(middle)[column] <= wanted:
                low = middle
            else:
                high = middle
        size, unpack = self._entry.size, self._entry.unpack_from
        page = self._bytes(low * size, (high - low) * size)
        below, above = 0, len(page) // size
        while below < above:
            middle = (below + above) // 2
            if unpack(page, middle * size)[column] <= wanted:
                below = middle + 1
            else:
                above = middle
        if not below:
            return None
        key, value = unpack(page, (below - 1) * size)
        return key, value


def offset_index(handle: FileHandle) -> SparseIndex:
    """Relative last offset -> position of its batch."""
    return SparseIndex(handle, _OFFSET_ENTRY, "i")


def time_index(handle: FileHandle) -> SparseIndex:
    """Largest timestamp so far -> relative last offset of the batch that has it."""
    return SparseIndex(handle, _TIME_ENTRY, "q")
