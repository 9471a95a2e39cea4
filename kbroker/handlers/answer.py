"""What a handler gives back: a message, a Pending one, turns that come to one, nothing, or the wish to close.

A handler is a sync function `(ctx, request) -> Message | Long | Pending | Turns | None | CLOSE`. A message is a settled
answer and is sent as it is, a Long one is encoded in turns; None means that no answer is owed (acks=0); CLOSE ends the
connection without one. Turns (kbroker.turns) are taken one after the other while others are served, and return an
answer. That may be Pending again, and what a Pending one is settled with may be turns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple


class _Close:
    """The type of CLOSE."""

    def __repr__(self) -> str:
        return "CLOSE"


CLOSE: Final = _Close()
"""Close the connection without an answer (acks=0 that failed: the only way to tell such a producer)."""


class Pending:
    """An answer that is owed later: settled exactly once, by whatever event comes first.

    The server sets `on_settled`; the handler arranges that `settle` or `settle_with` is called: from a watch, a timer,
    a commit. A second settle is ignored, so that a timer and an event may race. `when_abandoned` hooks run when the
    connection ends before the answer was settled.
    """

    __slots__ = ("_build", "_hooks", "_is_over", "_response", "hurry", "is_alone", "on_settled")

    def __init__(self) -> None:
        self.on_settled: Callable[[], None] | None = None
        self.hurry: Callable[[], None] | None = None
        """Settle now with what is there: the broker stops. None where an early answer would be a wrong one."""
        self.is_alone = False
        """Must the connection's next request wait for the answer, even one that may be pipelined?"""
        self._response: Any = None
        self._build: Callable[[], Any] | None = None
        self._hooks: list[Callable[[], None]] = []
        self._is_over = False

    @property
    def is_settled(self) -> bool:
        """Can the response be taken?"""
        return self._response is not None or self._build is not None

    def settle(self, response: Any) -> None:
        """Give the answer (a message or CLOSE); the first call wins."""
        if not self._is_over:
            self._response = response
            self._finish()

    def settle_with(self, build: Callable[[], Any]) -> None:
        """Like settle, but the answer is built when the connection is ready to send it: it then holds the newest."""
        if not self._is_over:
            self._build = build
            self._finish()

    def take(self) -> Any:
        """The answer of a settled one; call it once."""
        return self._response if self._build is None else self._build()

    def when_abandoned(self, hook: Callable[[], None]) -> None:
        """Run `hook` if the connection goes away first (drop watches, cancel timers)."""
        self._hooks.append(hook)

    def abandon(self) -> None:
        """The connection ended: nobody waits for this answer any more."""
        if not self._is_over:
            self._is_over = True
            hooks, self._hooks = self._hooks, []
            for hook in hooks:
                hook()

    def _finish(self) -> None:
        self._is_over = True
        # They lead back here: in a circle the answer would lie about until the garbage is collected.
        self._hooks = []
        if self.on_settled is not None:
            self.on_settled()


class Long(NamedTuple):
    """A message of so many elements that it is encoded in turns.

    `release` gives back what it holds leased, where it is never sent.
    """

    message: Any
    release: Callable[[], None] | None = None


Answer = Any
"""Message | Long | Pending | Turns | None | CLOSE; messages are dynamic classes: the union cannot be written down."""
