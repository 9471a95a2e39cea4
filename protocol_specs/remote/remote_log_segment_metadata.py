"""RemoteLogSegmentMetadataRecord: a segment is being copied to remote storage (KIP-405).

Custom metadata came with KIP-917, the note about transactions with KIP-1058.
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    Bytes,
    Int8,
    Int32,
    LeaderEpoch,
    Message,
    NodeId,
    Nullable,
    Offset,
    PartitionId,
    String,
    Struct,
    TimestampMs,
    Uuid,
)

RemoteLogSegmentMetadataRecord = Message("RemoteLogSegmentMetadataRecord", key=0, versions="0", flexible="0+")(
    "remote_log_segment_id" / Struct("RemoteLogSegmentIdEntry")(  # which segment, of which partition
        "topic_id_partition" / Struct("TopicIdPartitionEntry")(  # which partition
            "name" / String,            # the topic's name
            "id" / Uuid,                # the topic's uuid (KIP-516)
            "partition" / PartitionId,  # the partition's number in its topic
        ),
        "id" / Uuid,  # the remote segment's uuid
    ),
    "start_offset" / Offset,                                            # the segment's first offset
    "end_offset" / Offset,                                              # the segment's last offset, inclusive
    "broker_id" / NodeId,                                               # the broker that wrote this record
    "max_timestamp_ms" / TimestampMs,                                   # ms since 1970 of the newest record
    "event_timestamp_ms" / TimestampMs,                                 # ms since 1970 when this happened
    "segment_leader_epochs" / Array(Struct("SegmentLeaderEpochEntry")(  # the leader epochs in the segment
        "leader_epoch" / LeaderEpoch,  # the epoch
        "offset" / Offset,             # its first offset in the segment
    )),
    "segment_size_in_bytes" / Int32,                    # bytes of the segment
    "custom_metadata" / Nullable(Bytes, default=None),  # a note of the storage plugin's, null for none
    "remote_log_segment_state" / Int8,                  # 0 copying, 1 copied, 2 being deleted, 3 deleted
    "txn_index_empty" / Bool(tag=0),                    # no aborted transactions in it
)
