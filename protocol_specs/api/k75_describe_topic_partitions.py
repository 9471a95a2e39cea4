"""DescribeTopicPartitions: topics with eligible leaders, page by page (KIP-966)."""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    Int32,
    LeaderEpoch,
    Message,
    NodeId,
    Nullable,
    PartitionId,
    Struct,
    TopicId,
    TopicName,
)

DescribeTopicPartitionsRequest = Message("DescribeTopicPartitionsRequest", key=75, versions="0", flexible="0+")(
    "topics" / Array(Struct("TopicRequest")(  # one entry per topic
        "name" / TopicName,  # the topic's name
    )),
    "response_partition_limit" / Int32(default=2000),  # partitions to answer at most
    "cursor" / Nullable(Struct("Cursor")(              # where to go on, null for the start
        "topic_name" / TopicName,         # the topic to go on with
        "partition_index" / PartitionId,  # the partition to go on with
    ), default=None),
)

DescribeTopicPartitionsResponse = Message("DescribeTopicPartitionsResponse", key=75, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,  # ms the client is asked to wait: its quota was exceeded
    "topics" / Array(Struct("DescribeTopicPartitionsResponseTopic")(  # one entry per topic
        "error_code" / ErrorCode,      # 0, or why this was refused (errors.py)
        "name" / Nullable(TopicName),  # the topic's name, null when unknown
        "topic_id" / TopicId,          # the topic's uuid (KIP-516)
        "is_internal" / Bool,          # whether the topic is Kafka's own
        "partitions" / Array(Struct("DescribeTopicPartitionsResponsePartition")(  # one entry per partition
            "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
            "partition_index" / PartitionId,           # the partition's number in its topic
            "leader_id" / NodeId,                      # the leader's node id, -1 for none or unknown
            "leader_epoch" / LeaderEpoch(default=-1),  # the leader's term for this partition, -1 unknown
            "replica_nodes" / Array(NodeId),           # every replica, the preferred leader first
            "isr_nodes" / Array(NodeId),               # the replicas in sync
            # replicas out of the ISR that still hold all committed data (KIP-966)
            "eligible_leader_replicas" / Nullable(Array(NodeId), default=None),
            # the replicas last known to be eligible (KIP-966)
            "last_known_elr" / Nullable(Array(NodeId), default=None),
            "offline_replicas" / Array(NodeId),        # replicas that are down or whose disk failed
        )),
        # bit set of ACL operations the caller may do, or int32 minimum
        "topic_authorized_operations" / Int32(default=-2147483648),
    )),
    "next_cursor" / Nullable(Struct("Cursor")(  # where the rest begins, null when this is all
        "topic_name" / TopicName,         # the topic to go on with
        "partition_index" / PartitionId,  # the partition to go on with
    ), default=None),
)
