"""Which leader epoch began at which offset: how followers and clients find where two histories part (KIP-101).

Source: Kafka's LeaderEpochFileCache.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

NO_EPOCH = -1
NO_OFFSET = -1


class LeaderEpochs:
    """(epoch, start offset) pairs, both rising. Pure."""

    __slots__ = ("_epochs", "_saved", "_starts")

    def __init__(self, entries: Iterable[tuple[int, int]] = ()) -> None:
        """`entries` are those of the checkpoint file."""
        self._epochs: list[int] = []
        self._starts: list[int] = []
        self._saved = list(entries)
        for epoch, start in self._saved:
            self.assign(epoch, start)

    @property
    def is_dirty(self) -> bool:
        """Does the checkpoint file say anything else?"""
        return self._saved != self.entries()

    def saving(self) -> list[tuple[int, int]]:
        """The entries, which go to the checkpoint file now."""
        self._saved = self.entries()
        return self._saved

    @property
    def latest(self) -> int:
        """The newest epoch, -1 when there is none."""
        return self._epochs[-1] if self._epochs else NO_EPOCH

    def entries(self) -> list[tuple[int, int]]:
        """The (epoch, start offset) pairs as the checkpoint holds them."""
        return list(zip(self._epochs, self._starts, strict=True))

    def assign(self, epoch: int, start: int) -> None:
        """`epoch` begins at `start`; entries that contradict this newer knowledge are dropped."""
        if epoch < 0 or (epoch == self.latest and start >= self._starts[-1]):
            return
        while self._starts and (self._epochs[-1] >= epoch or self._starts[-1] >= start):
            self._epochs.pop()
            self._starts.pop()
        self._epochs.append(epoch)
        self._starts.append(start)

    def end_of(self, epoch: int, log_end: int) -> tuple[int, int]:
        """The largest known epoch up to `epoch` and where it ends (exclusive); (-1, -1) when nothing is known."""
        if not self._epochs or epoch < 0 or epoch > self._epochs[-1]:
            return NO_EPOCH, NO_OFFSET
        index = bisect_right(self._epochs, epoch)
        if index == len(self._epochs):
            return self._epochs[-1], log_end
        if index == 0:
            # Older than all we know: it ends, at the latest, where our first one begins.
            return epoch, self._starts[0]
        return self._epochs[index - 1], self._starts[index]

    def epoch_at(self, offset: int) -> int:
        """The epoch that `offset` was written in, -1 unknown."""
        index = bisect_right(self._starts, offset)
        return self._epochs[index - 1] if index else NO_EPOCH

    def truncate_end(self, end: int) -> None:
        """Forget epochs that begin at `end` or later."""
        while self._starts and self._starts[-1] >= end:
            self._epochs.pop()
            self._starts.pop()

    def truncate_start(self, start: int) -> None:
        """Forget what ended before `start`; the epoch that `start` lies in begins there from now on."""
        index = bisect_right(self._starts, start) - 1
        if index < 0 or (index == 0 and self._starts[0] == start):
            return
        del self._epochs[:index], self._starts[:index]
        self._starts[0] = start

    def clear(self) -> None:
        """Forget all."""
        self._epochs.clear()
        self._starts.clear()
