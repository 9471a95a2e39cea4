"""WriteShareGroupState: a share-partition's leader saves its state with the share coordinator (KIP-932).

v1 adds the count of records done with (KIP-1226).
"""

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

WriteShareGroupStateRequest = Message("WriteShareGroupStateRequest", key=85, versions="0-1", flexible="0+")(
    "group_id" / GroupId,                       # the group
    "topics" / Array(Struct("WriteStateData")(  # one entry per topic
        "topic_id" / TopicId,                          # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition" / PartitionId,                     # the partition's number in its topic
            "state_epoch" / Int32,                         # version of the share-partition's identity, bumped on reset
            "leader_epoch" / LeaderEpoch,                  # the writing share-partition leader's epoch
            "start_offset" / Offset,                       # the first offset still in flight or unread, -1 unchanged
            # records after start_offset that are done with (KIP-1226), -1 unknown
            "delivery_complete_count" / Int32(since=1, default=-1, ignorable=True),
            "state_batches" / Array(Struct("StateBatch")(  # runs of records with one state
                "first_offset" / Offset,   # the first offset of the range
                "last_offset" / Offset,    # the last offset of the range, inclusive
                "delivery_state" / Int8,   # 0 available, 1 acquired, 2 acknowledged, 4 archived
                "delivery_count" / Int16,  # how often these records were handed out
            )),
        )),
    )),
)

WriteShareGroupStateResponse = Message("WriteShareGroupStateResponse", key=85, versions="0-1", flexible="0+")(
    "results" / Array(Struct("WriteStateResult")(  # one result per entry of the request
        "topic_id" / TopicId,                            # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionResult")(  # one entry per partition
            "partition" / PartitionId,  # the partition's number in its topic
            "error_code" / ErrorCode,   # 0, or why this was refused (errors.py)
            # the reason in words, null when there is none to add
            "error_message" / Nullable(ErrorMessage, default=None),
        )),
    )),
)
