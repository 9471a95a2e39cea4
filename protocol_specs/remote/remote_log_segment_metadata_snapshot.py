"""RemoteLogSegmentMetadataSnapshotRecord: one segment in the file with which a broker remembers the topic (KIP-405)."""

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
    Struct,
    TimestampMs,
    Uuid,
)

RemoteLogSegmentMetadataSnapshotRecord = Message(
    "RemoteLogSegmentMetadataSnapshotRecord", key=3, versions="0", flexible="0+"
)(
    "segment_id" / Uuid,                                                # the remote segment's uuid
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
