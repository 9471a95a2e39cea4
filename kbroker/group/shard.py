"""The groups and offsets of one `__consumer_offsets` partition: every event comes in here, every effect goes out.

A shard is rebuilt by `replay` of its partition's records in order, then `loaded`. From then on each event is one call
that changes the state at once and returns effects; what must be durable before it counts is changed by the callbacks
of a Persist. `resign` ends it: the shard is of no use afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from kbroker.group import rebalance
from kbroker.group.classic_group import ClassicGroup, GroupState
from kbroker.group.commit import commit, commit_refusal
from kbroker.group.effects import Effect, EffectTurns, Now, Persist, Reply, TimerKey, Waiter, no_effects
from kbroker.group.errors import group_append_error
from kbroker.group.events import (
    Commit,
    DeletedTopic,
    Fetched,
    Heartbeat,
    Join,
    Joined,
    Leaving,
    Left,
    Sync,
    Synced,
    TopicToFetch,
)
from kbroker.group.join import join
from kbroker.group.offsets import OffsetKey, Offsets
from kbroker.group.records import (
    GroupRecord,
    KeyValue,
    OffsetRecord,
    group_key,
    new_group_record,
    offset_key,
    read_record,
)
from kbroker.group.settings import GroupSettings
from kbroker.group.step import Step
from kbroker.group.sync import heartbeat, leave, sync
from kbroker.turns import Pace, pieces
from protocol_specs.errors import ErrorCode


class GroupShard:
    """The state of one partition's groups. `groups` and `offsets` may be read by whoever describes or lists them."""

    __slots__ = ("_new_uuid", "groups", "offsets", "settings")

    def __init__(self, settings: GroupSettings, new_uuid: Callable[[], bytes]) -> None:
        self.settings = settings
        self.groups: dict[str, ClassicGroup] = {}
        self.offsets = Offsets()
        self._new_uuid = new_uuid

    # -- loading and leaving -------------------------------------------------------------------------------------

    def replay(self, record_offset: int, key: bytes, value: bytes | None, *, producer_id: int = -1) -> None:
        """Take one record of the log; `producer_id` is that of a transactional batch, -1 for any other."""
        record = read_record(key, value)
        if isinstance(record, OffsetRecord):
            self._replay_offset(record_offset, record, producer_id)
        elif isinstance(record, GroupRecord):
            if record.group is None:
                self.groups.pop(record.group_id, None)
            else:
                self.groups[record.group_id] = record.group

    def _replay_offset(self, record_offset: int, record: OffsetRecord, producer_id: int) -> None:
        key = OffsetKey(record.group_id, record.topic, record.partition)
        if record.committed is None:
            self.offsets.remove(key)
            return
        if key.group_id not in self.groups:
            self.groups[key.group_id] = ClassicGroup(key.group_id, -1)
        if producer_id == -1:
            self.offsets.put(key, record_offset, record.committed)
        else:
            self.offsets.put_pending(producer_id, key, record_offset, record.committed)

    def replay_marker(self, producer_id: int, *, is_committed: bool) -> None:
        """A control batch of the log: the producer's transaction ended."""
        self.offsets.end_transaction(producer_id, is_committed=is_committed)

    def loaded(self, now: Now) -> list[Effect]:
        """The whole log was replayed: every member has a fresh session; a group over its maximal size rebalances."""
        step = Step(self.settings, now)
        for group in self.groups.values():
            for member in group.members.values():
                step.extend_session(group, member.member_id, member.session_timeout_ms)
            if len(group.members) > self.settings.max_size:
                rebalance.prepare_rebalance(step, group, "it was loaded with more members than group.max.size")
        return step.effects

    def resign(self, now: Now, error: ErrorCode = ErrorCode.NOT_COORDINATOR) -> list[Effect]:
        """This broker stops coordinating: whoever waits is told `error`."""
        step = Step(self.settings, now)
        for group in self.groups.values():
            rebalance.resign(step, group, error)
        return step.effects

    # -- members -------------------------------------------------------------------------------------------------

    def join(self, request: Join, waiter: Waiter, now: Now) -> list[Effect]:
        """JoinGroup; `waiter` gets a Joined. Its form was checked by join_refusal."""
        step = Step(self.settings, now)
        group = self.groups.get(request.group_id)
        is_new = group is None
        if group is None:
            if request.member_id:
                step.reply(waiter, Joined(ErrorCode.UNKNOWN_MEMBER_ID, request.member_id))
                return step.effects
            group = self.groups[request.group_id] = ClassicGroup(request.group_id, now.wall_ms)
        join(step, group, request, waiter, lambda: self._member_id(request))
        if is_new:
            step.effects.append(self._persist_new(group))
        return step.effects

    def _member_id(self, request: Join) -> str:
        text = self._new_uuid().hex()
        uuid = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        return f"{request.client_id if request.instance_id is None else request.instance_id}-{uuid}"

    def _persist_new(self, group: ClassicGroup) -> Persist:
        def refused(error: ErrorCode, now: Now) -> list[Effect]:
            step = Step(self.settings, now)
            if self.groups.get(group.group_id) is group and group.generation == 0:
                del self.groups[group.group_id]
                rebalance.resign(step, group, group_append_error(error))
            return step.effects

        return Persist([new_group_record(group)], no_effects, refused)

    def sync(self, request: Sync, waiter: Waiter, now: Now) -> list[Effect]:
        """SyncGroup; `waiter` gets a Synced."""
        step = Step(self.settings, now)
        group = self.groups.get(request.group_id)
        if group is None:
            step.reply(waiter, Synced(ErrorCode.UNKNOWN_MEMBER_ID))
        else:
            sync(step, group, request, waiter)
        return step.effects

    def heartbeat(self, request: Heartbeat, waiter: Waiter, now: Now) -> list[Effect]:
        """Heartbeat; `waiter` gets an ErrorCode."""
        step = Step(self.settings, now)
        group = self.groups.get(request.group_id)
        step.reply(waiter, ErrorCode.UNKNOWN_MEMBER_ID if group is None else heartbeat(step, group, request))
        return step.effects

    def leave(self, group_id: str, members: list[Leaving], waiter: Waiter, now: Now) -> list[Effect]:
        """LeaveGroup; `waiter` gets a Left, which says nothing of what the others do then."""
        step = Step(self.settings, now)
        group = self.groups.get(group_id)
        if group is None:
            step.reply(waiter, Left(ErrorCode.NONE, (ErrorCode.UNKNOWN_MEMBER_ID,) * len(members)))
        else:
            step.reply(waiter, leave(step, group, members))
        return step.effects

    def timer(self, key: TimerKey, now: Now) -> list[Effect]:
        """A timer that was set has fired."""
        step = Step(self.settings, now)
        group = self.groups.get(key.group_id)
        if group is None:
            return []
        if key.kind == "session":
            rebalance.session_timer_fired(step, group, key.member_id)
        elif key.kind == "join":
            rebalance.join_timer_fired(step, group)
        else:
            rebalance.sync_timer_fired(step, group)
        return step.effects

    # -- offsets -------------------------------------------------------------------------------------------------

    def commit(self, request: Commit, waiter: Waiter, now: Now) -> list[Effect]:
        """OffsetCommit; `waiter` gets a list of ErrorCode, one per offset.

        An unknown group is made by a commit without a generation: a simple group that only keeps offsets.
        """
        step = Step(self.settings, now)
        group = self.groups.get(request.group_id)
        if group is not None:
            refusal = commit_refusal(group, request)
            if refusal is None:
                commit(step, group, self.offsets, request, waiter)
            else:
                step.reply(waiter, [refusal] * len(request.offsets))
            return step.effects
        if request.generation >= 0:
            refusal = ErrorCode.GROUP_ID_NOT_FOUND if request.says_unknown_group else ErrorCode.ILLEGAL_GENERATION
            return [Reply(waiter, [refusal] * len(request.offsets))]
        group = ClassicGroup(request.group_id, now.wall_ms)
        commit(step, group, self.offsets, request, waiter)
        return [self._making(group, effect) if isinstance(effect, Persist) else effect for effect in step.effects]

    def _making(self, group: ClassicGroup, persist: Persist) -> Persist:
        """The offsets of a new simple group: it exists as soon as they are in the log."""

        def appended() -> None:
            self.groups.setdefault(group.group_id, group)

        return persist._replace(appended=appended)

    def fetch_offsets(self, group_id: str, wanted: list[TopicToFetch] | None, *, require_stable: bool) -> Fetched:
        """OffsetFetch: the wanted or (None) all of the group's committed offsets. An unknown group has none."""
        return Fetched(ErrorCode.NONE, self.offsets.fetch(group_id, wanted, require_stable=require_stable))

    # -- what time and deletion remove ---------------------------------------------------------------------------

    def expire(self, now: Callable[[], Now], pace: Pace) -> EffectTurns:
        """Remove the offsets whose retention is over, and Empty groups that have none left.

        Of each turn what is true then: to be asked for when nothing that was persisted is still uncommitted, so that a
        tombstone follows what it removes, and to be run at once.
        """
        removed: list[OffsetKey] = []
        gone: list[ClassicGroup] = []
        for group_id, topic, partitions in self._held():
            group, removals = self.groups.get(group_id), 0
            if group is not None and topic is not None:
                retention_ms = self.settings.offsets_retention_ms
                expired = self.offsets.expired(group, topic, partitions, now().wall_ms, retention_ms)
                removed += expired
                removals = len(expired)
            elif group is not None and self._is_over(group, removed):
                gone.append(group)
                removals = 1
            if pace.is_over(_units(len(partitions), removals, group_id)):
                yield self._tombstones(removed, gone)
                removed, gone = [], []
        return self._tombstones(removed, gone)

    def _held(self) -> Iterator[tuple[str, str | None, Sequence[int]]]:
        """What there is of each group when it is reached: partitions, some at a time, by topic; None ends a group."""
        for group_id in list(self.groups):
            for topic in list(self.offsets.of_group(group_id)):
                for several in pieces(list(self.offsets.of_group(group_id).get(topic, ()))):
                    yield group_id, topic, several
            yield group_id, None, ()

    def _is_over(self, group: ClassicGroup, removed: Sequence[OffsetKey]) -> bool:
        """Nobody is in the group, and it holds nothing but what is `removed` in this turn."""
        if group.state is not GroupState.EMPTY or group.pending_join:
            return False
        held = sum(len(partitions) for partitions in self.offsets.of_group(group.group_id).values())
        expired = sum(key.group_id == group.group_id for key in removed) if held else 0
        return held == expired and not self.offsets.has_open_transactions(group.group_id)

    def topics_deleted(self, topics: Sequence[DeletedTopic], end: int, pace: Pace) -> EffectTurns:
        """Offsets of topics that are gone go with them, in turns as `expire`.

        What came at log offset `end` or behind is of topics made since.
        """
        deleted: dict[str, set[bytes]] = {}
        for topic, topic_id in topics:
            deleted.setdefault(topic, set()).add(topic_id)
        removed: dict[OffsetKey, None] = {}
        for several in self._of_topics(deleted):
            found = self.offsets.of_topics(several, deleted, end)
            removed.update(dict.fromkeys(found))
            if pace.is_over(_units(len(several), len(found), found[0].group_id if found else "")):
                yield self._tombstones(list(removed), [])
                removed = {}
        return self._tombstones(list(removed), [])

    def _of_topics(self, names: Mapping[str, object]) -> Iterator[Sequence[OffsetKey]]:
        """What is committed or promised for topics of these names when it is reached, some at a time."""
        for group_id in self.offsets.groups():
            for topic in self.offsets.of_group(group_id).keys() & names.keys():
                for several in pieces(list(self.offsets.of_group(group_id).get(topic, ()))):
                    yield [OffsetKey(group_id, topic, partition) for partition in several]
            yield ()
        for promised in self.offsets.promised():
            yield from pieces([key for key in promised if key.topic in names])

    def _tombstones(self, removed: list[OffsetKey], gone: list[ClassicGroup]) -> list[Effect]:
        removals: list[Removal] = [((offset_key(*key), None), key) for key in removed]
        removals.extend(((group_key(group.group_id), None), group) for group in gone)
        return [
            Persist(
                [record for record, _ in batch],
                no_effects,
                no_effects,
                self._removing([target for _, target in batch]),
            )
            for batch in _in_batches(removals)
        ]

    def _removing(self, targets: list[OffsetKey | ClassicGroup]) -> Callable[[], None]:
        def appended() -> None:
            for target in targets:
                if isinstance(target, OffsetKey):
                    self.offsets.remove(target)
                elif self.groups.get(target.group_id) is target:
                    del self.groups[target.group_id]

        return appended


def _units(looked_at: int, removals: int, group_id: str) -> int:
    """What a piece costs of a turn: a look is quick, a tombstone is as long as the name of its group."""
    return 1 + looked_at // 8 + removals * (2 + len(group_id) // 4096)


Removal = tuple[KeyValue, OffsetKey | ClassicGroup]
"""A tombstone and what is gone once it was appended."""

TOMBSTONES_BYTES_MAX = 256 * 1024
"""Keys in one batch of tombstones: well under the default max.message.bytes, whatever names are in them."""


def _in_batches(removals: list[Removal]) -> Iterator[list[Removal]]:
    batch: list[Removal] = []
    size = 0
    for removal in removals:
        batch.append(removal)
        size += len(removal[0][0])
        if size >= TOMBSTONES_BYTES_MAX:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
