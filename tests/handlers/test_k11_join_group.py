"""JoinGroup, SyncGroup, Heartbeat and LeaveGroup in their versions, as one member lives through them."""

from __future__ import annotations

import pytest

from kbroker.handlers.k11_join_group import join_group
from kbroker.handlers.k12_heartbeat import heartbeat
from kbroker.handlers.k13_leave_group import leave_group
from kbroker.handlers.k14_sync_group import sync_group
from protocol_specs.api.k11_join_group import JoinGroupRequest
from protocol_specs.api.k12_heartbeat import HeartbeatRequest
from protocol_specs.api.k13_leave_group import LeaveGroupRequest
from protocol_specs.api.k14_sync_group import SyncGroupRequest
from protocol_specs.errors import ErrorCode
from tests.handlers.group_node import GroupNode

Protocol = JoinGroupRequest.JoinGroupRequestProtocol
Assignment = SyncGroupRequest.SyncGroupRequestAssignment
Leaver = LeaveGroupRequest.MemberIdentity


def join(member_id: str = "", **fields):
    fields.setdefault("protocols", [Protocol(name="range", metadata=b"subscription")])
    fields.setdefault("rebalance_timeout_ms", 30_000)
    return JoinGroupRequest(
        group_id="g", session_timeout_ms=10_000, member_id=member_id, protocol_type="consumer", **fields
    )


def joined(node: GroupNode, version: int):
    """The answer of a member's completed join."""
    member_id = ""
    if version >= 4:
        first = node.ask(join_group, join(), version)
        assert first.error_code == ErrorCode.MEMBER_ID_REQUIRED
        member_id = first.member_id
    request = join(member_id) if version else join(member_id, rebalance_timeout_ms=-1)
    asked = node.start(join_group, request, version)
    assert asked.waits
    node.clock.advance(0)
    return asked.answer()


@pytest.mark.parametrize("version", range(10))
def test_a_member_joins_and_leads(version):
    answer = joined(GroupNode(), version)
    assert answer.error_code == 0
    assert answer.leader == answer.member_id
    assert answer.member_id.startswith("client-")
    assert (answer.generation_id, answer.protocol_name) == (1, "range")
    assert answer.protocol_type == ("consumer" if version >= 7 else None)
    assert [(member.member_id, member.metadata) for member in answer.members] == [(answer.member_id, b"subscription")]


@pytest.mark.parametrize("version", range(10))
def test_an_error_has_no_protocol_null_or_empty_as_the_version_wants_it(version):
    answer = GroupNode().ask(join_group, join("stranger"), version)
    assert answer.error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert answer.protocol_name == (None if version >= 7 else "")
    assert (answer.generation_id, answer.leader, answer.member_id) == (-1, "", "stranger")


def test_version_0_has_one_timeout_for_session_and_rebalance():
    node = GroupNode()
    joined(node, 0)
    (member,) = node.groups.runner_of("g").shard.groups["g"].members.values()
    assert (member.session_timeout_ms, member.rebalance_timeout_ms) == (10_000, 10_000)
    assert (member.client_id, member.client_host) == ("client", "/10.0.0.9")


def test_a_protocol_named_twice_counts_once():
    node = GroupNode()
    protocols = [Protocol(name="range", metadata=metadata) for metadata in (b"first", b"second")]
    node.start(join_group, join(protocols=protocols), 3)
    (member,) = node.groups.runner_of("g").shard.groups["g"].members.values()
    assert member.protocols == (("range", b"first"),)


def test_a_broker_that_stops_sends_those_who_wait_elsewhere():
    node = GroupNode()
    asked = node.start(join_group, join(), 3)
    asked.result.hurry()
    assert asked.answer().error_code == ErrorCode.NOT_COORDINATOR


def test_an_abandoned_join_keeps_its_place_until_the_session_ends():
    node = GroupNode()
    asked = node.start(join_group, join(), 3)
    asked.result.abandon()
    node.clock.advance(9_999)
    group = node.groups.runner_of("g").shard.groups["g"]
    assert (group.generation, len(group.members)) == (1, 1)
    node.clock.advance(30_000)
    assert group.members == {}


@pytest.mark.parametrize("version", range(6))
def test_the_leader_gets_back_what_it_assigned_itself(version):
    node = GroupNode()
    leader = joined(node, 9).member_id
    request = SyncGroupRequest(
        group_id="g", generation_id=1, member_id=leader, assignments=[Assignment(member_id=leader, assignment=b"mine")]
    )
    if version >= 5:
        assert node.ask(sync_group, request, version).error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        request.protocol_type, request.protocol_name = "consumer", "range"
    answer = node.ask(sync_group, request, version)
    assert (answer.error_code, answer.assignment) == (0, b"mine")
    assert answer.protocol_name == ("range" if version >= 5 else None)
    assert node.ask(heartbeat, HeartbeatRequest(group_id="g", generation_id=1, member_id=leader), 4).error_code == 0


@pytest.mark.parametrize("version", range(5))
def test_a_heartbeat_carries_its_error(version):
    node = GroupNode()
    member_id = joined(node, 9).member_id
    for generation, error in ((1, 0), (2, ErrorCode.ILLEGAL_GENERATION)):
        request = HeartbeatRequest(group_id="g", generation_id=generation, member_id=member_id)
        assert node.ask(heartbeat, request, version).error_code == error


@pytest.mark.parametrize("version", range(6))
def test_leaving_carries_its_error_above_or_beside_each_member(version):
    node = GroupNode()
    member_id = joined(node, 9).member_id
    for leaver, error in ((member_id, 0), (member_id, ErrorCode.UNKNOWN_MEMBER_ID)):
        fields = {"member_id": leaver} if version < 3 else {"members": [Leaver(member_id=leaver)]}
        answer = node.ask(leave_group, LeaveGroupRequest(group_id="g", **fields), version)
        if version < 3:
            assert answer.error_code == error
        else:
            assert (answer.error_code, [member.error_code for member in answer.members]) == (0, [error])


@pytest.mark.parametrize(
    ("handle", "request_of"),
    [
        (join_group, lambda: JoinGroupRequest(group_id="", session_timeout_ms=10_000)),
        (sync_group, lambda: SyncGroupRequest(group_id="", protocol_type="consumer", protocol_name="range")),
        (heartbeat, lambda: HeartbeatRequest(group_id="")),
        (leave_group, lambda: LeaveGroupRequest(group_id="")),
    ],
)
def test_an_empty_group_id_is_invalid(handle, request_of):
    handler = handle.handler
    assert GroupNode().ask(handle, request_of(), handler.highest).error_code == ErrorCode.INVALID_GROUP_ID
