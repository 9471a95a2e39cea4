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
from kbroker.handlers.answer import Answer, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.in_turns import in_turns, in_turns_into
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
def metadata(ctx: RequestContext, request: Any) -> Answer:
    """Answer from one image; missing topics are created first where broker and client allow it."""
    if ctx.api_version < TOPIC_ID_SINCE and any(
        topic.name is None or topic.topic_id != NO_UUID for topic in request.topics or ()
    ):
        ctx.note("topic ids or null names before version 12")
        return _all_refused(request, ErrorCode.INVALID_REQUEST)
    missing = _to_create(ctx, request)
    if not missing:
        return in_turns(ctx.node.clock, _answer(ctx, request, {}))
    pending = Pending()
    ctx.node.metadata.propose(
        lambda image: create_missing(image, missing, ctx.node.config, ctx.node.entropy),
        lambda outcomes: in_turns_into(pending, ctx.node.clock, _answer(ctx, request, outcomes)),
        failed=pending.settle_with,
    )
    return pending


def _wants_all(ctx: RequestContext, request: Any) -> bool:
    return request.topics is None or (ctx.api_version == 0 and not request.topics)


def _to_create(ctx: RequestContext, request: Any) -> list[str]:
    """Names that are asked for, missing, and may be created."""
    allowed = ctx.api_version < CREATION_CHOICE_SINCE or request.allow_auto_topic_creation
    if _wants_all(ctx, request) or not allowed:
        return []
    topics = ctx.node.image.topics
    missing = [topic.name for topic in request.topics if topic.name is not None and topics.get(topic.name) is None]
    if not ctx.node.config["auto.create.topics.enable"]:
        missing = [name for name in missing if name in INTERNAL_TOPICS]
    return list(dict.fromkeys(missing))


def _answer(ctx: RequestContext, request: Any, outcomes: dict[str, Refused | None]) -> Turns[Any]:
    """`outcomes` says of topics that were to be created why they were not."""
    image = ctx.node.image
    brokers = [_broker(ctx, image, node_id) for node_id in sorted(image.brokers) if not image.brokers[node_id].fenced]
    topics, pace = [], Pace()
    if _wants_all(ctx, request):
        for topic in image.topics.by_name.values():
            known = yield from _known(request, image, topic, pace)
            topics.append(known)
    else:
        once = {(topic.name, topic.topic_id): topic for topic in request.topics}
        for asked in once.values():
            known = yield from _asked(ctx, request, image, asked, outcomes, pace)
            topics.append(known)
    version = ctx.api_version
    asks_cluster = version <= CLUSTER_OPERATIONS_UNTIL and request.include_cluster_authorized_operations
    return MetadataResponse(
        brokers=brokers,
        cluster_id=ctx.node.cluster_id,
        controller_id=ctx.node.node_id,
        topics=topics,
        cluster_authorized_operations=ON_CLUSTER if asks_cluster else NOT_ASKED,
    )


def _all_refused(request: Any, error: ErrorCode) -> Any:
    return MetadataResponse(
        topics=[
            TopicAnswer(error_code=error, name=topic.name or "", topic_id=topic.topic_id) for topic in request.topics
        ]
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
