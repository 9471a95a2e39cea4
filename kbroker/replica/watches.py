"""Who waits for a partition to make progress: delayed fetches and produces hang here, and nowhere else.

Fetches are poked at every progress, for each has its own mind of what is enough. Produces wait for an end, and what the
first of them waits for is reached before what the others do: they stand in rows, of which progress looks at the front.
One fsync may be what thousands wait for, so that they are told in turns.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kbroker.world import Clock, Timer

TOLD_PER_TURN: Final = 32
"""Of those in rows; each costs some 10 us, and as much again or more where its answer is made and sent."""

GIVEN_UP_MIN: Final = 64
"""Fewer that were given up are left in a row until it is their turn."""


class Waiting:
    """One in a row: `is_over()`, which changes nothing, is asked when those before it are over, then `tell` is called.

    While it says no for one, it would for all behind.
    """

    __slots__ = ("_row", "is_over", "tell")

    def __init__(self, row: _Row, is_over: Callable[[], bool], tell: Callable[[], None]) -> None:
        self._row = row
        self.is_over: Callable[[], bool] | None = is_over
        self.tell: Callable[[], None] | None = tell

    def give_up(self) -> None:
        """Never call `tell`; harmless when that was called."""
        if self.tell is not None:
            self.tell = self.is_over = None  # which hold what is waited with
            self._row.one_gave_up()


class _Row:
    """Those who wait for the same to come as far as their ends, in the order of these; a heap, as a few come late."""

    __slots__ = ("_given_up", "_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Waiting]] = []
        self._given_up = 0
        self._order = count()

    def __len__(self) -> int:
        return len(self._heap) - self._given_up

    def add(self, end: int, waiting: Waiting) -> None:
        """In its place."""
        heappush(self._heap, (end, next(self._order), waiting))

    def one_gave_up(self) -> None:
        """Those are thrown out when they are more than half of all."""
        self._given_up += 1
        if self._given_up > GIVEN_UP_MIN and 2 * self._given_up > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].tell is not None]
            heapify(self._heap)
            self._given_up = 0

    def tell_front(self, count_max: int) -> int:
        """Tell those at the front whose wait is over, at most `count_max`; how many were told."""
        told = 0
        # What is told may add and give up here: the heap is looked at anew each time.
        while self._heap and told < count_max:
            waiting = self._heap[0][2]
            tell, is_over = waiting.tell, waiting.is_over
            if is_over is not None and not is_over():
                break
            heappop(self._heap)
            if tell is None:
                self._given_up -= 1
            else:
                waiting.tell = None
                told += 1
                tell()
        return told


class Watches:
    """A set of callbacks poked on every progress of one partition, in the order of their coming, and rows of others.

    A poke may add or remove watches, its own too; those added during a round wait for the next one.
    """

    __slots__ = ("_clock", "_pokes", "_rows", "_turn")

    def __init__(self) -> None:
        self._pokes: dict[object, Callable[[], None]] = {}
        self._rows: dict[object, _Row] = {}
        self._clock: Clock | None = None
        self._turn: Timer | None = None

    def __len__(self) -> int:
        return len(self._pokes) + sum(map(len, self._rows.values()))

    def add(self, owner: object, poke: Callable[[], None]) -> None:
        """Poke until `owner` is removed; an owner watches a partition once."""
        self._pokes[owner] = poke

    def remove(self, owner: object) -> None:
        """Forget `owner`; harmless when it is not there."""
        self._pokes.pop(owner, None)

    def wait(
        self, clock: Clock, row: object, end: int, is_over: Callable[[], bool], tell: Callable[[], None]
    ) -> Waiting:
        """Call `tell` once `is_over()`, see Waiting, which is not so yet; `end` gives the place in that row.

        O(log n), as is giving up. The clock gives further turns where many are to be told.
        """
        self._clock = clock
        found = self._rows.get(row)
        if found is None:
            found = self._rows[row] = _Row()
        waiting = Waiting(found, is_over, tell)
        found.add(end, waiting)
        return waiting

    def fire(self) -> None:
        """Something changed: look at the front of each row, and poke everybody else."""
        if self._rows and self._turn is None:
            self._tell_rows()
        if self._pokes:
            for owner, poke in tuple(self._pokes.items()):
                if owner in self._pokes:
                    poke()

    def _tell_rows(self) -> None:
        """A turn of it; another one follows where this was not enough."""
        left = TOLD_PER_TURN
        for name, row in tuple(self._rows.items()):
            left -= row.tell_front(left)
            if not row and self._rows.get(name) is row:
                del self._rows[name]
        if not left and self._rows:
            assert self._clock is not None
            self._turn = self._clock.soon(self._next_turn)

    def _next_turn(self) -> None:
        self._turn = None
        self._tell_rows()
