"""DescribeCluster: the brokers, and where this client finds them (KIP-700).

v1 asks for brokers or controllers (KIP-919); v2 can list fenced brokers (KIP-1073).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kbroker.auth.operations import ON_CLUSTER
from kbroker.handlers.answer import Answer
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from kbroker.metadata.image import MetadataImage
from protocol_specs.api.k60_describe_cluster import DescribeClusterRequest, DescribeClusterResponse
from protocol_specs.errors import ErrorCode

BROKERS: Final = 1
CONTROLLERS: Final = 2


@handles(DescribeClusterRequest, DescribeClusterResponse, serves="0-2")
def describe_cluster(ctx: RequestContext, request: Any) -> Answer:
    """Brokers of one image; this listener describes brokers only."""
    image = ctx.node.image
    if request.endpoint_type != BROKERS:
        return _refused(request.endpoint_type)
    response = DescribeClusterResponse(
        endpoint_type=BROKERS,
        cluster_id=ctx.node.cluster_id,
        controller_id=_controller(ctx, image),
        brokers=[*_brokers(ctx, image, include_fenced=request.include_fenced_brokers)],
    )
    if request.include_cluster_authorized_operations:
        response.cluster_authorized_operations = ON_CLUSTER
    return response


def _refused(endpoint_type: int) -> Any:
    """Like Kafka's, it says nothing of the cluster."""
    if endpoint_type == CONTROLLERS:
        error, reason = ErrorCode.MISMATCHED_ENDPOINT_TYPE, "this listener describes brokers, not controllers"
    else:
        error, reason = ErrorCode.UNSUPPORTED_ENDPOINT_TYPE, f"endpoint type {endpoint_type} is unknown"
    return DescribeClusterResponse(error_code=error, error_message=reason)


def _controller(ctx: RequestContext, image: MetadataImage) -> int:
    """Any live broker: whichever it is forwards what only the controller may decide."""
    alive = [node for node, broker in image.brokers.items() if not broker.fenced]
    return ctx.node.node_id if ctx.node.node_id in alive else min(alive, default=-1)


def _brokers(ctx: RequestContext, image: MetadataImage, *, include_fenced: bool) -> Iterator[Any]:
    for node, broker in sorted(image.brokers.items()):
        if broker.fenced and not include_fenced:
            continue
        # A broker without an endpoint on this listener cannot be reached by this client.
        if node != ctx.node.node_id and broker.endpoint(ctx.listener_name) is None:
            continue
        host, port = ctx.node.advertised(ctx, node)
        yield DescribeClusterResponse.DescribeClusterBroker(
            broker_id=node, host=host, port=port, rack=broker.rack, is_fenced=broker.fenced
        )
