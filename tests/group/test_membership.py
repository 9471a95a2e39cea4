"""JoinGroup, SyncGroup, Heartbeat and LeaveGroup of one group, state by state."""

from __future__ import annotations

import pytest

from kbroker.group.events import Join, Joined, Synced
from kbroker.group.join import join_refusal
from kbroker.group.settings import GroupSettings
from protocol_specs.errors import ErrorCode
from tests.group.virtual_shard import VirtualShard, is_joined, is_synced

NONE = ErrorCode.NONE
UNKNOWN = ErrorCode.UNKNOWN_MEMBER_ID
REBALANCE = ErrorCode.REBALANCE_IN_PROGRESS


def in_state(state: str) -> tuple[VirtualShard, str, int]:
    """A group "g" in that state, one of its members ("" where there is none), and its generation."""
    world = VirtualShard()
    if state == "Unknown":
        return world, "nobody", 0
    if state == "Empty":
        generation, (member,) = world.stable()
        world.leave((member, None))
        return world, member, generation + 1
    if state == "CompletingRebalance":
        member, call = world.enter()
        world.advance(0)
        return world, member, call.answer.generation
    generation, (member,) = world.stable()
    if state == "PreparingRebalance":
        world.enter()
    assert world.state() == state
    return world, member, generation


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("Unknown", UNKNOWN),
        ("Empty", UNKNOWN),
        ("PreparingRebalance", REBALANCE),
        ("CompletingRebalance", NONE),
        ("Stable", NONE),
    ],
)
def test_a_heartbeat_is_answered_by_the_state(state, error):
    world, member, generation = in_state(state)
    assert world.heartbeat(member, generation) is error


@pytest.mark.parametrize("state", ["PreparingRebalance", "CompletingRebalance", "Stable"])
def test_a_heartbeat_of_another_generation_is_illegal_and_of_a_stranger_unknown(state):
    world, member, generation = in_state(state)
    assert world.heartbeat(member, generation + 1) is ErrorCode.ILLEGAL_GENERATION
    assert world.heartbeat("stranger", generation) is UNKNOWN


@pytest.mark.parametrize(
    ("state", "error"),
    [("Unknown", UNKNOWN), ("Empty", UNKNOWN), ("PreparingRebalance", REBALANCE), ("Stable", NONE)],
)
def test_a_sync_is_answered_at_once_except_while_the_assignment_is_awaited(state, error):
    world, member, generation = in_state(state)
    assert world.sync(member, generation).answer.error is error


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"generation": 9}, ErrorCode.ILLEGAL_GENERATION),
        ({"member_id": "stranger"}, UNKNOWN),
        ({"instance_id": "i"}, UNKNOWN),
        ({"protocol_type": "connect"}, ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocol": "sticky"}, ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocol_type": "consumer", "protocol": "range"}, NONE),
    ],
)
def test_a_sync_must_name_the_member_the_generation_and_the_protocol(fields, error):
    world, member, generation = in_state("Stable")
    request = {"member_id": member, "generation": generation, **fields}
    assert world.sync(**request).answer.error is error


def test_the_first_join_is_told_its_member_id_and_the_group_is_written():
    world = VirtualShard()
    answer = world.join(client_id="app").answer
    assert answer == Joined(ErrorCode.MEMBER_ID_REQUIRED, "app-00000000-0000-0000-0000-000000000001")
    assert len(world.log) == 1
    assert world.state() == "Empty"


def test_an_old_client_joins_without_knowing_its_member_id():
    world = VirtualShard()
    call = world.join(must_know_member_id=False)
    world.advance(0)
    assert is_joined(call.answer)
    assert call.answer.leader == call.answer.member_id


def test_a_promised_member_id_is_forgotten_after_the_session_timeout():
    world = VirtualShard()
    member = world.join(session_timeout_ms=10_000).answer.member_id
    world.advance(9_999)
    assert member in world.shard.groups["g"].pending_join
    world.advance(1)
    assert world.join(member).answer == Joined(UNKNOWN, member)


def test_a_rebalance_waits_for_a_promised_member_and_goes_on_when_it_never_comes():
    world = VirtualShard()
    _, (member,) = world.stable()
    promised = world.join(session_timeout_ms=10_000).answer.member_id
    call = world.join(member)
    assert call.waits
    world.heartbeat(member, 1)
    world.advance(10_000)
    assert is_joined(call.answer)
    assert promised not in world.shard.groups["g"].pending_join


