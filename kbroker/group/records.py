"""The records of `__consumer_offsets` that classic groups and offsets are kept in: Kafka's own format.

    key   = int16 type    | fields      type 0, 1: a committed offset; type 2: a group
    value = int16 version | fields      no value: a tombstone

Written as Apache Kafka 4.3 does (GroupCoordinatorRecordHelpers.java): OffsetCommitValue v4, which carries the topic's
id, or v1 when the client gave a retention time, the only version with an expire timestamp; GroupMetadataValue v3.
Every version is read. Types of other kinds of groups are left alone.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from kbroker.group.classic_group import ClassicGroup, GroupState, Member
from kbroker.names import NO_UUID
from kbroker.wire.codec import decode, encode
from protocol_specs.group.group_metadata import GroupMetadataKey, GroupMetadataValue
from protocol_specs.group.offset_commit import OffsetCommitKey, OffsetCommitValue

OFFSET_COMMIT_TYPES = (0, 1)
GROUP_METADATA_TYPE = 2
OFFSET_VALUE_VERSION = 4
OFFSET_VALUE_VERSION_WITH_RETENTION = 1
GROUP_VALUE_VERSION = 3

_INT16 = struct.Struct(">h")
_OFFSET_KEY = _INT16.pack(1)
_GROUP_KEY = _INT16.pack(GROUP_METADATA_TYPE)
_OFFSET_VALUE = _INT16.pack(OFFSET_VALUE_VERSION)
_OFFSET_VALUE_WITH_RETENTION = _INT16.pack(OFFSET_VALUE_VERSION_WITH_RETENTION)
_GROUP_VALUE = _INT16.pack(GROUP_VALUE_VERSION)

KeyValue = tuple[bytes, bytes | None]


class CommittedOffset(NamedTuple):
    """What was committed for one partition; timestamps are wall milliseconds, -1 where there is none."""

    offset: int
    leader_epoch: int
    metadata: str
    commit_timestamp_ms: int
    expire_timestamp_ms: int = -1
    topic_id: bytes = NO_UUID
    """The id of the topic that was meant; zero where the commit came without one."""


class OffsetRecord(NamedTuple):
    """A committed offset was set, or removed (None)."""

    group_id: str
    topic: str
    partition: int
    committed: CommittedOffset | None


class GroupRecord(NamedTuple):
    """A group was written as it stood, or removed (None)."""

    group_id: str
    group: ClassicGroup | None


def offset_record(group_id: str, topic: str, partition: int, committed: CommittedOffset) -> KeyValue:
    """A committed offset as it is written."""
    key = offset_key(group_id, topic, partition)
    value = OffsetCommitValue(
        offset=committed.offset,
        leader_epoch=committed.leader_epoch,
        metadata=committed.metadata,
        commit_timestamp=committed.commit_timestamp_ms,
        expire_timestamp=committed.expire_timestamp_ms,
        topic_id=committed.topic_id,
    )
    if committed.expire_timestamp_ms == -1:
        return key, _OFFSET_VALUE + encode(OffsetCommitValue, OFFSET_VALUE_VERSION, value)
    encoded = encode(OffsetCommitValue, OFFSET_VALUE_VERSION_WITH_RETENTION, value)
    return key, _OFFSET_VALUE_WITH_RETENTION + encoded


def offset_key(group_id: str, topic: str, partition: int) -> bytes:
    """The key of a committed offset; without a value it is its tombstone."""
    return _OFFSET_KEY + encode(OffsetCommitKey, 0, OffsetCommitKey(group=group_id, topic=topic, partition=partition))


def group_key(group_id: str) -> bytes:
    """The key of a group; without a value it is its tombstone."""
    return _GROUP_KEY + encode(GroupMetadataKey, 0, GroupMetadataKey(group=group_id))


def group_record(group: ClassicGroup, assignments: dict[str, bytes]) -> KeyValue:
    """A group as it stands, with these assignments, one for each of its members."""
    members = [
        GroupMetadataValue.MemberMetadata(
            member_id=member.member_id,
            group_instance_id=member.instance_id,
            client_id=member.client_id,
            client_host=member.client_host,
            rebalance_timeout=member.rebalance_timeout_ms,
            session_timeout=member.session_timeout_ms,
            subscription=member.metadata(group.protocol),
            assignment=assignments[member.member_id],
        )
        for member in group.members.values()
    ]
    value = GroupMetadataValue(
        protocol_type=group.protocol_type or "",
        generation=group.generation,
        protocol=group.protocol,
        leader=group.leader,
        current_state_timestamp=group.state_since_ms,
        members=members,
    )
    return group_key(group.group_id), _GROUP_VALUE + encode(GroupMetadataValue, GROUP_VALUE_VERSION, value)


def new_group_record(group: ClassicGroup) -> KeyValue:
    """A group nobody is a member of yet, as Kafka writes it when somebody asks for a member id."""
    value = GroupMetadataValue(
        protocol_type="",
        generation=0,
        protocol=None,
        leader=None,
        current_state_timestamp=group.state_since_ms,
        members=[],
    )
    return group_key(group.group_id), _GROUP_VALUE + encode(GroupMetadataValue, GROUP_VALUE_VERSION, value)


def read_record(key: bytes, value: bytes | None) -> OffsetRecord | GroupRecord | None:
    """What a record says; None for the types of other kinds of groups.

    Raises MalformedFrame, UnsupportedVersion, struct.error where it can't be read.
    """
    (record_type,) = _INT16.unpack_from(key)
    if record_type in OFFSET_COMMIT_TYPES:
        named, _ = decode(OffsetCommitKey, 0, key, _INT16.size)
        committed = None if value is None else _committed(_value(OffsetCommitValue, value))
        return OffsetRecord(named.group, named.topic, named.partition, committed)
    if record_type == GROUP_METADATA_TYPE:
        named, _ = decode(GroupMetadataKey, 0, key, _INT16.size)
        group = None if value is None else _group(named.group, _value(GroupMetadataValue, value))
        return GroupRecord(named.group, group)
    return None


def _value(message: Any, value: bytes) -> Any:
    (version,) = _INT16.unpack_from(value)
    return decode(message, version, value, _INT16.size)[0]


def _committed(value: Any) -> CommittedOffset:
    return CommittedOffset(
        value.offset,
        value.leader_epoch,
        value.metadata,
        value.commit_timestamp,
        value.expire_timestamp,
        value.topic_id,
    )


def _group(group_id: str, value: Any) -> ClassicGroup:
    """A group with members was Stable: only a finished rebalance is written."""
    group = ClassicGroup(group_id, value.current_state_timestamp)
    group.state = GroupState.STABLE if value.members else GroupState.EMPTY
    group.generation = value.generation
    group.protocol = value.protocol
    group.leader = value.leader
    for member in value.members:
        group.add(
            Member(
                member.member_id,
                member.group_instance_id,
                member.client_id,
                member.client_host,
                member.session_timeout if member.rebalance_timeout == -1 else member.rebalance_timeout,
                member.session_timeout,
                value.protocol_type,
                ((value.protocol, bytes(member.subscription)),),
                bytes(member.assignment),
            )
        )
    group.protocol_type = value.protocol_type or None
    group.subscribed = group.compute_subscribed()
    return group
