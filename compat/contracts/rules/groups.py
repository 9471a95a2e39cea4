"""Classic groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, static members."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import Any

from compat.contracts.bench import Bench, wait_until
from compat.contracts.engine import cases, contract, expect
from compat.contracts.keys import HEARTBEAT, JOIN_GROUP, LEAVE_GROUP, SYNC_GROUP
from compat.contracts.line import Line

JOINING = "KIP-62, KIP-394; Kafka: GroupMetadataManager.classicGroupJoin"
SYNCING = "KIP-559; Kafka: GroupMetadataManager.classicGroupSync"
BEATING = "Kafka: GroupMetadataManager.classicGroupHeartbeat"
LEAVING = "KIP-345; Kafka: GroupMetadataManager.classicGroupLeave"
STATIC = "KIP-345, KIP-814"
SESSION_MS = 10_000


def subscription(note: bytes) -> bytes:
    """What a consumer sends for a protocol (ConsumerProtocolSubscription 0): no topics, and a note as user data."""
    return struct.pack(">hii", 0, 0, len(note)) + note


def join_fields(
    group: str,
    version: int,
    member: str = "",
    *,
    protocols: Sequence[tuple[str, bytes]] = (("range", subscription(b"m")),),
    **more: Any,
) -> dict[str, Any]:
    """A JoinGroup request of a consumer."""
    fields = {
        "group_id": group,
        "session_timeout_ms": SESSION_MS,
        "member_id": member,
        "protocol_type": "consumer",
        "protocols": [{"name": name, "metadata": metadata} for name, metadata in protocols],
    }
    if version >= 1:
        fields["rebalance_timeout_ms"] = 10_000
    return {**fields, **more}


def join(b: Bench, group: str, version: int = 5, member: str = "", line: Line | None = None, **more: Any) -> Any:
    """Join and wait; a dynamic member that must know its id first asks again with it."""
    answer = b.ask(JOIN_GROUP, version, line, **join_fields(group, version, member, **more))
    if answer.error_code == 79:
        answer = b.ask(JOIN_GROUP, version, line, **join_fields(group, version, answer.member_id, **more))
    return answer


def sync(
    b: Bench,
    group: str,
    joined: Any,
    parts: dict[str, bytes] | None = None,
    version: int = 3,
    line: Line | None = None,
    **more: Any,
) -> Any:
    """Sync as a member that joined; `parts` is the leader's assignment."""
    listed = [{"member_id": member, "assignment": part} for member, part in (parts or {}).items()]
    named = {"protocol_type": "consumer", "protocol_name": "range"} if version >= 5 else {}
    fields = {
        "group_id": group,
        "generation_id": joined.generation_id,
        "member_id": joined.member_id,
        "assignments": listed,
    }
    return b.ask(SYNC_GROUP, version, line, **{**fields, **named, **more})


def beat(b: Bench, group: str, member: str, generation: int, version: int = 3, **more: Any) -> int:
    """The error of a heartbeat."""
    answer = b.ask(HEARTBEAT, version, group_id=group, member_id=member, generation_id=generation, **more)
    return int(answer.error_code)


def leave(b: Bench, group: str, *members: tuple[str, str | None], version: int = 3) -> tuple[int, list[int]]:
    """(error, errors of the members) of LeaveGroup 3 and later; members are (member id, instance id)."""
    listed = [{"member_id": member, "group_instance_id": instance} for member, instance in members]
    answer = b.ask(LEAVE_GROUP, version, group_id=group, members=listed)
    return int(answer.error_code), [int(member.error_code) for member in answer.members]


def stable(b: Bench, version: int = 5, **more: Any) -> tuple[str, Any]:
    """A group with one member, synced."""
    group = b.group()
    joined = join(b, group, version, **more)
    expect("error of the join", joined.error_code, 0)
    synced = sync(b, group, joined, {joined.member_id: b"part"}, group_instance_id=more.get("group_instance_id"))
    expect("error of the sync", synced.error_code, 0)
    return group, joined


