"""Waiting for partitions: an answer that comes when enough has happened, or when its time is up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from kbroker.handlers.answer import Pending

if TYPE_CHECKING:
    from kbroker.replica.partition import Partition
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
