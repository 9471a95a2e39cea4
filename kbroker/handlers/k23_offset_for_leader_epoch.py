"""OffsetForLeaderEpoch: where an epoch ends in our log, so that a reader sees whether its records are still there.

Consumers ask when a partition got a new leader epoch, as it does when a broker comes back from a kill (KIP-320).
Kafka: ReplicaManager.lastOffsetForLeaderEpoch, Partition.lastOffsetForLeaderEpoch.
"""

from __future__ import annotations

from typing import Any

from kbroker.handlers.answer import Answer
from kbroker.handlers.by_partition import answer_each
from kbroker.handlers.context import RequestContext
from kbroker.handlers.hosted import find_by_name
from kbroker.handlers.registry import handles
from kbroker.turns import WAKING_UNITS, Pace, Turns
from protocol_specs.api.k23_offset_for_leader_epoch import OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse
from protocol_specs.errors import ErrorCode

TopicAnswer = OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult
PartitionAnswer = OffsetForLeaderEpochResponse.EpochEndOffset


@handles(OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, serves="2-4")
def offset_for_leader_epoch(ctx: RequestContext, request: Any) -> Turns[Answer]:
    """Answer every partition by itself; an epoch that the log does not know is (-1, -1), not an error."""
    pace = Pace()
    return (
        yield from answer_each(
            request.topics,
            lambda topic: TopicAnswer(topic=topic.topic, partitions=[]),
            lambda topic, wanted, _: _one(ctx, topic.topic, wanted, pace),
            lambda topics: OffsetForLeaderEpochResponse(topics=topics),
            pace,
        )
    )


def _one(ctx: RequestContext, topic: str, wanted: Any, pace: Pace) -> Any:
    """Nothing of it waits for the medium but waking the log: a log holds its epochs in memory."""
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
    if log.is_asleep:
        pace.spend(WAKING_UNITS)
    epoch, end = log.end_offset_for_epoch(wanted.leader_epoch)
    if log.failure is not None:
        answer.error_code = ErrorCode.KAFKA_STORAGE_ERROR
        return answer
    answer.leader_epoch, answer.end_offset = epoch, end
    return answer
