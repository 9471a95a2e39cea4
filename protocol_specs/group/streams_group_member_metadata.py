"""StreamsGroupMemberMetadata, type 19 of `__consumer_offsets`: what a member of a streams group reported (KIP-1071)."""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    GroupId,
    HostName,
    Int32,
    MemberId,
    Message,
    Nullable,
    String,
    Struct,
    UInt16,
)

StreamsGroupMemberMetadataKey = Message("StreamsGroupMemberMetadataKey", key=19, versions="0", flexible="none")(
    "group_id" / GroupId,    # the group
    "member_id" / MemberId,  # the member
)

StreamsGroupMemberMetadataValue = Message("StreamsGroupMemberMetadataValue", key=19, versions="0", flexible="0+")(
    "instance_id" / Nullable(String),                 # static member's name, null for a dynamic member (KIP-345)
    "rack_id" / Nullable(String),                     # the member's rack, null when not told
    "client_id" / String,                             # the client id the member sent
    "client_host" / String,                           # the address the member came from
    "rebalance_timeout_ms" / DurationMs(default=-1),  # ms the member has to give up partitions, -1 unknown
    "topology_epoch" / Int32,                         # version of the topology the member runs
    "process_id" / String,                            # the process the member runs in
    "user_endpoint" / Nullable(Struct("Endpoint")(    # where other members may query this one, null for none
        "host" / HostName,  # where to connect: host name or address
        "port" / UInt16,    # where to connect: port
    ), default=None),
    "client_tags" / Array(Struct("KeyValue")(  # tags for rack-aware placement of standbys
        "key" / String,    # the name
        "value" / String,  # the value
    )),
)
