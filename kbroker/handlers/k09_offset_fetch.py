"""OffsetFetch: what groups have committed.

v1 has errors per partition alone; v2 one for the whole, and null for "all topics"; v5 leader epochs (KIP-320); v7
require_stable (KIP-447); v8 asks for several groups (KIP-709); v9 carries the member's epoch, which classic groups
don't check (KIP-848); v10 names topics by id (KIP-516). Kafka: KafkaApis.handleOffsetFetchRequest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kbroker.group.events import Fetched, FetchedOffset, FetchedTopic, TopicToFetch
from kbroker.handlers.answer import Answer, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from kbroker.names import NO_UUID
from protocol_specs.api.k09_offset_fetch import OffsetFetchRequest, OffsetFetchResponse
from protocol_specs.errors import ErrorCode

WHOLE_ERROR_SINCE: Final = 2
GROUPS_SINCE: Final = 8
TOPIC_ID_SINCE: Final = 10

GroupAnswer = OffsetFetchResponse.OffsetFetchResponseGroup
TopicOfGroup = OffsetFetchResponse.OffsetFetchResponseTopics
PartitionOfGroup = OffsetFetchResponse.OffsetFetchResponsePartitions
TopicAnswer = OffsetFetchResponse.OffsetFetchResponseTopic
PartitionAnswer = OffsetFetchResponse.OffsetFetchResponsePartition


@handles(OffsetFetchRequest, OffsetFetchResponse, serves="1-10")
def offset_fetch(ctx: RequestContext, request: Any) -> Answer:
    """Ask each group's coordinator; answer when all of them have."""
    if ctx.api_version < GROUPS_SINCE:
        return _fetch_one(ctx, request)
    pending = Pending()
    answers = [GroupAnswer(group_id=group.group_id) for group in request.groups]
    open_groups = set(range(len(answers)))
    if not answers:
        return OffsetFetchResponse(groups=[])

    def fill(position: int, wanted: list[TopicToFetch] | None, unknown: list[Any], fetched: Fetched) -> None:
        answers[position].error_code = fetched.error
        if fetched.error is ErrorCode.NONE:
            answers[position].topics = [*_topics_of_group(ctx, wanted, fetched), *unknown]
        open_groups.discard(position)
        if not open_groups:
            pending.settle(OffsetFetchResponse(groups=answers))

    for position, group in enumerate(request.groups):
        wanted, unknown = _wanted(ctx, group.topics)
        ctx.node.groups.fetch_offsets(
            group.group_id,
            wanted,
            lambda fetched, at=position, of=wanted, no=unknown: fill(at, of, no, fetched),
            require_stable=request.require_stable,
        )
    return pending


def _wanted(ctx: RequestContext, topics: list[Any] | None) -> tuple[list[TopicToFetch] | None, list[Any]]:
    """What to ask the coordinator for, and the answers for topics whose id nobody knows."""
    if topics is None:
        return None, []
    wanted, unknown = [], []
    for topic in topics:
        if ctx.api_version < TOPIC_ID_SINCE:
            # What was committed for a deleted topic of the name goes in turns, and this one may be made before.
            named = ctx.node.image.topics.get(topic.name)
            topic_id = NO_UUID if named is None else named.topic_id
            wanted.append(TopicToFetch(topic.name, topic_id, topic.partition_indexes))
            continue
        known = ctx.node.image.topics.get_by_id(topic.topic_id)
        if known is not None:
            wanted.append(TopicToFetch(known.name, topic.topic_id, topic.partition_indexes))
        else:
            refused = [FetchedOffset(index, error=ErrorCode.UNKNOWN_TOPIC_ID) for index in topic.partition_indexes]
            unknown.append(_topic_of_group(FetchedTopic("", topic.topic_id, refused)))
    return wanted, unknown


def _topics_of_group(ctx: RequestContext, wanted: list[TopicToFetch] | None, fetched: Fetched) -> list[Any]:
    """By name or by id; where all are asked for by id, those of topics that are gone are left out."""
    if wanted is not None:
        return [_topic_of_group(topic) for topic in fetched.topics]
    found = [(topic, ctx.node.image.topics.get(topic.topic)) for topic in _of_this_life(ctx, fetched.topics)]
    if ctx.api_version < TOPIC_ID_SINCE:
        return [_topic_of_group(topic) for topic, _ in found]
    return [_topic_of_group(topic._replace(topic_id=known.topic_id)) for topic, known in found if known is not None]


def _of_this_life(ctx: RequestContext, topics: list[FetchedTopic]) -> Iterator[FetchedTopic]:
    """Without offsets that were committed for a deleted topic, where another has its name."""
    for topic in topics:
        known = ctx.node.image.topics.get(topic.topic)
        if known is None:
            yield topic
            continue
        left = [each for each in topic.partitions if each.topic_id in (NO_UUID, known.topic_id)]
        if left:
            yield topic._replace(partitions=left)


def _topic_of_group(topic: FetchedTopic) -> Any:
    return TopicOfGroup(
        name=topic.topic,
        topic_id=topic.topic_id,
        partitions=[_partition(PartitionOfGroup, p) for p in topic.partitions],
    )


def _partition(answer: Any, fetched: FetchedOffset) -> Any:
    return answer(
        partition_index=fetched.partition,
        committed_offset=fetched.offset,
        committed_leader_epoch=fetched.leader_epoch,
        metadata=fetched.metadata,
        error_code=fetched.error,
    )


def _fetch_one(ctx: RequestContext, request: Any) -> Answer:
    pending = Pending()
    wanted, _ = _wanted(ctx, request.topics)

    def answer(fetched: Fetched) -> None:
        topics = fetched.topics if wanted is not None else [*_of_this_life(ctx, fetched.topics)]
        if fetched.error is not ErrorCode.NONE and ctx.api_version < WHOLE_ERROR_SINCE:
            topics = [_all_refused(topic, fetched.error) for topic in wanted or ()]
        pending.settle(
            OffsetFetchResponse(
                error_code=fetched.error,
                topics=[
                    TopicAnswer(name=topic.topic, partitions=[_partition(PartitionAnswer, p) for p in topic.partitions])
                    for topic in topics
                ],
            )
        )

    ctx.node.groups.fetch_offsets(request.group_id, wanted, answer, require_stable=request.require_stable)
    return pending


def _all_refused(topic: TopicToFetch, error: ErrorCode) -> FetchedTopic:
    return FetchedTopic(topic.topic, NO_UUID, [FetchedOffset(index, error=error) for index in topic.partitions])
