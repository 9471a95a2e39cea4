"""Committed offsets by group, topic and partition; what transactions have promised beside them; what has expired.

Source: Apache Kafka, OffsetMetadataManager.java, OffsetExpirationConditionImpl.java, ClassicGroup.java.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import NamedTuple

from kbroker.group.classic_group import CONSUMER_PROTOCOL_TYPE, ClassicGroup, GroupState
from kbroker.group.events import FetchedOffset, FetchedTopic, TopicToFetch
from kbroker.group.records import CommittedOffset
from kbroker.names import NO_UUID
from protocol_specs.errors import ErrorCode


class OffsetKey(NamedTuple):
    """Whose offset, of what."""

    group_id: str
    topic: str
    partition: int


class Offsets:
    """The offsets of every group of a shard. A transaction's offsets count only once it has committed."""

    __slots__ = ("_by_group", "_open", "_pending", "_written_at")

    def __init__(self) -> None:
        self._by_group: dict[str, dict[str, dict[int, CommittedOffset]]] = {}
        self._written_at: dict[OffsetKey, int] = {}
        """The log offset of the record behind each committed offset."""
        self._pending: dict[int, dict[OffsetKey, tuple[int, CommittedOffset]]] = {}
        """By producer id: (log offset, what it wants to commit) of its open transaction."""
        self._open: dict[OffsetKey, set[int]] = {}

    def get(self, group_id: str, topic: str, partition: int) -> CommittedOffset | None:
        """What is committed, if anything is."""
        return self._by_group.get(group_id, {}).get(topic, {}).get(partition)

    def of_group(self, group_id: str) -> dict[str, dict[int, CommittedOffset]]:
        """Everything a group has committed, by topic and partition."""
        return self._by_group.get(group_id, {})

    def groups(self) -> list[str]:
        """The groups that have committed anything."""
        return list(self._by_group)

    def put(self, key: OffsetKey, written_at: int, committed: CommittedOffset) -> None:
        """The record at log offset `written_at` is committed."""
        topics = self._by_group.setdefault(key.group_id, {})
        topics.setdefault(key.topic, {})[key.partition] = committed
        self._written_at[key] = written_at

    def remove(self, key: OffsetKey) -> None:
        """A tombstone: also what open transactions promised for it is void."""
        topics = self._by_group.get(key.group_id, {})
        partitions = topics.get(key.topic, {})
        if partitions.pop(key.partition, None) is not None:
            self._written_at.pop(key, None)
            if not partitions:
                del topics[key.topic]
            if not topics:
                del self._by_group[key.group_id]
        for producer_id in self._open.pop(key, ()):
            self._pending.get(producer_id, {}).pop(key, None)

    # -- transactions --------------------------------------------------------------------------------------------

    def put_pending(self, producer_id: int, key: OffsetKey, written_at: int, committed: CommittedOffset) -> None:
        """A transactional record: it counts when its transaction commits."""
        self._pending.setdefault(producer_id, {})[key] = (written_at, committed)
        self._open.setdefault(key, set()).add(producer_id)

    def end_transaction(self, producer_id: int, *, is_committed: bool) -> None:
        """The marker of the producer's transaction; a commit never overwrites an offset written after it."""
        for key, (written_at, committed) in self._pending.pop(producer_id, {}).items():
            producers = self._open.get(key, set())
            producers.discard(producer_id)
            if not producers:
                self._open.pop(key, None)
            if is_committed and written_at > self._written_at.get(key, -1):
                self.put(key, written_at, committed)

    def is_unstable(self, group_id: str, topic: str, partition: int) -> bool:
        """Does an open transaction want to change it?"""
        return OffsetKey(group_id, topic, partition) in self._open

    def has_open_transactions(self, group_id: str) -> bool:
        """Does an open transaction want to change any offset of the group?"""
        return any(key.group_id == group_id for key in self._open)

    # -- questions -----------------------------------------------------------------------------------------------

    def fetch(self, group_id: str, wanted: list[TopicToFetch] | None, *, require_stable: bool) -> list[FetchedTopic]:
        """The wanted offsets in the order asked, or (None) all of the group's.

        Nothing committed, or for another incarnation of the topic, reads as offset -1. With `require_stable` an offset
        that an open transaction may change is UNSTABLE_OFFSET_COMMIT (KIP-447).
        """
        held = self._by_group.get(group_id, {})
        if wanted is None:
            wanted = [TopicToFetch(topic, NO_UUID, list(partitions)) for topic, partitions in held.items()]
        return [
            FetchedTopic(
                topic,
                topic_id,
                [
                    FetchedOffset(partition, error=ErrorCode.UNSTABLE_OFFSET_COMMIT)
                    if require_stable and self._open and self.is_unstable(group_id, topic, partition)
                    else _fetched(partition, held.get(topic, {}).get(partition), topic_id)
                    for partition in partitions
                ],
            )
            for topic, topic_id, partitions in wanted
        ]

    def expired(
        self, group: ClassicGroup, topic: str, partitions: Sequence[int], wall_ms: int, retention_ms: int
    ) -> list[OffsetKey]:
        """The group's offsets of these partitions of a topic whose time is over at `wall_ms`."""
        held = self._by_group.get(group.group_id, {}).get(topic, {})
        if group.is_subscribed_to(topic):
            return []
        keys = [
            OffsetKey(group.group_id, topic, partition)
            for partition in partitions
            if (committed := held.get(partition)) is not None and is_expired(group, committed, wall_ms, retention_ms)
        ]
        return [key for key in keys if key not in self._open]

    def of_topics(
        self, keys: Sequence[OffsetKey], deleted: Mapping[str, Container[bytes]], end: int
    ) -> list[OffsetKey]:
        """Those of the keys with an offset, committed or promised before log offset `end`, for a deleted incarnation of
        its topic (ids by name), or committed without an id."""
        return [key for key in keys if any(_is_of(each, deleted[key.topic], end) for each in self._records_of(key))]

    def _records_of(self, key: OffsetKey) -> Iterator[tuple[int, CommittedOffset]]:
        """(log offset, what it commits) of all that is committed or promised for the key."""
        committed = self.get(*key)
        if committed is not None:
            yield self._written_at[key], committed
        for producer_id in self._open.get(key, ()):
            yield self._pending[producer_id][key]

    def promised(self) -> Iterator[list[OffsetKey]]:
        """The keys of each open transaction, when it is reached."""
        for producer_id in list(self._pending):
            yield list(self._pending.get(producer_id, ()))


