"""ListOffsets: find a partition's offsets by timestamp, or its ends.

Timestamps below zero are marks: -1 the end, -2 the start, -3 the record with the largest timestamp (v7, KIP-734), -4
the first offset on local disk (v8, KIP-405), -5 the last offset in remote storage (v9, KIP-1005), -6 the first offset
still to be copied there (v11, KIP-1023).

v0 lists segment starts instead (gone since Kafka 4.0); v1 answers with one offset and its timestamp (KIP-79); v2 adds
isolation_level (KIP-98); v3 answers before it throttles; v4 adds leader epochs (KIP-320); v5 may answer
OFFSET_NOT_AVAILABLE; v6 is flexible; v10 adds timeout_ms for lookups in remote storage (KIP-1075).
"""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    Int8,
    Int32,
    Int64,
    LeaderEpoch,
    Message,
    NodeId,
    Offset,
    PartitionId,
    Struct,
    TimestampMs,
    TopicName,
)

ListOffsetsRequest = Message("ListOffsetsRequest", key=2, versions="0-11", flexible="6+")(
    "replica_id" / NodeId,                        # -1 consumer, -2 debugging consumer, else a broker
    "isolation_level" / Int8(since=2),  # 0 read uncommitted, 1 read committed: no further than stable (KIP-98)
    "topics" / Array(Struct("ListOffsetsTopic")(  # one entry per topic
        "name" / TopicName,                                   # the topic's name
        "partitions" / Array(Struct("ListOffsetsPartition")(  # one entry per partition
            "partition_index" / PartitionId,                # the partition's number in its topic
            # term the sender believes in, -1 skips the check
            "current_leader_epoch" / LeaderEpoch(since=4, default=-1, ignorable=True),
            "timestamp" / TimestampMs,                      # ms since 1970, or below zero one of the marks above
            "max_num_offsets" / Int32(until=0, default=1),  # how many segment starts at most
        )),
    )),
    "timeout_ms" / DurationMs(since=10, ignorable=True),  # ms to wait for an answer from remote storage (KIP-1075)
)

ListOffsetsResponse = Message("ListOffsetsResponse", key=2, versions="0-11", flexible="6+")(
    "throttle_time_ms" / DurationMs(since=2, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "topics" / Array(Struct("ListOffsetsTopicResponse")(       # one entry per topic
        "name" / TopicName,                                           # the topic's name
        "partitions" / Array(Struct("ListOffsetsPartitionResponse")(  # one entry per partition
            "partition_index" / PartitionId,                    # the partition's number in its topic
            "error_code" / ErrorCode,                           # 0, or why this was refused (errors.py)
            "old_style_offsets" / Array(Int64, until=0),        # starts of segments, newest first
            "timestamp" / TimestampMs(since=1, default=-1),     # of the found record in ms since 1970, -1 when none
            "offset" / Offset(since=1, default=-1),             # first offset at or after the timestamp, -1 when none
            "leader_epoch" / LeaderEpoch(since=4, default=-1),  # leader epoch of the found record, -1 unknown
        )),
    )),
)
