"""Committed offsets: who may commit, what is fetched, what expires."""

from __future__ import annotations

import struct

import pytest

from kbroker.group.effects import EffectTurns
from kbroker.group.events import DeletedTopic, FetchedOffset, FetchedTopic, TopicToFetch
from kbroker.group.offsets import OffsetKey, Offsets
from kbroker.group.records import CommittedOffset
from kbroker.names import NO_UUID
from kbroker.turns import Pace
from protocol_specs.errors import ErrorCode
from tests.group.virtual_shard import TOPIC_ID, WALL_MS, VirtualShard, turns_of

NONE = ErrorCode.NONE
WEEK_MS = 7 * 24 * 3600 * 1000
OTHER_ID = bytes(reversed(range(16)))


def subscription(*topics: str) -> bytes:
    """A ConsumerProtocolSubscription v0."""
    names = b"".join(struct.pack(">h", len(topic)) + topic.encode() for topic in topics)
    return struct.pack(">hi", 0, len(topics)) + names + struct.pack(">i", -1)


def test_anybody_commits_to_a_group_without_members_and_so_makes_it():
    world = VirtualShard()
    assert world.commit(5).answer == [NONE]
    assert world.committed() == 5
    assert world.state() == "Empty"
    assert world.shard.groups["g"].protocol_type is None


def test_a_commit_counts_when_its_record_is_committed():
    world = VirtualShard()
    world.holds = True
    call = world.commit(5)
    assert call.waits
    assert world.committed() is None
    world.release()
    assert call.answer == [NONE]
    assert world.committed() == 5


@pytest.mark.parametrize(
    ("is_new", "error"), [(True, ErrorCode.GROUP_ID_NOT_FOUND), (False, ErrorCode.ILLEGAL_GENERATION)]
)
def test_a_generation_of_an_unknown_group_is_refused_as_the_version_says(is_new, error):
    world = VirtualShard()
    assert world.commit(5, "m", 3, says_unknown_group=is_new).answer == [error]
    assert world.shard.groups == {}


@pytest.mark.parametrize(
    ("member", "generation", "fields", "error"),
    [
        ("member", 1, {}, NONE),
        ("member", 2, {}, ErrorCode.ILLEGAL_GENERATION),
        ("member", -1, {}, ErrorCode.ILLEGAL_GENERATION),
        ("stranger", 1, {}, ErrorCode.UNKNOWN_MEMBER_ID),
        ("", 1, {}, ErrorCode.UNKNOWN_MEMBER_ID),
        ("", -1, {}, ErrorCode.UNKNOWN_MEMBER_ID),
        ("", -1, {"instance_id": "i"}, ErrorCode.UNKNOWN_MEMBER_ID),
    ],
)
def test_a_group_with_members_takes_only_theirs(member, generation, fields, error):
    world = VirtualShard()
    _, (known,) = world.stable()
    assert world.commit(5, known if member == "member" else member, generation, **fields).answer == [error]


def test_members_may_commit_while_preparing_but_not_while_the_assignment_is_open():
    world = VirtualShard()
    generation, (member,) = world.stable()
    newcomer, _ = world.enter()
    assert world.commit(5, member, generation).answer == [NONE]
    world.join(member)
    assert world.state() == "CompletingRebalance"
    assert world.commit(6, member, generation + 1).answer == [ErrorCode.REBALANCE_IN_PROGRESS]
    assert world.commit(6, newcomer, generation).answer == [ErrorCode.ILLEGAL_GENERATION]


