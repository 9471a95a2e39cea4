"""SyncGroup: the leader brings the assignment, everybody gets theirs.

v3 adds static members (KIP-345); v5 names the protocol and its type, which then must be there and agree (KIP-559).
Kafka: GroupMetadataManager.classicGroupSync, SyncGroupRequest.areMandatoryProtocolTypeAndNamePresent.
"""

from __future__ import annotations

from typing import Any, Final

from kbroker.group.events import Sync, Synced
from kbroker.handlers.answer import Answer, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from protocol_specs.api.k14_sync_group import SyncGroupRequest, SyncGroupResponse
from protocol_specs.errors import ErrorCode

PROTOCOL_SINCE: Final = 5


@handles(SyncGroupRequest, SyncGroupResponse, serves="0-5", is_carried_out=True)
def sync_group(ctx: RequestContext, request: Any) -> Answer:
    """Hand in or fetch the assignment; the answer waits for the leader's."""
    if ctx.api_version >= PROTOCOL_SINCE and (request.protocol_type is None or request.protocol_name is None):
        ctx.note("SyncGroup without its protocol or the protocol's type")
        return _response(Synced(ErrorCode.INCONSISTENT_GROUP_PROTOCOL))
    pending = Pending()

    def answer(synced: Synced) -> None:
        pending.settle(_response(synced))

    pending.hurry = lambda: answer(Synced(ErrorCode.NOT_COORDINATOR))
    ctx.node.groups.sync(_sync(request), answer)
    return pending


def _sync(request: Any) -> Sync:
    return Sync(
        request.group_id,
        request.member_id,
        request.group_instance_id,
        request.generation_id,
        {entry.member_id: entry.assignment for entry in request.assignments},
        request.protocol_type,
        request.protocol_name,
    )


def _response(synced: Synced) -> Any:
    return SyncGroupResponse(
        error_code=synced.error,
        protocol_type=synced.protocol_type,
        protocol_name=synced.protocol,
        assignment=synced.assignment,
    )
