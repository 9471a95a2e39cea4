"""Fetch: slices of partition logs, at once when there is enough, else when there is or `max_wait_ms` is over.

Versions: 0-3 get message sets of old (message_sets.py), 0-2 within hard limits; up to 12 name topics, from 13 on topic
ids (KIP-516); from 7 in sessions (KIP-227); 12 tells divergence; 16 tells a wrong client who leads (KIP-951). From 4 on
no record bytes are touched: an answer is made of FileSlices.
Kafka: KafkaApis.handleFetchRequest, ReplicaManager.fetchMessages, Partition.fetchRecords.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from kbroker.handlers.answer import Answer, Long, Pending
from kbroker.handlers.cold import TRIES_MAX, Cold, answered_warm, built_late, once_warm
from kbroker.handlers.context import RequestContext
from kbroker.handlers.delayed import when_progressed
from kbroker.handlers.gathering import Gathering
from kbroker.handlers.hosted import find_by_id, find_by_name
from kbroker.handlers.message_sets import (
    CONVERTED_BYTES_MAX,
    RECORD_BATCHES_SINCE,
    in_message_sets,
    in_message_sets_later,
)
from kbroker.handlers.registry import handles
from kbroker.handlers.repeated_fetch import RepeatedFetch
from kbroker.log.outcome import Refused
from kbroker.log.txn_index import AbortedTransaction
from kbroker.names import READ_COMMITTED
from kbroker.replica.partition import Partition
from kbroker.session import FINAL_EPOCH, FetchedPartition, FetchPlan, Key, SomeOfTopic, named_partitions
from kbroker.turns import WAKING_UNITS, Pace, Turns, pieces
from kbroker.world import ColdRead, FileSlice
from protocol_specs.api.k01_fetch import FetchRequest, FetchResponse
from protocol_specs.errors import ErrorCode

TopicAnswer = FetchResponse.FetchableTopicResponse
PartitionAnswer = FetchResponse.PartitionData
Aborted = FetchResponse.AbortedTransaction
Leader = FetchResponse.LeaderIdAndEpoch
EndOfEpoch = FetchResponse.EpochEndOffset

TOPIC_ID_SINCE: Final = 13
REPLICA_STATE_SINCE: Final = 15
CURRENT_LEADER_SINCE: Final = 16
STORAGE_ERROR_SINCE: Final = 6
ONE_BATCH_SINCE: Final = 3
"""From here on the first batch comes whole, whatever its size; to older clients a limit is a limit (KIP-74)."""
CONSUMER: Final = -1
DEBUG_CONSUMER: Final = -2
NO_RECORDS: Final = b""

FEW: Final = 16
"""As many partitions are read in one turn, some 10 us each; waking the logs of them all takes some milliseconds."""

READ_UNITS: Final = 3
"""What reading a partition costs in turns; see Pace."""

UNHURRIED: Final = (ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID)
"""Answers that do not end a wait: a client that follows a deleted topic among others would spin."""


@dataclass(slots=True)
class Reading:
    """What one pass over the plan found, in at most `bytes_max`; slices in it are leased until sent or released."""

    bytes_max: int
    answers: list[tuple[Key, FetchedPartition, Any]] = field(default_factory=list)
    waited_for: dict[Partition, FetchedPartition] = field(default_factory=dict)
    """Partitions that may give more later, each with what is wanted of it."""
    record_bytes: int = 0
    has_news: bool = False
    cold: Cold = field(default_factory=Cold)
    """What has to come into memory before anything can be answered."""

    def release(self) -> None:
        """Give the leases back: nothing of this is sent. Harmless twice."""
        for _, _, answer in self.answers:
            if isinstance(answer.records, FileSlice):
                answer.records.release()
                answer.records = NO_RECORDS


def _learn(ctx: RequestContext, request: Any) -> RepeatedFetch | None:
    """What is known of requests like this one, should they come again; only where they are of the plainest kind."""
    if ctx.api_version < RECORD_BATCHES_SINCE or _replica(ctx, request) != CONSUMER:
        return None
    if request.session_id or request.session_epoch != FINAL_EPOCH:
        return None
    if len(request.topics) != 1 or len(request.topics[0].partitions) != 1:
        return None
    topic = request.topics[0]
    wanted = topic.partitions[0]
    partition, _ = _find(ctx, topic, wanted.partition)
    return RepeatedFetch(ctx, request, partition) if partition is not None and wanted.last_fetched_epoch < 0 else None


@handles(FetchRequest, FetchResponse, serves="0-18", learn=_learn)
def fetch(ctx: RequestContext, request: Any) -> Answer:
    """Answer from what is written now, or wait for min_bytes."""
    if ctx.is_long and ctx.api_version >= RECORD_BATCHES_SINCE:
        return _long_fetch(ctx, request)
    plan = ctx.node.sessions.plan(
        request, uses_topic_ids=ctx.api_version >= TOPIC_ID_SINCE, now_ms=ctx.node.clock.monotonic_ms()
    )
    if isinstance(plan, ErrorCode):
        ctx.note(f"fetch session {request.session_id}, epoch {request.session_epoch}: {plan.name}")
        return FetchResponse(error_code=plan)
    if len(plan.partitions) > FEW and ctx.api_version >= RECORD_BATCHES_SINCE:
        return _try_in_turns(ctx, request, plan)
    reading = _read(ctx, request, plan)
    if reading.cold:
        reading.release()
        return answered_warm(partial(_try, ctx, request, plan))
    gathering = _lacking(ctx, request, reading)
    if gathering is not None:
        return _wait(ctx, request, plan, reading, gathering)
    respond = partial(_answer, ctx, plan, reading)
    return in_message_sets(ctx, reading, respond) if ctx.api_version < RECORD_BATCHES_SINCE else respond()


def _lacking(ctx: RequestContext, request: Any, reading: Reading) -> Gathering | None:
    """What must come before this is answered; None: it is to be answered as it is, now."""
    if _is_enough(request, reading):
        return None
    gathering = Gathering(reading.waited_for, _Reader(ctx, request, may_wait=True).end, request.min_bytes)
    return None if gathering.is_complete else gathering


def _is_enough(request: Any, reading: Reading) -> bool:
    """Is it to be answered as it is, or is there nothing to wait for?"""
    if request.max_wait_ms <= 0 or not reading.waited_for:
        return True
    is_enough: bool = reading.has_news or reading.record_bytes >= request.min_bytes
    return is_enough


def _try(ctx: RequestContext, request: Any, plan: FetchPlan, may_wait: bool) -> Answer | Cold:
    """A try that may come too late for its connection: what it leases is read again when the answer is sent."""
    reading = _read(ctx, request, plan, may_wait=may_wait)
    if reading.cold:
        reading.release()
        return reading.cold
    gathering = _lacking(ctx, request, reading)
    if gathering is not None:
        return _wait(ctx, request, plan, reading, gathering)
    if ctx.api_version < RECORD_BATCHES_SINCE:
        return in_message_sets(ctx, reading, partial(_answer, ctx, plan, reading))
    reading.release()
    return built_late(lambda: _answer(ctx, plan, _read(ctx, request, plan, may_wait=True)))


def _wait(ctx: RequestContext, request: Any, plan: FetchPlan, reading: Reading, gathering: Gathering) -> Pending:
    """Until there is enough, or `max_wait_ms` are over."""
    is_old = ctx.api_version < RECORD_BATCHES_SINCE
    reading.release()
    # What came meanwhile is in memory, and what was there was looked at.
    read_again = partial(_read, ctx, request, plan, may_wait=True)
    waiting = when_progressed(
        ctx.node.clock,
        gathering.partitions,
        ctx.received_ms + request.max_wait_ms,
        gathering.is_enough,
        read_again if is_old else lambda: _answer(ctx, plan, read_again()),
        may_hurry=True,
    )
    return in_message_sets_later(ctx, waiting, partial(_answer, ctx, plan)) if is_old else waiting


def _read(ctx: RequestContext, request: Any, plan: FetchPlan, *, may_wait: bool = False) -> Reading:
    """One pass over the partitions in order, within the byte limits; the first batch found is given whole.

    Unless it `may_wait` for the medium, what it lacks is in `cold`, and what it found is good for nothing then.
    """
    reading = Reading(_bytes_max(ctx, request))
    _read_each(_Reader(ctx, request, may_wait=may_wait), reading, plan.partitions.items())
    return reading


def _read_each(reader: _Reader, reading: Reading, wished: Iterable[tuple[Key, FetchedPartition]]) -> None:
    """Read these, too."""
    for key, wanted in wished:
        bytes_max = min(reading.bytes_max - reading.record_bytes, wanted.max_bytes)
        try:
            answer, partition = reader.read(wanted, bytes_max, reader.may_exceed and reading.record_bytes == 0)
        except ColdRead as cold:
            reading.cold.append(cold)
            continue
        reading.answers.append((key, wanted, answer))
        reading.record_bytes += len(answer.records)
        if _is_news(answer):
            reading.has_news = True
        if partition is not None:
            reading.waited_for[partition] = wanted


def _bytes_max(ctx: RequestContext, request: Any) -> int:
    bytes_max = min(int(request.max_bytes), int(ctx.node.config["fetch.max.bytes"]))
    return bytes_max if ctx.api_version >= RECORD_BATCHES_SINCE else min(bytes_max, CONVERTED_BYTES_MAX)


def _is_news(answer: Any) -> bool:
    """Must the client hear of it now?"""
    return answer.error_code not in UNHURRIED or answer.diverging_epoch.epoch >= 0


def _answer(ctx: RequestContext, plan: FetchPlan, reading: Reading) -> Any:
    """Gather by topic; an incremental answer leaves out what the client knows already."""
    topics: dict[Any, Any] = {}
    gave_records: list[Key] = []
    _gather(plan, reading.answers, topics, gave_records)
    if plan.session is not None:
        plan.session.serve_last(gave_records)
    return FetchResponse(session_id=plan.session_id, responses=list(topics.values()))


def _gather(
    plan: FetchPlan,
    answers: Iterable[tuple[Key, FetchedPartition, Any]],
    topics: dict[Any, Any],
    gave_records: list[Key],
) -> None:
    """Add them to the answer's topics."""
    for key, wanted, answer in answers:
        size = len(answer.records)
        if plan.session is not None and not _is_told(plan, wanted, answer, size):
            continue
        if size:
            gave_records.append(key)
        topic = topics.get(key[0])
        if topic is None:
            topic = topics[key[0]] = TopicAnswer(topic=wanted.topic, topic_id=wanted.topic_id, partitions=[])
        topic.partitions.append(answer)


