"""What a handler gives back: a message, a Pending one, nothing, or the wish to close.

A handler is a sync function `(ctx, request) -> Message | Pending | None | CLOSE`. A message is a settled answer and is
sent as it is; None means that no answer is owed (acks=0); CLOSE ends the connection without one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final


class _Close:
    """The type of CLOSE."""

    def __repr__(self) -> str:
        return "CLOSE"


CLOSE: Final = _Close()
"""Close the connection without an answer (acks=0 that failed: the only way to tell such a producer)."""


class Pending:
    """An answer that is owed later: settled exactly once, by whatever event comes first.

    The server sets `on_settled`; the handler arranges that `settle(response)` is called: from a watch, a timer, a
    commit. A second settle is ignored, so that a timer and an event may race. `on_abandoned` hooks run when the
    connection ends before the answer was settled.
    """

    __slots__ = ("_abandoned", "_on_abandoned", "on_settled", "response")

    def __init__(self) -> None:
        self.response: Any = None
        self.on_settled: Callable[[], None] | None = None
        self._on_abandoned: list[Callable[[], None]] = []
        self._abandoned = False

    @property
    def is_settled(self) -> bool:
        """Is the response there?"""
        return self.response is not None

    def settle(self, response: Any) -> None:
        """Give the answer (a message or CLOSE); the first call wins."""
        if self.response is not None or self._abandoned:
            return
        self.response = response
        if self.on_settled is not None:
            self.on_settled()

    def when_abandoned(self, hook: Callable[[], None]) -> None:
        """Run `hook` if the connection goes away first (drop watches, cancel timers)."""
        self._on_abandoned.append(hook)

    def abandon(self) -> None:
        """The connection ended: nobody waits for this answer any more."""
        if self.response is None and not self._abandoned:
            self._abandoned = True
            for hook in self._on_abandoned:
                hook()


Answer = Any
"""Message | Pending | None | CLOSE; messages are dynamic classes, so the union cannot be written down."""
