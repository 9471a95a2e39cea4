"""Metadata: brokers, and topics with their partitions and leaders; may create the topics that it is asked for.

Versions: 0 takes an empty list for "all", from 1 null does; 4 lets the client forbid creation (KIP-204); 10 and 12 know
topic ids (KIP-516); 13 has an error for the whole. A created topic is ready in the very answer that caused it: Kafka
answers with an error first, which some clients take for final. Kafka: KafkaApis.handleTopicMetadataRequest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kbroker.auth.operations import NOT_ASKED, ON_CLUSTER, ON_TOPIC
from kbroker.controller.auto_topics import create_missing
from kbroker.controller.directories import is_online
from kbroker.controller.topic_names import name_refusal
from kbroker.handlers.answer import Answer, Long, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from kbroker.names import INTERNAL_TOPICS, NO_UUID
from kbroker.turns import Pace, Turns, pieces
from protocol_specs.api.k03_metadata import MetadataRequest, MetadataResponse
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from kbroker.controller.decision import Refused
    from kbroker.metadata.image import MetadataImage, PartitionImage, TopicImage

TopicAnswer = MetadataResponse.MetadataResponseTopic
PartitionAnswer = MetadataResponse.MetadataResponsePartition
BrokerAnswer = MetadataResponse.MetadataResponseBroker

CREATION_CHOICE_SINCE: Final = 4
TOPIC_ID_SINCE: Final = 12
CLUSTER_OPERATIONS_UNTIL: Final = 10


@handles(MetadataRequest, MetadataResponse, serves="0-13")
def metadata(ctx: RequestContext, request: Any) -> Turns[Answer]:
    """Answer from one image; missing topics are created first where broker and client allow it."""
    pace = Pace()
    if ctx.api_version < TOPIC_ID_SINCE and (yield from _is_too_new(request, pace)):
        ctx.note("topic ids or null names before version 12")
        return _all_refused(request, ErrorCode.INVALID_REQUEST)
    image = ctx.node.image
    missing = yield from _to_create(ctx, request, image, pace)
    if not missing:
        return (yield from _answer(ctx, request, image, {}, pace))
    pending = Pending()

    def created(outcomes: dict[str, Refused | None]) -> None:
        turns = _answer(ctx, request, ctx.node.image, outcomes, Pace())
        pending.settle_with(lambda: turns)

    ctx.node.metadata.propose(
        lambda image: create_missing(image, missing, ctx.node.config, ctx.node.entropy),
        created,
        failed=pending.settle_with,
    )
    return pending


def _is_too_new(request: Any, pace: Pace) -> Turns[bool]:
    """Does it name a topic as only later versions may?"""
    for several in pieces(request.topics or ()):
        if any(topic.name is None or topic.topic_id != NO_UUID for topic in several):
            return True
        if pace.is_over(len(several)):
            yield
    return False


def _wants_all(ctx: RequestContext, request: Any) -> bool:
    return request.topics is None or (ctx.api_version == 0 and not request.topics)


def _to_create(ctx: RequestContext, request: Any, image: MetadataImage, pace: Pace) -> Turns[list[str]]:
    """Names that are asked for, missing, and may be created."""
    allowed = ctx.api_version < CREATION_CHOICE_SINCE or request.allow_auto_topic_creation
    if _wants_all(ctx, request) or not allowed:
        return []
    missing: dict[str, None] = {}
    is_any = ctx.node.config["auto.create.topics.enable"]
    for several in pieces(request.topics):
        for name in (topic.name for topic in several):
            if name is not None and image.topics.get(name) is None and (is_any or name in INTERNAL_TOPICS):
                missing[name] = None
        if pace.is_over(len(several)):
            yield
    return list(missing)


def _answer(
    ctx: RequestContext, request: Any, image: MetadataImage, outcomes: dict[str, Refused | None], pace: Pace
) -> Turns[Long]:
    """`outcomes` says of topics that were to be created why they were not."""
    brokers = [_broker(ctx, image, node_id) for node_id in sorted(image.brokers) if not image.brokers[node_id].fenced]
    topics = []
    if _wants_all(ctx, request):
        for topic in image.topics.by_name.values():
            known = yield from _known(request, image, topic, pace)
            topics.append(known)
    else:
        once: set[tuple[str | None, bytes]] = set()
        for asked in request.topics:
            if (asked.name, asked.topic_id) not in once:
                once.add((asked.name, asked.topic_id))
                known = yield from _asked(ctx, request, image, asked, outcomes, pace)
                topics.append(known)
            if pace.is_over(1):
                yield
    version = ctx.api_version
    asks_cluster = version <= CLUSTER_OPERATIONS_UNTIL and request.include_cluster_authorized_operations
    return Long(
        MetadataResponse(
            brokers=brokers,
            cluster_id=ctx.node.cluster_id,
            controller_id=ctx.node.node_id,
            topics=topics,
            cluster_authorized_operations=ON_CLUSTER if asks_cluster else NOT_ASKED,
        )
    )


def _all_refused(request: Any, error: ErrorCode) -> Long:
    return Long(
        MetadataResponse(
            topics=[
                TopicAnswer(error_code=error, name=topic.name or "", topic_id=topic.topic_id)
                for topic in request.topics
            ]
        )
    )


def _broker(ctx: RequestContext, image: MetadataImage, node_id: int) -> Any:
    host, port = ctx.node.advertised(ctx, node_id)
    return BrokerAnswer(node_id=node_id, host=host, port=port, rack=image.brokers[node_id].rack)


def _asked(
    ctx: RequestContext,
    request: Any,
    image: MetadataImage,
    wanted: Any,
    outcomes: dict[str, Refused | None],
    pace: Pace,
) -> Turns[Any]:
    if wanted.topic_id != NO_UUID:
        topic = image.topics.get_by_id(wanted.topic_id)
        if topic is None:
            return TopicAnswer(error_code=ErrorCode.UNKNOWN_TOPIC_ID, name=None, topic_id=wanted.topic_id)
        return (yield from _known(request, image, topic, pace))
    topic = image.topics.get(wanted.name)
    if topic is not None:
        return (yield from _known(request, image, topic, pace))
    refused = outcomes.get(wanted.name)
    error = refused.error if refused else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if refused is None and name_refusal(wanted.name) is not None:
        error = ErrorCode.INVALID_TOPIC_EXCEPTION
    ctx.note(f"{wanted.name}: {refused.reason if refused else 'no such topic'}")
    return TopicAnswer(error_code=error, name=wanted.name, is_internal=wanted.name in INTERNAL_TOPICS)


def _known(request: Any, image: MetadataImage, topic: TopicImage, pace: Pace) -> Turns[Any]:
    partitions: list[Any] = []
    for several in pieces(topic.partitions):
        partitions += [_partition(image, index, each) for index, each in enumerate(several, len(partitions))]
        if pace.is_over(len(several)):
            yield
    return TopicAnswer(
        name=topic.name,
        topic_id=topic.topic_id,
        is_internal=topic.name in INTERNAL_TOPICS,
        partitions=partitions,
        topic_authorized_operations=ON_TOPIC if request.include_topic_authorized_operations else NOT_ASKED,
    )


def _partition(image: MetadataImage, index: int, partition: PartitionImage) -> Any:
    is_online = partition.leader in image.brokers and not image.brokers[partition.leader].fenced
    return PartitionAnswer(
        error_code=ErrorCode.NONE if is_online else ErrorCode.LEADER_NOT_AVAILABLE,
        partition_index=index,
        leader_id=partition.leader if is_online else -1,
        leader_epoch=partition.leader_epoch,
        replica_nodes=list(partition.replicas),
        isr_nodes=list(partition.isr),
        offline_replicas=[
            node
            for node, directory_id in zip(partition.replicas, partition.directories, strict=True)
            if not _is_online(image, node, directory_id)
        ],
    )


def _is_online(image: MetadataImage, node: int, directory_id: bytes) -> bool:
    broker = image.brokers.get(node)
    return broker is not None and not broker.fenced and is_online(directory_id, broker.log_dirs)