def test_a_commit_proves_its_member_alive():
    world = VirtualShard()
    generation, (member,) = world.stable(session_timeout_ms=10_000)
    world.advance(9_000)
    world.commit(5, member, generation)
    world.advance(9_000)
    assert world.heartbeat(member, generation) is NONE


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ("x" * 4096, NONE),
        ("x" * 4097, ErrorCode.OFFSET_METADATA_TOO_LARGE),
        ("é" * 4096, NONE),
        ("\U0001f600" * 2048, NONE),
        ("\U0001f600" * 2049, ErrorCode.OFFSET_METADATA_TOO_LARGE),
    ],
)
def test_metadata_is_limited_in_utf16_units(metadata, error):
    assert VirtualShard().commit(5, metadata=metadata).answer == [error]


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (ErrorCode.NOT_ENOUGH_REPLICAS, ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND, ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (ErrorCode.REQUEST_TIMED_OUT, ErrorCode.COORDINATOR_NOT_AVAILABLE),
        (ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.NOT_COORDINATOR),
        (ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.NOT_COORDINATOR),
        (ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.INVALID_COMMIT_OFFSET_SIZE),
        (ErrorCode.RECORD_LIST_TOO_LARGE, ErrorCode.INVALID_COMMIT_OFFSET_SIZE),
        (ErrorCode.INVALID_RECORD, ErrorCode.INVALID_RECORD),
    ],
)
def test_a_refused_append_is_answered_as_kafka_maps_it_and_leaves_nothing(refusal, error):
    world = VirtualShard()
    world.refuse_with = refusal
    assert world.commit(5).answer == [error]
    assert world.committed() is None
    assert world.shard.groups == {}


def fetch(world: VirtualShard, *wanted: TopicToFetch, require_stable: bool = False) -> list[FetchedTopic]:
    """The answer of OffsetFetch; everything when nothing is named."""
    fetched = world.shard.fetch_offsets("g", list(wanted) or None, require_stable=require_stable)
    assert fetched.error is NONE
    return fetched.topics


def test_what_was_never_committed_is_fetched_as_minus_one_without_an_error():
    world = VirtualShard()
    assert fetch(world) == []
    assert fetch(world, TopicToFetch("t", NO_UUID, [0, 7])) == [
        FetchedTopic("t", NO_UUID, [FetchedOffset(0), FetchedOffset(7)])
    ]


def test_all_offsets_of_a_group_are_fetched_when_none_is_named():
    world = VirtualShard()
    world.commit(5, metadata="note")
    world.commit(6, partition=3)
    world.commit(7, topic="u")
    assert fetch(world) == [
        FetchedTopic(
            "t", NO_UUID, [FetchedOffset(0, 5, 7, "note", topic_id=TOPIC_ID), FetchedOffset(3, 6, 7, topic_id=TOPIC_ID)]
        ),
        FetchedTopic("u", NO_UUID, [FetchedOffset(0, 7, 7, topic_id=TOPIC_ID)]),
    ]


@pytest.mark.parametrize(("asked", "offset"), [(TOPIC_ID, 5), (NO_UUID, 5), (OTHER_ID, -1)])
def test_an_offset_of_a_former_topic_of_that_name_is_none(asked, offset):
    world = VirtualShard()
    world.commit(5)
    assert fetch(world, TopicToFetch("t", asked, [0]))[0].partitions[0].offset == offset


def test_offsets_of_a_transaction_count_when_it_commits_and_are_unstable_before():
    offsets = Offsets()
    key = OffsetKey("g", "t", 0)
    offsets.put(key, 1, CommittedOffset(5, -1, "", 0))
    offsets.put_pending(9, key, 2, CommittedOffset(8, -1, "", 0))
    wanted = [TopicToFetch("t", NO_UUID, [0])]
    assert offsets.fetch("g", wanted, require_stable=False)[0].partitions[0].offset == 5
    unstable = offsets.fetch("g", wanted, require_stable=True)[0].partitions[0]
    assert (unstable.offset, unstable.error) == (-1, ErrorCode.UNSTABLE_OFFSET_COMMIT)
    offsets.end_transaction(9, is_committed=True)
    assert offsets.fetch("g", wanted, require_stable=True)[0].partitions[0].offset == 8


def test_an_aborted_transaction_or_one_written_before_the_last_commit_changes_nothing():
    offsets = Offsets()
    key = OffsetKey("g", "t", 0)
    offsets.put_pending(9, key, 1, CommittedOffset(8, -1, "", 0))
    offsets.put_pending(10, key, 3, CommittedOffset(9, -1, "", 0))
    offsets.put(key, 2, CommittedOffset(5, -1, "", 0))
    offsets.end_transaction(9, is_committed=True)
    offsets.end_transaction(10, is_committed=False)
    assert offsets.get("g", "t", 0) == CommittedOffset(5, -1, "", 0)
    assert not offsets.has_open_transactions("g")


