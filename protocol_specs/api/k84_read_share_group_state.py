"""ReadShareGroupState: a share-partition's leader loads its state from the share coordinator (KIP-932)."""

from protocol_specs.grammar import (
    Array,
    ErrorCode,
    ErrorMessage,
    GroupId,
    Int8,
    Int16,
    Int32,
    LeaderEpoch,
    Message,
    Nullable,
    Offset,
    PartitionId,
    Struct,
    TopicId,
)

ReadShareGroupStateRequest = Message("ReadShareGroupStateRequest", key=84, versions="0", flexible="0+")(
    "group_id" / GroupId,                      # the group
    "topics" / Array(Struct("ReadStateData")(  # one entry per topic
        "topic_id" / TopicId,                          # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition" / PartitionId,     # the partition's number in its topic
            "leader_epoch" / LeaderEpoch,  # the asking share-partition leader's epoch
        )),
    )),
)

ReadShareGroupStateResponse = Message("ReadShareGroupStateResponse", key=84, versions="0", flexible="0+")(
    "results" / Array(Struct("ReadStateResult")(  # one result per entry of the request
        "topic_id" / TopicId,                            # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionResult")(  # one entry per partition
            "partition" / PartitionId,                     # the partition's number in its topic
            "error_code" / ErrorCode,                      # 0, or why this was refused (errors.py)
            # the reason in words, null when there is none to add
            "error_message" / Nullable(ErrorMessage, default=None),
            "state_epoch" / Int32,                         # version of the share-partition's identity, bumped on reset
            "start_offset" / Offset,                       # the first offset still in flight or unread, -1 not set yet
            "state_batches" / Array(Struct("StateBatch")(  # runs of records with one state
                "first_offset" / Offset,   # the first offset of the range
                "last_offset" / Offset,    # the last offset of the range, inclusive
                "delivery_state" / Int8,   # 0 available, 1 acquired, 2 acknowledged, 4 archived
                "delivery_count" / Int16,  # how often these records were handed out
            )),
        )),
    )),
)
