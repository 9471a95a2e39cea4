"""Long work in turns: generators that yield where others may be served, and return what they were made for.

They are pure. Whoever runs them decides when the next turn is: UnderWay for all that are in nobody's way.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, Generic, TypeVar

import outcome

from kbroker.world import Clock, Timer

T = TypeVar("T")
Turns = Generator[None, None, T]
Begin = Callable[[Callable[[], None]], Timer]

UNITS_PER_TURN: Final = 200
"""A unit is one partition, record or config of a topic: some 3 to 6 us each, so that a turn is about a millisecond."""

WAKING_UNITS: Final = 100
"""What a log that is woken costs, 0.2 ms and more."""

UNITS_TOGETHER: Final = 50
"""Are done without asking whether the turn is over."""


class Pace:
    """How much of a turn is left."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = UNITS_PER_TURN

    def spend(self, units: int) -> None:
        """So much more is done before is_over() is asked next."""
        self._left -= units

    def is_over(self, units: int) -> bool:
        """So much was done: should others have their turn now?"""
        self._left -= units
        if self._left > 0:
            return False
        self._left = UNITS_PER_TURN
        return True


def pieces(things: Sequence[T]) -> Generator[Sequence[T], None, None]:
    """`things` in pieces of UNITS_TOGETHER."""
    for start in range(0, len(things), UNITS_TOGETHER):
        yield things[start : start + UNITS_TOGETHER]


def at_once(turns: Turns[T]) -> T:
    """All turns now."""
    while True:
        try:
            next(turns)
        except StopIteration as over:
            result: T = over.value
            return result


class UnderWay(Generic[T]):
    """Long work on its way: its next turn comes soon, by the clock, and then the one behind that."""

    __slots__ = ("_clock", "_next", "_then", "_turns")

    def __init__(
        self, clock: Clock, turns: Turns[T], then: Callable[[Callable[[], T]], Any], begin: Begin | None = None
    ) -> None:
        """`then(take)` at the end: `take()` is what the work came to, or raises what it failed with.

        `begin` has the first turn taken when it finds the time; None: soon.
        """
        self._clock = clock
        self._turns = turns
        self._then = then
        self._next = (begin or clock.soon)(self._go_on)

    def _go_on(self) -> None:
        ended = outcome.capture(next, self._turns)
        if isinstance(ended, outcome.Value):
            self._next = self._clock.soon(self._go_on)
        elif isinstance(ended.error, StopIteration):
            value = ended.error.value
            self._then(lambda: value)
        else:
            self._then(ended.unwrap)

    def hand_over(self, then: Callable[[Callable[[], T]], Any]) -> None:
        """Somebody else is to have what it comes to."""
        self._then = then

    def give_up(self) -> None:
        """No further turn; harmless after the end."""
        self._next.cancel()
        self._turns.close()
