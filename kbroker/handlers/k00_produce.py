"""Produce: append record batches, and answer once what `acks` promises holds.

    acks  0 nobody waits; a refusal closes the connection, the only way to tell such a producer
          1 written by the leader
         -1 written by every in-sync replica, or REQUEST_TIMED_OUT after timeout_ms
    With kbroker.produce.sync, and for the append that fills flush.messages, 1 and -1 wait for the leader's fsync too.

Versions: 0-2 bring message sets of old, which become record batches here; up to 12 name topics, 13 names topic ids
(KIP-516); from 8 refused records are named (KIP-467). Bodies of record batches are not opened here.
Kafka: KafkaApis.handleProduceRequest, ReplicaManager.appendRecords (those of 3.9 for 0-2, which 4.0 dropped).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from kbroker.handlers.answer import CLOSE, Answer, Long
from kbroker.handlers.context import RequestContext
from kbroker.handlers.delayed import when_over
from kbroker.handlers.hosted import find_by_id, find_by_name
from kbroker.handlers.produce_outcome import Outcome, conclude
from kbroker.handlers.registry import handles
from kbroker.handlers.repeated_produce import RepeatedProduce
from kbroker.log.outcome import Appended, Refused
from kbroker.log.up_conversion import convert_up, is_message_set, is_small
from kbroker.log.validation import read_client_header
from kbroker.names import INTERNAL_TOPICS
from kbroker.replica.partition import Partition
from kbroker.replica.preparing import Conversion, Deferred
from kbroker.turns import WAKING_UNITS, Pace, Turns, pieces
from protocol_specs.api.k00_produce import ProduceRequest, ProduceResponse
from protocol_specs.errors import ErrorCode

TopicAnswer = ProduceResponse.TopicProduceResponse
PartitionAnswer = ProduceResponse.PartitionProduceResponse

TOPIC_ID_SINCE: Final = 13
ZSTD_SINCE: Final = 7
RECORD_BATCHES_SINCE: Final = 3
REPEATED_SINCE: Final = 7
"""From here on the codec of a batch decides nothing, so that only the partition has to look at it."""
FEW: Final = 16
"""So many batches are appended in one turn, some 50 us each; waking the logs of them all takes some milliseconds."""

APPEND_UNITS: Final = 10
"""What appending a batch costs in turns; see Pace."""

ADMIN_CLIENT: Final = "__admin_client"
"""The one client id that Kafka lets write to internal topics."""

_ATTRIBUTES_LOW_BYTE: Final = 22
"""Where the codec stands in a batch header."""
_ZSTD: Final = 4


def _learn(ctx: RequestContext, request: Any) -> RepeatedProduce | None:
    """What is known of requests like this one, should they come again; only where they are of the plainest kind."""
    if ctx.api_version < REPEATED_SINCE or request.acks not in (-1, 1) or request.transactional_id is not None:
        return None
    if len(request.topic_data) != 1 or len(request.topic_data[0].partition_data) != 1:
        return None
    topic = request.topic_data[0]
    partition, _ = _find(ctx, topic, topic.partition_data[0].index)
    if partition is None or partition.topic in INTERNAL_TOPICS:
        return None
    return RepeatedProduce(ctx, request, partition)


@handles(ProduceRequest, ProduceResponse, serves="0-13", learn=_learn, is_pipelined=True, is_carried_out=True)
def produce(ctx: RequestContext, request: Any) -> Answer:
    """Append each batch in the order of the request; see the module for what is waited for."""
    count = 0
    for topic in request.topic_data:
        count += len(topic.partition_data)
    if count > FEW:
        return _append_in_turns(ctx, request)
    acks = request.acks
    outcomes: list[Outcome] = []
    topics = [
        TopicAnswer(
            name=topic.name, topic_id=topic.topic_id, partition_responses=list(_append(ctx, request, topic, outcomes))
        )
        for topic in request.topic_data
    ]

    def answer() -> Any:
        for outcome in outcomes:
            conclude(outcome)
        if acks == 0:
            return CLOSE if any(outcome.answer.error_code for outcome in outcomes) else None
        return ProduceResponse(responses=topics)

    waiting = [outcome for outcome in outcomes if not outcome.is_over()]
    if not waiting:
        return answer()
    deadline_ms = ctx.received_ms + max(0, request.timeout_ms) if acks == -1 else None
    return when_over(ctx.node.clock, waiting, deadline_ms, answer)


def _append_in_turns(ctx: RequestContext, request: Any) -> Turns[Answer]:
    outcomes: list[Outcome] = []
    waiting: list[Outcome] = []
    topics, pace = [], Pace()
    for topic in request.topic_data:
        answers: list[Any] = []
        topics.append(TopicAnswer(name=topic.name, topic_id=topic.topic_id, partition_responses=answers))
        for wanted in topic.partition_data:
            partition, _ = _find(ctx, topic, wanted.index)
            if pace.is_over(WAKING_UNITS if partition is not None and partition.log.is_asleep else APPEND_UNITS):
                yield
            outcome = _append_one(ctx, request, topic, wanted)
            outcomes.append(outcome)
            answers.append(outcome.answer)
            if not outcome.is_over():
                waiting.append(outcome)
        if pace.is_over(1):
            yield

    def answer() -> Turns[Answer]:
        return _answer_in_turns(request.acks, outcomes, topics)

    if not waiting:
        return answer()
    deadline_ms = ctx.received_ms + max(0, request.timeout_ms) if request.acks == -1 else None
    return when_over(ctx.node.clock, waiting, deadline_ms, answer)


def _answer_in_turns(acks: int, outcomes: list[Outcome], topics: list[Any]) -> Turns[Answer]:
    pace, has_error = Pace(), False
    for several in pieces(outcomes):
        for outcome in several:
            conclude(outcome)
            has_error = has_error or bool(outcome.answer.error_code)
        if pace.is_over(len(several)):
            yield
    if acks == 0:
        return CLOSE if has_error else None
    return Long(ProduceResponse(responses=topics))


def _append(ctx: RequestContext, request: Any, topic: Any, outcomes: list[Outcome]) -> Iterator[Any]:
    for wanted in topic.partition_data:
        outcome = _append_one(ctx, request, topic, wanted)
        outcomes.append(outcome)
        yield outcome.answer


def _append_one(ctx: RequestContext, request: Any, topic: Any, wanted: Any) -> Outcome:
    """Check and append one batch."""
    partition, error = _find(ctx, topic, wanted.index)
    records = wanted.records
    if records is None:
        records = memoryview(b"")
    error = error or _refusal(ctx, request, partition, records)
    if partition is None or error:
        ctx.note(f"{topic.name or topic.topic_id.hex()}-{wanted.index}: {error.name}")
        return Outcome(ctx, request.acks, PartitionAnswer(index=wanted.index, error_code=error, base_offset=-1))
    outcome = Outcome(ctx, request.acks, PartitionAnswer(index=wanted.index, base_offset=-1), partition)
    if ctx.api_version < RECORD_BATCHES_SINCE and is_message_set(records):
        outcome.take(_append_message_set(partition, records, request.acks))
    else:
        result = partition.append_from_client(records, request.acks)
        outcome.take(result)
        if isinstance(result, Refused) and isinstance(read_client_header(records), Refused):
            # Kafka sees what is no record batch at all in the request, before it looks for a log.
            outcome.answer.log_start_offset = -1
    return outcome


def _append_message_set(partition: Partition, messages: memoryview, acks: int) -> Appended | Refused | Deferred | None:
    """Convert and append; a message set of 1,000 messages takes 5 ms, so only small ones are converted here and now.

    None for no message at all, which is no error in the versions of message sets.
    """
    convert = partial(convert_up, messages, partition.log.settings)
    if not is_small(messages):
        return partition.append_from_client(messages, acks, conversion=Conversion(convert))
    batch = convert()
    return partition.append_from_client(batch, acks) if isinstance(batch, memoryview) else batch


def _find(ctx: RequestContext, topic: Any, index: int) -> tuple[Partition | None, ErrorCode]:
    if ctx.api_version >= TOPIC_ID_SINCE:
        return find_by_id(ctx.node, topic.topic_id, index)
    return find_by_name(ctx.node, topic.name, index)


def _refusal(ctx: RequestContext, request: Any, partition: Partition | None, records: memoryview) -> ErrorCode:
    """What the request itself gets wrong, before the log looks at the batch."""
    if request.acks not in (-1, 0, 1):
        return ErrorCode.INVALID_REQUIRED_ACKS
    if request.transactional_id is not None:
        # Transactions are not served; InitProducerId refuses the same id in the same way.
        return ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    if partition is not None and partition.topic in INTERNAL_TOPICS and ctx.client_id != ADMIN_CLIENT:
        return ErrorCode.INVALID_TOPIC_EXCEPTION
    if (
        RECORD_BATCHES_SINCE <= ctx.api_version < ZSTD_SINCE
        and len(records) > _ATTRIBUTES_LOW_BYTE
        and records[_ATTRIBUTES_LOW_BYTE] & 7 == _ZSTD
    ):
        return ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
    return ErrorCode.NONE
