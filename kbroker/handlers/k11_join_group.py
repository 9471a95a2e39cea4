"""JoinGroup: enter a group, answered when its members are together.

v0 has one timeout for session and rebalance; v4 tells a dynamic member its id first (KIP-394); v5 static members
(KIP-345); v7 the protocol's type in the answer (KIP-559); v8 a reason (KIP-800); v9 skip_assignment (KIP-814).
Kafka: GroupMetadataManager.classicGroupJoin, JoinGroupResponse.
"""

from __future__ import annotations

from typing import Any, Final

from kbroker.group.events import Join, Joined
from kbroker.handlers.answer import Answer, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from protocol_specs.api.k11_join_group import JoinGroupRequest, JoinGroupResponse
from protocol_specs.errors import ErrorCode

REBALANCE_TIMEOUT_SINCE: Final = 1
KNOWN_MEMBER_ID_SINCE: Final = 4
NULL_PROTOCOL_SINCE: Final = 7
SKIP_ASSIGNMENT_SINCE: Final = 9

MemberAnswer = JoinGroupResponse.JoinGroupResponseMember


@handles(JoinGroupRequest, JoinGroupResponse, serves="0-9", is_carried_out=True)
def join_group(ctx: RequestContext, request: Any) -> Answer:
    """Join; the answer waits for the others. A broker that stops sends the member to look for another coordinator."""
    pending = Pending()

    def answer(joined: Joined) -> None:
        pending.settle(_response(ctx.api_version, joined))

    pending.hurry = lambda: answer(Joined(ErrorCode.NOT_COORDINATOR, request.member_id))
    ctx.node.groups.join(_join(ctx, request), answer)
    return pending


def _join(ctx: RequestContext, request: Any) -> Join:
    has_own_timeout = ctx.api_version >= REBALANCE_TIMEOUT_SINCE
    protocols: dict[str, bytes] = {}
    for protocol in request.protocols:
        protocols.setdefault(protocol.name, protocol.metadata)
    return Join(
        group_id=request.group_id,
        member_id=request.member_id,
        instance_id=request.group_instance_id,
        client_id=ctx.client_id,
        client_host=f"/{ctx.client_host}",
        session_timeout_ms=request.session_timeout_ms,
        rebalance_timeout_ms=request.rebalance_timeout_ms if has_own_timeout else request.session_timeout_ms,
        protocol_type=request.protocol_type,
        protocols=tuple(protocols.items()),
        reason=request.reason or "",
        must_know_member_id=ctx.api_version >= KNOWN_MEMBER_ID_SINCE,
        can_skip_assignment=ctx.api_version >= SKIP_ASSIGNMENT_SINCE,
    )


def _response(version: int, joined: Joined) -> Any:
    """Where there is no protocol the field is null, before version 7 empty."""
    return JoinGroupResponse(
        error_code=joined.error,
        generation_id=joined.generation,
        protocol_type=joined.protocol_type,
        protocol_name=(joined.protocol or None) if version >= NULL_PROTOCOL_SINCE else joined.protocol or "",
        leader=joined.leader,
        skip_assignment=joined.skip_assignment,
        member_id=joined.member_id,
        members=[
            MemberAnswer(member_id=member_id, group_instance_id=instance_id, metadata=metadata)
            for member_id, instance_id, metadata in joined.members
        ],
    )