def test_a_member_id_of_an_unknown_group_is_unknown():
    world = VirtualShard()
    assert world.join("somebody").answer == Joined(UNKNOWN, "somebody")
    assert world.shard.groups == {}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"group_id": ""}, ErrorCode.INVALID_GROUP_ID),
        ({"session_timeout_ms": 5_999}, ErrorCode.INVALID_SESSION_TIMEOUT),
        ({"session_timeout_ms": 1_800_001}, ErrorCode.INVALID_SESSION_TIMEOUT),
    ],
)
def test_a_join_outside_the_limits_is_refused_wherever_the_group_is(fields, error):
    request = Join("g", "m", None, "c", "h", 6_000, 6_000, "consumer", (("range", b""),))._replace(**fields)
    assert join_refusal(request, GroupSettings()) == Joined(error, "m")


@pytest.mark.parametrize(
    ("state", "fields"),
    [
        ("Unknown", {"protocols": ()}),
        ("Unknown", {"protocol_type": ""}),
        ("Stable", {"protocol_type": "connect"}),
        ("Stable", {"protocols": (("sticky", b""),)}),
        ("PreparingRebalance", {"protocols": (("sticky", b""),)}),
    ],
)
def test_a_member_without_a_protocol_in_common_is_inconsistent(state, fields):
    world, _, _ = in_state(state)
    assert world.join(**fields).answer.error is ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_only_the_leader_is_told_who_is_there():
    world = VirtualShard()
    first, call = world.enter()
    second, other = world.enter()
    world.advance(0)
    assert [m.member_id for m in call.answer.members] == [first, second]
    assert [m.metadata for m in call.answer.members] == [b"range-meta"] * 2
    assert other.answer.members == ()
    assert call.answer.leader == other.answer.leader == first
    assert call.answer.generation == other.answer.generation == 1


def test_the_protocol_is_the_one_most_members_prefer_of_those_all_support():
    world = VirtualShard()
    for names in (("a", "b", "c"), ("b", "c", "x"), ("c", "b")):
        world.enter(protocols=tuple((name, name.encode()) for name in names))
    world.advance(0)
    group = world.shard.groups["g"]
    assert group.protocol == "b"
    assert [m.metadata for m in group.joined_members()] == [b"b"] * 3


def test_everybody_gets_what_the_leader_assigned_once_it_is_written():
    world = VirtualShard()
    leader, _ = world.enter()
    follower, _ = world.enter()
    world.advance(0)
    waiting = world.sync(follower, 1)
    assert waiting.waits
    world.holds = True
    leading = world.sync(leader, 1, {leader: b"L", follower: b"F"})
    assert leading.waits
    assert world.state() == "CompletingRebalance"
    world.release()
    assert (leading.answer.assignment, waiting.answer.assignment) == (b"L", b"F")
    assert world.state() == "Stable"
    assert world.sync(follower, 1).answer == Synced(NONE, b"F", "consumer", "range")


def test_a_member_that_the_leader_forgot_gets_an_empty_assignment():
    world = VirtualShard()
    leader, _ = world.enter()
    follower, _ = world.enter()
    world.advance(0)
    waiting = world.sync(follower, 1)
    world.sync(leader, 1, {leader: b"L"})
    assert is_synced(waiting.answer)
    assert waiting.answer.assignment == b""


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (ErrorCode.NOT_ENOUGH_REPLICAS, ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (ErrorCode.REQUEST_TIMED_OUT, ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.NOT_COORDINATOR),
        (ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.NOT_COORDINATOR),
        (ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.UNKNOWN_SERVER_ERROR),
    ],
)
def test_an_assignment_that_cannot_be_written_is_an_error_for_all_and_a_new_rebalance(refusal, error):
    world = VirtualShard()
    leader, _ = world.enter()
    follower, _ = world.enter()
    world.advance(0)
    waiting = world.sync(follower, 1)
    world.refuse_with = refusal
    assert world.sync(leader, 1, {leader: b"L"}).answer == Synced(error)
    assert waiting.answer == Synced(error)
    assert world.state() == "PreparingRebalance"


def test_an_assignment_committed_after_its_generation_is_over_changes_nothing():
    world = VirtualShard()
    leader, _ = world.enter()
    world.advance(0)
    world.holds = True
    call = world.sync(leader, 1, {leader: b"L"})
    world.enter()
    assert call.answer == Synced(REBALANCE)
    world.release()
    assert world.state() == "PreparingRebalance"
    assert world.shard.groups["g"].members[leader].assignment == b""


def test_a_follower_that_joins_again_unchanged_gets_its_generation_at_once():
    world = VirtualShard()
    generation, (leader, follower) = world.stable(2)
    assert world.join(follower).answer == Joined(NONE, follower, generation, "consumer", "range", leader)
    assert world.state() == "Stable"


