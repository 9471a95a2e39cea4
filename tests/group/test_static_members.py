"""Members with an instance id: they come back under a new member id, and their former self is fenced (KIP-345)."""

from __future__ import annotations

import pytest

from kbroker.group.events import Joined, JoinedMember, Synced
from protocol_specs.errors import ErrorCode
from tests.group.virtual_shard import VirtualShard

NONE = ErrorCode.NONE
FENCED = ErrorCode.FENCED_INSTANCE_ID
UNKNOWN = ErrorCode.UNKNOWN_MEMBER_ID


def stable_pair() -> tuple[VirtualShard, str, str]:
    """A Stable group of static members "a" (the leader) and "b"."""
    world = VirtualShard()
    calls = [world.join(instance_id=name) for name in ("a", "b")]
    world.advance(0)
    leader, follower = (call.answer.member_id for call in calls)
    world.sync(leader, 1, {leader: b"A", follower: b"B"}, instance_id="a")
    world.sync(follower, 1, instance_id="b")
    assert world.state() == "Stable"
    return world, leader, follower


def test_a_static_member_joins_at_once_under_an_id_made_of_its_instance_id():
    world = VirtualShard()
    call = world.join(instance_id="a")
    world.advance(0)
    assert call.answer.member_id == "a-00000000-0000-0000-0000-000000000001"
    assert call.answer.members == (JoinedMember(call.answer.member_id, "a", b"range-meta"),)


def test_a_follower_that_comes_back_unchanged_keeps_generation_and_assignment():
    world, leader, follower = stable_pair()
    world.holds = True
    call = world.join(instance_id="b")
    assert call.waits
    world.release()
    newer = call.answer.member_id
    assert call.answer == Joined(NONE, newer, 1, "consumer", "range", leader)
    assert newer != follower
    assert world.state() == "Stable"
    assert world.sync(newer, 1, instance_id="b").answer.assignment == b"B"
    assert world.reloaded().shard.groups["g"].static_members == {"a": leader, "b": newer}


def test_a_leader_that_comes_back_is_told_to_skip_the_assignment():
    world, leader, follower = stable_pair()
    answer = world.join(instance_id="a").answer
    assert answer.skip_assignment
    assert answer.leader == answer.member_id != leader
    assert {member.member_id for member in answer.members} == {answer.member_id, follower}


def test_an_older_client_that_led_comes_back_as_if_its_former_self_led():
    world, leader, _ = stable_pair()
    answer = world.join(instance_id="a", can_skip_assignment=False).answer
    assert (answer.leader, answer.members, answer.skip_assignment) == (leader, (), False)
    assert world.shard.groups["g"].leader == answer.member_id


@pytest.mark.parametrize("what", ["heartbeat", "sync", "join", "commit", "leave"])
def test_the_former_self_is_fenced(what):
    world, _, follower = stable_pair()
    world.join(instance_id="b")
    error = {
        "heartbeat": lambda: world.heartbeat(follower, 1, "b"),
        "sync": lambda: world.sync(follower, 1, instance_id="b").answer.error,
        "join": lambda: world.join(follower, instance_id="b").answer.error,
        "commit": lambda: world.commit(5, follower, 1, instance_id="b").answer[0],
        "leave": lambda: world.leave((follower, "b")).members[0],
    }[what]()
    assert error is FENCED


def test_a_waiting_former_self_is_told_that_it_is_fenced():
    world, _, _ = stable_pair()
    waiting = world.join(instance_id="b", protocols=(("range", b"x"), ("sticky", b"")))
    assert waiting.answer.error is NONE
    world.join("", instance_id="c")
    first = world.join(instance_id="b")
    assert first.waits
    second = world.join(instance_id="b")
    assert first.answer.error is FENCED
    assert second.waits


def test_a_former_self_that_awaits_an_assignment_is_fenced_and_the_group_rebalances():
    world = VirtualShard()
    calls = [world.join(instance_id=name) for name in ("a", "b")]
    world.advance(0)
    follower = calls[1].answer.member_id
    waiting = world.sync(follower, 1, instance_id="b")
    assert world.join(instance_id="b").waits
    assert waiting.answer == Synced(FENCED)
    assert world.state() == "PreparingRebalance"


def test_a_static_member_whose_protocols_change_the_vote_starts_a_rebalance():
    world = VirtualShard()
    both = (("range", b"r"), ("sticky", b"s"))
    call = world.join(instance_id="a", protocols=both)
    world.advance(0)
    world.sync(call.answer.member_id, 1, {}, instance_id="a")
    assert world.join(instance_id="a", protocols=(("sticky", b"s"), ("range", b"r"))).answer.generation == 2
    assert world.shard.groups["g"].protocol == "sticky"


def test_a_replacement_that_cannot_be_written_leaves_the_former_self_in_place():
    world, leader, follower = stable_pair()
    world.refuse_with = ErrorCode.NOT_ENOUGH_REPLICAS
    answer = world.join(instance_id="b", session_timeout_ms=20_000).answer
    assert answer.error is ErrorCode.COORDINATOR_NOT_AVAILABLE
    world.refuse_with = None
    assert world.heartbeat(follower, 1, "b") is NONE
    group = world.shard.groups["g"]
    assert group.static_members == {"a": leader, "b": follower}
    assert group.members[follower].session_timeout_ms == 10_000
    assert set(group.session_deadlines) == {leader, follower}


def test_static_members_stay_through_a_rebalance_that_they_miss():
    world, leader, follower = stable_pair()
    world.heartbeat(leader, 1, "a")
    call = world.join(follower, instance_id="b", protocols=(("range", b"new"),), rebalance_timeout_ms=5_000)
    for _ in range(15):
        world.advance(4_000)
        world.heartbeat(leader, 1, "a")
    assert call.answer.generation == 2
    assert call.answer.leader == follower
    assert set(world.shard.groups["g"].members) == {leader, follower}


def test_a_rebalance_nobody_comes_to_waits_for_the_static_members_or_the_end_of_their_sessions():
    world, leader, follower = stable_pair()
    _, call = world.enter()
    world.leave((call_member(world), None))
    assert call.answer.error is UNKNOWN
    world.heartbeat(leader, 1, "a")
    world.heartbeat(follower, 1, "b")
    assert world.state() == "PreparingRebalance"
    world.advance(60_000)
    assert world.state() == "Empty"


def call_member(world: VirtualShard) -> str:
    """The newest member's id."""
    return list(world.shard.groups["g"].members)[-1]


def test_an_administrator_removes_by_instance_id_alone():
    world, _, _ = stable_pair()
    assert world.leave(("", "b"), ("", "b")).members == (NONE, UNKNOWN)
    assert list(world.shard.groups["g"].static_members) == ["a"]


def test_an_instance_id_nobody_knows_is_an_unknown_member():
    world, leader, _ = stable_pair()
    assert world.heartbeat(leader, 1, "zzz") is UNKNOWN
    assert world.join("somebody", instance_id="zzz").answer.error is UNKNOWN


def test_a_promised_member_id_with_an_instance_id_is_refused():
    world = VirtualShard()
    promised = world.join().answer.member_id
    assert world.join(promised, instance_id="a").answer.error is ErrorCode.UNKNOWN_SERVER_ERROR
