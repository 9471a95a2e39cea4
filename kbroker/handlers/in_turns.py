"""Answers that take long to make: each turn makes a part, and others are served in between.

What they say is of one moment: a handler takes the image once, before the first turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import outcome

from kbroker.handlers.answer import Answer, Pending

if TYPE_CHECKING:
    from kbroker.turns import Turns
    from kbroker.world import Clock, Timer


def in_turns(clock: Clock, turns: Turns[Any]) -> Answer:
    """What `turns` returns: at once where the first turn is the last, else Pending."""
    try:
        next(turns)
    except StopIteration as over:
        return over.value
    pending = Pending()
    _Running(clock, turns, pending)
    return pending


def in_turns_into(pending: Pending, clock: Clock, turns: Turns[Any]) -> None:
    """Settle `pending` with what `turns` returns."""
    _Running(clock, turns, pending).go_on()


class _Running:
    """An answer on its way from turn to turn."""

    def __init__(self, clock: Clock, turns: Turns[Any], pending: Pending) -> None:
        self._clock = clock
        self._turns = turns
        self._pending = pending
        pending.when_abandoned(self._abandon)
        self._timer: Timer = clock.soon(self.go_on)

    def go_on(self) -> None:
        """One turn; what fails in it is told like the failure of any handler."""
        self._timer.cancel()
        ended = outcome.capture(next, self._turns)
        if isinstance(ended, outcome.Value):
            self._timer = self._clock.soon(self.go_on)
        elif isinstance(ended.error, StopIteration):
            self._pending.settle(ended.error.value)
        else:
            self._pending.settle_with(ended.unwrap)

    def _abandon(self) -> None:
        self._timer.cancel()
        self._turns.close()
