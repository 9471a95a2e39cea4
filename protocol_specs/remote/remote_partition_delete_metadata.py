"""RemotePartitionDeleteMetadataRecord: how far the deletion of a partition's remote segments is (KIP-405)."""

from protocol_specs.grammar import Int8, Message, NodeId, PartitionId, String, Struct, TimestampMs, Uuid

RemotePartitionDeleteMetadataRecord = Message(
    "RemotePartitionDeleteMetadataRecord", key=2, versions="0", flexible="0+"
)(
    "topic_id_partition" / Struct("TopicIdPartitionEntry")(  # which partition
        "name" / String,            # the topic's name
        "id" / Uuid,                # the topic's uuid (KIP-516)
        "partition" / PartitionId,  # the partition's number in its topic
    ),
    "broker_id" / NodeId,                    # the broker that wrote this record
    "event_timestamp_ms" / TimestampMs,      # ms since 1970 when this happened
    "remote_partition_delete_state" / Int8,  # 0 marked, 1 started, 2 finished
)
