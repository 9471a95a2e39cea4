"""OffsetForLeaderEpoch: where an epoch ends in the leader's log, to find the point of divergence (KIP-101).

v1 answers with the epoch found (KIP-279); v2 checks the asker's epoch and adds throttling (KIP-320); v3 tells who
asks; v4 is flexible. v0 and v1 are gone since Kafka 4.0.
"""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    LeaderEpoch,
    Message,
    NodeId,
    Offset,
    PartitionId,
    Struct,
    TopicName,
)

OffsetForLeaderEpochRequest = Message("OffsetForLeaderEpochRequest", key=23, versions="0-4", flexible="4+")(
    # the asking broker's id, -1 consumer, -2 debugging consumer
    "replica_id" / NodeId(since=3, default=-2, ignorable=True),
    "topics" / Array(Struct("OffsetForLeaderTopic")(  # one entry per topic
        "topic" / TopicName,                                      # the topic's name
        "partitions" / Array(Struct("OffsetForLeaderPartition")(  # one entry per partition
            "partition" / PartitionId,     # the partition's number in its topic
            # term the sender believes in, -1 skips the check
            "current_leader_epoch" / LeaderEpoch(since=2, default=-1, ignorable=True),
            "leader_epoch" / LeaderEpoch,  # the epoch whose end is asked for
        )),
    )),
)

OffsetForLeaderEpochResponse = Message("OffsetForLeaderEpochResponse", key=23, versions="0-4", flexible="4+")(
    "throttle_time_ms" / DurationMs(since=2, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "topics" / Array(Struct("OffsetForLeaderTopicResult")(     # one entry per topic
        "topic" / TopicName,                            # the topic's name
        "partitions" / Array(Struct("EpochEndOffset")(  # one entry per partition
            "error_code" / ErrorCode,           # 0, or why this was refused (errors.py)
            "partition" / PartitionId,          # the partition's number in its topic
            # the largest known epoch at or below the asked one, -1 unknown
            "leader_epoch" / LeaderEpoch(since=1, default=-1, ignorable=True),
            "end_offset" / Offset(default=-1),  # one past that epoch's last record, -1 unknown
        )),
    )),
)
