"""Which handler serves which API key at which versions; ApiVersions is derived from this table alone.

A handler module is named `kNN_...` and decorates its function with `@handles`. Nothing registers itself on import:
`load_handlers()` reads the package's listing, so a new file is served and advertised without another line.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Protocol

from kbroker.handlers.answer import Answer, Pending
from kbroker.handlers.context import RequestContext
from kbroker.wire.repeated import Surroundings
from kbroker.world import Chunk

Handle = Callable[[RequestContext, Any], Answer]


class Recurring(Protocol):
    """What is known of a request that comes again and again but for its records, or its offset."""

    @property
    def is_stale(self) -> bool:
        """Is what it was about gone, so that it's worth learning anew?"""

    def around(self, frame: memoryview, body_position: int, version: int, request: Any) -> Surroundings | None:
        """What is the same in all of them; of the first one, just handled. None where that is one of a kind."""

    def again(
        self, ctx: RequestContext, parts: Sequence[memoryview], correlation_ids: Sequence[bytes]
    ) -> tuple[int, list[Chunk] | Pending]:
        """Handle the first of these requests, as many as are nothing special; how many, and all their answers.

        `parts` are what varies in each. The answers are whole frames, in order; those of a Pending too. 0: let the
        handler see the first.
        """


Learn = Callable[[RequestContext, Any], Recurring | None]
"""What is to be known of a request that was just handled; None for one that isn't worth it."""


@dataclass(frozen=True, slots=True)
class Handler:
    """One served API: its declarations, the inclusive version range it implements, and its function."""

    key: int
    name: str
    request: Any
    response: Any
    lowest: int
    highest: int
    handle: Handle
    learn: Learn | None = None
    is_pipelined: bool = False
    is_carried_out: bool = False


def handles(
    request: Any,
    response: Any,
    *,
    serves: str,
    learn: Learn | None = None,
    is_pipelined: bool = False,
    is_carried_out: bool = False,
) -> Callable[[Handle], Handle]:
    """Mark a function as the handler of `request` for the versions in `serves` ("3-13" or "0").

    `learn` is for requests that come again and again, see `Recurring`. While an answer is owed, the next request of its
    connection waits, as Kafka has it (SocketServer mutes the channel), unless it is of the same API and that
    `is_pipelined`: the one must not see or change what the other answers, but for their order.
    One that changes something `is_carried_out` once it came whole, though its connection goes while it takes turns.
    """
    lowest, _, highest = serves.partition("-")

    def mark(function: Handle) -> Handle:
        handler = Handler(
            key=request.key,
            name=request.name.removesuffix("Request"),
            request=request,
            response=response,
            lowest=int(lowest),
            highest=int(highest or lowest),
            handle=function,
            learn=learn,
            is_pipelined=is_pipelined,
            is_carried_out=is_carried_out,
        )
        function.__dict__["handler"] = handler
        return function

    return mark


@cache
def load_handlers() -> Mapping[int, Handler]:
    """Every handler of this package by API key; imports the kNN modules, in the order of their keys.

    Listing them is a third of what a further broker in a process would take to come up, so it is done once.
    """
    package = importlib.import_module("kbroker.handlers")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__) if module.name[:2] in _KEYED)
    handlers: dict[int, Handler] = {}
    for name in names:
        module = importlib.import_module(f"kbroker.handlers.{name}")
        for value in vars(module).values():
            handler = getattr(value, "__dict__", {}).get("handler") if callable(value) else None
            if isinstance(handler, Handler):
                assert handler.key not in handlers or handlers[handler.key] is handler, (
                    f"two handlers for {handler.key}"
                )
                handlers[handler.key] = handler
    return MappingProxyType(handlers)


_KEYED = frozenset(f"k{digit}" for digit in range(10))
