"""Metadata: the brokers, and the leaders and replicas of topics.

In v0 no topics means all of them; from v1 null means all and an empty list none. v1 adds racks, the controller and
is_internal; v2 the cluster's id (KIP-78); v3 throttle_time_ms; v4 lets a client forbid auto-creation; v5 adds offline
replicas (KIP-112); v7 leader epochs (KIP-320); v8 authorized operations (KIP-430), the cluster's only until v10, as
DescribeCluster has them now (KIP-700); v9 is flexible (KIP-482); v10 adds topic ids (KIP-516), by which v12 can ask;
v13 adds a top-level error.
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    HostName,
    Int32,
    LeaderEpoch,
    Message,
    NodeId,
    Nullable,
    PartitionId,
    String,
    Struct,
    TopicId,
    TopicName,
)

NOT_ASKED = -(1 << 31)
"""Authorized operations that nobody asked for."""

MetadataRequest = Message("MetadataRequest", key=3, versions="0-13", flexible="9+")(
    "topics"
    / Array(
        Struct("MetadataRequestTopic")(
            "topic_id" / TopicId(since=10, ignorable=True),
            "name" / TopicName(nullable_since=10),  # null when the topic is asked for by id
        ),
        nullable_since=1,
    ),
    "allow_auto_topic_creation" / Bool(since=4, default=True),
    "include_cluster_authorized_operations" / Bool(since=8, until=10),
    "include_topic_authorized_operations" / Bool(since=8),
)

MetadataResponse = Message("MetadataResponse", key=3, versions="0-13", flexible="9+")(
    "throttle_time_ms" / DurationMs(since=3, ignorable=True),
    "brokers"
    / Array(
        Struct("MetadataResponseBroker")(
            "node_id" / NodeId,
            "host" / HostName,
            "port" / Int32,
            "rack" / Nullable(String, since=1, default=None, ignorable=True),
        )
    ),
    "cluster_id" / Nullable(String, since=2, default=None, ignorable=True),
    "controller_id" / NodeId(since=1, default=-1, ignorable=True),  # -1 unknown
    "topics"
    / Array(
        Struct("MetadataResponseTopic")(
            "error_code" / ErrorCode,
            "name" / TopicName(nullable_since=12),  # null for an unknown id
            "topic_id" / TopicId(since=10, ignorable=True),
            "is_internal" / Bool(since=1, ignorable=True),
            "partitions"
            / Array(
                Struct("MetadataResponsePartition")(
                    "error_code" / ErrorCode,
                    "partition_index" / PartitionId,
                    "leader_id" / NodeId,  # -1 none
                    "leader_epoch" / LeaderEpoch(since=7, default=-1, ignorable=True),
                    "replica_nodes" / Array(NodeId),
                    "isr_nodes" / Array(NodeId),
                    "offline_replicas" / Array(NodeId, since=5, ignorable=True),
                )
            ),
            "topic_authorized_operations" / Int32(since=8, default=NOT_ASKED),  # bits by AclOperation
        )
    ),
    "cluster_authorized_operations" / Int32(since=8, until=10, default=NOT_ASKED),
    "error_code" / ErrorCode(since=13, ignorable=True),
)
