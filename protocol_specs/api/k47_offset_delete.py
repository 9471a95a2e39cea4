"""OffsetDelete: forget a group's offsets of single partitions (KIP-496). Never flexible."""

from protocol_specs.grammar import Array, DurationMs, ErrorCode, GroupId, Message, PartitionId, Struct, TopicName

OffsetDeleteRequest = Message("OffsetDeleteRequest", key=47, versions="0", flexible="none")(
    "group_id" / GroupId,                                 # the group
    "topics" / Array(Struct("OffsetDeleteRequestTopic")(  # one entry per topic
        "name" / TopicName,                                           # the topic's name
        "partitions" / Array(Struct("OffsetDeleteRequestPartition")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
        )),
    )),
)

OffsetDeleteResponse = Message("OffsetDeleteResponse", key=47, versions="0", flexible="none")(
    "error_code" / ErrorCode,                              # 0, or why this was refused (errors.py)
    "throttle_time_ms" / DurationMs,                       # ms the client is asked to wait: its quota was exceeded
    "topics" / Array(Struct("OffsetDeleteResponseTopic")(  # one entry per topic
        "name" / TopicName,                                            # the topic's name
        "partitions" / Array(Struct("OffsetDeleteResponsePartition")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
        )),
    )),
)
