"""Long work in turns: generators that yield where others may be served, and return what they were made for.

They are pure. Whoever runs them decides when the next turn is.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")
Turns = Generator[None, None, T]

UNITS_PER_TURN: Final = 200
"""A unit is one partition, record or config of a topic: some 3 to 6 us each, so that a turn is about a millisecond."""

UNITS_TOGETHER: Final = 50
"""Are done without asking whether the turn is over."""


class Pace:
    """How much of a turn is left."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = UNITS_PER_TURN

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
