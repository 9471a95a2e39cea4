"""ConsumerGroupMetadata, type 3 of `__consumer_offsets`: a consumer group's epoch (KIP-848)."""

from protocol_specs.grammar import GroupId, Int32, Int64, Message

ConsumerGroupMetadataKey = Message("ConsumerGroupMetadataKey", key=3, versions="0", flexible="none")(
    "group_id" / GroupId,  # the group
)

ConsumerGroupMetadataValue = Message("ConsumerGroupMetadataValue", key=3, versions="0", flexible="0+")(
    "epoch" / Int32,                 # the group's epoch
    "metadata_hash" / Int64(tag=0),  # hash of the subscribed topics' metadata (KIP-1101), 0 unknown
)
