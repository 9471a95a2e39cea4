"""DescribeLogDirs: what lies in this broker's log directories (KIP-113).

v1 answers before it throttles; v2 is flexible; v3 adds an error for the whole request; v4 the volume's sizes
(KIP-827); v5 whether a directory is cordoned (KIP-1066). v0 is gone since Kafka 4.0.
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    Int64,
    Message,
    Nullable,
    PartitionId,
    String,
    Struct,
    TopicName,
)

DescribeLogDirsRequest = Message("DescribeLogDirsRequest", key=35, versions="0-5", flexible="2+")(
    "topics" / Nullable(Array(Struct("DescribableLogDirTopic")(  # null for every topic
        "topic" / TopicName,                # the topic's name
        "partitions" / Array(PartitionId),  # the partitions' numbers
    ))),
)

DescribeLogDirsResponse = Message("DescribeLogDirsResponse", key=35, versions="0-5", flexible="2+")(
    "throttle_time_ms" / DurationMs,                    # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode(since=3, ignorable=True),  # 0, or why this was refused (errors.py)
    "results" / Array(Struct("DescribeLogDirsResult")(  # one entry per log directory
        "error_code" / ErrorCode,                         # 0, or why this was refused (errors.py)
        "log_dir" / String,                               # absolute path of the directory
        "topics" / Array(Struct("DescribeLogDirsTopic")(  # one entry per topic
            "name" / TopicName,                                       # the topic's name
            "partitions" / Array(Struct("DescribeLogDirsPartition")(  # one entry per partition
                "partition_index" / PartitionId,  # the partition's number in its topic
                "partition_size" / Int64,         # bytes of all its segments
                # offsets behind the high watermark, or behind the current replica if a future one
                "offset_lag" / Int64,
                "is_future_key" / Bool,           # whether it is a future replica, moving to this directory
            )),
        )),
        "total_bytes" / Int64(since=4, default=-1, ignorable=True),  # size of the volume in bytes, -1 unknown (KIP-827)
        "usable_bytes" / Int64(since=4, default=-1, ignorable=True),  # free bytes on the volume, -1 unknown (KIP-827)
        "is_cordoned" / Bool(since=5, ignorable=True),  # whether it takes no new replicas (KIP-1066)
    )),
)
