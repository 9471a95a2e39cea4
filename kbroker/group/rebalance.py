"""The rebalance itself: from the wish to rebalance to the end of the join phase, and the timers that bound it.

Source: Apache Kafka, GroupMetadataManager.java (prepareRebalance, completeClassicGroupJoin, maybeCompleteJoinPhase,
tryCompleteInitialRebalanceElseSchedule, expirePendingSync).
"""

from __future__ import annotations

from kbroker.group.classic_group import ClassicGroup, GroupState
from kbroker.group.effects import Persist, no_effects
from kbroker.group.events import Joined, Synced
from kbroker.group.records import group_record
from kbroker.group.step import Step
from protocol_specs.errors import ErrorCode


def rebalance_or_complete_join(step: Step, group: ClassicGroup, reason: str) -> None:
    """Start a rebalance where the state allows it; in the join phase see whether everybody is there now."""
    if group.can_rebalance:
        prepare_rebalance(step, group, reason)
    else:
        complete_join_if_all_joined(step, group)


def prepare_rebalance(step: Step, group: ClassicGroup, reason: str) -> None:
    """Enter the join phase: whoever waits for an assignment rejoins; the first one of a group waits for company."""
    if group.state is GroupState.COMPLETING_REBALANCE:
        propagate_error(step, group, ErrorCode.REBALANCE_IN_PROGRESS)
    group.pending_sync.clear()
    step.cancel_timer("sync", group)
    is_initial = group.state is GroupState.EMPTY
    group.transition_to(GroupState.PREPARING_REBALANCE, step.now.wall_ms)
    step.report("group prepares to rebalance", group, generation=group.generation, reason=reason)
    if is_initial:
        delay_ms = step.settings.initial_rebalance_delay_ms
        group.initial_remaining_ms = max(group.rebalance_timeout_ms - delay_ms, 0)
        group.new_member_added = False
        step.set_timer("join", group, delay_ms)
    elif group.has_all_joined:
        complete_join(step, group)
    else:
        step.set_timer("join", group, group.rebalance_timeout_ms)


def complete_join_if_all_joined(step: Step, group: ClassicGroup) -> None:
    """End the join phase early; the first rebalance of a group always runs its delay."""
    if (
        group.state is GroupState.PREPARING_REBALANCE
        and group.previous_state is not GroupState.EMPTY
        and group.has_all_joined
    ):
        complete_join(step, group)


def join_timer_fired(step: Step, group: ClassicGroup) -> None:
    """The join phase has lasted long enough, or the first rebalance may be put off again for those still coming."""
    if group.state is not GroupState.PREPARING_REBALANCE:
        return
    remaining_ms = group.initial_remaining_ms
    if remaining_ms and group.new_member_added:
        delay_ms = min(step.settings.initial_rebalance_delay_ms, remaining_ms)
        group.new_member_added = False
        group.initial_remaining_ms = max(remaining_ms - delay_ms, 0)
        step.set_timer("join", group, delay_ms)
    else:
        complete_join(step, group)


def complete_join(step: Step, group: ClassicGroup) -> None:
    """Drop the dynamic members that did not rejoin, then begin the next generation.

    Static members that did not rejoin stay; if nobody but such is left, the phase is given another rebalance timeout.
    """
    step.cancel_timer("join", group)
    group.initial_remaining_ms = None
    missing = [
        member.member_id
        for member in group.members.values()
        if member.instance_id is None and member.member_id not in group.join_waiters
    ]
    for member_id in missing:
        step.drop(group, member_id)
    if missing:
        step.report("group dropped members that did not rejoin", group, members=missing)
    if group.members and not group.elect_joined_leader():
        step.report("group has no member that rejoined", group)
        step.set_timer("join", group, group.rebalance_timeout_ms)
        return
    group.next_generation(step.now.wall_ms)
    if group.state is GroupState.EMPTY:
        step.report("group is empty", group, generation=group.generation)
        step.effects.append(Persist([group_record(group, {})], no_effects, no_effects))
    else:
        _announce_generation(step, group)


def _announce_generation(step: Step, group: ClassicGroup) -> None:
    step.report("group has a generation", group, generation=group.generation, members=len(group.members))
    for member in group.members.values():
        step.answer_join(group, member.member_id, joined(group, member.member_id))
        step.extend_session(group, member.member_id, member.session_timeout_ms)
        member.is_new = False
    group.pending_sync = set(group.members)
    step.set_timer("sync", group, group.rebalance_timeout_ms)


def joined(group: ClassicGroup, member_id: str) -> Joined:
    """The current generation as a member is told; only its leader gets the list of members."""
    return Joined(
        ErrorCode.NONE,
        member_id,
        group.generation,
        group.protocol_type,
        group.protocol,
        group.leader or "",
        members=group.joined_members() if member_id == group.leader else (),
    )


def propagate_error(step: Step, group: ClassicGroup, error: ErrorCode) -> None:
    """Nobody gets an assignment in this generation; whoever waits for it is told `error`."""
    for member in group.members.values():
        member.assignment = b""
        if step.answer_sync(group, member.member_id, Synced(error)):
            step.extend_session(group, member.member_id, member.session_timeout_ms)


def sync_timer_fired(step: Step, group: ClassicGroup) -> None:
    """Members that took part in the join but never asked for their assignment are removed."""
    late = sorted(group.pending_sync)
    if group.state not in (GroupState.COMPLETING_REBALANCE, GroupState.STABLE) or not late:
        return
    for member_id in late:
        step.drop(group, member_id)
    prepare_rebalance(step, group, f"removing {late}: no sync in time")


def session_timer_fired(step: Step, group: ClassicGroup, member_id: str) -> None:
    """A member or pending member was silent for too long; waiting for an answer counts as being alive."""
    if not step.session_due(group, member_id):
        return
    member = group.members.get(member_id)
    if member is None:
        step.drop(group, member_id)
    elif member.is_new or not (member_id in group.join_waiters or member_id in group.sync_waiters):
        step.report("member was silent for too long", group, member=member_id)
        step.drop(group, member_id)
        if group.state in (GroupState.STABLE, GroupState.COMPLETING_REBALANCE):
            prepare_rebalance(step, group, f"member {member_id} was silent for too long")
            return
    complete_join_if_all_joined(step, group)


def resign(step: Step, group: ClassicGroup, error: ErrorCode) -> None:
    """This broker gives the group up: everybody who waits is told, every timer is forgotten."""
    for member_id in list(group.join_waiters):
        step.answer_join(group, member_id, Joined(error, member_id))
    for member_id in list(group.sync_waiters):
        step.answer_sync(group, member_id, Synced(error))
    for member_id in list(group.session_timers):
        step.end_session(group, member_id)
    step.cancel_timer("join", group)
    step.cancel_timer("sync", group)
    group.transition_to(GroupState.DEAD, step.now.wall_ms)
