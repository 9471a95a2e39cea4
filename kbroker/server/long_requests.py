"""How many long requests are under way at once: what each has decoded and answered stays in memory until it is through.

An element costs some 300 bytes beside the 17 of its frame, so that 4 MB of frame may be 72 MB. Without a bound every
connection could have one, and each has its turn in every round of the loop.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from kbroker.world import Clock

BYTES_MAX: Final = 8 << 20
"""Of the frames of long requests under way, some 150 MB decoded; a request whose frame is larger is alone."""


class LongRequests:
    """The line of them: who doesn't fit begins when others are through, in the order of coming."""

    __slots__ = ("_bytes", "_bytes_max", "_clock", "_waiting")

    def __init__(self, clock: Clock, bytes_max: int = BYTES_MAX) -> None:
        self._clock = clock
        self._bytes_max = bytes_max
        self._bytes = 0
        self._waiting: OrderedDict[Place, None] = OrderedDict()

    def enter(self, size: int) -> bool:
        """May one of so many bytes begin now? Then it is under way until leave()."""
        if self._waiting or not self._fits(size):
            return False
        self._bytes += size
        return True

    def wait(self, size: int, begin: Callable[[], None]) -> Place:
        """Call `begin` once it may begin; it is under way then, until leave()."""
        place = Place(self, size, begin)
        self._waiting[place] = None
        return place

    def leave(self, size: int) -> None:
        """One of so many bytes is through."""
        self._bytes -= size
        self._go_on()

    def drop(self, place: Place) -> None:
        """It waits no longer; harmless when it doesn't."""
        if self._waiting.pop(place, self) is None:
            self._go_on()

    def _fits(self, size: int) -> bool:
        return not self._bytes or self._bytes + size <= self._bytes_max

    def _go_on(self) -> None:
        if self._waiting:
            self._clock.soon(self._begin_next)

    def _begin_next(self) -> None:
        place = next(iter(self._waiting), None)
        if place is None or not self._fits(place.size):
            return
        del self._waiting[place]
        self._bytes += place.size
        self._go_on()
        place.begin()


class Place:
    """In the line; a world.Timer."""

    __slots__ = ("_line", "begin", "size")

    def __init__(self, line: LongRequests, size: int, begin: Callable[[], None]) -> None:
        self._line = line
        self.size = size
        self.begin = begin

    def cancel(self) -> None:
        """Never begin; harmless afterwards."""
        self._line.drop(self)
