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

# fmt: off
MetadataRequest = Message("MetadataRequest", key=3, versions="0-13", flexible="9+")(
    "topics" / Array(Struct("MetadataRequestTopic")(     # null means all; see above for v0
        "topic_id" / TopicId(since=10, ignorable=True),  # the topic's uuid, zero when asked for by name
        "name" / TopicName(nullable_since=10),           # the topic's name, null when asked for by id
    ), nullable_since=1),
    "allow_auto_topic_creation" / Bool(since=4, default=True),       # may the broker create what is missing?
    "include_cluster_authorized_operations" / Bool(since=8, until=10),  # of the cluster (KIP-430)
    "include_topic_authorized_operations" / Bool(since=8),              # of each topic (KIP-430)
)

MetadataResponse = Message("MetadataResponse", key=3, versions="0-13", flexible="9+")(
    "throttle_time_ms" / DurationMs(since=3, ignorable=True),  # ms that a quota delays this client
    "brokers" / Array(Struct("MetadataResponseBroker")(  # every broker that is alive
        "node_id" / NodeId,  # the broker
        "host" / HostName,   # where to connect
        "port" / Int32,      # and on which port
        "rack" / Nullable(String, since=1, default=None, ignorable=True),  # its rack, null when it has none
    )),
    "cluster_id" / Nullable(String, since=2, default=None, ignorable=True),  # which cluster this is (KIP-78)
    "controller_id" / NodeId(since=1, default=-1, ignorable=True),  # where to send changes, -1 unknown
    "topics" / Array(Struct("MetadataResponseTopic")(    # one entry per topic
        "error_code" / ErrorCode,                        # 0, or why nothing is known (errors.py)
        "name" / TopicName(nullable_since=12),           # the topic's name, null for an unknown id
        "topic_id" / TopicId(since=10, ignorable=True),  # the topic's uuid, zero for an unknown name (KIP-516)
        "is_internal" / Bool(since=1, ignorable=True),   # is it one of Kafka's own?
        "partitions" / Array(Struct("MetadataResponsePartition")(  # one entry per partition
            "error_code" / ErrorCode,         # 0, or LEADER_NOT_AVAILABLE and the like (errors.py)
            "partition_index" / PartitionId,  # the partition's number in its topic
            "leader_id" / NodeId,             # its leader, -1 none
            "leader_epoch" / LeaderEpoch(since=7, default=-1, ignorable=True),  # the leader's epoch (KIP-320)
            "replica_nodes" / Array(NodeId),  # every broker that has a replica
            "isr_nodes" / Array(NodeId),      # those that are in sync
            "offline_replicas" / Array(NodeId, since=5, ignorable=True),  # those that are not alive (KIP-112)
        )),
        "topic_authorized_operations" / Int32(since=8, default=NOT_ASKED),  # bits by AclOperation (KIP-430)
    )),
    "cluster_authorized_operations" / Int32(since=8, until=10, default=NOT_ASKED),  # bits by AclOperation
    "error_code" / ErrorCode(since=13, ignorable=True),  # of the whole answer (errors.py)
)