@contract("JOIN-001 a lone member joins at every version, leads, and sees itself", JOINING)
def lone_member(b: Bench) -> None:
    for version in range(10):
        group = b.group()
        joined = join(
            b, group, version, protocols=[("range", subscription(b"meta")), ("roundrobin", subscription(b"other"))]
        )
        expect(
            f"(error, generation, protocol) at version {version}",
            (joined.error_code, joined.generation_id, joined.protocol_name),
            (0, 1, "range"),
        )
        expect("leads", joined.leader, joined.member_id)
        expect(
            "members",
            [(m.member_id, m.group_instance_id, bytes(m.metadata)) for m in joined.members],
            [(joined.member_id, None, subscription(b"meta"))],
        )
        expect("type", joined.protocol_type, "consumer" if version >= 7 else None)
        expect("skip", joined.skip_assignment, False)
        synced = sync(b, group, joined, {joined.member_id: b"part"}, min(version, 5))
        expect("(error, part)", (synced.error_code, bytes(synced.assignment)), (0, b"part"))


@contract("JOIN-002 from version 4 on a member without an id gets one with MEMBER_ID_REQUIRED", "KIP-394")
def id_required(b: Bench) -> None:
    for version in (4, 5, 7, 9):
        group = b.group()
        answer = b.ask(JOIN_GROUP, version, **join_fields(group, version))
        expect("(error, generation)", (answer.error_code, answer.generation_id), (79, -1))
        expect("does the id begin with the client's", answer.member_id.startswith("contracts-"), True)
        expect("(leader, members)", (answer.leader, answer.members), ("", []))
        expect("protocol", answer.protocol_name, None if version >= 7 else "")
        again = b.ask(JOIN_GROUP, version, **join_fields(group, version, answer.member_id))
        expect("(error, id) afterwards", (again.error_code, again.member_id), (0, answer.member_id))


@contract("JOIN-003 before version 4 a member without an id joins at once", "KIP-394")
def joins_at_once(b: Bench) -> None:
    for version in (0, 1, 2, 3):
        answer = b.ask(JOIN_GROUP, version, **join_fields(b.group(), version))
        expect("(error, generation)", (answer.error_code, answer.generation_id), (0, 1))


@cases(
    JOINING,
    ("JOIN-004 a session time-out of 1 ms is INVALID_SESSION_TIMEOUT", {"session_timeout_ms": 1}, 26),
    ("JOIN-005 a session time-out of a day is INVALID_SESSION_TIMEOUT", {"session_timeout_ms": 86_400_000}, 26),
    ("JOIN-006 a negative session time-out is INVALID_SESSION_TIMEOUT", {"session_timeout_ms": -1}, 26),
    ("JOIN-007 an empty group id is INVALID_GROUP_ID", {"group_id": ""}, 24),
    ("JOIN-008 no protocols are INCONSISTENT_GROUP_PROTOCOL", {"protocols": []}, 23),
    ("JOIN-009 an empty protocol type is INCONSISTENT_GROUP_PROTOCOL", {"protocol_type": ""}, 23),
    ("JOIN-010 a member id in a group that isn't there is UNKNOWN_MEMBER_ID", {"member_id": "somebody"}, 25),
)
def refused_joins(b: Bench, fields: dict[str, Any], error: int) -> None:
    group = b.group()
    for version in (0, 3, 4, 5, 7, 9):
        answer = b.ask(JOIN_GROUP, version, **{**join_fields(group, version), **fields})
        expect(f"(error, generation) at version {version}", (answer.error_code, answer.generation_id), (error, -1))
        expect("(leader, members)", (answer.leader, answer.members), ("", []))
        expect("member id", answer.member_id, fields.get("member_id", ""))
        expect("(type, protocol)", (answer.protocol_type, answer.protocol_name), (None, None if version >= 7 else ""))


@contract("JOIN-011 an unknown member id in a living group is UNKNOWN_MEMBER_ID", JOINING)
def unknown_member(b: Bench) -> None:
    group, _ = stable(b)
    for version in (0, 5, 9):
        answer = b.ask(JOIN_GROUP, version, **join_fields(group, version, "somebody"))
        expect("(error, member id)", (answer.error_code, answer.member_id), (25, "somebody"))


