"""One classic group: its members, generation, leader and vote. Only state and small decisions; see rebalance.py.

    Empty                no members. Offsets may be here all the same.
    PreparingRebalance   members are (re)joining; ends when all have, or the rebalance timeout passes
    CompletingRebalance  the generation stands, the leader's assignment is awaited
    Stable               everybody has an assignment
    Dead                 gone from this broker; whoever still holds it asks elsewhere

Source: Apache Kafka, ClassicGroup.java and ClassicGroupState.java.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from kbroker.group.effects import Waiter
from kbroker.group.events import JoinedMember, Protocols
from kbroker.group.subscription import subscribed_topics
from protocol_specs.errors import ErrorCode

CONSUMER_PROTOCOL_TYPE = "consumer"
"""The protocol type whose metadata the coordinator may look into."""


class GroupState(Enum):
    """A classic group's state under the name that Kafka's tools print."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


_MAY_FOLLOW: dict[GroupState, frozenset[GroupState]] = {
    GroupState.EMPTY: frozenset({GroupState.PREPARING_REBALANCE}),
    GroupState.PREPARING_REBALANCE: frozenset(
        {GroupState.EMPTY, GroupState.COMPLETING_REBALANCE, GroupState.STABLE},
    ),
    GroupState.COMPLETING_REBALANCE: frozenset({GroupState.PREPARING_REBALANCE}),
    GroupState.STABLE: frozenset({GroupState.COMPLETING_REBALANCE}),
    GroupState.DEAD: frozenset(GroupState),
}