def _is_told(plan: FetchPlan, wanted: FetchedPartition, answer: Any, size: int) -> bool:
    diverges = answer.diverging_epoch.epoch >= 0
    news = wanted.has_news(answer.error_code, answer.high_watermark, answer.log_start_offset, size, diverges=diverges)
    return news or not plan.is_incremental


def _long_fetch(ctx: RequestContext, request: Any) -> Turns[Answer]:
    """A request that names so many partitions that planning it takes turns."""
    uses_topic_ids = ctx.api_version >= TOPIC_ID_SINCE
    named: dict[Key, FetchedPartition] = {}
    pace = Pace()
    for topic in request.topics:
        for several in pieces(topic.partitions):
            some = SomeOfTopic(topic.topic, topic.topic_id, several)
            named.update(named_partitions((some,), uses_topic_ids=uses_topic_ids))
            if pace.is_over(len(several)):
                yield
        if pace.is_over(1):
            yield
    now_ms = ctx.node.clock.monotonic_ms()
    plan = ctx.node.sessions.plan(request, uses_topic_ids=uses_topic_ids, now_ms=now_ms, named=named)
    if isinstance(plan, ErrorCode):
        ctx.note(f"fetch session {request.session_id}, epoch {request.session_epoch}: {plan.name}")
        return FetchResponse(error_code=plan)
    return (yield from _try_in_turns(ctx, request, plan))


