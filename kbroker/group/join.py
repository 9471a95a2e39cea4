"""JoinGroup in every state.

Source: Apache Kafka, GroupMetadataManager.java (classicGroupJoin...); KIP-345 static members, KIP-394 known member
ids, KIP-814 skipped assignments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kbroker.group.classic_group import ClassicGroup, GroupState, Member
from kbroker.group.effects import Effect, Now, Persist, Waiter
from kbroker.group.errors import group_append_error
from kbroker.group.events import Join, Joined, Protocols, Synced
from kbroker.group.rebalance import (
    complete_join_if_all_joined,
    joined,
    prepare_rebalance,
    rebalance_or_complete_join,
)
from kbroker.group.records import group_record
from kbroker.group.settings import NEW_MEMBER_JOIN_TIMEOUT_MS, GroupSettings
from kbroker.group.step import Step
from protocol_specs.errors import ErrorCode


def join_refusal(request: Join, settings: GroupSettings) -> Joined | None:
    """What is wrong with a JoinGroup whoever coordinates the group; None when nothing is."""
    if not request.group_id:
        return Joined(ErrorCode.INVALID_GROUP_ID, request.member_id)
    if not settings.min_session_timeout_ms <= request.session_timeout_ms <= settings.max_session_timeout_ms:
        return Joined(ErrorCode.INVALID_SESSION_TIMEOUT, request.member_id)
    return None


def join(step: Step, group: ClassicGroup, request: Join, waiter: Waiter, new_member_id: Callable[[], str]) -> None:
    """A member joins; answered now, or by the end of the join phase through `waiter`."""
    if not _has_room(group, request.member_id, step.settings.max_size):
        step.drop(group, request.member_id)
        step.reply(waiter, Joined(ErrorCode.GROUP_MAX_SIZE_REACHED))
    elif not group.supports(request.protocol_type, request.protocols):
        step.reply(waiter, Joined(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, request.member_id))
    elif request.member_id:
        _join_with_member_id(step, group, request, waiter)
    elif request.instance_id is not None:
        _join_static(step, group, request, waiter, new_member_id())
    elif request.must_know_member_id:
        _promise_member_id(step, group, request, waiter, new_member_id())
    else:
        _add_member(step, group, request, waiter, new_member_id())


def _has_room(group: ClassicGroup, member_id: str, max_size: int) -> bool:
    if group.state is GroupState.PREPARING_REBALANCE:
        return member_id in group.join_waiters or len(group.join_waiters) < max_size
    if group.state in (GroupState.COMPLETING_REBALANCE, GroupState.STABLE):
        return member_id in group.members or len(group.members) < max_size
    return True


def _promise_member_id(step: Step, group: ClassicGroup, request: Join, waiter: Waiter, member_id: str) -> None:
    group.pending_join.add(member_id)
    step.extend_session(group, member_id, request.session_timeout_ms)
    step.reply(waiter, Joined(ErrorCode.MEMBER_ID_REQUIRED, member_id))


def _add_member(step: Step, group: ClassicGroup, request: Join, waiter: Waiter, member_id: str) -> None:
    member = Member(
        member_id,
        request.instance_id,
        request.client_id,
        request.client_host,
        request.rebalance_timeout_ms,
        request.session_timeout_ms,
        request.protocol_type,
        request.protocols,
        is_new=True,
    )
    if group.state is GroupState.PREPARING_REBALANCE and group.previous_state is GroupState.EMPTY:
        group.new_member_added = True
    group.add(member)
    step.await_join(group, member_id, waiter)
    # It hangs in its join and sends no heartbeat, yet must not stay for ever if its client is gone.
    step.extend_session(group, member_id, NEW_MEMBER_JOIN_TIMEOUT_MS)
    rebalance_or_complete_join(step, group, f"new member {member_id}: {request.reason or 'no reason given'}")


def _join_with_member_id(step: Step, group: ClassicGroup, request: Join, waiter: Waiter) -> None:
    member_id = request.member_id
    if member_id in group.pending_join:
        if request.instance_id is not None:
            # Promised ids are for dynamic members; Kafka fails with an exception here, which clients see as this code.
            step.reply(waiter, Joined(ErrorCode.UNKNOWN_SERVER_ERROR))
            return
        _add_member(step, group, request, waiter, member_id)
        return
    refusal = group.refusal_of(member_id, request.instance_id)
    if refusal is not None or group.state is GroupState.EMPTY:
        step.reply(waiter, Joined(refusal or ErrorCode.UNKNOWN_MEMBER_ID, member_id))
    elif _knows_already(group, request):
        step.reply(waiter, joined(group, member_id))
    else:
        _rejoin(step, group, request, waiter)


def _knows_already(group: ClassicGroup, request: Join) -> bool:
    """A lost answer, asked for again: the member has nothing new to say, so its generation stands.

    A Stable group's leader may only want an assignment for changed topics: its join always rebalances.
    """
    if group.members[request.member_id].protocols != request.protocols:
        return False
    if group.state is GroupState.STABLE:
        return group.leader != request.member_id
    return group.state is GroupState.COMPLETING_REBALANCE


def _rejoin(step: Step, group: ClassicGroup, request: Join, waiter: Waiter) -> None:
    member = group.members[request.member_id]
    group.update(member, request.protocols, request.rebalance_timeout_ms, request.session_timeout_ms)
    step.await_join(group, member.member_id, waiter)
    rebalance_or_complete_join(
        step, group, f"member {member.member_id} joins again: {request.reason or 'no reason given'}"
    )


def _join_static(step: Step, group: ClassicGroup, request: Join, waiter: Waiter, member_id: str) -> None:
    assert request.instance_id is not None
    old_member_id = group.static_members.get(request.instance_id)
    if old_member_id is None:
        _add_member(step, group, request, waiter, member_id)
    else:
        _replace_static(step, group, request, waiter, old_member_id, member_id)


def _replace_static(
    step: Step, group: ClassicGroup, request: Join, waiter: Waiter, old_member_id: str, member_id: str
) -> None:
    """The instance restarted: fence its former self; a Stable group keeps its generation if the vote stays."""
    former_leader = group.leader
    fenced = ErrorCode.FENCED_INSTANCE_ID
    step.answer_join(group, old_member_id, Joined(fenced, old_member_id))
    step.answer_sync(group, old_member_id, Synced(fenced))
    step.end_session(group, old_member_id)
    member = group.rename_static(old_member_id, member_id)
    before = _Before(old_member_id, former_leader, member.protocols, *_timeouts(member))
    group.update(member, request.protocols, request.rebalance_timeout_ms, request.session_timeout_ms)
    step.await_join(group, member_id, waiter)
    step.extend_session(group, member_id, request.session_timeout_ms)
    if group.state is GroupState.STABLE and group.protocol == group.select_protocol():
        _persist_replacement(step, group, request, waiter, member, before)
    elif group.state is GroupState.PREPARING_REBALANCE:
        complete_join_if_all_joined(step, group)
    else:
        # After the join phase the leader may already assign to the old id, which would leave the new one with nothing.
        prepare_rebalance(step, group, f"static member {request.instance_id} came back")


def _timeouts(member: Member) -> tuple[int, int]:
    return member.rebalance_timeout_ms, member.session_timeout_ms


class _Before(NamedTuple):
    """What a replaced static member was, in case the replacement can't be written."""

    member_id: str
    leader: str | None
    protocols: Protocols
    rebalance_timeout_ms: int
    session_timeout_ms: int


