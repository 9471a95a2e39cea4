"""LeaveGroup: members go at once instead of timing out.

v1 adds throttling, v2 answers before it throttles; v3 takes several members, static ones by instance id (KIP-345); v4
is flexible; v5 takes a reason for each (KIP-800).
"""

from protocol_specs.grammar import Array, DurationMs, ErrorCode, GroupId, MemberId, Message, Nullable, String, Struct

LeaveGroupRequest = Message("LeaveGroupRequest", key=13, versions="0-5", flexible="4+")(
    "group_id" / GroupId,                        # the group
    "member_id" / MemberId(until=2),             # who within the group; "" before the first join
    "members" / Array(Struct("MemberIdentity")(  # who leaves, several at once (KIP-345)
        "member_id" / MemberId,  # who leaves; "" to name it by its instance id
        # static member's name, null for a dynamic member (KIP-345)
        "group_instance_id" / Nullable(String, default=None),
        # why it leaves, for the broker's log (KIP-800)
        "reason" / Nullable(String, since=5, default=None, ignorable=True),
    ), since=3),
)

LeaveGroupResponse = Message("LeaveGroupResponse", key=13, versions="0-5", flexible="4+")(
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                                  # 0, or why this was refused (errors.py)
    "members" / Array(Struct("MemberResponse")(                # one result per leaver
        "member_id" / MemberId,                  # who within the group; "" before the first join
        "group_instance_id" / Nullable(String),  # static member's name, null for a dynamic member (KIP-345)
        "error_code" / ErrorCode,                # 0, or why this was refused (errors.py)
    ), since=3),
)