def _try_in_turns(ctx: RequestContext, request: Any, plan: FetchPlan, tries: int = 0) -> Turns[Answer]:
    """Many partitions: each as it is when its turn comes."""
    reading = yield from _read_in_turns(ctx, request, plan, may_wait=tries >= TRIES_MAX)
    if reading.cold:
        reading.release()

        def again(has_failed: bool) -> Turns[Answer]:
            return _try_in_turns(ctx, request, plan, TRIES_MAX if has_failed else tries + 1)

        return once_warm(reading.cold, again)
    if _is_enough(request, reading):
        return (yield from _answer_in_turns(plan, reading))
    reading.release()
    return (yield from _wait_in_turns(ctx, request, plan, reading.waited_for))


def _read_in_turns(ctx: RequestContext, request: Any, plan: FetchPlan, *, may_wait: bool) -> Turns[Reading]:
    reader, pace = _Reader(ctx, request, may_wait=may_wait), Pace()
    reading = Reading(_bytes_max(ctx, request))
    is_whole = False
    try:
        for each in plan.partitions.items():
            partition, _ = _find(ctx, each[1], each[1].partition)
            if pace.is_over(WAKING_UNITS if partition is not None and partition.log.is_asleep else READ_UNITS):
                yield
            _read_each(reader, reading, (each,))
        is_whole = True
        return reading
    finally:
        if not is_whole:
            reading.release()


