"""Heartbeat: a member is alive; the answer says whether it should join again.

v3 adds static members (KIP-345). Kafka: GroupMetadataManager.classicGroupHeartbeat.
"""

from __future__ import annotations

from typing import Any

from kbroker.group.events import Heartbeat
from kbroker.handlers.answer import Answer, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from protocol_specs.api.k12_heartbeat import HeartbeatRequest, HeartbeatResponse


@handles(HeartbeatRequest, HeartbeatResponse, serves="0-4")
def heartbeat(ctx: RequestContext, request: Any) -> Answer:
    """Extend the member's session."""
    pending = Pending()
    ctx.node.groups.heartbeat(
        Heartbeat(request.group_id, request.member_id, request.group_instance_id, request.generation_id),
        lambda error: pending.settle(HeartbeatResponse(error_code=error)),
    )
    return pending
