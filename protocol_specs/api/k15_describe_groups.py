"""DescribeGroups: state and members of classic groups.

v1 adds throttling, v2 answers before it throttles; v3 adds authorized operations (KIP-430); v4 static members
(KIP-345); v5 is flexible; v6 says GROUP_ID_NOT_FOUND, with a message, where older versions describe a missing group
as "Dead" (KIP-1043).
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    Bytes,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    GroupId,
    Int32,
    MemberId,
    Message,
    Nullable,
    String,
    Struct,
)

DescribeGroupsRequest = Message("DescribeGroupsRequest", key=15, versions="0-6", flexible="5+")(
    "groups" / Array(GroupId),                        # the groups to describe
    "include_authorized_operations" / Bool(since=3),  # fill in authorized_operations
)

DescribeGroupsResponse = Message("DescribeGroupsResponse", key=15, versions="0-6", flexible="5+")(
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "groups" / Array(Struct("DescribedGroup")(                 # one entry per group
        "error_code" / ErrorCode,                          # 0, or why this was refused (errors.py)
        # the reason in words, null when there is none to add
        "error_message" / Nullable(ErrorMessage, since=6, default=None),
        "group_id" / GroupId,                              # the group
        "group_state" / String,  # "Stable", "PreparingRebalance", "CompletingRebalance", "Empty" or "Dead"
        "protocol_type" / String,                          # what the group is for: "consumer" or "connect"
        "protocol_data" / String,                          # the assignor that was chosen
        "members" / Array(Struct("DescribedGroupMember")(  # one entry per member
            "member_id" / MemberId,       # who within the group; "" before the first join
            # static member's name, null for a dynamic member (KIP-345)
            "group_instance_id" / Nullable(String, since=4, default=None, ignorable=True),
            "client_id" / String,         # the client id the member sent
            "client_host" / String,       # the address the member came from
            "member_metadata" / Bytes,    # the subscription, as sent with JoinGroup
            "member_assignment" / Bytes,  # the assignment, as sent with SyncGroup
        )),
        # bit set of ACL operations the caller may do, or int32 minimum
        "authorized_operations" / Int32(since=3, default=-2147483648),
    )),
)
