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
from itertools import islice
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kbroker.handlers.answer import CLOSE, Answer, Long, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.k18_api_versions import unsupported_version
from kbroker.handlers.registry import Handler, Recurring
from kbroker.server.long_requests import LongRequests
from kbroker.server.owed import Concluded, InTurns, OwedAnswer
from kbroker.turns import Turns, UnderWay
from kbroker.wire.codec import (
    decode,
    decode_in_turns,
    decode_request_header,
    encode_response,
    encode_response_in_turns,
)
from kbroker.wire.repeated import CORRELATION_ID, Repeated
from kbroker.world import Chunk, DiskFailure
from protocol_specs.errors import ErrorCode
from protocol_specs.frame import MalformedFrame, UnsupportedVersion

if TYPE_CHECKING:
    from kbroker.handlers.node import Node

API_VERSIONS: Final = 18
RECENT_REQUESTS: Final = 512
"""How many requests are remembered with the reasons of their refusals; some 200 bytes each, 6 KB at the worst."""

RUN_FRAMES_MAX: Final = 64
RUN_BYTES_MAX: Final = 64 * 1024
"""Of requests that are processed together: a third of a millisecond. One alone may be larger."""

LONG_FRAME_BYTES: Final = 32 * 1024
"""A request that has more may have so many elements that it is read in turns; mostly it is records."""

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


class _Known(NamedTuple):
    """What is known of a request that comes again."""

    handler: Handler
    version: int
    client_id: str
    request: Recurring


