"""Protocol time that stands still until a test moves it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class VirtualTimer:
    """One entry of the heap."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """See world.Timer."""
        self.action = None


class VirtualClock:
    """world.Clock under the test's hand. Both clocks move together; only `advance` moves them."""

    def __init__(self, wall_ms: int = 1_700_000_000_000) -> None:
        self._wall_offset_ms = wall_ms
        self._now_ms = 0
        self._heap: list[tuple[int, int, VirtualTimer]] = []
        self._order = itertools.count()

    def wall_ms(self) -> int:
        """See world.Clock."""
        return self._wall_offset_ms + self._now_ms

    def monotonic_ms(self) -> int:
        """See world.Clock."""
        return self._now_ms

    def call_at(self, deadline_ms: int, action: Callable[[], None]) -> VirtualTimer:
        """See world.Clock. What is due already fires at the next `advance`, be it by 0."""
        timer = VirtualTimer(action)
        heapq.heappush(self._heap, (deadline_ms, next(self._order), timer))
        return timer

    def soon(self, action: Callable[[], None]) -> VirtualTimer:
        """See world.Clock: at the next `advance`, be it by 0, or later in this one."""
        return self.call_at(self._now_ms, action)

    def advance(self, duration_ms: int) -> int:
        """Let `duration_ms` pass, firing timers in the order of their deadlines, each at its moment; how many fired."""
        end_ms = self._now_ms + duration_ms
        fired = 0
        while self._heap and self._heap[0][0] <= end_ms:
            deadline_ms, _, timer = heapq.heappop(self._heap)
            self._now_ms = max(self._now_ms, deadline_ms)
            if timer.action is not None:
                timer.action()
                fired += 1
        self._now_ms = end_ms
        return fired

    def next_deadline_ms(self) -> int | None:
        """When the next timer is due (monotonic), None when none is set."""
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def step_wall(self, change_ms: int) -> None:
        """Set the wall clock forward or back; durations and timers don't notice."""
        self._wall_offset_ms += change_ms