@pytest.mark.parametrize(("who", "protocols"), [(0, (("range", b"range-meta"),)), (1, (("range", b"other topics"),))])
def test_a_leader_that_joins_again_or_a_member_with_new_metadata_starts_a_rebalance(who, protocols):
    world = VirtualShard()
    _, members = world.stable(2)
    assert world.join(members[who], protocols=protocols).waits
    assert world.state() == "PreparingRebalance"


def test_a_lost_join_answer_is_repeated_while_the_assignment_is_awaited():
    world = VirtualShard()
    leader, first = world.enter()
    world.advance(0)
    assert world.join(leader).answer == first.answer
    assert world.state() == "CompletingRebalance"


def test_a_second_join_of_a_waiting_member_takes_the_place_of_the_first():
    world = VirtualShard()
    member, first = world.enter()
    second = world.join(member)
    assert first.answer == Joined(REBALANCE, member)
    world.advance(0)
    assert is_joined(second.answer)


def test_a_second_sync_of_a_waiting_member_takes_the_place_of_the_first():
    world = VirtualShard()
    leader, _ = world.enter()
    follower, _ = world.enter()
    world.advance(0)
    first, second = world.sync(follower, 1), world.sync(follower, 1)
    assert first.answer == Synced(REBALANCE)
    world.sync(leader, 1, {follower: b"F"})
    assert second.answer.assignment == b"F"


def test_a_new_member_makes_those_who_await_an_assignment_join_again():
    world = VirtualShard()
    _, _ = world.enter()
    follower, _ = world.enter()
    world.advance(0)
    waiting = world.sync(follower, 1)
    world.enter()
    assert waiting.answer == Synced(REBALANCE)


def test_members_that_do_not_rejoin_in_time_are_dropped_and_the_next_one_leads():
    world = VirtualShard()
    _, (leader, follower) = world.stable(2, rebalance_timeout_ms=20_000, session_timeout_ms=30_000)
    call = world.join(follower, protocols=(("range", b"new"),), rebalance_timeout_ms=20_000)
    world.advance(19_999)
    assert call.waits
    world.advance(1)
    assert call.answer.leader == follower
    assert list(world.shard.groups["g"].members) == [follower]
    assert leader not in world.shard.groups["g"].members


def test_a_member_that_never_syncs_is_removed_after_the_rebalance_timeout():
    world = VirtualShard()
    leader, _ = world.enter(rebalance_timeout_ms=8_000, session_timeout_ms=10_000)
    late, _ = world.enter(rebalance_timeout_ms=8_000, session_timeout_ms=10_000)
    world.advance(0)
    world.sync(leader, 1, {leader: b"L", late: b"late"})
    assert world.state() == "Stable"
    world.advance(8_000)
    assert world.state() == "PreparingRebalance"
    assert list(world.shard.groups["g"].members) == [leader]


def test_a_silent_member_is_removed_after_its_session_and_the_others_rebalance():
    world = VirtualShard()
    generation, (leader, silent) = world.stable(2, session_timeout_ms=10_000)
    world.advance(6_000)
    world.heartbeat(leader, generation)
    world.advance(4_000)
    assert world.heartbeat(silent, generation) is UNKNOWN
    assert world.heartbeat(leader, generation) is REBALANCE


def test_heartbeats_move_the_deadline_without_setting_timers():
    world = VirtualShard()
    generation, (member,) = world.stable(session_timeout_ms=10_000)
    for _ in range(10):
        world.advance(4_000)
        before = dict(world.timers)
        assert world.heartbeat(member, generation) is NONE
        assert world.timers == before
    world.advance(9_999)
    assert world.state() == "Stable"
    world.advance(1)
    assert world.state() == "Empty"


def test_a_member_that_waits_in_a_join_is_not_silent():
    world = VirtualShard()
    _, (leader, follower) = world.stable(2, session_timeout_ms=10_000, rebalance_timeout_ms=60_000)
    call = world.join(leader)
    for _ in range(5):
        world.advance(9_000)
        world.heartbeat(follower, 1)
    assert call.waits
    assert leader in world.shard.groups["g"].members


def test_a_new_member_is_given_up_after_five_minutes_in_its_first_join():
    world = VirtualShard()
    generation, (member,) = world.stable(rebalance_timeout_ms=600_000, session_timeout_ms=10_000)
    _, call = world.enter(rebalance_timeout_ms=600_000)
    for _ in range(60):
        world.advance(5_000)
        world.heartbeat(member, generation)
    assert call.answer == Joined(UNKNOWN)


def test_the_last_member_to_leave_empties_the_group_and_writes_it():
    world = VirtualShard()
    _, (member,) = world.stable()
    written = len(world.log)
    assert world.leave((member, None)).members == (NONE,)
    assert world.state() == "Empty"
    assert world.shard.groups["g"].generation == 2
    assert len(world.log) == written + 1
    assert world.timers == {}


