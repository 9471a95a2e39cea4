"""GroupMetadata, type 2 of `__consumer_offsets`: a classic group's members and assignment.

Values: v1 adds the rebalance timeout, v2 the time of the last change (KIP-211), v3 static members (KIP-345); v4 is
flexible. v3 is written. A null value deletes the group.
"""

from protocol_specs.grammar import (
    Array,
    Bytes,
    GroupId,
    Int32,
    MemberId,
    Message,
    Nullable,
    String,
    Struct,
    TimestampMs,
)

GroupMetadataKey = Message("GroupMetadataKey", key=2, versions="0", flexible="none")(
    "group" / GroupId,  # the group
)

GroupMetadataValue = Message("GroupMetadataValue", key=2, versions="0-4", flexible="4+")(
    "protocol_type" / String,                    # what the group is for: "consumer" or "connect"
    "generation" / Int32,                        # the group's generation
    "protocol" / Nullable(String),               # the assignor chosen, null while empty
    "leader" / Nullable(String),                 # member id of the leader, null while empty
    # ms since 1970 of the last state change, -1 unknown
    "current_state_timestamp" / TimestampMs(since=2, default=-1, ignorable=True),
    "members" / Array(Struct("MemberMetadata")(  # one entry per member
        "member_id" / MemberId,     # the member
        # static member's name, null for a dynamic member (KIP-345)
        "group_instance_id" / Nullable(String, since=3, default=None, ignorable=True),
        "client_id" / String,       # the client id the member sent
        "client_host" / String,     # the address the member came from
        # ms to wait for this member in a rebalance, -1 unknown
        "rebalance_timeout" / Int32(since=1, default=-1, ignorable=True),
        "session_timeout" / Int32,  # ms without a heartbeat until it is thrown out
        "subscription" / Bytes,     # what it sent with JoinGroup (consumer_protocol.py)
        "assignment" / Bytes,       # what it got by SyncGroup (consumer_protocol.py)
    )),
)
