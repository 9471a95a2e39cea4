"""DescribeCluster: the cluster's id, controller and brokers (KIP-700).

v1 can ask a controller about controllers (KIP-919); v2 lists fenced brokers (KIP-1073).
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    HostName,
    Int8,
    Int32,
    Message,
    NodeId,
    Nullable,
    String,
    Struct,
)

DescribeClusterRequest = Message("DescribeClusterRequest", key=60, versions="0-2", flexible="0+")(
    "include_cluster_authorized_operations" / Bool,  # fill in cluster_authorized_operations
    "endpoint_type" / Int8(since=1, default=1),      # 1 brokers, 2 controllers (KIP-919)
    "include_fenced_brokers" / Bool(since=2),        # list brokers that are kept out too (KIP-1073)
)

DescribeClusterResponse = Message("DescribeClusterResponse", key=60, versions="0-2", flexible="0+")(
    "throttle_time_ms" / DurationMs,                         # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                                # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage, default=None),  # the reason in words, null when there is none to add
    "endpoint_type" / Int8(since=1, default=1),              # 1 brokers, 2 controllers (KIP-919)
    "cluster_id" / String,                                   # the cluster's id
    "controller_id" / NodeId(default=-1),  # the controller's node id; a random broker where KRaft hides it, -1 unknown
    "brokers" / Array(Struct("DescribeClusterBroker")(       # the cluster's nodes
        "broker_id" / NodeId,                     # the broker's node id
        "host" / HostName,                        # where to connect: host name or address
        "port" / Int32,                           # where to connect: port
        "rack" / Nullable(String, default=None),  # the node's rack, null when it has none
        "is_fenced" / Bool(since=2),              # whether the broker is kept out of leadership (KIP-1073)
    )),
    # bit set of ACL operations the caller may do, or int32 minimum
    "cluster_authorized_operations" / Int32(default=-2147483648),
)