def _is_of(record: tuple[int, CommittedOffset], topic_ids: Container[bytes], end: int) -> bool:
    written_at, committed = record
    return written_at < end and (committed.topic_id == NO_UUID or committed.topic_id in topic_ids)


def _fetched(partition: int, committed: CommittedOffset | None, topic_id: bytes) -> FetchedOffset:
    if committed is None or (topic_id != committed.topic_id and NO_UUID not in (topic_id, committed.topic_id)):
        return FetchedOffset(partition)
    return FetchedOffset(
        partition, committed.offset, committed.leader_epoch, committed.metadata, topic_id=committed.topic_id
    )


def is_expired(group: ClassicGroup, committed: CommittedOffset, wall_ms: int, retention_ms: int) -> bool:
    """Is an offset that nobody of the group reads over its time?

    A group that had members: counted from when the last one left, never while it rebalances; a Stable consumer group's
    offset of a topic no longer read, and a group that never had members: since the commit. An expire timestamp that
    the client asked for wins over all of these once the group's state allows expiry at all.
    """
    if group.protocol_type is not None:
        is_reading = group.protocol_type == CONSUMER_PROTOCOL_TYPE and group.subscribed is not None
        if group.state is GroupState.EMPTY:
            since_ms = committed.commit_timestamp_ms if group.state_since_ms == -1 else group.state_since_ms
        elif group.state is GroupState.STABLE and is_reading:
            since_ms = committed.commit_timestamp_ms
        else:
            return False
    else:
        since_ms = committed.commit_timestamp_ms
    if committed.expire_timestamp_ms != -1:
        return wall_ms >= committed.expire_timestamp_ms
    return wall_ms - since_ms >= retention_ms
