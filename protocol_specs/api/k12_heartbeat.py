"""Heartbeat: a classic member is alive; the answer tells it when to rejoin.

v1 adds throttling, v2 answers before it throttles; v3 static members (KIP-345); v4 is flexible.
"""

from protocol_specs.grammar import DurationMs, ErrorCode, GroupId, Int32, MemberId, Message, Nullable, String

HeartbeatRequest = Message("HeartbeatRequest", key=12, versions="0-4", flexible="4+")(
    "group_id" / GroupId,     # the group
    "generation_id" / Int32,  # the group's generation; a new one with each rebalance
    "member_id" / MemberId,   # who within the group; "" before the first join
    # static member's name, null for a dynamic member (KIP-345)
    "group_instance_id" / Nullable(String, since=3, default=None),
)

HeartbeatResponse = Message("HeartbeatResponse", key=12, versions="0-4", flexible="4+")(
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                                  # 0, or why this was refused (errors.py)
)