@contract("JOIN-012 another protocol type or no common protocol is INCONSISTENT_GROUP_PROTOCOL", JOINING)
def inconsistent(b: Bench) -> None:
    group, _ = stable(b)
    for version in (0, 3, 5, 9):
        answer = b.ask(JOIN_GROUP, version, **join_fields(group, version, protocol_type="connect"))
        expect("error of another type", answer.error_code, 23)
        answer = b.ask(JOIN_GROUP, version, **join_fields(group, version, protocols=[("sticky", subscription(b""))]))
        expect("error of another protocol", answer.error_code, 23)


@contract("JOIN-013 a second member makes the first rejoin, and both are in the next generation", JOINING)
def second_member(b: Bench) -> None:
    group, first = stable(b)
    line, other = b.line(), b.line("other")
    answer = b.ask(JOIN_GROUP, 5, other, **join_fields(group, 5))
    number = b.send(
        JOIN_GROUP, 5, other, **join_fields(group, 5, answer.member_id, protocols=[("range", subscription(b"n"))])
    )
    expect("does it wait", other.is_silent(0.1), True)
    expect("error of the first one's heartbeat", beat(b, group, first.member_id, 1), 27)
    again = b.ask(JOIN_GROUP, 5, line, **join_fields(group, 5, first.member_id))
    second = b.answer(JOIN_GROUP, 5, other, number)
    expect("generations", (again.generation_id, second.generation_id), (2, 2))
    expect("leaders", (again.leader, second.leader), (first.member_id, first.member_id))
    found = sorted((m.member_id, bytes(m.metadata)) for m in again.members)
    expect(
        "members told to the leader",
        found,
        sorted([(first.member_id, subscription(b"m")), (second.member_id, subscription(b"n"))]),
    )
    expect("members told to the other", second.members, [])
    waiting = b.send(SYNC_GROUP, 3, other, group_id=group, generation_id=2, member_id=second.member_id)
    expect("does its sync wait for the leader", other.is_silent(0.1), True)
    expect("error of a heartbeat meanwhile", beat(b, group, second.member_id, 2), 0)
    synced = sync(b, group, again, {first.member_id: b"one", second.member_id: b"two"}, line=line)
    expect("the leader's part", bytes(synced.assignment), b"one")
    expect("the other's part", bytes(b.answer(SYNC_GROUP, 3, other, waiting).assignment), b"two")


@contract("JOIN-014 a member that does not rejoin in time is dropped", "KIP-62")
def dropped(b: Bench) -> None:
    group, first = stable(b, rebalance_timeout_ms=300)
    other = join(b, group, 5, line=b.line(), rebalance_timeout_ms=300)
    expect("(error, generation, members)", (other.error_code, other.generation_id, len(other.members)), (0, 2, 1))
    expect("error of the first one's heartbeat", beat(b, group, first.member_id, 1), 25)


@contract("JOIN-015 the protocol that most members want is chosen among those that all have", JOINING)
def vote(b: Bench) -> None:
    group = b.group()
    first = join(b, group, 5, protocols=[("a", subscription(b"")), ("b", subscription(b""))])
    other = b.line()
    answer = b.ask(JOIN_GROUP, 5, other, **join_fields(group, 5, protocols=[("b", subscription(b"x"))]))
    number = b.send(
        JOIN_GROUP, 5, other, **join_fields(group, 5, answer.member_id, protocols=[("b", subscription(b"x"))])
    )
    expect("does it wait", other.is_silent(0.05), True)
    again = b.ask(
        JOIN_GROUP,
        5,
        b.line(),
        **join_fields(group, 5, first.member_id, protocols=[("a", subscription(b"")), ("b", subscription(b"y"))]),
    )
    expect("protocol", again.protocol_name, "b")
    expect("protocol told to the other", b.answer(JOIN_GROUP, 5, other, number).protocol_name, "b")


@contract(
    "JOIN-016 a follower that rejoins a stable group unchanged gets the same generation, the leader a new one", JOINING
)
def rejoin(b: Bench) -> None:
    group, leader = stable(b)
    again = b.ask(JOIN_GROUP, 5, **join_fields(group, 5, leader.member_id))
    expect("(error, generation) of the leader", (again.error_code, again.generation_id), (0, 2))


