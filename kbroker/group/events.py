"""What can happen to a group and what it answers, as plain values without protocol versions.

Handlers translate requests of any version into these and the answers back; where a version changes the meaning, the
event carries a flag that says so.
"""

from __future__ import annotations

from typing import NamedTuple

from kbroker.names import NO_UUID
from protocol_specs.errors import ErrorCode

Protocols = tuple[tuple[str, bytes], ...]
"""(name, metadata) in the member's order of preference; names are unique."""


class Join(NamedTuple):
    """A member wants to be in the next generation."""

    group_id: str
    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: Protocols
    reason: str = ""
    must_know_member_id: bool = True
    """A dynamic member without an id is told one first and joins with it (KIP-394, since v4)."""
    can_skip_assignment: bool = True
    """The client understands skip_assignment (KIP-814, since v9)."""


class JoinedMember(NamedTuple):
    """What the leader learns of a member."""

    member_id: str
    instance_id: str | None
    metadata: bytes


class Joined(NamedTuple):
    """The answer to Join."""

    error: ErrorCode
    member_id: str = ""
    generation: int = -1
    protocol_type: str | None = None
    protocol: str | None = None
    leader: str = ""
    skip_assignment: bool = False
    members: tuple[JoinedMember, ...] = ()


class Sync(NamedTuple):
    """A member asks for its assignment; the leader brings everybody's."""

    group_id: str
    member_id: str
    instance_id: str | None
    generation: int
    assignments: dict[str, bytes]
    protocol_type: str | None = None
    """None where the version has no such field (before v5); then it is not compared."""
    protocol: str | None = None


class Synced(NamedTuple):
    """The answer to Sync."""

    error: ErrorCode
    assignment: bytes = b""
    protocol_type: str | None = None
    protocol: str | None = None


class Heartbeat(NamedTuple):
    """A member is alive. Answered with an ErrorCode alone."""

    group_id: str
    member_id: str
    instance_id: str | None
    generation: int


class Leaving(NamedTuple):
    """One member to remove: by id, or by instance id alone with an empty member id (an administrator's removal)."""

    member_id: str
    instance_id: str | None
    reason: str = ""


class Left(NamedTuple):
    """The answer to leave: one error per Leaving in its order, under one for the whole group."""

    error: ErrorCode
    members: tuple[ErrorCode, ...] = ()


class OffsetToCommit(NamedTuple):
    """One partition's offset; `topic_id` is the topic's current id, `timestamp_ms` the client's date of it, -1 now."""

    topic: str
    topic_id: bytes
    partition: int
    offset: int
    leader_epoch: int
    metadata: str
    timestamp_ms: int = -1


class Commit(NamedTuple):
    """A member (or, with generation -1, anybody while the group has no members) commits offsets.

    Answered with a list of ErrorCode, one per offset in its order.
    """

    group_id: str
    member_id: str
    instance_id: str | None
    generation: int
    offsets: list[OffsetToCommit]
    retention_ms: int = -1
    says_unknown_group: bool = True
    """An unknown group with a generation is GROUP_ID_NOT_FOUND (since v9), before that ILLEGAL_GENERATION."""


class TopicToFetch(NamedTuple):
    """Which partitions' offsets are wanted; a zero id matches every incarnation of the topic."""

    topic: str
    topic_id: bytes
    partitions: list[int]


class FetchedOffset(NamedTuple):
    """One partition's committed offset; -1 when there is none."""

    partition: int
    offset: int = -1
    leader_epoch: int = -1
    metadata: str = ""
    error: ErrorCode = ErrorCode.NONE
    topic_id: bytes = NO_UUID
    """Of the topic that it was committed for, where that is known; another may have its name by now."""


class FetchedTopic(NamedTuple):
    """The answer for one topic."""

    topic: str
    topic_id: bytes
    partitions: list[FetchedOffset]


class Fetched(NamedTuple):
    """The answer to an offset fetch of one group."""

    error: ErrorCode
    topics: list[FetchedTopic]


class DeletedTopic(NamedTuple):
    """A topic that is gone, with the id it had."""

    topic: str
    topic_id: bytes = NO_UUID
