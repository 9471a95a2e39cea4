"""BeginQuorumEpoch: the new leader of the metadata log announces itself (KIP-595).

v1 is flexible and adds directory ids and endpoints (KIP-853).
"""

from protocol_specs.grammar import (
    Array,
    DirectoryId,
    ErrorCode,
    HostName,
    LeaderEpoch,
    Message,
    NodeId,
    Nullable,
    PartitionId,
    String,
    Struct,
    TopicName,
    UInt16,
)

BeginQuorumEpochRequest = Message("BeginQuorumEpochRequest", key=53, versions="0-1", flexible="1+")(
    "cluster_id" / Nullable(String, default=None),             # the cluster's id, null skips the check
    "voter_id" / NodeId(since=1, default=-1, ignorable=True),  # the voter that is told
    "topics" / Array(Struct("TopicData")(                      # one entry per topic
        "topic_name" / TopicName,                      # the topic's name
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            # the told voter's metadata directory (KIP-853)
            "voter_directory_id" / DirectoryId(since=1, ignorable=True),
            "leader_id" / NodeId,             # the new leader's node id
            "leader_epoch" / LeaderEpoch,     # the new leader's epoch
        )),
    )),
    "leader_endpoints" / Array(Struct("LeaderEndpoint")(  # where to reach the new leader
        "name" / String,    # the listener's name
        "host" / HostName,  # where to connect: host name or address
        "port" / UInt16,    # where to connect: port
    ), since=1, ignorable=True),
)

BeginQuorumEpochResponse = Message("BeginQuorumEpochResponse", key=53, versions="0-1", flexible="1+")(
    "error_code" / ErrorCode,              # 0, or why this was refused (errors.py)
    "topics" / Array(Struct("TopicData")(  # one entry per topic
        "topic_name" / TopicName,                      # the topic's name
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
            "leader_id" / NodeId,             # the leader's node id, -1 for none or unknown
            "leader_epoch" / LeaderEpoch,     # the latest epoch the voter knows
        )),
    )),
    "node_endpoints" / Array(Struct("NodeEndpoint")(  # where to reach the leaders named above
        "node_id" / NodeId,  # the node's id
        "host" / HostName,   # where to connect: host name or address
        "port" / UInt16,     # where to connect: port
    ), since=1, tag=0),
)