@contract("JOIN-017 the same protocol named twice counts once", JOINING, deliberate="Apache Kafka 4.3.1 never answers")
def doubled(b: Bench) -> None:
    group, line = b.group(), b.line()
    fields = join_fields(group, 3, protocols=[("range", subscription(b"1")), ("range", subscription(b"1"))])
    number = b.send(JOIN_GROUP, 3, line, **fields)
    joined = b.answer(JOIN_GROUP, 3, line, number, timeout_s=3.0)
    expect("(error, protocol)", (joined.error_code, joined.protocol_name), (0, "range"))


@contract("SYNC-001 an unknown group or member is UNKNOWN_MEMBER_ID, another generation ILLEGAL_GENERATION", SYNCING)
def sync_refusals(b: Bench) -> None:
    group, joined = stable(b)
    for version in range(6):
        named = {"protocol_type": "consumer", "protocol_name": "range"} if version >= 5 else {}
        for fields, error in (
            ({"group_id": b.name("g"), "member_id": "m", "generation_id": 1}, 25),
            ({"group_id": group, "member_id": "m", "generation_id": 1}, 25),
            ({"group_id": group, "member_id": joined.member_id, "generation_id": 7}, 22),
            ({"group_id": group, "member_id": joined.member_id, "generation_id": 1}, 0),
            ({"group_id": "", "member_id": "m", "generation_id": 1}, 24),
        ):
            answer = b.ask(SYNC_GROUP, version, **fields, **named)
            expect(
                f"(error, part) at version {version}",
                (answer.error_code, bytes(answer.assignment)),
                (error, b"part" if error == 0 else b""),
            )


@contract("SYNC-002 from version 5 on type and protocol must be named and agree", "KIP-559")
def sync_protocol(b: Bench) -> None:
    group, joined = stable(b)
    for kind, protocol, error in (
        ("consumer", "range", 0),
        ("connect", "range", 23),
        ("consumer", "sticky", 23),
        (None, "range", 23),
        ("consumer", None, 23),
    ):
        answer = sync(b, group, joined, version=5, protocol_type=kind, protocol_name=protocol)
        expect(f"error of {kind}, {protocol}", answer.error_code, error)
        wanted = ("consumer", "range") if error == 0 else (None, None)
        expect("(type, protocol) told", (answer.protocol_type, answer.protocol_name), wanted)


@contract("SYNC-003 whom the leader forgets gets an empty part", SYNCING)
def forgotten(b: Bench) -> None:
    group = b.group()
    joined = join(b, group)
    synced = sync(b, group, joined, {"somebody else": b"x"})
    expect("(error, part)", (synced.error_code, bytes(synced.assignment)), (0, b""))


@contract("SYNC-004 a member that does not sync before the rebalance time-out is dropped", SYNCING)
def never_synced(b: Bench) -> None:
    group = b.group()
    joined = join(b, group, 5, rebalance_timeout_ms=200)
    expect("error of a heartbeat", beat(b, group, joined.member_id, 1), 0)
    wait_until(lambda: beat(b, group, joined.member_id, joined.generation_id) == 25, "the member is gone")


@contract("SYNC-005 a follower that rejoins a stable group unchanged keeps generation and part", JOINING)
def follower_rejoins(b: Bench) -> None:
    group, first = stable(b)
    other = b.line()
    answer = b.ask(JOIN_GROUP, 5, other, **join_fields(group, 5))
    number = b.send(JOIN_GROUP, 5, other, **join_fields(group, 5, answer.member_id))
    expect("does it wait", other.is_silent(0.05), True)
    leader = b.ask(JOIN_GROUP, 5, **join_fields(group, 5, first.member_id))
    second = b.answer(JOIN_GROUP, 5, other, number)
    sync(b, group, leader, {first.member_id: b"one", second.member_id: b"two"})
    expect("the follower's part", bytes(sync(b, group, second).assignment), b"two")
    again = b.ask(JOIN_GROUP, 5, other, **join_fields(group, 5, second.member_id))
    expect("(error, generation, members)", (again.error_code, again.generation_id, again.members), (0, 2, []))
    expect("its part afterwards", bytes(sync(b, group, second).assignment), b"two")
    expect("error of the leader's heartbeat", beat(b, group, first.member_id, 2), 0)
    changed = join_fields(group, 5, second.member_id, protocols=[("range", subscription(b"changed"))])
    number = b.send(JOIN_GROUP, 5, other, **changed)
    expect("does a changed one wait for the others", other.is_silent(0.1), True)
    expect("error of the leader's heartbeat then", beat(b, group, first.member_id, 2), 27)
    b.ask(JOIN_GROUP, 5, **join_fields(group, 5, first.member_id))
    expect("generation", b.answer(JOIN_GROUP, 5, other, number).generation_id, 3)


