"""InitializeShareGroupState: the group coordinator sets up the state of share-partitions (KIP-932)."""

from protocol_specs.grammar import (
    Array,
    ErrorCode,
    ErrorMessage,
    GroupId,
    Int32,
    Message,
    Nullable,
    Offset,
    PartitionId,
    Struct,
    TopicId,
)

InitializeShareGroupStateRequest = Message("InitializeShareGroupStateRequest", key=83, versions="0", flexible="0+")(
    "group_id" / GroupId,                            # the group
    "topics" / Array(Struct("InitializeStateData")(  # the share-partitions to set up
        "topic_id" / TopicId,                          # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition" / PartitionId,  # the partition's number in its topic
            "state_epoch" / Int32,      # version of the share-partition's identity, bumped on reset
            "start_offset" / Offset,    # where to begin, -1 when not set yet
        )),
    )),
)

InitializeShareGroupStateResponse = Message("InitializeShareGroupStateResponse", key=83, versions="0", flexible="0+")(
    "results" / Array(Struct("InitializeStateResult")(  # one result per entry of the request
        "topic_id" / TopicId,                            # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionResult")(  # one entry per partition
            "partition" / PartitionId,  # the partition's number in its topic
            "error_code" / ErrorCode,   # 0, or why this was refused (errors.py)
            # the reason in words, null when there is none to add
            "error_message" / Nullable(ErrorMessage, default=None),
        )),
    )),
)
