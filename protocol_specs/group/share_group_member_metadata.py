"""ShareGroupMemberMetadata, type 10 of `__consumer_offsets`: what a member of a share group asked for (KIP-932)."""

from protocol_specs.grammar import Array, GroupId, MemberId, Message, Nullable, String

ShareGroupMemberMetadataKey = Message("ShareGroupMemberMetadataKey", key=10, versions="0", flexible="none")(
    "group_id" / GroupId,    # the group
    "member_id" / MemberId,  # the member
)

ShareGroupMemberMetadataValue = Message("ShareGroupMemberMetadataValue", key=10, versions="0", flexible="0+")(
    "rack_id" / Nullable(String),              # the member's rack, null when not told
    "client_id" / String,                      # the client id the member sent
    "client_host" / String,                    # the address the member came from
    "subscribed_topic_names" / Array(String),  # the topics the member asked for by name
)
