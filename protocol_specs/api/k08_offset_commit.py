"""OffsetCommit: remember how far a group, or a lone consumer, has read.

v0 wrote to ZooKeeper and v1 let the client date its commits (both gone since Kafka 4.0); v2 to v4 carry a retention,
from v5 on the broker decides (KIP-211); v3 adds throttling, v4 answers before it throttles; v6 adds leader epochs
(KIP-320); v7 static members (KIP-345); v8 is flexible; v9 speaks for members of the new protocol too, whose epoch
travels as generation (KIP-848); v10 names topics by id.
"""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    GroupId,
    Int32,
    Int64,
    LeaderEpoch,
    MemberId,
    Message,
    Nullable,
    Offset,
    PartitionId,
    String,
    Struct,
    TimestampMs,
    TopicId,
    TopicName,
)

OffsetCommitRequest = Message("OffsetCommitRequest", key=8, versions="0-10", flexible="8+")(
    "group_id" / GroupId,                                 # the group
    # generation or epoch; -1 outside any group
    "generation_id_or_member_epoch" / Int32(since=1, default=-1, ignorable=True),
    "member_id" / MemberId(since=1, ignorable=True),      # who commits; "" outside any group
    # static member's name, null for a dynamic member (KIP-345)
    "group_instance_id" / Nullable(String, since=7, default=None),
    # ms to keep the offsets, -1 for the broker's setting
    "retention_time_ms" / Int64(since=2, until=4, default=-1, ignorable=True),
    "topics" / Array(Struct("OffsetCommitRequestTopic")(  # one entry per topic
        "name" / TopicName(until=9, ignorable=True),                  # the topic's name
        "topic_id" / TopicId(since=10, ignorable=True),               # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("OffsetCommitRequestPartition")(  # what to commit
            "partition_index" / PartitionId,          # the partition's number in its topic
            "committed_offset" / Offset,              # the next record to read
            # ms since 1970 to count the retention from, -1 for now
            "commit_timestamp" / TimestampMs(since=1, until=1, default=-1),
            # leader epoch of the last read record, -1 unknown
            "committed_leader_epoch" / LeaderEpoch(since=6, default=-1, ignorable=True),
            "committed_metadata" / Nullable(String),  # a note of the client's, kept with the offset
        )),
    )),
)

OffsetCommitResponse = Message("OffsetCommitResponse", key=8, versions="0-10", flexible="8+")(
    "throttle_time_ms" / DurationMs(since=3, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "topics" / Array(Struct("OffsetCommitResponseTopic")(      # one entry per topic
        "name" / TopicName(until=9, ignorable=True),                   # the topic's name
        "topic_id" / TopicId(since=10, ignorable=True),                # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("OffsetCommitResponsePartition")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
        )),
    )),
)
