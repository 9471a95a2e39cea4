"""ConsumerGroupMemberMetadata, type 5 of `__consumer_offsets`: what a group's member asked for (KIP-848)."""

from protocol_specs.grammar import Array, Bytes, DurationMs, GroupId, MemberId, Message, Nullable, String, Struct

ConsumerGroupMemberMetadataKey = Message("ConsumerGroupMemberMetadataKey", key=5, versions="0", flexible="none")(
    "group_id" / GroupId,    # the group
    "member_id" / MemberId,  # the member
)

ConsumerGroupMemberMetadataValue = Message("ConsumerGroupMemberMetadataValue", key=5, versions="0", flexible="0+")(
    "instance_id" / Nullable(String),                 # static member's name, null for a dynamic member (KIP-345)
    "rack_id" / Nullable(String),                     # the member's rack, null when not told
    "client_id" / String,                             # the client id the member sent
    "client_host" / String,                           # the address the member came from
    "subscribed_topic_names" / Array(String),         # the topics the member asked for by name
    "subscribed_topic_regex" / Nullable(String),      # RE2 pattern of topics asked for, null for none
    "rebalance_timeout_ms" / DurationMs(default=-1),  # ms the member has to give up partitions, -1 unknown
    "server_assignor" / Nullable(String),             # the broker-side assignor wanted, null for the default
    # set while the member speaks the classic protocol
    "classic_member_metadata" / Nullable(Struct("ClassicMemberMetadata")(
        "session_timeout_ms" / DurationMs,  # ms without a heartbeat until the member is thrown out
        "supported_protocols" / Array(Struct("ClassicProtocol")(  # the assignors it speaks, most wanted first
            "name" / String,     # the assignor's name
            "metadata" / Bytes,  # the subscription (consumer_protocol.py)
        )),
    ), tag=0),
)
