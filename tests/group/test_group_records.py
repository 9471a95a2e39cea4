"""The records of `__consumer_offsets`, byte by byte, and the subscription inside them."""

from __future__ import annotations

import pytest

from kbroker.group.classic_group import ClassicGroup, GroupState, Member
from kbroker.group.records import (
    CommittedOffset,
    GroupRecord,
    OffsetRecord,
    group_key,
    group_record,
    new_group_record,
    offset_key,
    offset_record,
    read_record,
)
from kbroker.group.subscription import subscribed_topics
from kbroker.names import NO_UUID
from kbroker.wire.codec import encode
from protocol_specs.group.offset_commit import OffsetCommitValue
from tests.group.virtual_shard import TOPIC_ID, VirtualShard

KEY = bytes.fromhex("0001 0001 67 0001 74 00000003")


def test_an_offset_is_written_as_version_4_with_the_topics_id():
    committed = CommittedOffset(5, 2, "m", 1000, -1, TOPIC_ID)
    key, value = offset_record("g", "t", 3, committed)
    assert key == KEY
    assert value == bytes.fromhex("0004 0000000000000005 00000002 02 6d 00000000000003e8 01 00 10") + TOPIC_ID
    assert read_record(key, value) == OffsetRecord("g", "t", 3, committed)


def test_an_offset_with_a_retention_is_written_as_version_1():
    key, value = offset_record("g", "t", 3, CommittedOffset(5, 2, "m", 1000, 2000, TOPIC_ID))
    assert value == bytes.fromhex("0001 0000000000000005 0001 6d 00000000000003e8 00000000000007d0")
    assert read_record(key, value) == OffsetRecord("g", "t", 3, CommittedOffset(5, -1, "m", 1000, 2000, NO_UUID))


@pytest.mark.parametrize("version", range(5))
@pytest.mark.parametrize("record_type", [0, 1])
def test_every_version_of_an_offset_is_read_under_both_types_of_key(version, record_type):
    written = OffsetCommitValue(offset=5, metadata="m", commit_timestamp=1000)
    value = version.to_bytes(2, "big") + encode(OffsetCommitValue, version, written)
    key = record_type.to_bytes(2, "big") + KEY[2:]
    assert read_record(key, value) == OffsetRecord("g", "t", 3, CommittedOffset(5, -1, "m", 1000))


def test_tombstones_are_keys_without_a_value():
    assert read_record(offset_key("g", "t", 3), None) == OffsetRecord("g", "t", 3, None)
    assert read_record(group_key("g"), None) == GroupRecord("g", None)


@pytest.mark.parametrize("record_type", [3, 8, 15, 23, 99, -1])
def test_records_of_other_types_are_none_of_ours(record_type):
    assert read_record(record_type.to_bytes(2, "big", signed=True) + b"anything", b"\x00\x00") is None


def test_a_group_is_written_as_version_3():
    group = ClassicGroup("g", 1000)
    member = Member("m", "i", "c", "/h", 60_000, 10_000, "consumer", (("range", b"S"), ("sticky", b"T")))
    group.add(member)
    group.protocol, group.generation, group.state = "range", 7, GroupState.STABLE
    key, value = group_record(group, {"m": b"A"})
    assert key == bytes.fromhex("0002 0001 67")
    assert value == bytes.fromhex(
        "0003 0008 636f6e73756d6572 00000007 0005 72616e6765 0001 6d 00000000000003e8 00000001"
        " 0001 6d 0001 69 0001 63 0002 2f68 0000ea60 00002710 00000001 53 00000001 41"
    )
    read = read_record(key, value).group
    assert (read.state, read.generation, read.leader, read.protocol) == (GroupState.STABLE, 7, "m", "range")
    assert read.members["m"].protocols == (("range", b"S"),)
    assert read.members["m"].assignment == b"A"
    assert read.static_members == {"i": "m"}


def test_a_new_group_is_written_empty():
    key, value = new_group_record(ClassicGroup("g", 1000))
    assert value == bytes.fromhex("0003 0000 00000000 ffff ffff 00000000000003e8 00000000")
    read = read_record(key, value).group
    assert (read.state, read.generation, read.protocol_type) == (GroupState.EMPTY, 0, None)


def test_a_group_of_an_old_broker_takes_its_session_for_its_rebalance_timeout():
    value = bytes.fromhex(
        "0000 0008 636f6e73756d6572 00000001 0005 72616e6765 0001 6d 00000001"
        " 0001 6d 0001 63 0002 2f68 00002710 00000000 00000000"
    )
    member = read_record(group_key("g"), value).group.members["m"]
    assert (member.rebalance_timeout_ms, member.session_timeout_ms, member.instance_id) == (10_000, 10_000, None)


@pytest.mark.parametrize(
    ("metadata", "topics"),
    [
        ("0000 00000002 0001 74 0002 7575 ffffffff", ["t", "uu"]),
        ("0003 00000001 0001 74 ffffffff 00000000 ffffffff ffff", ["t"]),
        ("0000 00000000", []),
        ("", None),
        ("0000 00000001", None),
        ("0000 00000001 0005 74", None),
        ("0000 00000001 ffff", None),
        ("ffff 00000000", None),
        ("0000 ffffffff", None),
        ("0000 7fffffff 0001 74", None),
    ],
)
def test_a_subscription_names_its_topics_or_is_none(metadata, topics):
    assert subscribed_topics(bytes.fromhex(metadata)) == topics


def test_a_group_loaded_with_more_members_than_allowed_rebalances():
    world = VirtualShard(max_size=3)
    world.stable(3)
    world.settings = type(world.settings)(max_size=2, initial_rebalance_delay_ms=0)
    assert world.reloaded().state() == "PreparingRebalance"
