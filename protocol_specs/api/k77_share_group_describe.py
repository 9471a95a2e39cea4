"""ShareGroupDescribe: state and members of share groups (KIP-932).

v0 was a draft and is not spoken.
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    GroupId,
    Int32,
    MemberId,
    Message,
    Nullable,
    PartitionId,
    String,
    Struct,
    TopicId,
    TopicName,
)

ShareGroupDescribeRequest = Message("ShareGroupDescribeRequest", key=77, versions="1", flexible="0+")(
    "group_ids" / Array(GroupId),            # the groups to describe
    "include_authorized_operations" / Bool,  # fill in authorized_operations
)

ShareGroupDescribeResponse = Message("ShareGroupDescribeResponse", key=77, versions="1", flexible="0+")(
    "throttle_time_ms" / DurationMs,            # ms the client is asked to wait: its quota was exceeded
    "groups" / Array(Struct("DescribedGroup")(  # one entry per group
        "error_code" / ErrorCode,            # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage, default=None),  # the reason in words, null when there is none to add
        "group_id" / GroupId,                # the group
        "group_state" / String,              # the state's name, such as "Stable"
        "group_epoch" / Int32,               # the group's epoch: bumped when members or metadata change
        "assignment_epoch" / Int32,          # the group epoch that the target was computed for
        "assignor_name" / String,            # the assignor in use
        "members" / Array(Struct("Member")(  # one entry per member
            "member_id" / MemberId,                       # who within the group; "" before the first join
            "rack_id" / Nullable(String, default=None),   # the rack the member runs in, null when not told
            "member_epoch" / Int32,                       # the member's epoch in the group
            "client_id" / String,                         # the client id the member sent
            "client_host" / String,                       # the address the member came from
            "subscribed_topic_names" / Array(TopicName),  # the topics the member asked for by name
            "assignment" / Struct("Assignment")(          # what the member may work on
                "topic_partitions" / Array(Struct("TopicPartitions")(  # partitions by topic
                    "topic_id" / TopicId,               # the topic's uuid (KIP-516)
                    "topic_name" / TopicName,           # the topic's name
                    "partitions" / Array(PartitionId),  # the partitions' numbers
                )),
            ),
        )),
        # bit set of ACL operations the caller may do, or int32 minimum
        "authorized_operations" / Int32(default=-2147483648),
    )),
)
