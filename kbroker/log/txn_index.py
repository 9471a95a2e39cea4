"""`.txnindex`: the aborted transactions whose markers lie in one segment, in the order of these markers.

    34 bytes: int16 version 0, int64 producer id, int64 first offset, int64 last offset (the marker),
              int64 last stable offset when it was aborted

A reader of committed records is told which transactions to skip: those that were aborted and touch what it reads. The
file is made with the first entry; most logs have none. The last stable offset of an entry says when to stop looking:
what begins at or behind it ended in a later entry.
Source: KIP-98; Kafka's TransactionIndex, AbortedTxn.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from kbroker.log.damage import DamagedIndex
from kbroker.log.open_files import FileHandle
from kbroker.world import Disk

ENTRY_BYTES: Final = 34
_VERSION = 0
_ENTRY = struct.Struct(">hqqqq")
_PAGE_ENTRIES = 512


class AbortedTransaction(NamedTuple):
    """One entry. All offsets are absolute; `last_offset` is the abort marker's."""

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


class TransactionIndex:
    """The index of one segment: only its size and its last entry stay in memory."""

    __slots__ = ("_count", "_last_offset", "exists", "handle", "has_markers", "is_stale")

    def __init__(self, handle: FileHandle) -> None:
        self.handle = handle
        self.exists = False
        # The segment was read anew: whom its markers, if it has any, aborted is known when the producers are.
        self.is_stale = self.has_markers = False
        self._count = 0
        self._last_offset = -1

    def __len__(self) -> int:
        return self._count

    def append(self, entry: AbortedTransaction) -> None:
        """Write an entry behind the last, whose marker comes earlier in the log. May raise DiskFailure."""
        assert entry.last_offset > self._last_offset, "markers come in the order of their offsets"
        file = self.handle.file(create=True)
        self.exists = True
        file.write_at(self._count * ENTRY_BYTES, [_ENTRY.pack(_VERSION, *entry)])
        self._count += 1
        self._last_offset = entry.last_offset

    def adopt(self, base_offset: int) -> bool:
        """Trust the file as it is, if there is one; False when it can't belong to the segment at `base_offset`.

        Every entry is looked at, as in Kafka's TransactionIndex.sanityCheck.
        """
        try:
            size = self.handle.file().size()
        except FileNotFoundError:
            return True
        self.exists = True
        if size % ENTRY_BYTES:
            return False
        self._count = size // ENTRY_BYTES
        self._last_offset = base_offset - 1
        try:
            for entry in self._from(0):
                if entry.last_offset <= self._last_offset or entry.first_offset >= entry.last_offset:
                    return False
                self._last_offset = entry.last_offset
        except DamagedIndex:
            return False
        return True

    def reset(self) -> None:
        """Forget what is known of the file: the segment is going to be read anew, then `rewrite` is told.

        The file stays as it is until then: a start that stops half-way must not leave a segment without its index.
        """
        self._count, self._last_offset = 0, -1
        self.is_stale, self.has_markers = True, False

    def rewrite(self, disk: Disk, entries: Sequence[AbortedTransaction]) -> None:
        """Make these the entries, at once and durably. May raise DiskFailure."""
        data = b"".join(_ENTRY.pack(_VERSION, *entry) for entry in entries)
        path = self.handle.path
        self.exists = disk.exists(path)
        if data != (disk.read(path) if self.exists else b""):
            self.handle.close()
            disk.replace(path, data)
            self.exists = True
        self._count = len(entries)
        self._last_offset = entries[-1].last_offset if entries else -1
        self.is_stale = False

    def truncate_to(self, offset: int) -> None:
        """Drop the entries of markers at `offset` or behind it."""
        keep = self._find(offset)
        if keep == self._count:
            return
        self.handle.file().truncate(keep * ENTRY_BYTES)
        self._count = keep
        self._last_offset = self._read(keep - 1).last_offset if keep else -1

    def overlapping(self, start: int, end: int) -> tuple[list[AbortedTransaction], bool]:
        """The entries that touch offsets [start, end), and whether no later segment can have more of them."""
        found = []
        for entry in self._from(self._find(start)):
            if entry.first_offset < end:
                found.append(entry)
            if entry.last_stable_offset >= end:
                return found, True
        return found, False

    def entries(self) -> list[AbortedTransaction]:
        """All of them."""
        return list(self._from(0))

    def _from(self, index: int) -> Iterator[AbortedTransaction]:
        """The entries from number `index` on. Raises DamagedIndex for one of a version that nobody knows."""
        while index < self._count:
            for version, *fields in _ENTRY.iter_unpack(self._page(index, min(_PAGE_ENTRIES, self._count - index))):
                if version != _VERSION:
                    raise DamagedIndex(self.handle.path, f"an entry of version {version}")
                yield AbortedTransaction(*fields)
            index += _PAGE_ENTRIES

    def _find(self, offset: int) -> int:
        """The number of the first entry whose marker is at `offset` or behind it."""
        if self._last_offset < offset:
            return self._count
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if self._read(middle).last_offset < offset:
                low = middle + 1
            else:
                high = middle
        return low

    def _read(self, index: int) -> AbortedTransaction:
        _, *fields = _ENTRY.unpack(self._page(index, 1))
        return AbortedTransaction(*fields)

    def _page(self, index: int, count: int) -> bytes:
        data = self.handle.read(index * ENTRY_BYTES, count * ENTRY_BYTES)
        if len(data) < count * ENTRY_BYTES:
            raise DamagedIndex(self.handle.path, f"it has lost entries: {self._count} were in it")
        return data
