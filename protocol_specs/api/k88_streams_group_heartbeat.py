"""StreamsGroupHeartbeat: join, leave, report and be assigned tasks in a group of Kafka Streams (KIP-1071).

Null and -1 stand for "as in my last heartbeat".
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    GroupId,
    HostName,
    Int8,
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

TaskIds = Struct("TaskIds")(
    "subtopology_id" / String,          # the subtopology, unique in its topology
    "partitions" / Array(PartitionId),  # the partitions of its tasks
)

Endpoint = Struct("Endpoint")(
    "host" / HostName,  # where to connect: host name or address
    "port" / UInt16,    # where to connect: port
)

TaskOffset = Struct("TaskOffset")(
    "subtopology_id" / String,  # the subtopology, unique in its topology
    "partition" / PartitionId,  # the partition's number in its topic
    "offset" / Offset,          # the offset reached
)

StreamsGroupHeartbeatRequest = Message("StreamsGroupHeartbeatRequest", key=88, versions="0", flexible="0+")(
    "group_id" / GroupId,                             # the group
    "member_id" / MemberId,                           # made by the client
    "member_epoch" / Int32,  # 0 joins, -1 leaves, -2 leaves for a while as static, else the current epoch
    "endpoint_information_epoch" / Int32,             # version of the endpoint map that the member has
    "instance_id" / Nullable(String, default=None),   # static member's name; null: dynamic, or unchanged
    "rack_id" / Nullable(String, default=None),       # null: unchanged since the last heartbeat
    "rebalance_timeout_ms" / DurationMs(default=-1),  # ms to give up tasks; -1: unchanged
    "topology" / Nullable(Struct("Topology")(         # the application's shape; null: unchanged
        "epoch" / Int32,                                # version of the topology, chosen by the application
        "subtopologies" / Array(Struct("Subtopology")(  # the parts that share no topic but by repartitioning
            "subtopology_id" / String,                                # the subtopology, unique in its topology
            "source_topics" / Array(TopicName),                       # the topics it reads
            "source_topic_regex" / Array(String),                     # patterns of topics it reads
            "state_changelog_topics" / Array(TopicInfo),              # topics that back its state stores
            "repartition_sink_topics" / Array(TopicName),             # repartition topics it writes
            "repartition_source_topics" / Array(TopicInfo),           # repartition topics it reads
            "copartition_groups" / Array(Struct("CopartitionGroup")(  # topics that must have equal partition counts
                "source_topics" / Array(Int16),              # places in the subtopology's source_topics
                "source_topic_regex" / Array(Int16),         # places in the subtopology's source_topic_regex
                "repartition_source_topics" / Array(Int16),  # places in the subtopology's repartition_source_topics
            )),
        )),
    ), default=None),
    "active_tasks" / Nullable(Array(TaskIds), default=None),  # tasks run actively; null: unchanged
    "standby_tasks" / Nullable(Array(TaskIds), default=None),  # standby tasks held; null: unchanged
    "warmup_tasks" / Nullable(Array(TaskIds), default=None),  # warm-up tasks held; null: unchanged
    "process_id" / Nullable(String, default=None),            # the process the member runs in; null: unchanged
    "user_endpoint" / Nullable(Endpoint, default=None),       # where others may query this member; null: unchanged
    "client_tags" / Nullable(Array(KeyValue), default=None),  # tags for rack-aware placement; null: unchanged
    # how far the local state of tasks reaches; null: unchanged
    "task_offsets" / Nullable(Array(TaskOffset), default=None),
    # where the changelogs of tasks end; null: unchanged
    "task_end_offsets" / Nullable(Array(TaskOffset), default=None),
    "shutdown_application" / Bool,                            # asks every member to stop
)

TopicPartition = Struct("TopicPartition")(
    "topic" / TopicName,                # the topic's name
    "partitions" / Array(PartitionId),  # the partitions' numbers
)

StreamsGroupHeartbeatResponse = Message("StreamsGroupHeartbeatResponse", key=88, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,                         # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                                # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage, default=None),  # the reason in words, null when there is none to add
    "member_id" / MemberId,                                  # the member's id
    "member_epoch" / Int32,                                  # the epoch to go on with
    "heartbeat_interval_ms" / DurationMs,                    # ms between heartbeats that the coordinator wants
    "acceptable_recovery_lag" / Int32,                       # offsets that a copy may lag and still count as caught up
    "task_offset_interval_ms" / DurationMs,                  # ms between reports of task offsets
    "status" / Nullable(Array(Struct("Status")(              # what hinders the group, null for nothing
        # 0 stale topology, 1 missing source topics, 2 wrong partition counts, 3 missing internal topics, 4 stop
        "status_code" / Int8,
        "status_detail" / String,  # the same in words
    ))),
    "active_tasks" / Nullable(Array(TaskIds), default=None),  # tasks to run; null: unchanged
    "standby_tasks" / Nullable(Array(TaskIds), default=None),  # standby tasks to hold; null: unchanged
    "warmup_tasks" / Nullable(Array(TaskIds), default=None),  # warm-up tasks to hold; null: unchanged
    "endpoint_information_epoch" / Int32,                     # version of the endpoint map below
    # who holds what, for interactive queries; null: unchanged
    "partitions_by_user_endpoint" / Nullable(Array(Struct("EndpointToPartitions")(
        "user_endpoint" / Endpoint,                    # where that member answers queries
        "active_partitions" / Array(TopicPartition),   # partitions of active tasks there
        "standby_partitions" / Array(TopicPartition),  # partitions of standby tasks there
    )), default=None),
)
