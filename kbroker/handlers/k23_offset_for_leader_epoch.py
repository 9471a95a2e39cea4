"""OffsetForLeaderEpoch: where an epoch ends in our log, so that a reader sees whether its records are still there.

Consumers ask when a partition got a new leader epoch, as it does when a broker comes back from a kill (KIP-320).
Kafka: ReplicaManager.lastOffsetForLeaderEpoch, Partition.lastOffsetForLeaderEpoch.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from kbroker.handlers.answer import Answer
from kbroker.handlers.cold import Cold, answered_warm
from kbroker.handlers.context import RequestContext
from kbroker.handlers.hosted import find_by_name
from kbroker.handlers.registry import handles
from kbroker.world import ColdRead
from protocol_specs.api.k23_offset_for_leader_epoch import OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse
from protocol_specs.errors import ErrorCode

TopicAnswer = OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult
PartitionAnswer = OffsetForLeaderEpochResponse.EpochEndOffset


@handles(OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, serves="2-4")
def offset_for_leader_epoch(ctx: RequestContext, request: Any) -> Answer:
    """Answer every partition by itself; an epoch that the log does not know is (-1, -1), not an error."""
    return answered_warm(partial(_try, ctx, request))


def _try(ctx: RequestContext, request: Any, may_wait: bool) -> Answer | Cold:
    cold = Cold()
    answers = []
    for topic in request.topics:
        partitions = []
        for wanted in topic.partitions:
            try:
                partitions.append(_one(ctx, topic.topic, wanted, may_wait))
            except ColdRead as missing:
                cold.append(missing)
        answers.append(TopicAnswer(topic=topic.topic, partitions=partitions))
    return cold or OffsetForLeaderEpochResponse(topics=answers)


def _one(ctx: RequestContext, topic: str, wanted: Any, may_wait: bool) -> Any:
    """Raises ColdRead, unless it may wait."""
    answer = PartitionAnswer(partition=wanted.partition)
    partition, error = find_by_name(ctx.node, topic, wanted.partition)
    if partition is not None:
        error = partition.fence(wanted.current_leader_epoch)
        if not error and not partition.is_leader:
            error = ErrorCode.NOT_LEADER_OR_FOLLOWER
    if partition is None or error:
        ctx.note(f"{topic}-{wanted.partition}: {error.name}")
        answer.error_code = error
        return answer
    log = partition.log
    look = partial(log.end_offset_for_epoch, wanted.leader_epoch)
    epoch, end = look() if may_wait else log.without_waiting(look)
    if log.failure is not None:
        answer.error_code = ErrorCode.KAFKA_STORAGE_ERROR
        return answer
    answer.leader_epoch, answer.end_offset = epoch, end
    return answer
