"""LeaveGroup: members go without waiting for their sessions to end.

v0-2 name one member and answer with its error; v3 several, also by instance id, with an error each (KIP-345); v5 adds
reasons (KIP-800). Kafka: GroupMetadataManager.classicGroupLeave, LeaveGroupResponse.
"""

from __future__ import annotations

from typing import Any, Final

from kbroker.group.events import Leaving, Left
from kbroker.handlers.answer import Answer, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from protocol_specs.api.k13_leave_group import LeaveGroupRequest, LeaveGroupResponse
from protocol_specs.errors import ErrorCode

SEVERAL_SINCE: Final = 3

MemberAnswer = LeaveGroupResponse.MemberResponse


@handles(LeaveGroupRequest, LeaveGroupResponse, serves="0-5", is_carried_out=True)
def leave_group(ctx: RequestContext, request: Any) -> Answer:
    """Remove the members; those who stay are rebalanced."""
    pending = Pending()
    if ctx.api_version < SEVERAL_SINCE:
        members = [Leaving(request.member_id, None)]
    else:
        members = [Leaving(m.member_id, m.group_instance_id, m.reason or "") for m in request.members]
    ctx.node.groups.leave(
        request.group_id, members, lambda left: pending.settle(_response(ctx.api_version, members, left))
    )
    return pending


def _response(version: int, members: list[Leaving], left: Left) -> Any:
    if version < SEVERAL_SINCE:
        return LeaveGroupResponse(error_code=left.error or next(iter(left.members), ErrorCode.NONE))
    return LeaveGroupResponse(
        error_code=left.error,
        members=[
            MemberAnswer(member_id=member.member_id, group_instance_id=member.instance_id, error_code=error)
            for member, error in zip(members, left.members, strict=bool(left.members))
        ],
    )
