"""DeleteRecords: move the start of partitions forward; what lies before is gone for every reader (KIP-107).

The answer tells the low watermark: the lowest start of any live replica, which is the leader's own while nobody
replicates from it. Whole segments below it go at once; Kafka leaves them to the next retention check. A start that was
moved is checkpointed every log.flush.start.offset.checkpoint.interval.ms, so a crash before that may bring records back
from the segment that the start lies in, as in Kafka. Versions 0-2 differ in their form alone.
Kafka: KafkaApis.handleDeleteRecordsRequest, ReplicaManager.deleteRecords, Partition.deleteRecordsOnLeader.
"""

from __future__ import annotations

from typing import Any, Final

from kbroker.handlers.answer import Long
from kbroker.handlers.context import RequestContext
from kbroker.handlers.hosted import find_by_name
from kbroker.handlers.registry import handles
from kbroker.log.outcome import Refused
from kbroker.names import INTERNAL_TOPICS
from kbroker.turns import WAKING_UNITS, Pace, Turns, pieces
from protocol_specs.api.k21_delete_records import DeleteRecordsRequest, DeleteRecordsResponse
from protocol_specs.errors import ErrorCode

TopicAnswer = DeleteRecordsResponse.DeleteRecordsTopicResult
PartitionAnswer = DeleteRecordsResponse.DeleteRecordsPartitionResult

NO_LOW_WATERMARK: Final = -1

DELETION_UNITS: Final = 3
"""What one costs where the log is awake; see Pace."""


@handles(DeleteRecordsRequest, DeleteRecordsResponse, serves="0-2", is_carried_out=True)
def delete_records(ctx: RequestContext, request: Any) -> Turns[Long]:
    """Move every start and answer, topics with partitions alone.

    A partition that is named twice is answered once; its last offset counts.
    """
    pace = Pace()
    wanted = yield from _wanted(request, pace)
    topics = []
    for topic, offsets in wanted.items():
        answer = TopicAnswer(name=topic, partitions=[])
        topics.append(answer)
        for index, offset in offsets.items():
            partition = ctx.node.partitions.find(topic, index)
            if pace.is_over(WAKING_UNITS if partition is not None and partition.log.is_asleep else DELETION_UNITS):
                yield
            answer.partitions.append(_one(ctx, topic, index, offset))
    return Long(DeleteRecordsResponse(topics=topics))


def _wanted(request: Any, pace: Pace) -> Turns[dict[str, dict[int, int]]]:
    """By topic and partition."""
    wanted: dict[str, dict[int, int]] = {}
    for topic in request.topics:
        for several in pieces(topic.partitions):
            wanted.setdefault(topic.name, {}).update((each.partition_index, each.offset) for each in several)
            if pace.is_over(len(several)):
                yield
        if pace.is_over(1):
            yield
    return wanted


def _one(ctx: RequestContext, topic: str, index: int, offset: int) -> Any:
    partition, absent = find_by_name(ctx.node, topic, index)
    if absent != ErrorCode.UNKNOWN_TOPIC_OR_PARTITION and topic in INTERNAL_TOPICS:
        result: int | Refused = Refused(ErrorCode.INVALID_TOPIC_EXCEPTION, "an internal topic keeps its records")
    elif partition is None:
        result = Refused(absent, "not hosted here")
    else:
        result = partition.delete_records_before(offset)
    if isinstance(result, Refused):
        ctx.note(f"{topic}-{index}: {result.error.name}: {result.reason}")
        return PartitionAnswer(partition_index=index, low_watermark=NO_LOW_WATERMARK, error_code=result.error)
    return PartitionAnswer(partition_index=index, low_watermark=result)
