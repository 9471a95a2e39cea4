"""SyncGroup: the leader hands in the assignment, everyone gets their part.

v1 adds throttling, v2 answers before it throttles; v3 static members (KIP-345); v4 is flexible; v5 checks the
protocol's type and name on both sides (KIP-559).
"""

from protocol_specs.grammar import (
    Array,
    Bytes,
    DurationMs,
    ErrorCode,
    GroupId,
    Int32,
    MemberId,
    Message,
    Nullable,
    String,
    Struct,
)

SyncGroupRequest = Message("SyncGroupRequest", key=14, versions="0-5", flexible="4+")(
    "group_id" / GroupId,     # the group
    "generation_id" / Int32,  # the group's generation; a new one with each rebalance
    "member_id" / MemberId,   # who within the group; "" before the first join
    # static member's name, null for a dynamic member (KIP-345)
    "group_instance_id" / Nullable(String, since=3, default=None),
    # what the group is for, checked when not null (KIP-559)
    "protocol_type" / Nullable(String, since=5, default=None, ignorable=True),
    # the assignor chosen, checked when not null (KIP-559)
    "protocol_name" / Nullable(String, since=5, default=None, ignorable=True),
    "assignments" / Array(Struct("SyncGroupRequestAssignment")(  # from the leader: everyone's part; else empty
        "member_id" / MemberId,  # whose part
        "assignment" / Bytes,    # the part, see group/consumer_protocol.py
    )),
)

SyncGroupResponse = Message("SyncGroupResponse", key=14, versions="0-5", flexible="4+")(
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,  # 0, or why this was refused (errors.py)
    # what the group is for, checked when not null (KIP-559)
    "protocol_type" / Nullable(String, since=5, default=None, ignorable=True),
    # the assignor chosen, checked when not null (KIP-559)
    "protocol_name" / Nullable(String, since=5, default=None, ignorable=True),
    "assignment" / Bytes,      # the member's part, see group/consumer_protocol.py
)