def _answer_in_turns(plan: FetchPlan, reading: Reading) -> Turns[Long]:
    topics: dict[Any, Any] = {}
    gave_records: list[Key] = []
    pace, is_made = Pace(), False
    try:
        for several in pieces(reading.answers):
            _gather(plan, several, topics, gave_records)
            if pace.is_over(len(several)):
                yield
        if plan.session is not None:
            plan.session.serve_last(gave_records)
        is_made = True
        response = FetchResponse(session_id=plan.session_id, responses=list(topics.values()))
        return Long(response, reading.release)
    finally:
        if not is_made:
            reading.release()


def _wait_in_turns(
    ctx: RequestContext, request: Any, plan: FetchPlan, waited_for: dict[Partition, FetchedPartition]
) -> Turns[Pending]:
    """As _wait. All are watched before the first is looked at again: something may come in any turn."""
    gathering = Gathering({}, _Reader(ctx, request, may_wait=True).end, request.min_bytes)

    def read_again() -> Turns[Answer]:
        reading = yield from _read_in_turns(ctx, request, plan, may_wait=True)
        return (yield from _answer_in_turns(plan, reading))

    waiting = when_progressed(
        ctx.node.clock,
        waited_for,
        ctx.received_ms + request.max_wait_ms,
        lambda partition: partition in gathering and gathering.is_enough(partition),
        read_again,
        may_hurry=True,
    )
    assert waiting.hurry is not None
    pace, is_left = Pace(), False
    try:
        for partition, wanted in waited_for.items():
            if not waiting.is_settled and gathering.add(partition, wanted):
                waiting.hurry()
            if waiting.is_settled:
                break
            if pace.is_over(1):
                yield
        is_left = True
        return waiting
    finally:
        if not is_left:
            waiting.abandon()


def _replica(ctx: RequestContext, request: Any) -> int:
    """Who asks: a node, CONSUMER or DEBUG_CONSUMER."""
    replica: int = request.replica_state.replica_id if ctx.api_version >= REPLICA_STATE_SINCE else request.replica_id
    return replica


def _find(ctx: RequestContext, named: Any, index: int) -> tuple[Partition | None, ErrorCode]:
    """The partition of a topic that is `named` as this version names it, or None and why it is not here."""
    if ctx.api_version >= TOPIC_ID_SINCE:
        return find_by_id(ctx.node, named.topic_id, index)
    return find_by_name(ctx.node, named.topic, index)


