"""What the group core wants done, as data. The shell runs the effects of one event in their order.

`Persist` is how a state change becomes durable: the shell appends `records` as one batch; a refused append calls
`refused` at once, an accepted one calls `appended` at once and `committed(base offset)` when the batch is below the
high watermark. `refused` is also called when the commit doesn't come in time; `committed` may still follow then.
Both return further effects. Answers that promise durability are made by `committed` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from protocol_specs.errors import ErrorCode

Waiter = Callable[[Any], None]
"""Who waits for an answer: called at most once, with the answer. The core only keeps it and hands it back."""


class Now(NamedTuple):
    """The moment of an event: durations and timers by the first, what records carry by the second."""

    monotonic_ms: int
    wall_ms: int


class TimerKey(NamedTuple):
    """Which timer: "session" of a member, "join" or "sync" of a group."""

    kind: str
    group_id: str
    member_id: str = ""


class Reply(NamedTuple):
    """Give `answer` (one of events.py) to `waiter`."""

    waiter: Waiter
    answer: Any


class SetTimer(NamedTuple):
    """Call the shard's `timer(key)` once monotonic time reaches `due_ms`; replaces an earlier one of that key."""

    key: TimerKey
    due_ms: int


class CancelTimer(NamedTuple):
    """Forget that timer; harmless when it is not set."""

    key: TimerKey


class Report(NamedTuple):
    """Something worth a line in the log: a fixed sentence, the group, and fields."""

    event: str
    group_id: str
    fields: dict[str, Any]


class Persist(NamedTuple):
    """Append `records` (key, value or None for a tombstone) as one batch; see the module's docstring."""

    records: list[tuple[bytes, bytes | None]]
    committed: Callable[[int, Now], list[Effect]]
    refused: Callable[[ErrorCode, Now], list[Effect]]
    appended: Callable[[], None] | None = None


Effect = Reply | SetTimer | CancelTimer | Report | Persist

EffectTurns = Generator[list[Effect], None, list[Effect]]
"""Long work of a shard: a turn's effects are run before others have theirs; those that it returns end no turn."""


def no_effects(*_: Any) -> list[Effect]:
    """A `committed` or `refused` that has nothing to do."""
    return []
