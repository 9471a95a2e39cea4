"""RemoteLogSegmentMetadataUpdateRecord: a remote segment has come to another state (KIP-405)."""

from protocol_specs.grammar import (
    Bytes,
    Int8,
    Message,
    NodeId,
    Nullable,
    PartitionId,
    String,
    Struct,
    TimestampMs,
    Uuid,
)

RemoteLogSegmentMetadataUpdateRecord = Message(
    "RemoteLogSegmentMetadataUpdateRecord", key=1, versions="0", flexible="0+"
)(
    "remote_log_segment_id" / Struct("RemoteLogSegmentIdEntry")(  # which segment, of which partition
        "topic_id_partition" / Struct("TopicIdPartitionEntry")(  # which partition
            "name" / String,            # the topic's name
            "id" / Uuid,                # the topic's uuid (KIP-516)
            "partition" / PartitionId,  # the partition's number in its topic
        ),
        "id" / Uuid,  # the remote segment's uuid
    ),
    "broker_id" / NodeId,                               # the broker that wrote this record
    "event_timestamp_ms" / TimestampMs,                 # ms since 1970 when this happened
    "custom_metadata" / Nullable(Bytes, default=None),  # a note of the storage plugin's, null for none
    "remote_log_segment_state" / Int8,                  # 0 copying, 1 copied, 2 being deleted, 3 deleted
)
