"""A log's segments in the order of their offsets: which one holds an offset, and which leave or come."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from kbroker.log.segment import Segment


class SegmentList:
    """Never empty. The last one grows."""

    __slots__ = ("_all", "_bases", "active")

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.reset(segments)

    def reset(self, segments: Sequence[Segment]) -> None:
        """Take `segments` in the place of all others."""
        self._all = list(segments)
        self._bases = [segment.base_offset for segment in segments]
        self.active = self._all[-1]

    def __len__(self) -> int:
        return len(self._all)

    @property
    def all(self) -> Sequence[Segment]:
        """From the oldest to the one that grows: a view, not to be changed."""
        return self._all

    @property
    def first_base(self) -> int:
        """Where the oldest segment begins."""
        return self._bases[0]

    @property
    def size_bytes(self) -> int:
        """All segments, without indexes."""
        return sum(segment.size for segment in self._all)

    def holding(self, offset: int) -> Segment:
        """The one where `offset` belongs; the oldest for what was before it."""
        if offset >= self.active.base_offset:
            return self.active
        return self._all[max(0, bisect_right(self._bases, offset) - 1)]

    def since(self, offset: int) -> Sequence[Segment]:
        """Those from the one where `offset` belongs."""
        if offset >= self.active.base_offset:
            return (self.active,)
        return self._all[max(0, bisect_right(self._bases, offset) - 1) :]

    def ending_before(self, offset: int) -> int:
        """How many, from the oldest, hold nothing at `offset` or behind it."""
        return max(0, bisect_right(self._bases, offset) - 1)

    def append(self, segment: Segment) -> None:
        """A new one to grow."""
        self._all.append(segment)
        self._bases.append(segment.base_offset)
        self.active = segment

    def take_front(self, count: int) -> list[Segment]:
        """Let the `count` oldest go, but never the one that grows."""
        count = min(count, len(self._all) - 1)
        gone = self._all[:count]
        del self._all[:count], self._bases[:count]
        return gone

    def take_back(self, offset: int) -> list[Segment]:
        """Let those go that begin at `offset` or behind it, but never the oldest; the last that is left grows."""
        keep = max(1, bisect_right(self._bases, offset - 1))
        gone = self._all[keep:]
        del self._all[keep:], self._bases[keep:]
        self.active = self._all[-1]
        return gone

    def replace(self, doomed: Sequence[Segment], fresh: Sequence[Segment]) -> None:
        """Put `fresh` in the place of neighbours that don't grow."""
        first = self._all.index(doomed[0])
        last = first + len(doomed)
        assert self._all[first:last] == list(doomed), "neighbours, and still in the log"
        self._all[first:last] = fresh
        self._bases = [segment.base_offset for segment in self._all]
