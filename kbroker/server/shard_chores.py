"""Chores over many shards: some small shards in a turn of about a millisecond, or some turns for a large one.

A shard's turn comes when nothing that it has appended is uncommitted; one that waits for that keeps no other waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from kbroker.group.effects import EffectTurns
from kbroker.server.shard_runner import RunnerState, ShardRunner
from kbroker.turns import Pace
from kbroker.world import Clock, Timer

SHARD_UNITS: Final = 4
"""What it costs of a turn to begin with a shard."""


class ShardChores:
    """A line of chores. Sync, on the thread that owns the state."""

    __slots__ = ("_clock", "_due", "_next", "_waiting", "pace")

    def __init__(self, clock: Clock) -> None:
        self.pace = Pace()
        self._clock = clock
        self._due: deque[tuple[ShardRunner, EffectTurns]] = deque()
        self._next: Timer | None = None
        self._waiting: list[Callable[[], None]] = []

    def add(self, chores: Iterable[tuple[ShardRunner, EffectTurns]]) -> None:
        """Do these as well; each has spent `pace` before it yields."""
        self._due.extend(chores)
        self._go_on()

    def when_done(self, action: Callable[[], None]) -> None:
        """Call `action` once none is left but of shards that wait for a commit: now, if it is so."""
        if self._due:
            self._waiting.append(action)
        else:
            action()

    def stop(self) -> None:
        """Do no more; who waits is not told."""
        self._due.clear()
        if self._next is not None:
            self._next.cancel()

    def _go_on(self) -> None:
        if self._due and self._next is None:
            self._next = self._clock.soon(self._turn)

    def _turn(self) -> None:
        self._next = None
        while self._due:
            runner, chore = self._due.popleft()
            if runner.state is not RunnerState.ACTIVE:
                continue
            if not runner.is_settled:
                runner.when_committed(partial(self.add, [(runner, chore)]))
            elif _has_more(runner, chore):
                self._due.appendleft((runner, chore))
                break
            elif self.pace.is_over(SHARD_UNITS):
                break
        self._go_on()
        if not self._due:
            waiting, self._waiting = self._waiting, []
            for action in waiting:
                action()


def _has_more(runner: ShardRunner, chore: EffectTurns) -> bool:
    """Do a turn's worth of it."""
    try:
        effects, has_more = next(chore), True
    except StopIteration as over:
        effects, has_more = over.value, False
    runner.run(effects)
    return has_more
