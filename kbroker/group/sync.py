"""SyncGroup, Heartbeat and LeaveGroup in every state.

Source: Apache Kafka, GroupMetadataManager.java (classicGroupSync..., classicGroupHeartbeat..., classicGroupLeave...).
"""

from __future__ import annotations

from kbroker.group.classic_group import ClassicGroup, GroupState
from kbroker.group.effects import Effect, Now, Persist, Waiter
from kbroker.group.errors import group_append_error
from kbroker.group.events import Heartbeat, Leaving, Left, Sync, Synced
from kbroker.group.rebalance import (
    complete_join_if_all_joined,
    prepare_rebalance,
    propagate_error,
    rebalance_or_complete_join,
)
from kbroker.group.records import group_record
from kbroker.group.step import Step
from protocol_specs.errors import ErrorCode


def sync(step: Step, group: ClassicGroup, request: Sync, waiter: Waiter) -> None:
    """A member asks for its assignment; the leader's call brings it for everybody and is written before it counts."""
    refusal = _sync_refusal(group, request)
    if refusal is not None:
        step.reply(waiter, Synced(refusal))
        return
    _has_synced(step, group, request.member_id)
    if group.state is GroupState.STABLE:
        step.reply(waiter, _assigned(group, group.members[request.member_id].assignment))
        return
    step.await_sync(group, request.member_id, waiter)
    if group.leader == request.member_id:
        _persist_assignment(step, group, request)


def _sync_refusal(group: ClassicGroup, request: Sync) -> ErrorCode | None:
    if group.state is GroupState.EMPTY:
        return ErrorCode.UNKNOWN_MEMBER_ID
    refusal = group.refusal_of(request.member_id, request.instance_id)
    if refusal is not None:
        return refusal
    if request.generation != group.generation:
        return ErrorCode.ILLEGAL_GENERATION
    if _differs(request.protocol_type, group.protocol_type) or _differs(request.protocol, group.protocol):
        return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    if group.state is GroupState.PREPARING_REBALANCE:
        return ErrorCode.REBALANCE_IN_PROGRESS
    return None


def _differs(asked: str | None, held: str | None) -> bool:
    return asked is not None and held is not None and asked != held


def _has_synced(step: Step, group: ClassicGroup, member_id: str) -> None:
    group.pending_sync.discard(member_id)
    if not group.pending_sync:
        step.cancel_timer("sync", group)


def _assigned(group: ClassicGroup, assignment: bytes) -> Synced:
    return Synced(ErrorCode.NONE, assignment, group.protocol_type, group.protocol)


def _persist_assignment(step: Step, group: ClassicGroup, request: Sync) -> None:
    settings = step.settings
    assignments = {member_id: request.assignments.get(member_id, b"") for member_id in group.members}
    missing = [member_id for member_id in group.members if member_id not in request.assignments]
    if missing:
        step.report("leader assigned nothing to some members", group, members=missing)

    def is_current() -> bool:
        return group.state is GroupState.COMPLETING_REBALANCE and group.generation == request.generation

    def committed(_base_offset: int, now: Now) -> list[Effect]:
        step = Step(settings, now)
        if is_current():
            _assign(step, group, assignments)
        return step.effects

    def refused(error: ErrorCode, now: Now) -> list[Effect]:
        step = Step(settings, now)
        if is_current():
            answer = group_append_error(error)
            propagate_error(step, group, answer)
            prepare_rebalance(step, group, f"the assignment could not be written: {error.name}")
        return step.effects

    step.effects.append(Persist([group_record(group, assignments)], committed, refused))


def _assign(step: Step, group: ClassicGroup, assignments: dict[str, bytes]) -> None:
    for member in group.members.values():
        member.assignment = assignments.get(member.member_id, b"")
        if step.answer_sync(group, member.member_id, _assigned(group, member.assignment)):
            step.extend_session(group, member.member_id, member.session_timeout_ms)
    group.transition_to(GroupState.STABLE, step.now.wall_ms)


def heartbeat(step: Step, group: ClassicGroup, request: Heartbeat) -> ErrorCode:
    """The member is alive; REBALANCE_IN_PROGRESS tells it to join again."""
    refusal = group.refusal_of(request.member_id, request.instance_id)
    if refusal is not None:
        return refusal
    if request.generation != group.generation:
        return ErrorCode.ILLEGAL_GENERATION
    step.extend_session(group, request.member_id, group.members[request.member_id].session_timeout_ms)
    if group.state is GroupState.PREPARING_REBALANCE:
        return ErrorCode.REBALANCE_IN_PROGRESS
    return ErrorCode.NONE


def leave(step: Step, group: ClassicGroup, members: list[Leaving]) -> Left:
    """Remove members; those that remain rebalance. One error per member, in order (KIP-345)."""
    errors = tuple(_leave_one(step, group, leaving) for leaving in members)
    if ErrorCode.NONE in errors:
        if group.state in (GroupState.STABLE, GroupState.COMPLETING_REBALANCE):
            rebalance_or_complete_join(step, group, "members left")
        else:
            complete_join_if_all_joined(step, group)
    return Left(ErrorCode.NONE, errors)


def _leave_one(step: Step, group: ClassicGroup, leaving: Leaving) -> ErrorCode:
    member_id = leaving.member_id
    if not member_id:
        member_id = group.static_members.get(leaving.instance_id or "", "")
        if not member_id:
            return ErrorCode.UNKNOWN_MEMBER_ID
    elif member_id not in group.pending_join:
        refusal = group.refusal_of(member_id, leaving.instance_id)
        if refusal is not None:
            return refusal
    step.report("member leaves the group", group, member=member_id, reason=leaving.reason or "no reason given")
    step.drop(group, member_id)
    return ErrorCode.NONE
