"""Shards over real logs: loading, leadership, refusals, time-outs, expiry."""

from __future__ import annotations

import heapq

import pytest

from kbroker.group.effects import EffectTurns
from kbroker.group.events import Commit, DeletedTopic, Heartbeat, Join, Left, OffsetToCommit, Sync, TopicToFetch
from kbroker.log.outcome import Appended, Origin
from kbroker.names import NO_UUID, OFFSETS_TOPIC, coordinator_partition
from kbroker.record.batch import build_batch, read_header
from kbroker.server import shard_runner
from kbroker.server.shard_chores import SHARD_UNITS, ShardChores
from kbroker.server.shard_runner import RunnerState, ShardRunner
from kbroker.turns import UNITS_PER_TURN
from protocol_specs.errors import ErrorCode
from tests.handlers.group_node import PARTITIONS, TOPIC_ID, GroupNode, partition_image

INDEX = coordinator_partition("g", 4)


def join(member_id: str = "", **fields) -> Join:
    request = Join("g", member_id, None, "c", "/h", 10_000, 30_000, "consumer", (("range", b""),))
    return request._replace(must_know_member_id=False, **fields)


def commit(node: GroupNode, offset: int = 5, **fields) -> list:
    answers: list = []
    offsets = [OffsetToCommit("t", TOPIC_ID, 0, offset, -1, fields.pop("metadata", ""))]
    node.groups.commit(Commit("g", "", None, -1, offsets, **fields), answers.append)
    return answers


def fetched(node: GroupNode) -> int:
    answers: list = []
    node.groups.fetch_offsets("g", [TopicToFetch("t", TOPIC_ID, [0])], answers.append)
    assert answers[0].error is ErrorCode.NONE
    return answers[0].topics[0].partitions[0].offset


def stable(node: GroupNode) -> str:
    joined: list = []
    node.groups.join(join(), joined.append)
    node.clock.advance(0)
    member_id = joined[0].member_id
    synced: list = []
    node.groups.sync(Sync("g", member_id, None, 1, {member_id: b"A"}), synced.append)
    assert synced[0].assignment == b"A"
    return member_id


def heartbeat(node: GroupNode, member_id: str, generation: int = 1) -> ErrorCode:
    answers: list = []
    node.groups.heartbeat(Heartbeat("g", member_id, None, generation), answers.append)
    return answers[0]


def test_groups_and_offsets_are_there_again_after_a_kill():
    node = GroupNode()
    member_id = stable(node)
    assert commit(node) == [[ErrorCode.UNKNOWN_MEMBER_ID]]
    answers: list = []
    offsets = [OffsetToCommit("t", TOPIC_ID, 0, 7, -1, "")]
    node.groups.commit(Commit("g", member_id, None, 1, offsets), answers.append)
    assert answers == [[ErrorCode.NONE]]
    node.clock.advance(9_000)
    other = node.restarted()
    assert fetched(other) == 7
    other.clock.advance(9_000)
    assert heartbeat(other, member_id) is ErrorCode.NONE


def test_a_reloaded_member_has_a_fresh_session_that_ends():
    node = GroupNode()
    member_id = stable(node)
    node.groups.stop()
    other = node.restarted()
    other.clock.advance(10_000)
    assert heartbeat(other, member_id) is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_long_log_is_loaded_in_steps_and_nobody_is_answered_wrongly_meanwhile(monkeypatch):
    node = GroupNode()
    for offset in range(20):
        commit(node, offset)
    monkeypatch.setattr(shard_runner, "LOAD_BYTES", 300)
    other = node.restarted()
    assert other.groups.runner_of("g") is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    assert commit(other) == [[ErrorCode.COORDINATOR_LOAD_IN_PROGRESS]]
    assert heartbeat(other, "anybody") is ErrorCode.NONE
    other.clock.advance(0)
    assert fetched(other) == 19


