"""Fetch sessions (KIP-227): the broker remembers what a consumer fetches, so that it need not say it every time.

    (id 0, epoch -1)   no session, every partition is named
    (id x, epoch 0)    full: close x, open a new session if there is room
    (id x, epoch -1)   close x, answer as without a session
    (id x, epoch n)    incremental: what changed since n-1

Pure: time and randomness are arguments. Not here: reading (handlers/k01_fetch.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from protocol_specs.errors import ErrorCode

FINAL_EPOCH: Final = -1
INITIAL_EPOCH: Final = 0
EPOCH_MAX: Final = 2**31 - 1

EVICTION_MS_MIN: Final = 120_000
"""A session idle for less is not evicted for another (Kafka: FetchSession, two minutes)."""

PARTITIONS_MAX: Final = 250_000
"""In all sessions together: some 400 bytes each, 100 MB; twice that where every one is of a topic with a long name.

Sessions outlive connections, and what they name need not exist: their number alone bounds no memory. Kafka has no such
bound. A client of which the partitions find no room is served without a session, as where all slots are taken.
"""

NAME_LENGTH_MAX: Final = 249
"""No topic has a longer name, and no session remembers one."""

Key = tuple[Any, int]
"""(topic name, or topic id from v13 on; partition)."""


@dataclass(slots=True)
class Told:
    """What the client of a session was told last of one partition."""

    high_watermark: int = -1
    log_start: int = -1
    error: int = 0


@dataclass(slots=True)
class FetchedPartition:
    """What one request fetches of a partition; not changed once planned: the request may wait with it.

    `told` goes on from request to request: answers are made in the order of the requests.
    """

    topic: str
    topic_id: bytes
    partition: int
    fetch_offset: int
    max_bytes: int
    current_leader_epoch: int
    last_fetched_epoch: int
    told: Told = field(default_factory=Told)

    def has_news(self, error: int, high_watermark: int, log_start: int, record_bytes: int, *, diverges: bool) -> bool:
        """Must an incremental answer mention this partition? Remembers what it is told then."""
        told = self.told
        news = (
            record_bytes > 0
            or error != 0
            or told.error != 0
            or diverges
            or high_watermark != told.high_watermark
            or log_start != told.log_start
        )
        if news:
            told.error, told.high_watermark, told.log_start = error, high_watermark, log_start
        return news


@dataclass(slots=True)
class FetchSession:
    """The partitions of one session in the order they are served, and the epoch its next request must carry."""

    id: int
    uses_topic_ids: bool
    partitions: dict[Key, FetchedPartition]
    next_epoch: int
    last_used_ms: int

    def serve_last(self, keys: Iterable[Key]) -> None:
        """Move partitions that gave records behind the others, so that none is starved by a size limit."""
        for key in keys:
            partition = self.partitions.pop(key, None)
            if partition is not None:
                self.partitions[key] = partition


@dataclass(slots=True, frozen=True)
class FetchPlan:
    """What one request fetches: `session` is None where there is none; an incremental answer leaves out what is old."""

    partitions: dict[Key, FetchedPartition]
    session: FetchSession | None
    is_incremental: bool

    @property
    def session_id(self) -> int:
        """What the answer carries; 0 says that there is no session."""
        return self.session.id if self.session else 0


class FetchSessions:
    """All sessions of a broker, at most `slots` of them (max.incremental.fetch.session.cache.slots), which hold at most
    `partitions_max` partitions together."""

    __slots__ = ("_below", "_partitions", "_partitions_max", "_sessions", "_slots")

    def __init__(self, slots: int, below: Callable[[int], int], partitions_max: int = PARTITIONS_MAX) -> None:
        self._slots = slots
        self._below = below
        self._partitions_max = partitions_max
        self._sessions: dict[int, FetchSession] = {}
        # How many there are in all sessions.
        self._partitions = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, session_id: int) -> bool:
        return session_id in self._sessions

    def plan(
        self,
        request: Any,
        *,
        uses_topic_ids: bool,
        now_ms: int,
        named: dict[Key, FetchedPartition] | None = None,
    ) -> FetchPlan | ErrorCode:
        """What `request` (a FetchRequest) asks for; an ErrorCode is the answer's top-level error.

        `named` are its named_partitions(), where the caller has them.
        """
        if named is None:
            named = named_partitions(request.topics, uses_topic_ids=uses_topic_ids)
        if request.session_epoch in (FINAL_EPOCH, INITIAL_EPOCH):
            self._close(request.session_id)
            session = None
            if request.session_epoch == INITIAL_EPOCH and _is_rememberable(request):
                session = self._open(named, uses_topic_ids=uses_topic_ids, now_ms=now_ms)
            return FetchPlan(named, session, is_incremental=False)
        return self._continue(request, named, uses_topic_ids=uses_topic_ids, now_ms=now_ms)

    def _continue(
        self, request: Any, named: dict[Key, FetchedPartition], *, uses_topic_ids: bool, now_ms: int
    ) -> FetchPlan | ErrorCode:
        session = self._sessions.get(request.session_id)
        if session is None:
            return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        if session.next_epoch != request.session_epoch:
            return ErrorCode.INVALID_FETCH_SESSION_EPOCH
        if session.uses_topic_ids != uses_topic_ids:
            return ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR
        if not _is_rememberable(request):
            self._close(session.id)
            return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        session.last_used_ms = now_ms
        self._partitions -= len(session.partitions)
        for key, newer in named.items():
            known = session.partitions.get(key)
            if known is not None:
                newer.told = known.told
            session.partitions[key] = newer
        # Last, as in Kafka: what is named and forgotten in one request is forgotten.
        for topic in request.forgotten_topics_data:
            for index in topic.partitions:
                session.partitions.pop((topic.topic_id if uses_topic_ids else topic.topic, index), None)
        session.next_epoch = 1 if request.session_epoch == EPOCH_MAX else request.session_epoch + 1
        has_room = self._make_room(len(session.partitions), now_ms, slots=0)
        self._partitions += len(session.partitions)
        if not has_room:
            self._close(session.id)
            return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        if not session.partitions:
            self._close(session.id)
            return FetchPlan(named, None, is_incremental=False)
        return FetchPlan(dict(session.partitions), session, is_incremental=True)

    def _open(
        self, partitions: dict[Key, FetchedPartition], *, uses_topic_ids: bool, now_ms: int
    ) -> FetchSession | None:
        if not self._make_room(len(partitions), now_ms, slots=1):
            return None
        session_id = 0
        while session_id == 0 or session_id in self._sessions:
            session_id = self._below(EPOCH_MAX) + 1
        session = FetchSession(session_id, uses_topic_ids, partitions.copy(), 1, now_ms)
        self._sessions[session_id] = session
        self._partitions += len(partitions)
        return session

    def _close(self, session_id: int) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._partitions -= len(session.partitions)

    def _make_room(self, partitions: int, now_ms: int, *, slots: int) -> bool:
        """For so many more partitions and `slots` more sessions (0 or 1).

        The sessions that idle for longest go, if that is long enough; none where it would not help.
        """
        slots += len(self._sessions) - self._slots
        lacking = self._partitions + partitions - self._partitions_max
        if slots <= 0 and lacking <= 0:
            return True
        doomed: list[int] = []
        for session in sorted(self._sessions.values(), key=lambda session: session.last_used_ms):
            if now_ms - session.last_used_ms <= EVICTION_MS_MIN or (slots <= 0 and lacking <= 0):
                break
            doomed.append(session.id)
            slots -= 1
            lacking -= len(session.partitions)
        if slots > 0 or lacking > 0:
            return False
        for session_id in doomed:
            self._close(session_id)
        return True


def _is_rememberable(request: Any) -> bool:
    return all(len(topic.topic) <= NAME_LENGTH_MAX for topic in request.topics)


class SomeOfTopic(NamedTuple):
    """A piece of a FetchTopic."""

    topic: str
    topic_id: bytes
    partitions: Sequence[Any]


def named_partitions(topics: Iterable[Any], *, uses_topic_ids: bool) -> dict[Key, FetchedPartition]:
    """What the topics of a FetchRequest say, or pieces of them; what is named again counts as it is named last."""
    named: dict[Key, FetchedPartition] = {}
    for topic in topics:
        for wanted in topic.partitions:
            named[topic.topic_id if uses_topic_ids else topic.topic, wanted.partition] = FetchedPartition(
                topic.topic,
                topic.topic_id,
                wanted.partition,
                wanted.fetch_offset,
                wanted.partition_max_bytes,
                wanted.current_leader_epoch,
                wanted.last_fetched_epoch,
            )
    return named