class Gate:
    """Decodes, dispatches, encodes; one per broker."""

    __slots__ = ("_by_key", "_long_requests", "_node", "api_ranges", "counts", "recent")

    def __init__(self, node: Node, handlers: Mapping[int, Handler]) -> None:
        self._node = node
        self._long_requests = LongRequests(node.clock)
        self._by_key = [handlers.get(key) for key in range(max(handlers) + 1)]
        self.api_ranges = [(h.key, h.lowest, h.highest) for _, h in sorted(handlers.items())]
        self.counts: Counter[tuple[int, int]] = Counter()
        self.recent: deque[PassedRequest] = deque(maxlen=RECENT_REQUESTS)

    def memory(self) -> Repeated[_Known]:
        """What a new connection is to hand over with its frames."""
        return Repeated()

    @property
    def is_disk_behind(self) -> bool:
        """Should no connection have more than one request under way?"""
        return self._node.disk.is_behind

    def process_next(
        self, peer: Peer, repeated: Repeated[_Known], frames: deque[memoryview]
    ) -> tuple[list[Chunk], bool] | OwedAnswer:
        """Process the first of `frames`, and those behind it that are the same request again; they are taken off.

        `repeated` is the connection's. All of them have one result; see process().
        """
        if not repeated.is_empty:
            found = repeated.find(frames[0])
            if found is not None:
                result = self._process_again(peer, repeated, found, frames)
                if result is not None:
                    return result
                if not found[0].request.is_stale:
                    return self.process(peer, frames.popleft())
        return self.process(peer, frames.popleft(), repeated)

    def _process_again(
        self,
        peer: Peer,
        repeated: Repeated[_Known],
        first: tuple[_Known, memoryview],
        frames: deque[memoryview],
    ) -> tuple[list[Chunk], bool] | OwedAnswer | None:
        """None, and no frame taken off, where the first of them must be processed by itself."""
        known, part = first
        parts, ids, size = [part], [bytes(frames[0][CORRELATION_ID])], len(part)
        for frame in islice(frames, 1, RUN_FRAMES_MAX if repeated.is_of_use else 1):
            found = repeated.find(frame)
            if found is None or found[0] is not known or size + len(found[1]) > RUN_BYTES_MAX:
                break
            parts.append(found[1])
            ids.append(bytes(frame[CORRELATION_ID]))
            size += len(found[1])
        handler, version = known.handler, known.version
        ctx = self._context(peer, version, known.client_id)
        correlation_id = int.from_bytes(ids[0], "big", signed=True)
        taken: list[int] = []
        concluded = self._conclude(handler, version, correlation_id, _again, known.request, ctx, parts, ids, taken)
        if not taken:
            if type(concluded) is not tuple or not concluded[1]:
                repeated.is_of_use = False
                return None
            taken.append(1)  # a failure of ours: the connection ends with it
        repeated.confirm()
        count, held = taken[0], 0
        self.counts[handler.key, version] += count
        for _ in range(count):
            held += len(frames.popleft())
            self._remember(ctx, handler)
        return self._owed(concluded, handler, version, correlation_id, held)

    def process(
        self, peer: Peer, frame: memoryview, repeated: Repeated[_Known] | None = None
    ) -> tuple[list[Chunk], bool] | OwedAnswer:
        """One frame in; chunks to send and whether to close then, or an answer that is owed. Nothing is raised."""
        handler: Handler | None = None
        try:
            header = decode_request_header(frame)
            key, version = header.key, header.version
            handler = self._by_key[key] if 0 <= key < len(self._by_key) else None
            if handler is None or not handler.lowest <= version <= handler.highest:
                return self._unserved(peer, handler, version, header.correlation_id)
            self.counts[key, version] += 1
            ctx = self._context(peer, version, header.client_id)
            if len(frame) <= LONG_FRAME_BYTES:
                request, _ = decode(handler.request, version, frame, header.body_position)
            else:
                reading = decode_in_turns(handler.request, version, frame, header.body_position)
                try:
                    next(reading)
                except StopIteration as over:
                    request, _ = over.value
                else:
                    concluded = self._long(handler, ctx, header.correlation_id, reading, len(frame))
                    return self._owed(concluded, handler, version, header.correlation_id, len(frame))
        except MalformedFrame as error:
            _log_malformed(peer.host, handler, error)
            return [], True
        except UnsupportedVersion as error:
            # The header of an API key that nobody declared cannot be read.
            log.info("unserved request: closing", extra={"client": peer.host, "api": "?", "reason": str(error)})
            return [], True
        self._remember(ctx, handler)
        concluded = self._conclude(handler, version, header.correlation_id, handler.handle, ctx, request)
        if handler.learn is not None and repeated is not None and repeated.is_worth_learning():
            self._learn(repeated, handler, ctx, request, frame, header.body_position)
        return self._owed(concluded, handler, version, header.correlation_id, len(frame))

    def _long(
        self,
        handler: Handler,
        ctx: RequestContext,
        correlation_id: int,
        reading: Turns[tuple[Any, int]],
        frame_bytes: int,
    ) -> Concluded:
        """Read the rest of a request, have it handled and encode its answer, now or when others are through."""
        make = partial(self._handled_late, handler, ctx, correlation_id, reading, frame_bytes)
        if self._long_requests.enter(frame_bytes):
            return self._conclude(handler, ctx.api_version, correlation_id, make)
        begin = partial(self._long_requests.wait, frame_bytes)
        return InTurns(self._node.clock, make(), self._heir(handler, ctx.api_version), begin)

    def _handled_late(
        self,
        handler: Handler,
        ctx: RequestContext,
        correlation_id: int,
        reading: Turns[tuple[Any, int]],
        frame_bytes: int,
    ) -> Turns[Answer]:
        try:
            try:
                request, _ = yield from reading
            except MalformedFrame as error:
                _log_malformed(ctx.client_host, handler, error)
                return CLOSE
            self._remember(ctx, handler)
            ctx.is_long = True
            answer = handler.handle(ctx, request)
            while type(answer) is GeneratorType:
                answer = yield from answer
            if type(answer) is Long:
                answer = yield from _encoded(handler, ctx.api_version, correlation_id, answer)
            return answer
        finally:
            self._long_requests.leave(frame_bytes)

    def _heir(self, handler: Handler, version: int) -> Callable[[Callable[[], Answer]], None] | None:
        """Who goes on with a request when its connection is gone; None: nobody does."""
        return partial(self._carry_on, handler, version) if handler.is_carried_out else None

    def _carry_on(self, handler: Handler, version: int, take: Callable[[], Answer]) -> None:
        """With a request whose connection is gone; its answer is made for nobody."""
        self._conclude(handler, version, 0, self._drop, handler, version, take)

    def _drop(self, handler: Handler, version: int, take: Callable[[], Answer]) -> None:
        answer = take()
        if type(answer) is GeneratorType:
            UnderWay(self._node.clock, answer, partial(self._carry_on, handler, version))
        elif type(answer) is Pending:
            answer.abandon()
        elif type(answer) is Long and answer.release is not None:
            answer.release()

    def _context(self, peer: Peer, version: int, client_id: str) -> RequestContext:
        return RequestContext(
            self._node,
            version,
            client_id,
            peer.host,
            peer.principal,
            peer.listener_name,
            peer.local_host,
            peer.local_port,
            self._node.clock.monotonic_ms(),
        )

    def _remember(self, ctx: RequestContext, handler: Handler) -> None:
        client_id = ctx.client_id[:CLIENT_ID_CHARACTERS_MAX]
        passed = PassedRequest(ctx.received_ms, handler.name, ctx.api_version, client_id, ctx.client_host, ctx.refusals)
        self.recent.append(passed)

    def _learn(
        self,
        repeated: Repeated[_Known],
        handler: Handler,
        ctx: RequestContext,
        request: Any,
        frame: memoryview,
        body_position: int,
    ) -> None:
        """Know the request when it comes again, unless it is too special for that."""
        assert handler.learn is not None
        recurring = handler.learn(ctx, request)
        if recurring is None:
            return
        around = recurring.around(frame, body_position, ctx.api_version, request)
        if around is not None:
            repeated.learn(around, _Known(handler, ctx.api_version, ctx.client_id, recurring))

    def _owed(
        self, concluded: Concluded, handler: Handler, version: int, correlation_id: int, held_bytes: int
    ) -> tuple[list[Chunk], bool] | OwedAnswer:
        if isinstance(concluded, Pending):
            finish = partial(self._conclude, handler, version, correlation_id)
            passing_key = handler.key if handler.is_pipelined and not concluded.is_alone else -1
            return OwedAnswer([], False, concluded, finish, passing_key, held_bytes)
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
            while type(answer) in _UNMADE:
                if type(answer) is Pending:
                    if not answer.is_settled:
                        return answer
                    answer = answer.take()
                    continue
                heir = self._heir(handler, version)
                if type(answer) is Long:
                    answer, heir = _encoded(handler, version, correlation_id, answer), None
                try:
                    next(answer)
                except StopIteration as over:
                    answer = over.value
                else:
                    return InTurns(self._node.clock, answer, heir)
            if answer is None:
                return [], False
            if answer is CLOSE:
                return [], True
            if type(answer) is list:  # whole frames already
                return answer, False
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