def _persist_replacement(
    step: Step, group: ClassicGroup, request: Join, waiter: Waiter, member: Member, before: _Before
) -> None:
    member_id, generation, settings = member.member_id, group.generation, step.settings

    def is_current() -> bool:
        return group.generation == generation and group.join_waiters.get(member_id) is waiter

    def committed(_base_offset: int, now: Now) -> list[Effect]:
        step = Step(settings, now)
        if is_current() and group.state is GroupState.STABLE:
            step.answer_join(group, member_id, _returned(group, request, member_id, before.leader))
        return step.effects

    def refused(error: ErrorCode, now: Now) -> list[Effect]:
        step = Step(settings, now)
        if is_current():
            answer = joined(group, member_id)
            step.answer_join(
                group,
                member_id,
                answer._replace(error=group_append_error(error), member_id="", leader=before.leader or "", members=()),
            )
            group.update(member, before.protocols, before.rebalance_timeout_ms, before.session_timeout_ms)
            step.end_session(group, member_id)
            group.rename_static(member_id, before.member_id)
            step.extend_session(group, before.member_id, before.session_timeout_ms)
        return step.effects

    assignments = {known.member_id: known.assignment for known in group.members.values()}
    step.effects.append(Persist([group_record(group, assignments)], committed, refused))


def _returned(group: ClassicGroup, request: Join, member_id: str, former_leader: str | None) -> Joined:
    """A static member came back into a generation that stands.

    A returning leader that can is told its role and to leave the assignments alone (KIP-814); an older client is told
    its former id as the leader's, so that it takes itself for a follower and assigns nothing.
    """
    answer = joined(group, member_id)
    if request.can_skip_assignment:
        return answer._replace(skip_assignment=member_id == group.leader)
    return answer._replace(leader=former_leader or "", members=())
