"""ConsumerGroupDescribe: state and members of groups of the new consumer protocol (KIP-848).

v1 tells which protocol each member speaks (KIP-1099).
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    GroupId,
    Int8,
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

ConsumerGroupDescribeRequest = Message("ConsumerGroupDescribeRequest", key=69, versions="0-1", flexible="0+")(
    "group_ids" / Array(GroupId),            # the groups to describe
    "include_authorized_operations" / Bool,  # fill in authorized_operations
)

Assignment = Struct("Assignment")(
    "topic_partitions" / Array(Struct("TopicPartitions")(  # partitions by topic
        "topic_id" / TopicId,               # the topic's uuid (KIP-516)
        "topic_name" / TopicName,           # the topic's name
        "partitions" / Array(PartitionId),  # the partitions' numbers
    )),
)

ConsumerGroupDescribeResponse = Message("ConsumerGroupDescribeResponse", key=69, versions="0-1", flexible="0+")(
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
            "member_id" / MemberId,                          # who within the group; "" before the first join
            "instance_id" / Nullable(String, default=None),  # static member's name, null for a dynamic member (KIP-345)
            "rack_id" / Nullable(String, default=None),      # the rack the member runs in, null when not told
            "member_epoch" / Int32,                          # the member's epoch in the group
            "client_id" / String,                            # the client id the member sent
            "client_host" / String,                          # the address the member came from
            "subscribed_topic_names" / Array(TopicName),     # the topics the member asked for by name
            "subscribed_topic_regex" / Nullable(String, default=None),  # RE2 pattern of topics, null for none
            "assignment" / Assignment,                       # what the member may work on
            "target_assignment" / Assignment,                # what the member shall end up with
            "member_type" / Int8(since=1, default=-1, ignorable=True),  # -1 unknown, 0 classic, 1 consumer (KIP-1099)
        )),
        # bit set of ACL operations the caller may do, or int32 minimum
        "authorized_operations" / Int32(default=-2147483648),
    )),
)
