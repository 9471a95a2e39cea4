"""EndQuorumEpoch: the leader of the metadata log resigns and says who should run next (KIP-595).

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

EndQuorumEpochRequest = Message("EndQuorumEpochRequest", key=54, versions="0-1", flexible="1+")(
    "cluster_id" / Nullable(String, default=None),  # the cluster's id, null skips the check
    "topics" / Array(Struct("TopicData")(           # one entry per topic
        "topic_name" / TopicName,                      # the topic's name
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "leader_id" / NodeId,             # the resigning leader's node id
            "leader_epoch" / LeaderEpoch,     # the epoch that ends
            # who should run next, the most caught up first
            "preferred_successors" / Array(NodeId, until=0, ignorable=True),
            # who should run next, the most caught up first (KIP-853)
            "preferred_candidates" / Array(Struct("ReplicaInfo")(
                "candidate_id" / NodeId,                 # the candidate's node id
                "candidate_directory_id" / DirectoryId,  # the candidate's metadata directory
            ), since=1, ignorable=True),
        )),
    )),
    "leader_endpoints" / Array(Struct("LeaderEndpoint")(  # where to reach the resigning leader
        "name" / String,    # the listener's name
        "host" / HostName,  # where to connect: host name or address
        "port" / UInt16,    # where to connect: port
    ), since=1, ignorable=True),
)

EndQuorumEpochResponse = Message("EndQuorumEpochResponse", key=54, versions="0-1", flexible="1+")(
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