def test_offsets_of_a_simple_group_expire_after_their_commit_and_the_group_with_the_last():
    world = VirtualShard()
    world.commit(5)
    world.advance(1000)
    world.commit(6, topic="u")
    world.advance(WEEK_MS - 1001)
    world.expire()
    assert world.committed() == 5
    world.advance(1)
    world.expire()
    assert world.committed() is None
    assert world.committed("u") == 6
    world.advance(1000)
    world.expire()
    assert world.shard.groups == {}
    assert world.reloaded().shard.groups == {}


def test_offsets_of_a_group_expire_after_its_last_member_left():
    world = VirtualShard()
    generation, (member,) = world.stable(protocols=(("range", subscription("t")),))
    world.commit(5, member, generation)
    world.advance(5_000)
    world.leave((member, None))
    world.advance(WEEK_MS - 1)
    world.expire()
    assert world.committed() == 5
    world.advance(1)
    world.expire()
    assert world.committed() is None
    assert world.shard.groups == {}


def test_a_group_with_members_keeps_what_it_reads_and_loses_what_it_no_longer_reads():
    world = VirtualShard(max_session_timeout_ms=2 * WEEK_MS)
    generation, (member,) = world.stable(
        protocols=(("range", subscription("t")),), session_timeout_ms=2 * WEEK_MS, rebalance_timeout_ms=2 * WEEK_MS
    )
    world.commit(5, member, generation)
    world.commit(6, member, generation, topic="u")
    world.advance(WEEK_MS)
    world.expire()
    assert world.committed() == 5
    assert world.committed("u") is None
    assert world.state() == "Stable"


@pytest.mark.parametrize("fields", [{"protocol_type": "connect"}, {"protocols": (("range", b"no subscription"),)}])
def test_a_group_whose_subscription_is_unknown_keeps_everything_while_it_has_members(fields):
    world = VirtualShard(max_session_timeout_ms=2 * WEEK_MS)
    generation, (member,) = world.stable(session_timeout_ms=2 * WEEK_MS, rebalance_timeout_ms=2 * WEEK_MS, **fields)
    world.commit(5, member, generation)
    world.advance(WEEK_MS)
    world.expire()
    assert world.committed() == 5


def test_a_retention_that_the_client_asked_for_wins():
    world = VirtualShard()
    world.commit(5, retention_ms=1_000)
    world.advance(999)
    world.expire()
    assert world.committed() == 5
    world.advance(1)
    world.expire()
    assert world.committed() is None


def test_a_group_with_promised_members_is_not_removed():
    world = VirtualShard()
    world.join()
    world.expire()
    assert world.state() == "Empty"
    world.advance(10_000)
    world.expire()
    assert world.shard.groups == {}


def test_offsets_go_with_their_topic_but_not_with_another_of_its_name():
    world = VirtualShard()
    world.commit(5)
    world.commit(6, partition=1, topic_id=OTHER_ID)
    world.commit(7, partition=2, topic_id=NO_UUID)
    world.delete_topic("t")
    assert [world.committed(partition=partition) for partition in range(3)] == [None, 6, None]
    assert world.reloaded().committed() is None


def test_many_tombstones_are_written_in_batches_of_bounded_size():
    world = VirtualShard()
    for number in range(30):
        world.commit(5, group_id=f"{number:02}" + "x" * 30_000, retention_ms=0)
    before = len(world.log)
    turns = 0
    for effects in turns_of(world.shard.expire(world.now, Pace())):
        assert sum(len(key) for effect in effects for key, _ in effect.records) < 1_000_000
        assert all(sum(len(key) for key, _ in effect.records) < 300_000 for effect in effects)
        world.run(effects)
        turns += 1
    assert turns > 1
    assert len(world.log) == before + 60
    assert world.shard.groups == {}


