"""FindCoordinator: which broker coordinates a group, a transactional id or a share partition.

Versions: 0 knows groups only; 1 adds key types; 4 asks for many at once (KIP-699); 6 adds share partitions (KIP-932).
`__consumer_offsets` is created by the first question and is ready in the answer. Transactions are not served: a
transactional id is refused with the error that makes clients fail at once instead of asking again.
Kafka: KafkaApis.getCoordinator.
"""

from __future__ import annotations

from typing import Any, Final

from kbroker.controller.auto_topics import create_missing
from kbroker.handlers.answer import Answer, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from kbroker.names import OFFSETS_TOPIC, coordinator_partition
from protocol_specs.api.k10_find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from protocol_specs.errors import ErrorCode

Coordinator = FindCoordinatorResponse.Coordinator

BATCHED_SINCE: Final = 4
MESSAGE_SINCE: Final = 1
GROUP: Final = 0
TRANSACTION: Final = 1

REFUSALS: Final = {
    TRANSACTION: (
        ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        "transactions are not served by this broker; produce without a transactional id",
    )
}
OTHER_TYPE: Final = (ErrorCode.INVALID_REQUEST, "this broker coordinates groups only")


@handles(FindCoordinatorRequest, FindCoordinatorResponse, serves="0-6")
def find_coordinator(ctx: RequestContext, request: Any) -> Answer:
    """Answer for every key; for groups once their topic is there."""
    refusal = REFUSALS.get(request.key_type, OTHER_TYPE)
    if request.key_type != GROUP:
        ctx.note(refusal[1])
        return _answer(ctx, request, lambda key: _refused(key, *refusal))
    if ctx.node.image.topics.get(OFFSETS_TOPIC) is not None:
        return _answer(ctx, request, lambda key: _found(ctx, key))
    pending = Pending()

    def made(outcomes: Any) -> None:
        refused = outcomes[OFFSETS_TOPIC]
        why = "" if refused is None else f"{OFFSETS_TOPIC} cannot be made: {refused.reason}"
        if why:
            ctx.note(why)
        pending.settle(_answer(ctx, request, lambda key: _found(ctx, key, why)))

    ctx.node.metadata.propose(
        lambda image: create_missing(image, [OFFSETS_TOPIC], ctx.node.config, ctx.node.entropy),
        made,
        failed=pending.settle_with,
    )
    return pending


def _found(ctx: RequestContext, group_id: str, why_not: str = "") -> Any:
    topic = ctx.node.image.topics.get(OFFSETS_TOPIC)
    if topic is None:
        return _refused(group_id, ErrorCode.COORDINATOR_NOT_AVAILABLE, why_not)
    leader = topic.partitions[coordinator_partition(group_id, len(topic.partitions))].leader
    if leader not in ctx.node.image.brokers:
        return _refused(group_id, ErrorCode.COORDINATOR_NOT_AVAILABLE, "its partition has no leader")
    host, port = ctx.node.advertised(ctx, leader)
    return Coordinator(key=group_id, node_id=leader, host=host, port=port)


def _refused(key: str, error: ErrorCode, reason: str) -> Any:
    return Coordinator(key=key, node_id=-1, host="", port=-1, error_code=error, error_message=reason)


def _answer(ctx: RequestContext, request: Any, find: Any) -> Any:
    if ctx.api_version >= BATCHED_SINCE:
        return FindCoordinatorResponse(coordinators=[find(key) for key in request.coordinator_keys])
    only = find(request.key)
    return FindCoordinatorResponse(
        error_code=only.error_code,
        error_message=only.error_message if ctx.api_version >= MESSAGE_SINCE else "",
        node_id=only.node_id,
        host=only.host,
        port=only.port,
    )