def test_a_turn_of_a_load_is_some_16_kb_and_no_batch_is_replayed_twice(monkeypatch):
    """Others wait for its end; one that began at the start of the log again would take ever longer."""
    node = GroupNode()
    for offset in range(100):
        commit(node, offset, metadata="x" * 1000)
    turns, batches = [], []
    load, replay = ShardRunner.load, ShardRunner._replay_batch

    def loading(runner):
        batches.clear()
        load(runner)
        turns.extend([[header.base_offset for header in batches]] if batches else [])
        assert sum(header.size for header in batches) <= 18_000

    def replaying(runner, batch):
        batches.append(read_header(batch))
        return replay(runner, batch)

    monkeypatch.setattr(ShardRunner, "load", loading)
    monkeypatch.setattr(ShardRunner, "_replay_batch", replaying)
    other = node.restarted()
    assert other.groups.runner_of("g") is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    other.clock.advance(0)
    assert fetched(other) == 99
    assert [offset for turn in turns for offset in turn] == list(range(100))
    assert len(turns) < 10


def test_a_shard_that_ends_while_it_is_loaded_stays_ended(monkeypatch):
    """The step that is due would make it active: a coordinator of a partition that this node leads no more."""
    node = GroupNode()
    for offset in range(20):
        commit(node, offset)
    monkeypatch.setattr(shard_runner, "LOAD_BYTES", 300)
    other = node.restarted()
    runner = other.groups._runners[INDEX]
    assert runner.state is RunnerState.LOADING
    runner.end()
    other.clock.advance(0)
    assert runner.state is RunnerState.ENDED


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"\x00\x01\x00\x05g", b"\x00\x04"), (b"\x00\x02\x00\x01g", b"\x00\x09abc"), (b"\x00", b"")],
    ids=["cut", "of a later version", "without a type"],
)
def test_a_log_that_cannot_be_read_makes_its_groups_unavailable_and_says_so(caplog, key, value):
    """A record of a version that we don't know raised out of the load instead."""
    node = GroupNode()
    broken = build_batch([(key, value)], timestamp_ms=1)
    node.partitions.find(OFFSETS_TOPIC, INDEX).append_as_leader(memoryview(broken), -1, Origin.COORDINATOR)
    other = node.restarted()
    assert commit(other) == [[ErrorCode.COORDINATOR_NOT_AVAILABLE]]
    assert "can't be read" in caplog.text


def test_records_of_other_kinds_of_groups_are_left_alone():
    node = GroupNode()
    consumer_group = build_batch([(b"\x00\x03\x00\x01g", b"\x00\x00\x00\x00\x00\x01\x00")], timestamp_ms=1)
    node.partitions.find(OFFSETS_TOPIC, INDEX).append_as_leader(memoryview(consumer_group), -1, Origin.COORDINATOR)
    commit(node)
    assert fetched(node.restarted()) == 5


@pytest.mark.parametrize(("committed", "offset"), [(True, 9), (False, 5)])
def test_offsets_of_a_transaction_in_the_log_follow_its_marker(committed, offset):
    node = GroupNode()
    commit(node)
    partition = node.partitions.find(OFFSETS_TOPIC, INDEX)
    (key, value) = offset_entry(9)
    of_producer = {"timestamp_ms": 1, "producer_id": 1, "producer_epoch": 0, "transactional": True}
    marker = b"\x00\x00\x00\x01" if committed else b"\x00\x00\x00\x00"
    data = build_batch([(key, value)], base_offset=1, base_sequence=0, **of_producer)
    end = build_batch([(marker, b"\x00\x00\x00\x00\x00\x00")], base_offset=2, control=True, **of_producer)
    for batch in (data, end):
        assert isinstance(partition.log.append_as_follower(batch), Appended)
    assert fetched(node.restarted()) == offset


def offset_entry(offset: int) -> tuple[bytes, bytes]:
    """An OffsetCommit v3 record of partition 0 of "t", written out."""
    key = b"\x00\x01" + b"\x00\x01g" + b"\x00\x01t" + b"\x00\x00\x00\x00"
    value = b"\x00\x03" + offset.to_bytes(8, "big") + b"\xff\xff\xff\xff" + b"\x00\x00" + (1).to_bytes(8, "big")
    return key, value


def test_too_few_replicas_in_sync_are_an_unavailable_coordinator():
    node = GroupNode()
    node.replicas(isr=(1,), min_isr=2)
    assert commit(node) == [[ErrorCode.COORDINATOR_NOT_AVAILABLE]]