MANY = 3000


def with_many_offsets(**fields) -> VirtualShard:
    """Half of them in one topic of one group, the others each in a group of its own."""
    world = VirtualShard()
    for number in range(MANY):
        if number % 2:
            world.commit(5, partition=number, **fields)
        else:
            world.commit(5, group_id=f"g{number}", **fields)
    return world


def remove(world: VirtualShard, reason: str) -> EffectTurns:
    if reason == "expiry":
        return world.shard.expire(world.now, Pace())
    end = len(world.log)
    return world.shard.topics_deleted([DeletedTopic("t", TOPIC_ID), DeletedTopic("u", OTHER_ID)], end, Pace())


@pytest.mark.parametrize("reason", ["expiry", "deletion"])
def test_what_is_removed_goes_in_turns_of_a_hundred_or_so(reason):
    """All of a shard went in one: 0.8 s for 100,000 offsets."""
    world = with_many_offsets(retention_ms=0)
    removed = []
    for effects in turns_of(remove(world, reason)):
        removed.append(sum(value is None for effect in effects for _, value in effect.records))
        world.run(effects)
    assert max(removed) <= 150
    assert sum(removed) == MANY + (len(world.log) - 2 * MANY if reason == "expiry" else 0)
    assert not world.shard.offsets.groups()
    assert bool(world.shard.groups) == (reason == "deletion")


def test_what_has_its_time_is_looked_at_in_turns():
    world = with_many_offsets()
    turns = list(turns_of(world.shard.expire(world.now, Pace())))
    assert not any(turns)
    assert len(turns) >= MANY / 1000


@pytest.mark.parametrize("reason", ["expiry", "deletion"])
def test_what_is_committed_between_two_turns_stays(reason):
    world = with_many_offsets(retention_ms=0)
    world.commit(5, group_id="last", retention_ms=0)
    world.commit(5, group_id="other", retention_ms=0)
    turns = turns_of(remove(world, reason))
    world.run(next(turns))
    world.commit(6, group_id="last", topic_id=NO_UUID)
    world.commit(6, group_id="g0", topic_id=NO_UUID)
    world.commit(6, group_id="new", topic_id=NO_UUID)
    for effects in turns:
        world.run(effects)
    committed = [world.committed(group_id=group_id) for group_id in ("last", "g0", "new", "other")]
    assert committed == [6, 6, 6, None]
    assert {"last", "g0", "new"} <= world.shard.groups.keys()


@pytest.mark.parametrize("turns_before", [0, 1])
def test_a_group_is_over_though_its_offsets_went_in_several_turns(turns_before):
    """And not one that somebody joined meanwhile."""
    world = VirtualShard()
    for number in range(500):
        world.commit(5, partition=number, retention_ms=0)
    turns = turns_of(world.shard.expire(world.now, Pace()))
    for _ in range(turns_before):
        world.run(next(turns))
        world.join()
    for effects in turns:
        world.run(effects)
    assert list(world.shard.groups) == ["g"] * turns_before
    assert world.committed() is None


def test_a_group_that_went_between_two_turns_is_passed_over():
    world = with_many_offsets(retention_ms=0)
    turns = turns_of(world.shard.expire(world.now, Pace()))
    world.run(next(turns))
    world.expire()
    before = len(world.log)
    for effects in turns:
        world.run(effects)
    assert len(world.log) == before


def test_tombstones_that_cannot_be_written_remove_nothing():
    world = VirtualShard()
    world.commit(5, retention_ms=0)
    world.refuse_with = ErrorCode.NOT_ENOUGH_REPLICAS
    world.expire()
    assert world.committed() == 5
    assert world.state() == "Empty"


def test_commit_timestamps_are_wall_time():
    world = VirtualShard()
    world.advance(500)
    world.commit(5, retention_ms=100)
    held = world.shard.offsets.get("g", "t", 0)
    assert (held.commit_timestamp_ms, held.expire_timestamp_ms) == (WALL_MS + 500, WALL_MS + 600)
