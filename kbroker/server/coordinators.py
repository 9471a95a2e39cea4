"""Group coordination of this broker: which shard a group belongs to, and whether it may be asked.

A shard lives while this broker leads its partition of `__consumer_offsets`. Requests come as the group core's values
with a waiter; where no shard can take one, the waiter gets the answer that Kafka gives then (GroupCoordinatorService).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from kbroker.group.effects import Waiter
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
from kbroker.group.join import join_refusal
from kbroker.group.settings import GroupSettings
from kbroker.group.shard import GroupShard
from kbroker.names import OFFSETS_TOPIC, coordinator_partition
from kbroker.server.shard_chores import ShardChores
from kbroker.server.shard_runner import RunnerState, ShardRunner
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from kbroker.handlers.node import Node
    from kbroker.world import Timer

_UNAVAILABLE = {
    RunnerState.LOADING: ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    RunnerState.FAILED: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    RunnerState.ENDED: ErrorCode.NOT_COORDINATOR,
}


class GroupCoordinators:
    """All shards of this broker, by partition. Sync, on the thread that owns the state."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._settings = GroupSettings.of(node.config.__getitem__)
        self._runners: dict[int, ShardRunner] = {}
        self._partitions = 0
        self._expiry: Timer | None = None
        self._expiring = ShardChores(node.clock)
        self._removing = ShardChores(node.clock)
        self._is_stopped = False

    # -- life ----------------------------------------------------------------------------------------------------

    def follow_metadata(self, deleted: Iterable[DeletedTopic] = ()) -> None:
        """A new image was published and its partitions are hosted: begin and end shards with their leadership.

        `deleted`: the topics that it no longer has; their committed offsets go, see when_removed.
        """
        if self._is_stopped:
            return
        topic = self._node.image.topics.get(OFFSETS_TOPIC)
        self._partitions = 0 if topic is None else len(topic.partitions)
        for index, runner in list(self._runners.items()):
            partition = self._node.partitions.find(OFFSETS_TOPIC, index)
            is_same = partition is runner.partition and runner.leader_epoch == runner.partition.leader_epoch
            if not is_same or not runner.partition.is_leader:
                runner.end()
                del self._runners[index]
        for index in range(self._partitions):
            if index not in self._runners:
                self._begin(index)
        self._remove_offsets_of([topic for topic in deleted if topic.topic != OFFSETS_TOPIC])
        if self._expiry is None and self._runners:
            self._schedule_expiry()

    def _begin(self, index: int) -> None:
        partition = self._node.partitions.find(OFFSETS_TOPIC, index)
        if partition is None or not partition.is_leader:
            return
        shard = GroupShard(self._settings, self._node.entropy.uuid)
        runner = self._runners[index] = ShardRunner(partition, shard, self._node.clock)
        runner.load()

    def _remove_offsets_of(self, topics: list[DeletedTopic]) -> None:
        if topics:
            pace = self._removing.pace
            self._removing.add(
                (runner, runner.shard.topics_deleted(topics, runner.partition.log.log_end, pace))
                for runner in self.active()
            )

    def when_removed(self, action: Callable[[], None]) -> None:
        """Call `action` once the offsets of deleted topics have gone: whoever deleted them is told then.

        Those of shards where something waits for its commit go behind that, and are not waited for. Who makes such a
        topic again meanwhile is not given them: OffsetFetch looks at topic ids.
        """
        self._removing.when_done(action)

    def _schedule_expiry(self) -> None:
        due_ms = self._node.clock.monotonic_ms() + self._settings.retention_check_interval_ms
        self._expiry = self._node.clock.call_at(due_ms, self.expire)

    def expire(self) -> None:
        """Remove what is over its retention, in every shard; comes by itself at offsets.retention.check.interval.ms."""
        if self._expiry is not None:
            self._expiry.cancel()
        pace = self._expiring.pace
        self._expiring.add((runner, runner.shard.expire(runner.now, pace)) for runner in self.active())
        if not self._is_stopped:
            self._schedule_expiry()

    def stop(self) -> None:
        """Give every group up: all who wait are answered NOT_COORDINATOR, all timers are gone."""
        self._is_stopped = True
        if self._expiry is not None:
            self._expiry.cancel()
        for runner in self._runners.values():
            runner.end()
        self._expiring.stop()
        self._removing.stop()

    # -- who is asked --------------------------------------------------------------------------------------------

    def active(self) -> list[ShardRunner]:
        """The shards that can be asked now (for lists over all groups)."""
        return [runner for runner in self._runners.values() if runner.state is RunnerState.ACTIVE]

    def runner_of(self, group_id: str) -> ShardRunner | ErrorCode:
        """The shard that coordinates a group, or why there is none here."""
        if self._is_stopped:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        if not self._partitions:
            return ErrorCode.NOT_COORDINATOR
        runner = self._runners.get(coordinator_partition(group_id, self._partitions))
        if runner is None:
            return ErrorCode.NOT_COORDINATOR
        if runner.state is not RunnerState.ACTIVE:
            return _UNAVAILABLE[runner.state]
        return runner

    # -- requests ------------------------------------------------------------------------------------------------

    def join(self, request: Join, waiter: Waiter) -> None:
        """JoinGroup; `waiter` gets a Joined, once."""
        refusal = join_refusal(request, self._settings)
        if refusal is not None:
            waiter(refusal)
            return
        runner = self.runner_of(request.group_id)
        if isinstance(runner, ErrorCode):
            waiter(Joined(runner, request.member_id))
        else:
            runner.run(runner.shard.join(request, waiter, runner.now()))

    def sync(self, request: Sync, waiter: Waiter) -> None:
        """SyncGroup; `waiter` gets a Synced, once."""
        runner = self.runner_of(request.group_id) if request.group_id else ErrorCode.INVALID_GROUP_ID
        if isinstance(runner, ErrorCode):
            waiter(Synced(runner))
        else:
            runner.run(runner.shard.sync(request, waiter, runner.now()))

    def heartbeat(self, request: Heartbeat, waiter: Waiter) -> None:
        """Heartbeat; `waiter` gets an ErrorCode, once. While the shard loads, members are believed to be well."""
        runner = self.runner_of(request.group_id) if request.group_id else ErrorCode.INVALID_GROUP_ID
        if isinstance(runner, ErrorCode):
            waiter(ErrorCode.NONE if runner is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS else runner)
        else:
            runner.run(runner.shard.heartbeat(request, waiter, runner.now()))

    def leave(self, group_id: str, members: list[Leaving], waiter: Waiter) -> None:
        """LeaveGroup; `waiter` gets a Left, once."""
        runner = self.runner_of(group_id) if group_id else ErrorCode.INVALID_GROUP_ID
        if isinstance(runner, ErrorCode):
            waiter(Left(runner))
        else:
            runner.run(runner.shard.leave(group_id, members, waiter, runner.now()))

    def commit(self, request: Commit, waiter: Waiter) -> None:
        """OffsetCommit; `waiter` gets a list of ErrorCode, one per offset, once. The empty group id may commit."""
        runner = self.runner_of(request.group_id)
        if isinstance(runner, ErrorCode):
            waiter([runner] * len(request.offsets))
        else:
            runner.run(runner.shard.commit(request, waiter, runner.now()))

    def fetch_offsets(
        self, group_id: str, wanted: list[TopicToFetch] | None, waiter: Waiter, *, require_stable: bool = False
    ) -> None:
        """OffsetFetch of one group; `waiter` gets a Fetched, once.

        What is answered is committed; with `require_stable` also everything that was under way when it was asked.
        """
        runner = self.runner_of(group_id)
        if isinstance(runner, ErrorCode):
            waiter(Fetched(runner, []))
            return
        shard = runner.shard

        def answer() -> None:
            if runner.state is RunnerState.ACTIVE:
                waiter(shard.fetch_offsets(group_id, wanted, require_stable=require_stable))
            else:
                waiter(Fetched(ErrorCode.NOT_COORDINATOR, []))

        if require_stable:
            runner.when_committed(answer)
        else:
            answer()
