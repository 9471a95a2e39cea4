"""ReadShareGroupStateSummary: the start of share-partitions, without the state of single records (KIP-932).

v1 adds the count of records done with (KIP-1226).
"""

from protocol_specs.grammar import (
    Array,
    ErrorCode,
    ErrorMessage,
    GroupId,
    Int32,
    LeaderEpoch,
    Message,
    Nullable,
    Offset,
    PartitionId,
    Struct,
    TopicId,
)

ReadShareGroupStateSummaryRequest = Message("ReadShareGroupStateSummaryRequest", key=87, versions="0-1", flexible="0+")(
    "group_id" / GroupId,                             # the group
    "topics" / Array(Struct("ReadStateSummaryData")(  # one entry per topic
        "topic_id" / TopicId,                          # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition" / PartitionId,     # the partition's number in its topic
            "leader_epoch" / LeaderEpoch,  # the asking share-partition leader's epoch, -1 skips the check
        )),
    )),
)

ReadShareGroupStateSummaryResponse = Message(
    "ReadShareGroupStateSummaryResponse", key=87, versions="0-1", flexible="0+"
)(
    "results" / Array(Struct("ReadStateSummaryResult")(  # one result per entry of the request
        "topic_id" / TopicId,                            # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionResult")(  # one entry per partition
            "partition" / PartitionId,     # the partition's number in its topic
            "error_code" / ErrorCode,      # 0, or why this was refused (errors.py)
            # the reason in words, null when there is none to add
            "error_message" / Nullable(ErrorMessage, default=None),
            "state_epoch" / Int32,         # version of the share-partition's identity, bumped on reset
            "leader_epoch" / LeaderEpoch,  # the share-partition leader's epoch
            "start_offset" / Offset,       # the first offset still in flight or unread, -1 not set yet
            # records after start_offset that are done with (KIP-1226), -1 unknown
            "delivery_complete_count" / Int32(since=1, default=-1, ignorable=True),
        )),
    )),
)
