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

MetadataRequest = Message("MetadataRequest", key=3, versions="0-13", flexible="9+")(
    "topics" / Array(Struct("MetadataRequestTopic")(  # null for all topics; before v1 empty means all
        "topic_id" / TopicId(since=10, ignorable=True),  # the topic's uuid, zero when the name names it
        "name" / TopicName(nullable_since=10),           # the topic's name, null when the id names it
    ), nullable_since=1),
    # may the broker create what is missing? Before v4 always
    "allow_auto_topic_creation" / Bool(since=4, default=True),
    "include_cluster_authorized_operations" / Bool(since=8, until=10),  # fill in cluster_authorized_operations
    "include_topic_authorized_operations" / Bool(since=8),  # fill in topic_authorized_operations
)

MetadataResponse = Message("MetadataResponse", key=3, versions="0-13", flexible="9+")(
    "throttle_time_ms" / DurationMs(since=3, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "brokers" / Array(Struct("MetadataResponseBroker")(        # the brokers that are alive
        "node_id" / NodeId,                                                # the node's id
        "host" / HostName,                                                 # where to connect: host name or address
        "port" / Int32,                                                    # where to connect: port
        "rack" / Nullable(String, since=1, default=None, ignorable=True),  # the broker's rack, null when it has none
    )),
    "cluster_id" / Nullable(String, since=2, default=None, ignorable=True),  # the cluster's id, null when unknown
    # the controller's node id; a random broker where KRaft hides it, -1 unknown
    "controller_id" / NodeId(since=1, default=-1, ignorable=True),
    "topics" / Array(Struct("MetadataResponseTopic")(  # one entry per topic
        "error_code" / ErrorCode,                                  # 0, or why this was refused (errors.py)
        "name" / TopicName(nullable_since=12),                     # the topic's name, null when an id was unknown
        "topic_id" / TopicId(since=10, ignorable=True),            # the topic's uuid (KIP-516)
        "is_internal" / Bool(since=1, ignorable=True),             # whether the topic is Kafka's own
        "partitions" / Array(Struct("MetadataResponsePartition")(  # one entry per partition
            "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
            "partition_index" / PartitionId,  # the partition's number in its topic
            "leader_id" / NodeId,             # the leader's node id, -1 for none or unknown
            # the leader's term for this partition, -1 unknown
            "leader_epoch" / LeaderEpoch(since=7, default=-1, ignorable=True),
            "replica_nodes" / Array(NodeId),  # every replica, the preferred leader first
            "isr_nodes" / Array(NodeId),      # the replicas in sync
            "offline_replicas" / Array(NodeId, since=5, ignorable=True),  # replicas that are down or whose disk failed
        )),
        # bit set of ACL operations the caller may do, or int32 minimum
        "topic_authorized_operations" / Int32(since=8, default=-2147483648),
    )),
    # bit set of ACL operations the caller may do, or int32 minimum
    "cluster_authorized_operations" / Int32(since=8, until=10, default=-2147483648),
    "error_code" / ErrorCode(since=13, ignorable=True),  # 0, or why this was refused (errors.py)
)