@contract("HEARTBEAT-001 an unknown group or member is 25, another generation 22, a good one 0", BEATING)
def heartbeats(b: Bench) -> None:
    group, joined = stable(b)
    for version in range(5):
        for name, member, generation, error in (
            (b.name("g"), "m", 1, 25),
            (group, "m", 1, 25),
            (group, "", 1, 25),
            (group, joined.member_id, 0, 22),
            (group, joined.member_id, 2, 22),
            (group, joined.member_id, 1, 0),
            ("", "m", 1, 24),
        ):
            expect(f"error at version {version}", beat(b, name, member, generation, version), error)


@contract("HEARTBEAT-002 before the sync a heartbeat is fine", BEATING)
def before_sync(b: Bench) -> None:
    group = b.group()
    joined = join(b, group)
    expect("error", beat(b, group, joined.member_id, 1), 0)


@contract("LEAVE-001 before version 3 an unknown member or group is 25 at the top", LEAVING)
def leave_old(b: Bench) -> None:
    for version in (0, 1, 2):
        group, joined = stable(b)
        for name, member, error in (
            (b.name("g"), "m", 25),
            (group, "m", 25),
            ("", "m", 24),
            (group, joined.member_id, 0),
            (group, joined.member_id, 25),
        ):
            answer = b.ask(LEAVE_GROUP, version, group_id=name, member_id=member)
            expect(f"error at version {version}", answer.error_code, error)


@contract("LEAVE-002 from version 3 on errors stand with the members, under a top-level 0", LEAVING)
def leave_new(b: Bench) -> None:
    for version in (3, 4, 5):
        group, joined = stable(b)
        expect("an unknown group", leave(b, b.name("g"), ("m", None), version=version), (0, [25]))
        expect("two members", leave(b, group, ("m", None), (joined.member_id, None), version=version), (0, [25, 0]))
        expect("nobody", leave(b, group, version=version), (0, []))
        expect("an empty group id", leave(b, "", ("m", None), version=version), (24, []))


@contract("LEAVE-003 the last one out leaves an empty group, which the next one enters with a new generation", LEAVING)
def emptied(b: Bench) -> None:
    group, joined = stable(b)
    expect("leave", leave(b, group, (joined.member_id, None)), (0, [0]))
    expect("error of a heartbeat", beat(b, group, joined.member_id, 1), 25)
    again = join(b, group)
    expect("is the generation later", again.generation_id > 1, True)


@contract("LEAVE-004 who leaves makes the others rebalance", LEAVING)
def leaving_rebalances(b: Bench) -> None:
    group, first = stable(b)
    other = b.line()
    answer = b.ask(JOIN_GROUP, 5, other, **join_fields(group, 5))
    number = b.send(JOIN_GROUP, 5, other, **join_fields(group, 5, answer.member_id))
    expect("does it wait", other.is_silent(0.05), True)
    b.ask(JOIN_GROUP, 5, b.line(), **join_fields(group, 5, first.member_id))
    second = b.answer(JOIN_GROUP, 5, other, number)
    expect("leave", leave(b, group, (first.member_id, None)), (0, [0]))
    expect("error of the other's heartbeat", beat(b, group, second.member_id, 2), 27)


@contract("STATIC-001 a static member joins without an id at once and gets one that begins with its instance", STATIC)
def static_joins(b: Bench) -> None:
    for version in (5, 7, 9):
        answer = b.ask(JOIN_GROUP, version, **join_fields(b.group(), version, group_instance_id="i-1"))
        expect("(error, generation)", (answer.error_code, answer.generation_id), (0, 1))
        expect("does the id begin with the instance", answer.member_id.startswith("i-1-"), True)
        expect("members", [(m.member_id, m.group_instance_id) for m in answer.members], [(answer.member_id, "i-1")])


