"""OffsetCommit: a group's offsets are written to `__consumer_offsets`.

v1 dates its offsets (0 went to ZooKeeper); v2-4 carry a retention time; v5 drops it (KIP-211); v6 adds leader epochs
(KIP-320); v7 static members; v9 says GROUP_ID_NOT_FOUND for an unknown group with a generation (KIP-848); v10 names
topics by id (KIP-516).
Partitions that don't exist are refused one by one. Kafka: KafkaApis.handleOffsetCommitRequest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from kbroker.group.events import Commit, OffsetToCommit
from kbroker.handlers.answer import Answer, Long, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from kbroker.turns import Pace, Turns, pieces
from protocol_specs.api.k08_offset_commit import OffsetCommitRequest, OffsetCommitResponse
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from kbroker.metadata.image import TopicImage

UNKNOWN_GROUP_SINCE: Final = 9
TOPIC_ID_SINCE: Final = 10

TopicAnswer = OffsetCommitResponse.OffsetCommitResponseTopic
PartitionAnswer = OffsetCommitResponse.OffsetCommitResponsePartition


@handles(OffsetCommitRequest, OffsetCommitResponse, serves="1-10", is_pipelined=True, is_carried_out=True)
def offset_commit(ctx: RequestContext, request: Any) -> Answer:
    """Commit what names an existing partition; answered when it is durable."""
    if ctx.is_long:
        return _long_commit(ctx, request)
    offsets: list[OffsetToCommit] = []
    waiting: list[Any] = []
    topics = [_sort(ctx, topic, topic.partitions, offsets, waiting) for topic in request.topics]
    response = OffsetCommitResponse(topics=topics)
    return _committed(ctx, request, offsets, waiting, response) if offsets else response


def _long_commit(ctx: RequestContext, request: Any) -> Turns[Answer]:
    """So many partitions that sorting them takes turns; what is gone when they are over is refused, too."""
    offsets: list[OffsetToCommit] = []
    waiting: list[Any] = []
    topics, pace = [], Pace()
    topic_ids: set[bytes] = set()
    image = ctx.node.image
    for topic in request.topics:
        whole = TopicAnswer(name=topic.name, topic_id=topic.topic_id, partitions=[])
        topics.append(whole)
        for several in pieces(topic.partitions):
            whole.partitions += _sort(ctx, topic, several, offsets, waiting).partitions
            if offsets:
                topic_ids.add(offsets[-1].topic_id)
            if pace.is_over(len(several)):
                yield
        if pace.is_over(1):
            yield
    if ctx.node.image is not image:
        _refuse_gone(ctx, topic_ids, offsets, waiting)
    response = Long(OffsetCommitResponse(topics=topics))
    return _committed(ctx, request, offsets, waiting, response) if offsets else response


def _refuse_gone(ctx: RequestContext, topic_ids: set[bytes], offsets: list[OffsetToCommit], waiting: list[Any]) -> None:
    """Take those out whose topic was deleted since they were sorted: nobody would delete their offsets any more."""
    topics = ctx.node.image.topics
    gone = {topic_id for topic_id in topic_ids if topics.get_by_id(topic_id) is None}
    if not gone:
        return
    by_id = ctx.api_version >= TOPIC_ID_SINCE
    error = ErrorCode.UNKNOWN_TOPIC_ID if by_id else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    kept = []
    for offset, answer in zip(offsets, waiting, strict=True):
        if offset.topic_id in gone:
            answer.error_code = error
        else:
            kept.append((offset, answer))
    offsets[:] = [offset for offset, _ in kept]
    waiting[:] = [answer for _, answer in kept]


def _committed(
    ctx: RequestContext, request: Any, offsets: list[OffsetToCommit], waiting: list[Any], response: Answer
) -> Pending:
    """The `response` once its `waiting` answers have their errors."""
    pending = Pending()

    def answer(errors: list[ErrorCode]) -> None:
        for partition, error in zip(waiting, errors, strict=True):
            partition.error_code = error
        pending.settle(response)

    ctx.node.groups.commit(_commit(ctx, request, offsets), answer)
    return pending


def _commit(ctx: RequestContext, request: Any, offsets: list[OffsetToCommit]) -> Commit:
    return Commit(
        request.group_id,
        request.member_id,
        request.group_instance_id,
        request.generation_id_or_member_epoch,
        offsets,
        request.retention_time_ms,
        ctx.api_version >= UNKNOWN_GROUP_SINCE,
    )


def _sort(
    ctx: RequestContext, topic: Any, partitions: Sequence[Any], offsets: list[OffsetToCommit], waiting: list[Any]
) -> Any:
    """The answer for some of a topic; those of its partitions that go to the coordinator wait for their error."""
    topics = ctx.node.image.topics
    by_id = ctx.api_version >= TOPIC_ID_SINCE
    known: TopicImage | None = topics.get_by_id(topic.topic_id) if by_id else topics.get(topic.name)
    answers = []
    for wanted in partitions:
        index = wanted.partition_index
        answer = PartitionAnswer(partition_index=index)
        answers.append(answer)
        if known is None:
            answer.error_code = ErrorCode.UNKNOWN_TOPIC_ID if by_id else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        elif not 0 <= index < len(known.partitions):
            answer.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        else:
            waiting.append(answer)
            metadata = wanted.committed_metadata or ""
            offset, epoch, date_ms = wanted.committed_offset, wanted.committed_leader_epoch, wanted.commit_timestamp
            offsets.append(OffsetToCommit(known.name, known.topic_id, index, offset, epoch, metadata, date_ms))
    return TopicAnswer(name=topic.name, topic_id=topic.topic_id, partitions=answers)