def test_a_commit_larger_than_a_batch_may_be_is_an_invalid_size():
    node = GroupNode(offset_metadata_max_bytes="200000")
    assert commit(node, metadata="x" * 32_000) == [[ErrorCode.NONE]]
    offsets = [OffsetToCommit("t", TOPIC_ID, index, 1, -1, "x" * 30_000) for index in range(4)]
    answers: list = []
    node.groups.commit(Commit("g", "", None, -1, offsets), answers.append)
    assert answers == [[ErrorCode.INVALID_COMMIT_OFFSET_SIZE] * 4]


def test_a_commit_that_is_not_replicated_in_time_is_answered_and_still_counts_later():
    node = GroupNode()
    node.replicas(isr=(1, 2))
    first, second = commit(node, 5), commit(node, 6)
    node.clock.advance(4_999)
    assert (first, second) == ([], [])
    node.clock.advance(1)
    assert first[0] == second[0] == [ErrorCode.COORDINATOR_NOT_AVAILABLE]
    node.replicas(isr=(1,))
    assert fetched(node) == 6


def test_losing_the_leadership_answers_everybody_and_gaining_it_loads_again():
    node = GroupNode()
    node.replicas(isr=(1, 2))
    waiting = commit(node)
    joined: list = []
    node.groups.join(join(), joined.append)
    node.replicas(isr=(1, 2), leader=2, leader_epoch=1)
    assert joined[0].error is ErrorCode.NOT_COORDINATOR
    assert waiting == [[ErrorCode.NOT_COORDINATOR]]
    node.groups.follow_metadata()
    assert node.groups.runner_of("g") is ErrorCode.NOT_COORDINATOR
    node.replicas(isr=(1,), leader=1, leader_epoch=2)
    node.groups.follow_metadata()
    assert node.groups.runner_of("g").state is RunnerState.ACTIVE


def test_without_the_offsets_topic_this_broker_coordinates_nothing():
    node = GroupNode()
    node.with_topics("t")
    node.groups.follow_metadata()
    assert node.groups.runner_of("g") is ErrorCode.NOT_COORDINATOR
    left: list = []
    node.groups.leave("g", [], left.append)
    assert left == [Left(ErrorCode.NOT_COORDINATOR)]


def test_a_partition_that_is_gone_ends_its_shard():
    node = GroupNode()
    node.partitions.remove(node.partitions.find(OFFSETS_TOPIC, INDEX))
    assert node.groups.runner_of("g") is ErrorCode.NOT_COORDINATOR


def test_offsets_of_a_deleted_topic_go_with_it():
    node = GroupNode()
    commit(node)
    node.groups.follow_metadata([DeletedTopic("t", TOPIC_ID)])
    node.clock.advance(0)
    assert fetched(node) == -1
    assert fetched(node.restarted()) == -1


def test_a_commit_under_way_does_not_outlive_the_deletion_of_its_topic():
    node = GroupNode()
    node.replicas(isr=(1, 2))
    commit(node)
    node.groups.follow_metadata([DeletedTopic("t", TOPIC_ID)])
    node.replicas(isr=(1,))
    node.clock.advance(0)
    assert fetched(node) == -1


def test_offsets_expire_by_themselves_at_the_check_interval():
    node = GroupNode(offsets_retention_minutes="1")
    commit(node)
    node.clock.advance(599_999)
    assert fetched(node) == 5
    node.clock.advance(1)
    assert fetched(node) == -1


@pytest.mark.parametrize("reason", ["expiry", "deletion"])
def test_shards_remove_offsets_in_turns_and_who_waits_for_that_is_told(reason):
    """All fifty did in one: 170 ms for 100,000 offsets, and 0.8 s where the time of all was over."""
    node = GroupNode(offsets_retention_minutes="1")
    for group in range(400):
        node.groups.commit(Commit(f"g{group}", "", None, -1, [OffsetToCommit("t", TOPIC_ID, 0, 5, -1, "")]), list)
    node.clock.advance(60_000)
    told = []
    if reason == "expiry":
        node.groups.expire()
    else:
        node.groups.follow_metadata([DeletedTopic("t", TOPIC_ID)])
    node.groups.when_removed(lambda: told.append(held(node)))
    assert held(node) == 400
    assert told == ([400] if reason == "expiry" else [])
    turns = []
    while held(node):
        before = held(node)
        one_turn(node)
        turns.append(before - held(node))
        assert len(turns) < 400
    node.clock.advance(0)
    assert max(turns) <= 110
    assert len(turns) > PARTITIONS
    assert told == ([400] if reason == "expiry" else [0])
    assert not sum(map(len, (runner.shard.groups for runner in node.groups.active()))) or reason == "deletion"


