"""Answers that need what is not in memory: workers fetch it, and then the request is tried again.

Nobody else waits meanwhile. A try costs what a warm answer costs, and leads at least one step further: index, header,
end of the cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from kbroker.handlers.answer import Answer, Pending

if TYPE_CHECKING:
    from kbroker.world import ColdRead, DiskFailure

TRIES_MAX: Final = 16
"""Then it is read where it lies: a machine that forgets what was just read has worse problems."""


class Cold(list["ColdRead"]):
    """What a try found missing."""


def answered_warm(attempt: Callable[[bool], Answer | Cold]) -> Answer:
    """The answer of `attempt(may_wait)`, tried without waiting until nothing is Cold.

    From the second try on its answer is Pending or holds no lease: the connection may be gone by then.
    """
    answer = attempt(False)
    return _Warming(attempt, answer).pending if isinstance(answer, Cold) else answer


def once_warm(cold: Cold, again: Callable[[bool], Answer]) -> Pending:
    """An answer made by `again(has_failed)` when it could be sent, once workers have fetched what is cold.

    Has it failed, a try that may wait meets that itself, and then the log is told.
    """
    pending = Pending()
    left, has_failed = len(cold), False

    def fetched(failure: DiskFailure | None) -> None:
        nonlocal left, has_failed
        left -= 1
        has_failed = has_failed or failure is not None
        if not left:
            pending.settle_with(lambda: again(has_failed))

    for missing in cold:
        missing.warm(fetched)
    return pending


class _Warming:
    """One request on its way from try to try."""

    def __init__(self, attempt: Callable[[bool], Answer | Cold], cold: Cold) -> None:
        self.pending = Pending()
        self._attempt = attempt
        self._tries = 1
        self._left = 0
        self._is_abandoned = False
        self.pending.when_abandoned(self._abandon)
        self._fetch(cold)

    def _abandon(self) -> None:
        self._is_abandoned = True

    def _fetch(self, cold: Cold) -> None:
        self._left = len(cold)
        for missing in cold:
            missing.warm(self._fetched)

    def _fetched(self, failure: DiskFailure | None) -> None:
        self._left -= 1
        if failure is not None:
            # The next try meets it itself, and then the log is told.
            self._tries = TRIES_MAX
        if not self._left and not self._is_abandoned:
            self._try_again()

    def _try_again(self) -> None:
        answer = self._attempt(self._tries >= TRIES_MAX)
        self._tries += 1
        if isinstance(answer, Cold):
            self._fetch(answer)
        elif isinstance(answer, Pending):
            self._follow(answer)
        else:
            self.pending.settle(answer)

    def _follow(self, inner: Pending) -> None:
        """Settle when the answer's own Pending does."""
        self.pending.hurry = inner.hurry
        self.pending.when_abandoned(inner.abandon)
        if inner.is_settled:
            self.pending.settle_with(inner.take)
        else:
            inner.on_settled = lambda: self.pending.settle_with(inner.take)


def built_late(build: Callable[[], Any]) -> Pending:
    """A settled answer that is built when it is sent."""
    pending = Pending()
    pending.settle_with(build)
    return pending