@dataclass(slots=True, eq=False)
class Member:
    """A member of the group; timeouts in milliseconds, `protocols` in its order of preference."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    protocol_type: str
    protocols: Protocols
    assignment: bytes = b""
    is_new: bool = False
    """Has never completed a join: then even a waiting one is given up after NEW_MEMBER_JOIN_TIMEOUT_MS."""

    def metadata(self, protocol: str | None) -> bytes:
        """What the member said about itself for that protocol; KeyError if it does not support it."""
        for name, metadata in self.protocols:
            if name == protocol:
                return metadata
        raise KeyError(f"{self.member_id} does not support {protocol}")

    def vote(self, candidates: set[str]) -> str:
        """Its favourite among the candidates (Kafka: ClassicGroupMember.vote)."""
        return next(name for name, _ in self.protocols if name in candidates)


class ClassicGroup:
    """The state of one group.

    `join_waiters` and `sync_waiters` hold, by member id, who waits for the end of the join phase and for the
    assignment. `session_deadlines` says when a member or a pending member is given up; `session_timers` when its timer
    really fires, which may be earlier: a heartbeat only moves the deadline.
    """

    __slots__ = (
        "_support",
        "generation",
        "group_id",
        "initial_remaining_ms",
        "join_waiters",
        "leader",
        "members",
        "new_member_added",
        "pending_join",
        "pending_sync",
        "previous_state",
        "protocol",
        "protocol_type",
        "session_deadlines",
        "session_timers",
        "state",
        "state_since_ms",
        "static_members",
        "subscribed",
        "sync_waiters",
    )

    def __init__(self, group_id: str, state_since_ms: int) -> None:
        self.group_id = group_id
        self.state = GroupState.EMPTY
        self.previous_state = GroupState.DEAD
        self.state_since_ms = state_since_ms
        """Wall milliseconds of the last transition; -1 unknown."""
        self.generation = 0
        self.protocol_type: str | None = None
        self.protocol: str | None = None
        self.leader: str | None = None
        self.members: dict[str, Member] = {}
        self.static_members: dict[str, str] = {}
        self.pending_join: set[str] = set()
        self.pending_sync: set[str] = set()
        self.join_waiters: dict[str, Waiter] = {}
        self.sync_waiters: dict[str, Waiter] = {}
        self.session_deadlines: dict[str, int] = {}
        self.session_timers: dict[str, int] = {}
        self.subscribed: frozenset[str] | None = None
        """The topics that a Stable consumer group reads; None when that is not known."""
        self.new_member_added = False
        self.initial_remaining_ms: int | None = None
        """How far the first rebalance may still be put off; None outside one."""
        self._support: Counter[str] = Counter()

    # -- state ---------------------------------------------------------------------------------------------------

    def transition_to(self, state: GroupState, wall_ms: int) -> None:
        """Enter `state`; a step that the table above does not have is a bug of ours."""
        assert self.state in _MAY_FOLLOW[state], f"{self.group_id}: {self.state} cannot become {state}"
        self.previous_state = self.state
        self.state = state
        self.state_since_ms = wall_ms

    @property
    def can_rebalance(self) -> bool:
        """May it go to PreparingRebalance from here?"""
        return self.state in _MAY_FOLLOW[GroupState.PREPARING_REBALANCE]

    @property
    def has_all_joined(self) -> bool:
        """Is every known member waiting, and nobody known only by its promised id?"""
        return len(self.members) == len(self.join_waiters) and not self.pending_join

    @property
    def rebalance_timeout_ms(self) -> int:
        """The longest that any member asked for."""
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    def next_generation(self, wall_ms: int) -> None:
        """The join phase is over: count, vote, and await the assignment (or be Empty)."""
        self.generation += 1
        self.pending_sync.clear()
        if self.members:
            self.protocol = self.select_protocol()
            self.transition_to(GroupState.COMPLETING_REBALANCE, wall_ms)
        else:
            self.protocol = None
            self.transition_to(GroupState.EMPTY, wall_ms)
        self.subscribed = self.compute_subscribed()

    # -- members -------------------------------------------------------------------------------------------------

    def add(self, member: Member) -> None:
        """A member comes in; the first one is the leader and sets the protocol type."""
        if member.instance_id is not None:
            assert member.instance_id not in self.static_members, f"{member.instance_id} is a member already"
            self.static_members[member.instance_id] = member.member_id
        if not self.members:
            self.protocol_type = member.protocol_type
        if self.leader is None:
            self.leader = member.member_id
        self.members[member.member_id] = member
        self._support.update(name for name, _ in member.protocols)
        self.pending_join.discard(member.member_id)

    def remove(self, member_id: str) -> None:
        """A member or pending member goes; harmless for a stranger. Its waiters are the caller's business."""
        member = self.members.pop(member_id, None)
        if member is not None:
            self._support.subtract(name for name, _ in member.protocols)
            if member.instance_id is not None:
                self.static_members.pop(member.instance_id, None)
        if self.leader == member_id:
            self.leader = next(iter(self.members), None)
        self.pending_join.discard(member_id)
        self.pending_sync.discard(member_id)
        self.session_deadlines.pop(member_id, None)

    def update(self, member: Member, protocols: Protocols, rebalance_timeout_ms: int, session_timeout_ms: int) -> None:
        """What the member says about itself now."""
        self._support.subtract(name for name, _ in member.protocols)
        self._support.update(name for name, _ in protocols)
        member.protocols = protocols
        member.rebalance_timeout_ms = rebalance_timeout_ms
        member.session_timeout_ms = session_timeout_ms

    def rename_static(self, old_member_id: str, new_member_id: str) -> Member:
        """The same instance came back under a new member id; leadership and assignment go with it (KIP-345)."""
        old = self.members.pop(old_member_id)
        assert old.instance_id is not None
        member = Member(
            new_member_id,
            old.instance_id,
            old.client_id,
            old.client_host,
            old.rebalance_timeout_ms,
            old.session_timeout_ms,
            old.protocol_type,
            old.protocols,
            old.assignment,
        )
        self.members[new_member_id] = member
        self.static_members[old.instance_id] = new_member_id
        if self.leader == old_member_id:
            self.leader = new_member_id
        if old_member_id in self.pending_sync:
            self.pending_sync.discard(old_member_id)
            self.pending_sync.add(new_member_id)
        self.session_deadlines.pop(old_member_id, None)
        return member

    def refusal_of(self, member_id: str, instance_id: str | None) -> ErrorCode | None:
        """Why a request of that identity is not a member's: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID; None: it is one."""
        if instance_id is not None:
            known = self.static_members.get(instance_id)
            if known is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if known != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        return None if member_id in self.members else ErrorCode.UNKNOWN_MEMBER_ID

    def elect_joined_leader(self) -> bool:
        """Keep a leader that has rejoined, else take the first member that has; False if none has."""
        if self.leader in self.join_waiters:
            return True
        for member_id in self.members:
            if member_id in self.join_waiters:
                self.leader = member_id
                return True
        return False

    def joined_members(self) -> tuple[JoinedMember, ...]:
        """Everybody's metadata for the chosen protocol: what the leader assigns by."""
        return tuple(
            JoinedMember(member.member_id, member.instance_id, member.metadata(self.protocol))
            for member in self.members.values()
        )

    # -- protocols -----------------------------------------------------------------------------------------------

    def supports(self, protocol_type: str, protocols: Protocols) -> bool:
        """Could a member with these protocols be in the group: same type, and one protocol that everybody has."""
        if self.state is GroupState.EMPTY:
            return bool(protocol_type) and bool(protocols)
        everybody = len(self.members)
        return self.protocol_type == protocol_type and any(self._support[name] == everybody for name, _ in protocols)

    def select_protocol(self) -> str:
        """Each member votes for its favourite among those that everybody supports; ties go to the first voted for."""
        everybody = len(self.members)
        candidates = {name for name, count in self._support.items() if count == everybody}
        votes = Counter(member.vote(candidates) for member in self.members.values())
        return votes.most_common(1)[0][0]

    def compute_subscribed(self) -> frozenset[str] | None:
        """All topics in the members' subscriptions; None unless it is a consumer group whose metadata can be read."""
        if self.protocol_type != CONSUMER_PROTOCOL_TYPE:
            return None
        if not self.members:
            return frozenset()
        if self.protocol is None:
            return None
        topics: set[str] = set()
        for member in self.members.values():
            found = subscribed_topics(member.metadata(self.protocol))
            if found is None:
                return None
            topics.update(found)
        return frozenset(topics)

    def is_subscribed_to(self, topic: str) -> bool:
        """May a member read the topic? A consumer group of unknown subscription counts as reading everything."""
        if self.subscribed is not None:
            return topic in self.subscribed
        return self.protocol_type == CONSUMER_PROTOCOL_TYPE
