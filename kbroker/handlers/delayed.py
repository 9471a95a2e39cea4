"""Waiting for partitions: an answer that comes when enough has happened, or when its time is up.

A Fetch is asked after every progress whether that is enough (when_progressed); a Produce waits for ends, one after the
other, and is told once (when_over).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from kbroker.handlers.answer import Pending

if TYPE_CHECKING:
    from kbroker.replica.partition import Partition
    from kbroker.replica.watches import Waiting
    from kbroker.world import Clock, Timer


def when_progressed(
    clock: Clock,
    partitions: Iterable[Partition],
    deadline_ms: int | None,
    is_enough: Callable[[Partition], bool],
    build: Callable[[], Any],
    *,
    may_hurry: bool = False,
) -> Pending:
    """An answer made by `build` once `is_enough(partition)` holds after its progress, or at `deadline_ms` (monotonic).

    The caller has found already that it does not hold now. `build` runs when the answer is about to be sent. With
    `may_hurry` a stopping broker gives the answer at once.
    """
    pending = Pending()
    watched = tuple(partitions)
    timer: Timer | None = None

    def forget() -> None:
        for partition in watched:
            partition.watches.remove(pending)
        if timer is not None:
            timer.cancel()

    def finish() -> None:
        forget()
        pending.settle_with(build)

    def poke(partition: Partition) -> None:
        if is_enough(partition):
            finish()

    for partition in watched:
        partition.watches.add(pending, partial(poke, partition))
    if deadline_ms is not None:
        timer = clock.call_at(deadline_ms, finish)
    pending.when_abandoned(forget)
    if may_hurry:
        pending.hurry = finish
    return pending


class Awaited(Protocol):
    """What an answer waits for."""

    def is_over(self) -> bool:
        """Is there nothing to wait for any more? Once it is so, it stays so."""

    def wait(self, tell: Callable[[], None]) -> Waiting:
        """Call `tell` when it may be over, which it is not now."""


def when_over(clock: Clock, awaited: Iterable[Awaited], deadline_ms: int | None, build: Callable[[], Any]) -> Pending:
    """An answer made by `build` once all of `awaited` are over, or at `deadline_ms` (monotonic).

    `build` runs when the answer is about to be sent.
    """
    return _Waits(clock, awaited, deadline_ms, build).pending


class _Waits:
    """Waits for one after the other: however many there are, the request is woken for each at most twice."""

    __slots__ = ("_build", "_left", "_timer", "_waiting", "pending")

    def __init__(
        self, clock: Clock, awaited: Iterable[Awaited], deadline_ms: int | None, build: Callable[[], Any]
    ) -> None:
        self.pending = Pending()
        self._build = build
        self._left = deque(awaited)
        self._waiting: Waiting | None = None
        self._timer: Timer | None = None
        self._go_on()
        if deadline_ms is not None and not self.pending.is_settled:
            self._timer = clock.call_at(deadline_ms, self._finish)
        self.pending.when_abandoned(self._forget)

    def _go_on(self) -> None:
        left = self._left
        while left and left[0].is_over():
            left.popleft()
        if left:
            self._waiting = left[0].wait(self._go_on)
        else:
            self._finish()

    def _finish(self) -> None:
        self._forget()
        self.pending.settle_with(self._build)

    def _forget(self) -> None:
        if self._waiting is not None:
            self._waiting.give_up()
        if self._timer is not None:
            self._timer.cancel()
