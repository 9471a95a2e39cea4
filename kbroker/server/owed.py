"""An answer that a connection owes: what it waits for, and the chunks that it comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from kbroker.handlers.answer import Answer, Pending
from kbroker.turns import Begin, Turns, UnderWay
from kbroker.world import Chunk, Clock, FileSlice


@dataclass(slots=True, eq=False)
class OwedAnswer:
    """A place in the order of a connection's answers: a pending one, or bytes that wait behind it."""

    chunks: list[Chunk]
    closes: bool
    pending: Pending | None = None
    conclude: Callable[[Callable[[], Any]], Concluded] | None = None
    passing_key: int | None = None
    """The only API key of a request that may be handled while this is owed, -1 none; None: all may."""
    held_bytes: int = 0
    """What it keeps in memory: while pending its request's frame, which an append may have queued for the disk; else
    its ready chunks. Slices of files cost next to nothing."""
    tell: Callable[[], None] | None = None
    is_hurried: bool = False

    @property
    def is_ready(self) -> bool:
        """Can it be sent, as far as is known before it is settled?"""
        return self.pending is None or self.pending.is_settled

    def follow(self, tell: Callable[[], None]) -> None:
        """Call `tell` whenever it becomes ready; now if it is."""
        self.tell = tell
        self._follow()

    def _follow(self) -> None:
        pending = self.pending
        if pending is None:
            return
        pending.on_settled = self._settled
        if self.is_hurried and pending.hurry is not None:
            pending.hurry()
        elif pending.is_settled:
            self._settled()

    def _settled(self) -> None:
        if type(self.pending) is InTurns:
            # Slices in it are leased: whoever gives this answer up is to find them.
            self.settle()
        if self.tell is not None and self.is_ready:
            self.tell()

    def settle(self) -> None:
        """Turn the settled pending answer into chunks, or into what it waits for next; harmless when there is none."""
        if self.pending is not None and self.conclude is not None:
            pending, self.pending = self.pending, None
            concluded = self.conclude(pending.take)
            if isinstance(concluded, Pending):
                self.pending = concluded
                self._follow()
            else:
                self.chunks, self.closes = concluded

    def hurry(self) -> None:
        """Wait no longer for what may come without it."""
        self.is_hurried = True
        if self.pending is not None and self.pending.hurry is not None:
            self.pending.hurry()

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        if self.pending is not None:
            self.pending.abandon()
        for chunk in self.chunks:
            if isinstance(chunk, FileSlice):
                chunk.release()


Concluded = tuple[list[Chunk], bool] | Pending
"""Chunks to send and whether the connection ends with them; or a Pending that is not settled yet."""


class InTurns(Pending):
    """An answer on its way from turn to turn; it is settled with what they return.

    Nobody waiting for it any more, no further turn is taken; or they all are, and `heir` has what they return.
    """

    __slots__ = ()

    def __init__(
        self,
        clock: Clock,
        turns: Turns[Answer],
        heir: Callable[[Callable[[], Answer]], None] | None = None,
        begin: Begin | None = None,
    ) -> None:
        super().__init__()
        # What is still being handled must be through before the next one is: its appends come first.
        self.is_alone = True
        under_way = UnderWay(clock, turns, self.settle_with, begin)
        self.when_abandoned(under_way.give_up if heir is None else partial(under_way.hand_over, heir))
