"""ShareGroupMetadata, type 11 of `__consumer_offsets`: a share group's epoch (KIP-932)."""

from protocol_specs.grammar import GroupId, Int32, Int64, Message

ShareGroupMetadataKey = Message("ShareGroupMetadataKey", key=11, versions="0", flexible="none")(
    "group_id" / GroupId,  # the group
)

ShareGroupMetadataValue = Message("ShareGroupMetadataValue", key=11, versions="0", flexible="0+")(
    "epoch" / Int32,          # the group's epoch
    "metadata_hash" / Int64,  # hash of the subscribed topics' metadata (KIP-1101), 0 unknown
)