def _again(
    request: Recurring, ctx: RequestContext, parts: list[memoryview], ids: list[bytes], taken: list[int]
) -> list[Chunk] | Pending | None:
    """As a handler: the answers; how many of the requests were `taken` is noted there, nothing where none was."""
    count, answers = request.again(ctx, parts, ids)
    if not count:
        return None
    taken.append(count)
    return answers


_UNMADE: Final = frozenset({Pending, GeneratorType, Long})
"""Types of answers that are no message yet, or none that can be encoded at once."""


def _encoded(handler: Handler, version: int, correlation_id: int, answer: Long) -> Turns[list[Chunk]]:
    """The chunks of a long answer's frame."""
    is_made = False
    try:
        chunks = yield from encode_response_in_turns(handler.response, version, correlation_id, answer.message)
        is_made = True
        return chunks
    finally:
        if not is_made and answer.release is not None:
            answer.release()


def _log_malformed(host: str, handler: Handler | None, error: MalformedFrame) -> None:
    log.info(
        "malformed request: closing",
        extra={"client": host, "api": handler.name if handler else "?", "reason": str(error)},
    )


def _apology(handler: Handler) -> Any:
    """An answer with UNKNOWN_SERVER_ERROR, for APIs that have one error code for the whole."""
    if "error_code" not in getattr(handler.response.value_class, "__slots__", ()):
        return None
    return handler.response(error_code=ErrorCode.UNKNOWN_SERVER_ERROR)
