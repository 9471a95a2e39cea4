"""StreamsGroupDescribe: topology, members and tasks of streams groups (KIP-1071)."""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    GroupId,
    HostName,
    Int16,
    Int32,
    MemberId,
    Message,
    Nullable,
    Offset,
    PartitionId,
    String,
    Struct,
    TopicName,
    UInt16,
)

StreamsGroupDescribeRequest = Message("StreamsGroupDescribeRequest", key=89, versions="0", flexible="0+")(
    "group_ids" / Array(GroupId),            # the groups to describe
    "include_authorized_operations" / Bool,  # fill in authorized_operations
)

KeyValue = Struct("KeyValue")(
    "key" / String,    # the name
    "value" / String,  # the value
)

TopicInfo = Struct("TopicInfo")(
    "name" / TopicName,                 # the topic's name
    "partitions" / Int32,               # number of partitions, 0 to leave it to the broker
    "replication_factor" / Int16,       # replicas per partition, 0 for the broker's default
    "topic_configs" / Array(KeyValue),  # configs that the topic must have
)

TaskOffset = Struct("TaskOffset")(
    "subtopology_id" / String,  # the subtopology, unique in its topology
    "partition" / PartitionId,  # the partition's number in its topic
    "offset" / Offset,          # the offset reached
)

TaskIds = Struct("TaskIds")(
    "subtopology_id" / String,          # the subtopology, unique in its topology
    "partitions" / Array(PartitionId),  # the partitions of its tasks
)

Assignment = Struct("Assignment")(
    "active_tasks" / Array(TaskIds),   # tasks run actively
    "standby_tasks" / Array(TaskIds),  # tasks kept as warm copies
    "warmup_tasks" / Array(TaskIds),   # tasks being warmed up before they move
)

StreamsGroupDescribeResponse = Message("StreamsGroupDescribeResponse", key=89, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,            # ms the client is asked to wait: its quota was exceeded
    "groups" / Array(Struct("DescribedGroup")(  # one entry per group
        "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage, default=None),  # the reason in words, null when there is none to add
        "group_id" / GroupId,                      # the group
        "group_state" / String,                    # the state's name, such as "Stable"
        "group_epoch" / Int32,                     # the group's epoch: bumped when members or metadata change
        "assignment_epoch" / Int32,                # the group epoch that the target was computed for
        "topology" / Nullable(Struct("Topology")(  # the application's shape, null when none is set yet
            "epoch" / Int32,                                         # version of the topology in use
            "subtopologies" / Nullable(Array(Struct("Subtopology")(  # its parts, null when it couldn't be read
                "subtopology_id" / String,                       # the subtopology, unique in its topology
                "source_topics" / Array(TopicName),              # the topics it reads
                "repartition_sink_topics" / Array(TopicName),    # repartition topics it writes
                "state_changelog_topics" / Array(TopicInfo),     # topics that back its state stores
                "repartition_source_topics" / Array(TopicInfo),  # repartition topics it reads
            )), default=None),
        ), default=None),
        "members" / Array(Struct("Member")(  # one entry per member
            "member_id" / MemberId,                          # who within the group; "" before the first join
            "member_epoch" / Int32,                          # the member's epoch in the group
            "instance_id" / Nullable(String, default=None),  # static member's name, null for a dynamic member (KIP-345)
            "rack_id" / Nullable(String, default=None),      # the rack the member runs in, null when not told
            "client_id" / String,                            # the client id the member sent
            "client_host" / String,                          # the address the member came from
            "topology_epoch" / Int32,                        # version of the topology the member runs
            "process_id" / String,                           # the process the member runs in
            "user_endpoint" / Nullable(Struct("Endpoint")(   # where other members may query this one, null for none
                "host" / HostName,  # where to connect: host name or address
                "port" / UInt16,    # where to connect: port
            ), default=None),
            "client_tags" / Array(KeyValue),         # tags for rack-aware placement of standbys
            "task_offsets" / Array(TaskOffset),      # how far the local state of tasks reaches
            "task_end_offsets" / Array(TaskOffset),  # where the changelogs of tasks end
            "assignment" / Assignment,               # the tasks the member has
            "target_assignment" / Assignment,        # the tasks the member shall end up with
            "is_classic" / Bool,                     # whether the member still speaks the classic protocol
        )),
        # bit set of ACL operations the caller may do, or int32 minimum
        "authorized_operations" / Int32(default=-2147483648),
    )),
)
