"""Any order of requests, refusals, delays and time keeps the invariants of a group; its log always rebuilds it."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from kbroker.group.classic_group import ClassicGroup, GroupState
from kbroker.group.events import Joined
from protocol_specs.errors import ErrorCode
from tests.group.virtual_shard import Call, VirtualShard, is_joined

INSTANCES = st.sampled_from(["x", "y"])
VARIANTS = st.sampled_from(
    [(("range", b"1"),), (("range", b"2"), ("sticky", b"2")), (("sticky", b"3"), ("range", b"3"))]
)
LONGEST_MS = 1_000_000
"""More than every timeout here one after the other: five minutes of a first join, twice a rebalance, a session."""


def snapshot(group: ClassicGroup) -> tuple[Any, ...]:
    """What of a settled group must survive a restart."""
    members = sorted(
        (
            member.member_id,
            member.instance_id,
            member.client_id,
            member.client_host,
            member.rebalance_timeout_ms,
            member.session_timeout_ms,
            member.metadata(group.protocol),
            member.assignment,
        )
        for member in group.members.values()
    )
    head = (group.group_id, group.state, group.generation, group.protocol_type, group.protocol, group.leader)
    return (*head, group.subscribed, members, group.static_members)


class GroupMachine(RuleBasedStateMachine):
    """One group "g" under every kind of event."""

    promised = Bundle("promised")

    def __init__(self) -> None:
        super().__init__()
        self.world = VirtualShard(initial_rebalance_delay_ms=3_000, max_size=4)
        self.refused = False
        self.last_generation = 0
        self.joins: list[tuple[str | None, Call]] = []

    @property
    def group(self) -> ClassicGroup | None:
        """The group, if it is there."""
        return self.world.shard.groups.get("g")

    def member(self, number: int) -> str:
        """One of the members, or a stranger."""
        members = list(self.group.members) if self.group is not None else []
        return members[number % len(members)] if members else "stranger"

    def joined(self, call: Call, instance_id: str | None = None) -> None:
        """Remember a join, to judge its answer later."""
        self.joins.append((instance_id, call))

    @rule(target=promised)
    def asks_for_an_id(self) -> Any:
        """A dynamic member's first join."""
        answer = self.world.join().answer
        return answer.member_id if answer.error is ErrorCode.MEMBER_ID_REQUIRED else multiple()

    @rule(member_id=consumes(promised), protocols=VARIANTS)
    def joins_with_its_id(self, member_id: str, protocols: Any) -> None:
        """Its second."""
        self.joined(self.world.join(member_id, protocols=protocols))

    @rule(instance_id=INSTANCES, protocols=VARIANTS, can_skip=st.booleans())
    def static_member_starts(self, instance_id: str, protocols: Any, can_skip: bool) -> None:
        """For the first time or again."""
        call = self.world.join(instance_id=instance_id, protocols=protocols, can_skip_assignment=can_skip)
        self.joined(call, instance_id)

    @rule(number=st.integers(0, 3), protocols=VARIANTS)
    def member_joins_again(self, number: int, protocols: Any) -> None:
        """After a heartbeat told it to, or with a new subscription."""
        self.joined(self.world.join(self.member(number), protocols=protocols))

    @rule()
    def everybody_rejoins(self) -> None:
        """As clients do when they are told to rebalance."""
        if self.group is not None and self.group.state is GroupState.PREPARING_REBALANCE:
            for member in list(self.group.members.values()):
                if member.member_id not in self.group.join_waiters and member.member_id in self.group.members:
                    self.joined(self.world.join(member.member_id, protocols=member.protocols))

    @rule(count=st.integers(1, 3), is_static=st.booleans())
    def several_enter(self, count: int, is_static: bool) -> None:
        """And those who are there rejoin, until the group has a generation."""
        for _ in range(count):
            promised = self.world.join().answer
            if promised.error is ErrorCode.MEMBER_ID_REQUIRED:
                self.joined(self.world.join(promised.member_id, protocols=(("range", b"1"),)))
        if is_static:
            self.joined(self.world.join(instance_id="x", protocols=(("range", b"1"),)), "x")
        self.everybody_rejoins()
        for _ in range(2):
            if self.group is not None and self.group.state is GroupState.PREPARING_REBALANCE:
                self.world.advance(3_000)

    @rule(leader_too=st.booleans(), count=st.integers(0, 4))
    def members_sync(self, leader_too: bool, count: int) -> None:
        """Some followers, then perhaps the leader."""
        group = self.group
        if group is None or group.state is not GroupState.COMPLETING_REBALANCE:
            return
        for member_id in [member_id for member_id in group.members if member_id != group.leader][:count]:
            self.world.sync(member_id, group.generation)
        if leader_too and group.leader is not None:
            self.world.sync(group.leader, group.generation, dict.fromkeys(group.members, b"assigned"))

    @rule(number=st.integers(0, 3), is_late=st.booleans())
    def member_syncs(self, number: int, is_late: bool) -> None:
        """The leader assigns something to everybody but one."""
        if self.group is not None:
            assignments = {member_id: member_id.encode() for member_id in list(self.group.members)[:-1]}
            self.world.sync(self.member(number), self.group.generation - is_late, assignments)

    @rule(number=st.integers(0, 3))
    def member_lives(self, number: int) -> None:
        """A heartbeat."""
        if self.group is not None:
            self.world.heartbeat(self.member(number), self.group.generation)

    @rule(number=st.integers(0, 3))
    def member_leaves(self, number: int) -> None:
        """LeaveGroup."""
        self.world.leave((self.member(number), None))

    @rule(number=st.integers(0, 3), offset=st.integers(0, 1000))
    def member_commits(self, number: int, offset: int) -> None:
        """OffsetCommit of the current generation, or of nobody in particular."""
        if self.group is not None and self.group.members:
            self.world.commit(offset, self.member(number), self.group.generation)
        else:
            self.world.commit(offset)

    @rule(duration_ms=st.sampled_from([0, 1, 2_999, 3_000, 9_999, 10_000, 60_000, 300_000]))
    def time_passes(self, duration_ms: int) -> None:
        """Timers fire."""
        self.world.advance(duration_ms)

    @rule()
    def commits_are_delayed(self) -> None:
        """Appends stay uncommitted from here on."""
        self.world.holds = True

    @rule()
    def commits_come(self) -> None:
        """What was held is committed."""
        self.world.release()

    @rule(error=st.sampled_from([None, None, ErrorCode.NOT_ENOUGH_REPLICAS]))
    def appends_fail_or_work(self, error: ErrorCode | None) -> None:
        """The partition's replicas come and go."""
        self.world.refuse_with = error
        self.refused = self.refused or error is not None

    @rule()
    def retention_is_checked(self) -> None:
        """Only when nothing is under way, as the shell does."""
        if not self.world.held:
            self.world.expire()

    @invariant()
    def nobody_is_answered_twice(self) -> None:
        """Each waiter gets at most one answer."""
        assert all(len(call.answers) <= 1 for call in self.world.calls)

    @invariant()
    def the_parts_of_a_group_agree(self) -> None:
        """Waiters are members, promised ones are not, and everybody's silence is timed."""
        group = self.group
        if group is None:
            assert self.world.timers == {} or self.refused
            return
        members = set(group.members)
        assert set(group.join_waiters) <= members
        assert set(group.sync_waiters) <= members
        assert group.pending_sync <= members
        assert not group.pending_join & members
        assert set(group.session_deadlines) == members | group.pending_join
        assert (group.leader in members) if members else group.leader is None
        assert (group.state is GroupState.EMPTY) <= (not members)
        for key, due_ms in self.world.timers.items():
            if key.kind == "session":
                assert group.session_timers[key.member_id] == due_ms
        if group.state is GroupState.PREPARING_REBALANCE:
            assert any(key.kind == "join" for key in self.world.timers)
        if group.state in (GroupState.COMPLETING_REBALANCE, GroupState.STABLE) and group.pending_sync:
            assert any(key.kind == "sync" for key in self.world.timers)
        assert not group.sync_waiters or group.state is GroupState.COMPLETING_REBALANCE

    @invariant()
    def generations_only_grow(self) -> None:
        """While the group exists."""
        generation = 0 if self.group is None else self.group.generation
        assert self.group is None or generation >= self.last_generation
        self.last_generation = generation

    @invariant()
    def one_member_leads_a_generation(self) -> None:
        """At most one of those who were answered; a static one may lead again under its next id."""
        leaders: dict[int, set[str]] = {}
        for instance_id, call in self.joins:
            answer: Joined | None = call.answers[0] if call.answers else None
            if answer is not None and is_joined(answer) and answer.members:
                leaders.setdefault(answer.generation, set()).add(instance_id or answer.member_id)
        if self.group is None or not self.last_generation:
            self.joins.clear()
            return
        for generation, names in leaders.items():
            dynamic = {name for name in names if name not in ("x", "y") and name[0] not in "xy"}
            assert len(dynamic) <= 1, f"generation {generation} has the leaders {names}"

    @invariant()
    def the_log_rebuilds_the_group(self) -> None:
        """Once nothing is under way; what could not be written can't be rebuilt."""
        if self.refused or self.world.held:
            return
        rebuilt = self.world.reloaded().shard
        for group in self.world.shard.groups.values():
            if group.state is GroupState.STABLE or (group.state is GroupState.EMPTY and not group.pending_join):
                assert snapshot(rebuilt.groups[group.group_id]) == snapshot(group)
        assert rebuilt.offsets.of_group("g") == self.world.shard.offsets.of_group("g")

    def teardown(self) -> None:
        """Every waiting member gets an answer in bounded time, and an abandoned group empties."""
        self.world.refuse_with = None
        self.world.release()
        self.world.advance(LONGEST_MS)
        assert [call for call in self.world.calls if call.waits] == []
        assert self.group is None or self.group.state is GroupState.EMPTY
        assert self.world.timers == {}


TestGroupMachine = GroupMachine.TestCase
TestGroupMachine.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
