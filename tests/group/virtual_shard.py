"""A group shard on virtual time with a log in a list: effects are run as the shell would, and written down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kbroker.group.effects import CancelTimer, Effect, EffectTurns, Now, Persist, Reply, Report, SetTimer, TimerKey
from kbroker.group.events import (
    Commit,
    DeletedTopic,
    Heartbeat,
    Join,
    Joined,
    Leaving,
    Left,
    OffsetToCommit,
    Sync,
    Synced,
)
from kbroker.group.settings import GroupSettings
from kbroker.group.shard import GroupShard
from kbroker.turns import Pace
from protocol_specs.errors import ErrorCode

WALL_MS = 1_700_000_000_000
PROTOCOLS = (("range", b"range-meta"),)
TOPIC_ID = bytes(range(16))


def turns_of(work: EffectTurns) -> Iterator[list[Effect]]:
    """What each turn of long work wants done; it must be run before the next one is asked for."""
    yield (yield from work)


@dataclass
class Held:
    """An append that is not committed yet."""

    base_offset: int
    persist: Persist


@dataclass
class Call:
    """One request and, once it came, its answer."""

    answers: list[Any] = field(default_factory=list)

    @property
    def answer(self) -> Any:
        """The only answer."""
        assert len(self.answers) == 1, f"{len(self.answers)} answers: {self.answers}"
        return self.answers[0]

    @property
    def waits(self) -> bool:
        """Has nobody answered yet?"""
        return not self.answers


class VirtualShard:
    """One shard, its clock, its timers, its log. `refuse_with` makes appends fail, `holds` keeps them uncommitted."""

    def __init__(self, **settings: Any) -> None:
        self.settings = GroupSettings(**{"initial_rebalance_delay_ms": 0, **settings})
        self.uuids = 0
        self.shard = GroupShard(self.settings, self.next_uuid)
        self.now_ms = 0
        self.timers: dict[TimerKey, int] = {}
        self.log: list[tuple[bytes, bytes | None]] = []
        self.held: list[Held] = []
        self.holds = False
        self.refuse_with: ErrorCode | None = None
        self.reports: list[str] = []
        self.calls: list[Call] = []

    def next_uuid(self) -> bytes:
        """1, 2, 3, ..."""
        self.uuids += 1
        return self.uuids.to_bytes(16, "big")

    def now(self) -> Now:
        """The virtual moment."""
        return Now(self.now_ms, WALL_MS + self.now_ms)

    # -- effects -------------------------------------------------------------------------------------------------

    def run(self, effects: list[Effect]) -> None:
        """As the shell does."""
        for effect in effects:
            if isinstance(effect, Reply):
                effect.waiter(effect.answer)
            elif isinstance(effect, SetTimer):
                self.timers[effect.key] = effect.due_ms
            elif isinstance(effect, CancelTimer):
                self.timers.pop(effect.key, None)
            elif isinstance(effect, Report):
                self.reports.append(effect.event)
            else:
                self.persist(effect)

    def persist(self, persist: Persist) -> None:
        """Append, refuse or hold."""
        if self.refuse_with is not None:
            self.run(persist.refused(self.refuse_with, self.now()))
            return
        base_offset = len(self.log)
        self.log.extend(persist.records)
        if persist.appended is not None:
            persist.appended()
        if self.holds:
            self.held.append(Held(base_offset, persist))
        else:
            self.run(persist.committed(base_offset, self.now()))

    def release(self) -> None:
        """Commit what is held."""
        self.holds = False
        held, self.held = self.held, []
        for entry in held:
            self.run(entry.persist.committed(entry.base_offset, self.now()))

    def advance(self, duration_ms: int) -> None:
        """Let time pass; timers fire in order."""
        end_ms = self.now_ms + duration_ms
        while True:
            due = sorted((due_ms, key) for key, due_ms in self.timers.items() if due_ms <= end_ms)
            if not due:
                break
            due_ms, key = due[0]
            self.now_ms = max(self.now_ms, due_ms)
            del self.timers[key]
            self.run(self.shard.timer(key, self.now()))
        self.now_ms = end_ms

    def reloaded(self) -> VirtualShard:
        """Another shard, rebuilt from this one's log, at the same moment."""
        other = VirtualShard()
        other.settings = self.settings
        other.shard = GroupShard(self.settings, other.next_uuid)
        other.uuids = self.uuids + 1000
        other.now_ms = self.now_ms
        other.log = list(self.log)
        for offset, (key, value) in enumerate(self.log):
            other.shard.replay(offset, key, value)
        other.run(other.shard.loaded(other.now()))
        return other

    # -- requests ------------------------------------------------------------------------------------------------

    def call(self) -> Call:
        """Somebody who waits."""
        call = Call()
        self.calls.append(call)
        return call

    def join(self, member_id: str = "", group_id: str = "g", **fields: Any) -> Call:
        """JoinGroup; the newest version unless fields say otherwise."""
        call = self.call()
        request = Join(
            group_id=group_id,
            member_id=member_id,
            instance_id=fields.pop("instance_id", None),
            client_id=fields.pop("client_id", "c"),
            client_host="/127.0.0.1",
            session_timeout_ms=fields.pop("session_timeout_ms", 10_000),
            rebalance_timeout_ms=fields.pop("rebalance_timeout_ms", 60_000),
            protocol_type=fields.pop("protocol_type", "consumer"),
            protocols=fields.pop("protocols", PROTOCOLS),
            **fields,
        )
        self.run(self.shard.join(request, call.answers.append, self.now()))
        return call

    def enter(self, **fields: Any) -> tuple[str, Call]:
        """A dynamic member asks for its id and joins with it."""
        promised = self.join(**fields).answer
        assert promised.error is ErrorCode.MEMBER_ID_REQUIRED
        return promised.member_id, self.join(promised.member_id, **fields)

    def sync(
        self,
        member_id: str,
        generation: int,
        assignments: dict[str, bytes] | None = None,
        group_id: str = "g",
        **fields: Any,
    ) -> Call:
        """SyncGroup."""
        call = self.call()
        request = Sync(group_id, member_id, fields.pop("instance_id", None), generation, assignments or {}, **fields)
        self.run(self.shard.sync(request, call.answers.append, self.now()))
        return call

    def heartbeat(
        self, member_id: str, generation: int, instance_id: str | None = None, group_id: str = "g"
    ) -> ErrorCode:
        """Heartbeat."""
        call = self.call()
        request = Heartbeat(group_id, member_id, instance_id, generation)
        self.run(self.shard.heartbeat(request, call.answers.append, self.now()))
        return call.answer

    def leave(self, *members: tuple[str, str | None], group_id: str = "g") -> Left:
        """LeaveGroup by (member id, instance id)."""
        call = self.call()
        leaving = [Leaving(member_id, instance_id) for member_id, instance_id in members]
        self.run(self.shard.leave(group_id, leaving, call.answers.append, self.now()))
        return call.answer

    def commit(
        self,
        offset: int = 5,
        member_id: str = "",
        generation: int = -1,
        group_id: str = "g",
        topic: str = "t",
        **fields: Any,
    ) -> Call:
        """OffsetCommit of one offset of one partition."""
        call = self.call()
        wanted = OffsetToCommit(
            topic, fields.pop("topic_id", TOPIC_ID), fields.pop("partition", 0), offset, 7, fields.pop("metadata", "")
        )
        request = Commit(group_id, member_id, fields.pop("instance_id", None), generation, [wanted], **fields)
        self.run(self.shard.commit(request, call.answers.append, self.now()))
        return call

    def committed(self, topic: str = "t", partition: int = 0, group_id: str = "g") -> int | None:
        """The offset that counts."""
        found = self.shard.offsets.get(group_id, topic, partition)
        return None if found is None else found.offset

    def expire(self) -> None:
        """The retention check."""
        for effects in turns_of(self.shard.expire(self.now, Pace())):
            self.run(effects)

    def delete_topic(self, topic: str, topic_id: bytes = TOPIC_ID) -> None:
        """The topic is gone."""
        deleted = [DeletedTopic(topic, topic_id)]
        for effects in turns_of(self.shard.topics_deleted(deleted, 1 << 60, Pace())):
            self.run(effects)

    # -- shortcuts -----------------------------------------------------------------------------------------------

    def stable(self, members: int = 1, **fields: Any) -> tuple[int, list[str]]:
        """A Stable group of that many dynamic members; (generation, member ids, the leader first)."""
        entered = [self.enter(**fields) for _ in range(members)]
        self.advance(0)
        self.rejoin([member_id for member_id, call in entered], **fields)
        group = self.shard.groups[fields.get("group_id", "g")]
        leader = group.leader
        assert leader is not None
        ids = [leader, *(member_id for member_id, _ in entered if member_id != leader)]
        self.sync(leader, group.generation, {i: f"to {i}".encode() for i in ids}, group.group_id)
        for member_id in ids[1:]:
            assert self.sync(member_id, group.generation, group_id=group.group_id).answer.error is ErrorCode.NONE
        return group.generation, ids

    def rejoin(self, member_ids: list[str], **fields: Any) -> None:
        """Have everybody join who is not waiting, until no one is asked to."""
        group = self.shard.groups[fields.get("group_id", "g")]
        for member_id in member_ids:
            if group.state.value == "PreparingRebalance" and member_id not in group.join_waiters:
                self.join(member_id, **fields)

    def state(self, group_id: str = "g") -> str:
        """The group's state as Kafka prints it."""
        return self.shard.groups[group_id].state.value


def is_joined(answer: Any) -> bool:
    """Is it a successful join?"""
    return isinstance(answer, Joined) and answer.error is ErrorCode.NONE


def is_synced(answer: Any) -> bool:
    """Is it a successful sync?"""
    return isinstance(answer, Synced) and answer.error is ErrorCode.NONE