@contract(
    "STATIC-002 a static member that returns takes its place in a stable group, and the old one is fenced", STATIC
)
def static_returns(b: Bench) -> None:
    group, old = stable(b, group_instance_id="i-1")
    new = b.ask(JOIN_GROUP, 5, **join_fields(group, 5, group_instance_id="i-1"))
    expect("(error, generation)", (new.error_code, new.generation_id), (0, 1))
    expect("is its id another", new.member_id != old.member_id, True)
    expect("error of the old one's heartbeat", beat(b, group, old.member_id, 1, group_instance_id="i-1"), 82)
    expect("error of the new one's heartbeat", beat(b, group, new.member_id, 1, group_instance_id="i-1"), 0)
    stale = sync(b, group, old, group_instance_id="i-1")
    expect("error of the old one's sync", stale.error_code, 82)
    answer = b.ask(JOIN_GROUP, 5, **join_fields(group, 5, old.member_id, group_instance_id="i-1"))
    expect("error of the old one's join", answer.error_code, 82)
    synced = sync(b, group, new, group_instance_id="i-1")
    expect("(error, part) of the new one's sync", (synced.error_code, bytes(synced.assignment)), (0, b"part"))


@contract("STATIC-003 a static leader that returns is told to skip the assignment from version 9 on", "KIP-814")
def skip(b: Bench) -> None:
    group, old = stable(b, 9, group_instance_id="i-1")
    new = b.ask(JOIN_GROUP, 9, **join_fields(group, 9, group_instance_id="i-1"))
    expect(
        "(error, generation, skip, leads)",
        (new.error_code, new.generation_id, new.skip_assignment, new.leader == new.member_id),
        (0, 1, True, True),
    )
    expect("members told", [m.group_instance_id for m in new.members], ["i-1"])
    expect("was it another id", old.member_id != new.member_id, True)


@contract("STATIC-004 before version 9 a returning static leader is not told that it leads", "KIP-345")
def not_told(b: Bench) -> None:
    group, old = stable(b, group_instance_id="i-1")
    new = b.ask(JOIN_GROUP, 8, **join_fields(group, 8, group_instance_id="i-1"))
    expect("(leader, members)", (new.leader, new.members), (old.member_id, []))


@contract(
    "STATIC-005 a static member that returns with another subscription but the same protocol disturbs nobody", STATIC
)
def static_changed(b: Bench) -> None:
    group, _ = stable(b, group_instance_id="i-1")
    new = b.ask(
        JOIN_GROUP, 5, **join_fields(group, 5, group_instance_id="i-1", protocols=[("range", subscription(b"changed"))])
    )
    expect("(error, generation)", (new.error_code, new.generation_id), (0, 1))


@contract("STATIC-006 members leave by instance id; an unknown one is 25, a stale member id 82", LEAVING)
def static_leaves(b: Bench) -> None:
    group, joined = stable(b, group_instance_id="i-1")
    expect("an unknown instance", leave(b, group, ("", "i-9")), (0, [25]))
    expect("another member's id", leave(b, group, ("somebody", "i-1")), (0, [82]))
    expect("by instance", leave(b, group, ("", "i-1")), (0, [0]))
    expect("error of a heartbeat", beat(b, group, joined.member_id, 1, group_instance_id="i-1"), 25)


@contract("STATIC-007 a member id under another's instance is fenced, under an unknown one unknown", STATIC)
def fenced(b: Bench) -> None:
    group, joined = stable(b, group_instance_id="i-1")
    expect("another member id", beat(b, group, "somebody", 1, group_instance_id="i-1"), 82)
    expect("an unknown instance", beat(b, group, joined.member_id, 1, group_instance_id="i-9"), 25)


@contract("STATIC-008 rejoining takes no longer than an answer", STATIC)
def quickly(b: Bench) -> None:
    group, _ = stable(b, group_instance_id="i-1")
    begun = time.monotonic()
    b.ask(JOIN_GROUP, 5, **join_fields(group, 5, group_instance_id="i-1"))
    expect("was it at once", time.monotonic() - begun < 5, True)
