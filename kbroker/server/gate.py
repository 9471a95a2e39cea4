"""The one point that every request passes: header, context, body, handler, and what became of it.

Counting, the log of recent requests with the reason of each refusal, and everything that must see every request later
(throttling, faults, tracing) hang here and nowhere else. Four kinds of errors have four fates: a refusal is a value in
the answer; a malformed or unadvertised request closes its connection with one line in the log; a broken disk is the
log's business; anything else is ours: it answers UNKNOWN_SERVER_ERROR, is logged with its traceback, and closes.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from kbroker.handlers.answer import CLOSE, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.k18_api_versions import unsupported_version
from kbroker.handlers.registry import Handler
from kbroker.wire.codec import decode, decode_request_header, encode_response
from kbroker.world import Chunk, DiskFailure
from protocol_specs.errors import ErrorCode
from protocol_specs.frame import MalformedFrame, UnsupportedVersion

if TYPE_CHECKING:
    from kbroker.handlers.node import Node

API_VERSIONS: Final = 18
RECENT_REQUESTS: Final = 512
"""How many requests are remembered with the reasons of their refusals; some 200 bytes each, 6 KB at the worst."""

CLIENT_ID_CHARACTERS_MAX: Final = 200
"""Remembered of a client id, which may have 32,767."""

log = logging.getLogger("kbroker.gate")


@dataclass(slots=True, frozen=True)
class Peer:
    """What is the same for every request of one connection."""

    host: str
    principal: str
    listener_name: str
    local_host: str
    local_port: int


@dataclass(slots=True)
class PassedRequest:
    """One line of the log of recent requests; times in monotonic milliseconds."""

    received_ms: int
    api: str
    version: int
    client_id: str
    host: str
    refusals: list[str]


@dataclass(slots=True, eq=False)
class OwedAnswer:
    """A place in the order of a connection's answers: a pending one, or bytes that wait behind it."""

    chunks: list[Chunk]
    closes: bool
    pending: Pending | None = None
    conclude: Callable[[Callable[[], Any]], Concluded] | None = None
    held_bytes: int = 0
    """What it keeps in memory: while pending its request's frame, which an append may have queued for the disk; else
    its ready chunks. Slices of files cost next to nothing."""

    @property
    def is_ready(self) -> bool:
        """Can it be sent?"""
        return self.pending is None or self.pending.is_settled

    def settle(self) -> None:
        """Turn the settled pending answer into chunks; harmless when there is none."""
        if self.pending is not None and self.conclude is not None:
            pending, self.pending = self.pending, None
            concluded = self.conclude(pending.take)
            assert not isinstance(concluded, Pending), "a pending answer was settled with another one"
            self.chunks, self.closes = concluded


Concluded = tuple[list[Chunk], bool] | Pending
"""Chunks to send and whether the connection ends with them; or a Pending that is not settled yet."""


class Gate:
    """Decodes, dispatches, encodes; one per broker."""

    __slots__ = ("_by_key", "_node", "api_ranges", "counts", "recent")

    def __init__(self, node: Node, handlers: Mapping[int, Handler]) -> None:
        self._node = node
        self._by_key = [handlers.get(key) for key in range(max(handlers) + 1)]
        self.api_ranges = [(h.key, h.lowest, h.highest) for _, h in sorted(handlers.items())]
        self.counts: Counter[tuple[int, int]] = Counter()
        self.recent: deque[PassedRequest] = deque(maxlen=RECENT_REQUESTS)

    @property
    def is_disk_behind(self) -> bool:
        """Should no connection have more than one request under way?"""
        return self._node.disk.is_behind

    def process(self, peer: Peer, frame: memoryview) -> tuple[list[Chunk], bool] | OwedAnswer:
        """One frame in; chunks to send and whether to close then, or an answer that is owed. Nothing is raised."""
        handler: Handler | None = None
        try:
            header = decode_request_header(frame)
            key, version = header.key, header.version
            handler = self._by_key[key] if 0 <= key < len(self._by_key) else None
            if handler is None or not handler.lowest <= version <= handler.highest:
                return self._unserved(peer, handler, version, header.correlation_id)
            self.counts[key, version] += 1
            ctx = RequestContext(
                self._node,
                version,
                header.client_id or "",
                peer.host,
                peer.principal,
                peer.listener_name,
                peer.local_host,
                peer.local_port,
                self._node.clock.monotonic_ms(),
            )
            request, _ = decode(handler.request, version, frame, header.body_position)
        except MalformedFrame as error:
            log.info(
                "malformed request: closing",
                extra={"client": peer.host, "api": handler.name if handler else "?", "reason": str(error)},
            )
            return [], True
        except UnsupportedVersion as error:
            # The header of an API key that nobody declared cannot be read.
            log.info("unserved request: closing", extra={"client": peer.host, "api": "?", "reason": str(error)})
            return [], True
        self.recent.append(
            PassedRequest(
                ctx.received_ms,
                handler.name,
                version,
                ctx.client_id[:CLIENT_ID_CHARACTERS_MAX],
                peer.host,
                ctx.refusals,
            )
        )
        concluded = self._conclude(handler, version, header.correlation_id, handler.handle, ctx, request)
        if isinstance(concluded, Pending):
            finish = partial(self._conclude, handler, version, header.correlation_id)
            return OwedAnswer([], False, concluded, finish, len(frame))
        return concluded

    def refuse_frame(self, peer: Peer, reason: str) -> None:
        """A frame of an impossible size was announced: its connection closes, the log says why."""
        log.info("malformed request: closing", extra={"client": peer.host, "reason": reason})

    def cut_by_disk(self, peer: Peer, failure: DiskFailure) -> None:
        """An answer was under way and its records cannot be read: its connection closes, the log says why."""
        log.error(
            "records cannot be sent: closing",
            extra={"client": peer.host, "path": failure.path, "reason": failure.reason},
        )

    def _conclude(
        self, handler: Handler, version: int, correlation_id: int, make: Callable[..., Any], *arguments: Any
    ) -> Concluded:
        """Make an answer and encode it; a failure of ours becomes UNKNOWN_SERVER_ERROR and the connection's end."""
        try:
            answer = make(*arguments)
            if type(answer) is Pending:
                if not answer.is_settled:
                    return answer
                answer = answer.take()
            if answer is None:
                return [], False
            if answer is CLOSE:
                return [], True
            return encode_response(handler.response, version, correlation_id, answer), False
        except Exception:
            # The one place: whatever goes wrong in a handler must not take other connections with it.
            log.exception("a handler failed: closing its connection", extra={"api": handler.name, "version": version})
        apology = _apology(handler)
        return encode_response(handler.response, version, correlation_id, apology) if apology else [], True

    def _unserved(
        self, peer: Peer, handler: Handler | None, version: int, correlation_id: int
    ) -> tuple[list[Chunk], bool]:
        """Close, as Kafka does; only ApiVersions tells the client what it may ask (KIP-511)."""
        if handler is not None and handler.key == API_VERSIONS:
            answer = unsupported_version(self.api_ranges)
            return encode_response(handler.response, 0, correlation_id, answer), False
        name = handler.name if handler else "unknown API"
        log.info("unserved request: closing", extra={"client": peer.host, "api": name, "version": version})
        return [], True


def _apology(handler: Handler) -> Any:
    """An answer with UNKNOWN_SERVER_ERROR, for APIs that have one error code for the whole."""
    if "error_code" not in getattr(handler.response.value_class, "__slots__", ()):
        return None
    return handler.response(error_code=ErrorCode.UNKNOWN_SERVER_ERROR)