def test_leaving_answers_each_member_for_itself():
    world = VirtualShard()
    _, (leader, follower) = world.stable(2)
    left = world.leave((follower, None), ("stranger", None), ("", "nobody"), (leader, "instance"))
    assert left.error is NONE
    assert left.members == (NONE, UNKNOWN, UNKNOWN, UNKNOWN)
    assert world.state() == "PreparingRebalance"


def test_leaving_an_unknown_group_is_an_error_per_member():
    left = VirtualShard().leave(("a", None), ("b", None))
    assert (left.error, left.members) == (NONE, (UNKNOWN, UNKNOWN))


def test_leaving_while_waiting_answers_the_join_and_lets_the_others_go_on():
    world = VirtualShard()
    _, (leader, follower) = world.stable(2)
    leading = world.join(leader)
    world.leave((follower, None))
    assert is_joined(leading.answer)
    _, waiting = world.enter()
    member = world.shard.groups["g"].members
    newest = list(member)[-1]
    world.leave((newest, None))
    assert waiting.answer == Joined(UNKNOWN)


def test_leaving_while_waiting_for_an_assignment_answers_the_sync():
    world = VirtualShard()
    _, _ = world.enter()
    follower, _ = world.enter()
    world.advance(0)
    waiting = world.sync(follower, 1)
    world.leave((follower, None))
    assert waiting.answer == Synced(UNKNOWN)


def test_a_promised_member_may_leave():
    world = VirtualShard()
    promised = world.join().answer.member_id
    assert world.leave((promised, None)).members == (NONE,)
    assert world.timers == {}


def test_the_first_rebalance_of_a_group_waits_for_company():
    world = VirtualShard(initial_rebalance_delay_ms=3_000)
    _, first = world.enter()
    world.advance(2_000)
    _, second = world.enter()
    world.advance(1_000)
    assert first.waits
    world.advance(3_000)
    assert first.answer.generation == second.answer.generation == 1


def test_a_promised_member_that_never_comes_does_not_cut_the_first_rebalance_short():
    """The end of its session ended the join phase, though the delay for company was still running."""
    world = VirtualShard(initial_rebalance_delay_ms=3_000)
    _, first = world.enter()
    assert world.join(session_timeout_ms=1_000).answer.error is ErrorCode.MEMBER_ID_REQUIRED
    world.advance(2_999)
    assert first.waits
    world.advance(1)
    assert is_joined(first.answer)


def test_the_first_rebalance_is_put_off_no_longer_than_the_rebalance_timeout():
    world = VirtualShard(initial_rebalance_delay_ms=3_000)
    _, first = world.enter(rebalance_timeout_ms=7_000)
    for _ in range(7):
        world.advance(999)
        world.enter(rebalance_timeout_ms=7_000)
    assert first.waits
    world.advance(7)
    assert is_joined(first.answer)


def test_a_group_is_never_larger_than_its_maximal_size():
    world = VirtualShard(max_size=2)
    generation, members = world.stable(2)
    assert world.join().answer == Joined(ErrorCode.GROUP_MAX_SIZE_REACHED)
    assert world.heartbeat(members[0], generation) is NONE


def test_while_preparing_only_as_many_may_wait_as_the_maximal_size():
    world = VirtualShard(max_size=2)
    ids = [world.join().answer.member_id for _ in range(3)]
    calls = [world.join(member_id) for member_id in ids]
    assert calls[2].answer == Joined(ErrorCode.GROUP_MAX_SIZE_REACHED)
    world.advance(0)
    assert is_joined(calls[0].answer)
    assert is_joined(calls[1].answer)


def test_a_new_group_that_cannot_be_written_is_forgotten_and_its_members_told():
    world = VirtualShard()
    world.refuse_with = ErrorCode.NOT_LEADER_OR_FOLLOWER
    call = world.join(must_know_member_id=False)
    assert call.answer.error is ErrorCode.NOT_COORDINATOR
    assert world.shard.groups == {}
    assert world.timers == {}


def test_resigning_answers_everybody_and_stops_every_timer():
    world = VirtualShard()
    _, joining = world.enter()
    leader, _ = world.enter(group_id="h")
    follower, _ = world.enter(group_id="h")
    world.advance(0)
    _, joining = world.enter()
    waiting = world.sync(follower, 1, group_id="h")
    world.run(world.shard.resign(world.now()))
    assert joining.answer.error is ErrorCode.NOT_COORDINATOR
    assert waiting.answer.error is ErrorCode.NOT_COORDINATOR
    assert world.timers == {}
    assert leader in world.shard.groups["h"].members
