"""StreamsGroupMetadata, type 17 of `__consumer_offsets`: a streams group's epoch (KIP-1071)."""

from protocol_specs.grammar import Array, GroupId, Int32, Int64, Message, Nullable, String, Struct

StreamsGroupMetadataKey = Message("StreamsGroupMetadataKey", key=17, versions="0", flexible="none")(
    "group_id" / GroupId,  # the group
)

StreamsGroupMetadataValue = Message("StreamsGroupMetadataValue", key=17, versions="0", flexible="0+")(
    "epoch" / Int32,                                        # the group's epoch
    "metadata_hash" / Int64,  # hash of the subscribed topics' metadata (KIP-1101), 0 unknown
    # topology epoch that was checked against the topics, -1 none
    "validated_topology_epoch" / Int32(tag=0, default=-1),
    # assignor configs that the last target was computed with
    "last_assignment_configs" / Nullable(Array(Struct("LastAssignmentConfig")(
        "key" / String,    # the config's name
        "value" / String,  # the config's value
    )), tag=1),
)
