"""DeleteShareGroupState: forget the state of share-partitions (KIP-932)."""

from protocol_specs.grammar import (
    Array,
    ErrorCode,
    ErrorMessage,
    GroupId,
    Message,
    Nullable,
    PartitionId,
    Struct,
    TopicId,
)

DeleteShareGroupStateRequest = Message("DeleteShareGroupStateRequest", key=86, versions="0", flexible="0+")(
    "group_id" / GroupId,                        # the group
    "topics" / Array(Struct("DeleteStateData")(  # one entry per topic
        "topic_id" / TopicId,                          # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition" / PartitionId,  # the partition's number in its topic
        )),
    )),
)

DeleteShareGroupStateResponse = Message("DeleteShareGroupStateResponse", key=86, versions="0", flexible="0+")(
    "results" / Array(Struct("DeleteStateResult")(  # one result per entry of the request
        "topic_id" / TopicId,                            # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionResult")(  # one entry per partition
            "partition" / PartitionId,  # the partition's number in its topic
            "error_code" / ErrorCode,   # 0, or why this was refused (errors.py)
            # the reason in words, null when there is none to add
            "error_message" / Nullable(ErrorMessage, default=None),
        )),
    )),
)
