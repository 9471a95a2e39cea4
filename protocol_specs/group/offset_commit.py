"""OffsetCommit, type 1 of `__consumer_offsets`: how far a group has read one partition.

The value is v1 when the client set a retention, else v3, which adds the leader epoch (KIP-320); v4 is flexible and
carries the topic's id (KIP-848). v2 dropped the expiry (KIP-211). A null value deletes the offset.
"""

from protocol_specs.grammar import (
    GroupId,
    LeaderEpoch,
    Message,
    Offset,
    PartitionId,
    String,
    TimestampMs,
    TopicId,
    TopicName,
)

OffsetCommitKey = Message("OffsetCommitKey", key=1, versions="0", flexible="none")(
    "group" / GroupId,          # the group
    "topic" / TopicName,        # the topic's name
    "partition" / PartitionId,  # the partition's number in its topic
)

OffsetCommitValue = Message("OffsetCommitValue", key=1, versions="0-4", flexible="4+")(
    "offset" / Offset,                                     # the next record to read
    # leader epoch of the last read record, -1 unknown
    "leader_epoch" / LeaderEpoch(since=3, default=-1, ignorable=True),
    "metadata" / String,                                   # a note of the client's, kept with the offset
    "commit_timestamp" / TimestampMs,                      # ms since 1970 when it was committed
    # ms since 1970 when it may be dropped, -1 by the broker's setting
    "expire_timestamp" / TimestampMs(since=1, until=1, default=-1, ignorable=True),
    "topic_id" / TopicId(since=4, tag=0, ignorable=True),  # the topic's uuid, zero when committed by name (KIP-848)
)
