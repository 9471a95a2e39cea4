"""The machine's clock, with protocol timers kept in one heap and fired by one trio task."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import trio

DEAD_MIN: Final = 64
"""Cancelled entries that may stay in the heap, however few live ones there are."""


SOON_TURN_S: Final = 0.001
"""So long what is to be done soon keeps the loop before others are served, however much of it there is."""


class _Soon:
    """An action whose turn comes."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """See world.Timer."""
        self.action = None


class RealTimer:
    """One entry of the heap; cancelling leaves it there, empty, until its time comes or half of the heap is empty."""

    __slots__ = ("_clock", "action")

    def __init__(self, clock: RealClock, action: Callable[[], None]) -> None:
        self._clock = clock
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Forget the action; harmless when it ran or was cancelled already."""
        if self.action is not None:
            self.action = None
            self._clock.count_dead()


class RealClock:
    """world.Clock on the machine's clocks; timers fire only while `run()` runs."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, RealTimer]] = []
        self._dead = 0
        self._order = itertools.count()
        self._earlier = trio.Event()
        self._soon: deque[_Soon] = deque()

    def wall_ms(self) -> int:
        """See world.Clock."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """See world.Clock."""
        return time.monotonic_ns() // 1_000_000

    def call_at(self, deadline_ms: int, action: Callable[[], None]) -> RealTimer:
        """See world.Clock."""
        timer = RealTimer(self, action)
        heap = self._heap
        if not heap or deadline_ms < heap[0][0]:
            self._earlier.set()
        heapq.heappush(heap, (deadline_ms, next(self._order), timer))
        return timer

    def soon(self, action: Callable[[], None]) -> _Soon:
        """See world.Clock."""
        soon = _Soon(action)
        if not self._soon:
            self._earlier.set()
        self._soon.append(soon)
        return soon

    async def run(self) -> None:
        """Fire timers as they come due, and do what is to be done soon; until cancelled."""
        while True:
            self._fire_due()
            if self._soon:
                self._do_some()
                await trio.lowlevel.checkpoint()
                continue
            if self._earlier.is_set():
                self._earlier = trio.Event()
            # Half a millisecond more: deadlines are whole milliseconds, and waking early costs a second wake-up.
            wait_s = (self._heap[0][0] - self.monotonic_ms() + 0.5) / 1000 if self._heap else float("inf")
            with trio.move_on_after(max(0.0, wait_s)):
                await self._earlier.wait()

    def count_dead(self) -> None:
        """One of the heap's entries was cancelled: throw such entries out when they are more than half of all."""
        self._dead += 1
        heap = self._heap
        if self._dead > DEAD_MIN and self._dead > len(heap) // 2:
            # In place: _fire_due holds the list.
            heap[:] = [entry for entry in heap if entry[2].action is not None]
            heapq.heapify(heap)
            self._dead = 0

    def _do_some(self) -> None:
        """Of what was to be done soon when this began; what that wants done soon comes behind it, in another turn."""
        left = len(self._soon)
        turn_ends = time.perf_counter() + SOON_TURN_S
        while left:
            left -= 1
            soon = self._soon.popleft()
            action, soon.action = soon.action, None
            if action is not None:
                action()
                if time.perf_counter() > turn_ends:
                    return

    def _fire_due(self) -> None:
        heap = self._heap
        now_ms = self.monotonic_ms()
        while heap and (heap[0][2].action is None or heap[0][0] <= now_ms):
            timer = heapq.heappop(heap)[2]
            action, timer.action = timer.action, None
            if action is None:
                self._dead -= 1
            else:
                action()
