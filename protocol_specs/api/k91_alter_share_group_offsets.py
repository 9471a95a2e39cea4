"""AlterShareGroupOffsets: move where an empty share group starts (KIP-932)."""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    GroupId,
    Message,
    Nullable,
    Offset,
    PartitionId,
    Struct,
    TopicId,
    TopicName,
)

AlterShareGroupOffsetsRequest = Message("AlterShareGroupOffsetsRequest", key=91, versions="0", flexible="0+")(
    "group_id" / GroupId,                                           # the group
    "topics" / Array(Struct("AlterShareGroupOffsetsRequestTopic")(  # one entry per topic
        "topic_name" / TopicName,                                               # the topic's name
        "partitions" / Array(Struct("AlterShareGroupOffsetsRequestPartition")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "start_offset" / Offset,          # where to begin anew
        )),
    )),
)

AlterShareGroupOffsetsResponse = Message("AlterShareGroupOffsetsResponse", key=91, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,                         # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                                # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage, default=None),  # the reason in words, null when there is none to add
    "responses" / Array(Struct("AlterShareGroupOffsetsResponseTopic")(  # one result per entry of the request
        "topic_name" / TopicName,                                                # the topic's name
        "topic_id" / TopicId,                                                    # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("AlterShareGroupOffsetsResponsePartition")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
            # the reason in words, null when there is none to add
            "error_message" / Nullable(ErrorMessage, default=None),
        )),
    )),
)