class _Reader:
    """How this request reads partitions: who asks, and up to where it may see."""

    __slots__ = ("_ctx", "_is_committed", "_may_wait", "_replica", "_version", "may_exceed")

    def __init__(self, ctx: RequestContext, request: Any, *, may_wait: bool) -> None:
        self._ctx = ctx
        self._may_wait = may_wait
        self._version = ctx.api_version
        self.may_exceed = ctx.api_version >= ONE_BATCH_SINCE
        self._is_committed = request.isolation_level == READ_COMMITTED
        self._replica = _replica(ctx, request)

    def end(self, partition: Partition) -> int:
        """The offset before which this reader may see records."""
        if self._replica != CONSUMER:
            return partition.log.written_end
        return partition.last_stable_offset if self._is_committed else partition.high_watermark

    def read(self, wanted: FetchedPartition, bytes_max: int, at_least_one: bool) -> tuple[Any, Partition | None]:
        """The partition's answer, and the partition if it may give more later. Raises ColdRead, unless it may wait."""
        partition, error = self._find(wanted)
        if partition is None or error:
            return self._refused(wanted, error, partition), None
        diverging = self._divergence(partition, wanted)
        if isinstance(diverging, ErrorCode):
            return self._refused(wanted, diverging, partition), None
        if diverging is not None:
            return self._filled(partition, NO_RECORDS, [], diverging), None
        look = partial(self._look, partition, wanted.fetch_offset, max(0, bytes_max), at_least_one)
        read = look() if self._may_wait else partition.log.without_waiting(look)
        if not isinstance(read, Refused):
            return self._filled(partition, *read, None), partition
        self._ctx.note(f"{partition}: {read.error.name}: {read.reason}")
        return self._refused(wanted, read.error, partition), None

    def _look(
        self, partition: Partition, offset: int, bytes_max: int, at_least_one: bool
    ) -> tuple[FileSlice | bytes, list[AbortedTransaction]] | Refused:
        """Records, and the aborted transactions among them for whoever is to skip those."""
        log = partition.log
        read = log.read(offset, bytes_max, self.end(partition), at_least_one=at_least_one)
        if isinstance(read, Refused) or not self._is_committed:
            return read if isinstance(read, Refused) else (read.records, [])
        aborted: list[AbortedTransaction] | Refused | None = None
        try:
            aborted = log.aborted_in(read, offset)
        finally:
            if not isinstance(aborted, list) and isinstance(read.records, FileSlice):
                read.records.release()
        return aborted if isinstance(aborted, Refused) else (read.records, aborted)

    def _find(self, wanted: FetchedPartition) -> tuple[Partition | None, ErrorCode]:
        """The partition, fenced: by its leader's epoch, by who asks."""
        partition, error = _find(self._ctx, wanted, wanted.partition)
        if partition is None:
            return None, error
        error = partition.fence(wanted.current_leader_epoch)
        if not error and not partition.is_leader and self._replica != DEBUG_CONSUMER:
            error = ErrorCode.NOT_LEADER_OR_FOLLOWER
        if not error and self._replica >= 0:
            # A replica that the partition is not assigned to: nobody replicates from this broker.
            known_epoch = wanted.current_leader_epoch >= 0
            error = ErrorCode.UNKNOWN_LEADER_EPOCH if known_epoch else ErrorCode.NOT_LEADER_OR_FOLLOWER
        return partition, error

    def _divergence(self, partition: Partition, wanted: FetchedPartition) -> Any:
        """Where the reader's log parts from ours, if it does (KIP-595); OFFSET_OUT_OF_RANGE for an epoch of no log."""
        if wanted.last_fetched_epoch < 0:
            return None
        epoch, end = partition.log.end_offset_for_epoch(wanted.last_fetched_epoch)
        if epoch < 0:
            return ErrorCode.OFFSET_OUT_OF_RANGE
        if epoch < wanted.last_fetched_epoch or end < wanted.fetch_offset:
            return EndOfEpoch(epoch=epoch, end_offset=end)
        return None

    def _filled(self, partition: Partition, records: Any, aborted: Iterable[AbortedTransaction], diverging: Any) -> Any:
        answer = PartitionAnswer(
            partition_index=partition.index,
            high_watermark=partition.high_watermark,
            last_stable_offset=partition.last_stable_offset,
            log_start_offset=partition.log.log_start,
            aborted_transactions=[
                Aborted(producer_id=entry.producer_id, first_offset=entry.first_offset) for entry in aborted
            ]
            if self._is_committed
            else None,
            records=records,
        )
        if diverging is not None:
            answer.diverging_epoch = diverging
        return answer

    def _refused(self, wanted: FetchedPartition, error: ErrorCode, partition: Partition | None) -> Any:
        if error == ErrorCode.KAFKA_STORAGE_ERROR and self._version < STORAGE_ERROR_SINCE:
            error = ErrorCode.NOT_LEADER_OR_FOLLOWER
        answer = PartitionAnswer(
            partition_index=wanted.partition,
            error_code=error,
            high_watermark=-1,
            aborted_transactions=[] if partition is None else None,
            records=NO_RECORDS,
        )
        tells_leader = error in (ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.FENCED_LEADER_EPOCH)
        if partition is not None and tells_leader and self._version >= CURRENT_LEADER_SINCE:
            answer.current_leader = Leader(leader_id=partition.leader, leader_epoch=partition.leader_epoch)
        return answer
