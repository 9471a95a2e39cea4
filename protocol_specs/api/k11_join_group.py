"""JoinGroup: enter a classic group, or return to it when it rebalances.

The answer is held back until every member has joined or rebalance_timeout_ms has passed. v1 separates the rebalance
timeout from the session's (KIP-62); v2 adds throttling, v3 answers before it throttles; v4 turns away a first join
with MEMBER_ID_REQUIRED and an id to return with (KIP-394); v5 static members (KIP-345); v6 is flexible; v7 answers
with the protocol's type (KIP-559); v8 takes a reason (KIP-800); v9 tells a static leader that returns to leave the
assignment as it is (KIP-814).
"""

from protocol_specs.grammar import (
    Array,
    Bool,
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

JoinGroupRequest = Message("JoinGroupRequest", key=11, versions="0-9", flexible="6+")(
    "group_id" / GroupId,                                    # the group
    "session_timeout_ms" / DurationMs,                       # ms without a heartbeat until the member is thrown out
    # ms to wait for all members to rejoin; before v1 the session timeout
    "rebalance_timeout_ms" / DurationMs(since=1, default=-1, ignorable=True),
    "member_id" / MemberId,                                  # who within the group; "" before the first join
    # static member's name, null for a dynamic member (KIP-345)
    "group_instance_id" / Nullable(String, since=5, default=None),
    "protocol_type" / String,                                # what the group is for: "consumer" or "connect"
    "protocols" / Array(Struct("JoinGroupRequestProtocol")(  # the assignors this member speaks, most wanted first
        "name" / String,     # the assignor's name, such as "range"
        "metadata" / Bytes,  # the subscription, see group/consumer_protocol.py
    )),
    "reason" / Nullable(String, since=8, default=None, ignorable=True),  # why it joins, for the broker's log (KIP-800)
)

JoinGroupResponse = Message("JoinGroupResponse", key=11, versions="0-9", flexible="6+")(
    "throttle_time_ms" / DurationMs(since=2, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                             # 0, or why this was refused (errors.py)
    "generation_id" / Int32(default=-1),                  # the new generation, -1 on error
    # what the group is for: "consumer" or "connect"
    "protocol_type" / Nullable(String, since=7, default=None, ignorable=True),
    "protocol_name" / String(nullable_since=7),           # the assignor chosen, null or "" on error
    "leader" / String,                                    # member id of the leader, who computes the assignment
    "skip_assignment" / Bool(since=9),                    # a returning static leader must not assign again (KIP-814)
    "member_id" / MemberId,                               # the member's id, made by the coordinator
    "members" / Array(Struct("JoinGroupResponseMember")(  # everyone's subscription; only the leader gets it
        "member_id" / MemberId,  # the member
        # static member's name, null for a dynamic member (KIP-345)
        "group_instance_id" / Nullable(String, since=5, default=None, ignorable=True),
        "metadata" / Bytes,      # the subscription, see group/consumer_protocol.py
    )),
)
