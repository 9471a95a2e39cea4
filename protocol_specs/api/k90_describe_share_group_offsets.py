"""DescribeShareGroupOffsets: where share groups stand in each partition (KIP-932).

v1 adds the lag (KIP-1226).
"""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    GroupId,
    Int64,
    LeaderEpoch,
    Message,
    Nullable,
    Offset,
    PartitionId,
    Struct,
    TopicId,
    TopicName,
)

DescribeShareGroupOffsetsRequest = Message("DescribeShareGroupOffsetsRequest", key=90, versions="0-1", flexible="0+")(
    "groups" / Array(Struct("DescribeShareGroupOffsetsRequestGroup")(  # one entry per group
        "group_id" / GroupId,                                                       # the group
        "topics" / Nullable(Array(Struct("DescribeShareGroupOffsetsRequestTopic")(  # null for every topic of the group
            "topic_name" / TopicName,           # the topic's name
            "partitions" / Array(PartitionId),  # the partitions' numbers
        ))),
    )),
)

DescribeShareGroupOffsetsResponse = Message("DescribeShareGroupOffsetsResponse", key=90, versions="0-1", flexible="0+")(
    "throttle_time_ms" / DurationMs,  # ms the client is asked to wait: its quota was exceeded
    "groups" / Array(Struct("DescribeShareGroupOffsetsResponseGroup")(  # one entry per group
        "group_id" / GroupId,                                               # the group
        "topics" / Array(Struct("DescribeShareGroupOffsetsResponseTopic")(  # one entry per topic
            "topic_name" / TopicName,                                                   # the topic's name
            "topic_id" / TopicId,                                                       # the topic's uuid (KIP-516)
            "partitions" / Array(Struct("DescribeShareGroupOffsetsResponsePartition")(  # one entry per partition
                "partition_index" / PartitionId,  # the partition's number in its topic
                "start_offset" / Offset,          # the first offset still in flight or unread, -1 none
                "leader_epoch" / LeaderEpoch,     # leader epoch of the share-partition
                "lag" / Int64(since=1, default=-1, ignorable=True),  # records not yet done with, -1 unknown (KIP-1226)
                "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
                # the reason in words, null when there is none to add
                "error_message" / Nullable(ErrorMessage, default=None),
            )),
        )),
        "error_code" / ErrorCode,                                # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage, default=None),  # the reason in words, null when there is none to add
    )),
)
