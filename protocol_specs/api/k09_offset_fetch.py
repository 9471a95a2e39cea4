"""OffsetFetch: where groups have read to.

v0 read from ZooKeeper (gone since Kafka 4.0); v2 answers for all topics when asked with null, and has an error for
the whole group (KIP-88); v3 adds throttling, v4 answers before it throttles; v5 adds leader epochs (KIP-320); v6 is
flexible; v7 can insist on stable offsets (KIP-447); v8 asks about several groups at once (KIP-709), so everything
moves one level down; v9 checks the member's epoch (KIP-848); v10 names topics by id.
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    GroupId,
    Int32,
    LeaderEpoch,
    MemberId,
    Message,
    Nullable,
    Offset,
    PartitionId,
    String,
    Struct,
    TopicId,
    TopicName,
)

OffsetFetchRequest = Message("OffsetFetchRequest", key=9, versions="0-10", flexible="6+")(
    "group_id" / GroupId(until=7),                       # the group whose offsets are asked for
    "topics" / Array(Struct("OffsetFetchRequestTopic")(  # null for every topic with an offset
        "name" / TopicName,                        # the topic's name
        "partition_indexes" / Array(PartitionId),  # the partitions' numbers
    ), until=7, nullable_since=2),
    "groups" / Array(Struct("OffsetFetchRequestGroup")(  # one entry per group (KIP-709)
        "group_id" / GroupId,  # the group whose offsets are asked for
        # the asking member, null to ask from outside
        "member_id" / Nullable(MemberId, since=9, default=None, ignorable=True),
        "member_epoch" / Int32(since=9, default=-1, ignorable=True),  # the asking member's epoch, -1 from outside
        "topics" / Nullable(Array(Struct("OffsetFetchRequestTopics")(  # null for every topic with an offset
            "name" / TopicName(until=9, ignorable=True),     # the topic's name
            "topic_id" / TopicId(since=10, ignorable=True),  # the topic's uuid (KIP-516)
            "partition_indexes" / Array(PartitionId),        # the partitions' numbers
        ))),
    ), since=8),
    "require_stable" / Bool(since=7),  # answer UNSTABLE_OFFSET_COMMIT while a transaction is open (KIP-447)
)

OffsetFetchResponse = Message("OffsetFetchResponse", key=9, versions="0-10", flexible="6+")(
    "throttle_time_ms" / DurationMs(since=3, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "topics" / Array(Struct("OffsetFetchResponseTopic")(       # one entry per topic
        "name" / TopicName,                                           # the topic's name
        "partitions" / Array(Struct("OffsetFetchResponsePartition")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "committed_offset" / Offset,      # the next record to read, -1 when nothing was committed
            # leader epoch of the last read record, -1 unknown
            "committed_leader_epoch" / LeaderEpoch(since=5, default=-1, ignorable=True),
            "metadata" / Nullable(String),    # the note kept with the offset
            "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
        )),
    ), until=7),
    "error_code" / ErrorCode(since=2, until=7, ignorable=True),  # 0, or why this was refused (errors.py)
    "groups" / Array(Struct("OffsetFetchResponseGroup")(         # one entry per group
        "group_id" / GroupId,                                  # the group whose offsets are asked for
        "topics" / Array(Struct("OffsetFetchResponseTopics")(  # one entry per topic
            "name" / TopicName(until=9, ignorable=True),                   # the topic's name
            "topic_id" / TopicId(since=10, ignorable=True),                # the topic's uuid (KIP-516)
            "partitions" / Array(Struct("OffsetFetchResponsePartitions")(  # one entry per partition
                "partition_index" / PartitionId,  # the partition's number in its topic
                "committed_offset" / Offset,      # the next record to read, -1 when nothing was committed
                "committed_leader_epoch" / LeaderEpoch(default=-1),  # leader epoch of the last read record, -1 unknown
                "metadata" / Nullable(String),    # the note kept with the offset
                "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
            )),
        )),
        "error_code" / ErrorCode,  # 0, or why this was refused (errors.py)
    ), since=8),
)