def held(node: GroupNode) -> int:
    """How many offsets the shards have."""
    return sum(len(runner.shard.offsets.groups()) for runner in node.groups.active())


def one_turn(node: GroupNode) -> None:
    """What is to be done soon, without what that asks for."""
    _, _, turn = heapq.heappop(node.clock._heap)
    if turn.action is not None:
        turn.action()


def test_a_shard_that_waits_for_a_commit_keeps_no_other_from_removing_offsets():
    node = GroupNode()
    for group in range(20):
        node.groups.commit(Commit(f"g{group}", "", None, -1, [OffsetToCommit("t", TOPIC_ID, 0, 5, -1, "")]), list)
    stuck = node.partitions.find(OFFSETS_TOPIC, INDEX)
    stuck.follow_metadata(partition_image((1, 2)), 1)
    commit(node, 6)
    node.groups.follow_metadata([DeletedTopic("t", TOPIC_ID)])
    told = []
    node.groups.when_removed(lambda: told.append(1))
    node.clock.advance(0)
    assert {coordinator_partition(group, PARTITIONS) for group in all_groups_with_offsets(node)} == {INDEX}
    assert told == [1]
    stuck.follow_metadata(partition_image((1,)), 1)
    node.clock.advance(0)
    assert held(node) == 0


def all_groups_with_offsets(node: GroupNode) -> list[str]:
    return [group for runner in node.groups.active() for group in runner.shard.offsets.groups()]


def test_offsets_of_a_topic_that_was_made_again_stay():
    """One committed without a topic id, between the deletion and the shard's turn."""
    node = GroupNode()
    commit(node)
    node.groups.follow_metadata([DeletedTopic("t", TOPIC_ID)])
    node.groups.commit(Commit("g", "", None, -1, [OffsetToCommit("t", NO_UUID, 0, 7, -1, "")]), list)
    node.clock.advance(0)
    assert fetched(node) == 7


def test_a_broker_that_stops_removes_no_more():
    node = GroupNode(offsets_retention_minutes="1")
    node.replicas(isr=(1, 2))
    commit(node)
    node.groups.expire()
    node.groups.follow_metadata([DeletedTopic("t", TOPIC_ID)])
    one_turn(node)
    node.groups.stop()
    assert node.clock.next_deadline_ms() is None


def test_small_shards_share_a_turn_and_many_do_not():
    """A broker may have thousands of shards in which there is nothing to do."""
    node, done = GroupNode(), []
    chores = ShardChores(node.clock)
    shards = 4 * UNITS_PER_TURN // SHARD_UNITS
    chores.add((next(iter(node.groups.active())), noting(done, number)) for number in range(shards))
    turns = []
    while len(done) < shards:
        before = len(done)
        one_turn(node)
        turns.append(len(done) - before)
    assert turns == [shards // 4] * 4
    assert done == list(range(shards))


def test_a_shard_that_has_ended_does_no_chore():
    node, done = GroupNode(), []
    chores = ShardChores(node.clock)
    ended, other = node.groups.active()[:2]
    chores.add([(ended, noting(done, 0)), (other, noting(done, 1))])
    ended.end()
    node.clock.advance(0)
    assert done == [1]


def noting(done: list[int], number: int) -> EffectTurns:
    """A chore with nothing to do."""
    done.append(number)
    return []
    yield


def test_stopping_leaves_no_timer_and_no_watch():
    node = GroupNode()
    stable(node)
    node.groups.join(join(), lambda answer: None)
    node.groups.stop()
    assert node.clock.next_deadline_ms() is None
    assert all(len(partition.watches) == 0 for partition in node.partitions)
    assert commit(node) == [[ErrorCode.COORDINATOR_NOT_AVAILABLE]]
