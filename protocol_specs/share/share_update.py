"""ShareUpdate, type 1 of `__share_group_state`: what changed in one share-partition since its snapshot (KIP-932)."""

from protocol_specs.grammar import (
    Array,
    GroupId,
    Int8,
    Int16,
    Int32,
    LeaderEpoch,
    Message,
    Offset,
    PartitionId,
    Struct,
    TopicId,
)

ShareUpdateKey = Message("ShareUpdateKey", key=1, versions="0", flexible="none")(
    "group_id" / GroupId,       # the group
    "topic_id" / TopicId,       # the topic's uuid (KIP-516)
    "partition" / PartitionId,  # the partition's number in its topic
)

ShareUpdateValue = Message("ShareUpdateValue", key=1, versions="0", flexible="0+")(
    "snapshot_epoch" / Int32,                              # counts snapshots; updates carry that of theirs
    "leader_epoch" / LeaderEpoch,                          # the share-partition leader's epoch
    "start_offset" / Offset,                               # the first offset still in flight or unread, -1 unchanged
    # records after start_offset that are done with (KIP-1226), -1 unknown
    "delivery_complete_count" / Int32(tag=0, default=-1),
    "state_batches" / Array(Struct("StateBatch")(          # runs of records with one state
        "first_offset" / Offset,   # the first offset of the range
        "last_offset" / Offset,    # the last offset of the range, inclusive
        "delivery_state" / Int8,   # 0 available, 2 acknowledged, 4 archived
        "delivery_count" / Int16,  # how often these records were handed out
    )),
)
