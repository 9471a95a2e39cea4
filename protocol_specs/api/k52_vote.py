"""Vote: a candidate for leadership of the metadata log asks for a vote (KIP-595).

v1 adds directory ids and endpoints (KIP-853); v2 can ask without standing for election (KIP-996).
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DirectoryId,
    ErrorCode,
    HostName,
    Int32,
    LeaderEpoch,
    Message,
    NodeId,
    Nullable,
    Offset,
    PartitionId,
    String,
    Struct,
    TopicName,
    UInt16,
)

VoteRequest = Message("VoteRequest", key=52, versions="0-2", flexible="0+")(
    "cluster_id" / Nullable(String, default=None),             # the cluster's id, null skips the check
    "voter_id" / NodeId(since=1, default=-1, ignorable=True),  # the voter that is asked
    "topics" / Array(Struct("TopicData")(                      # one entry per topic
        "topic_name" / TopicName,                      # the topic's name
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition_index" / PartitionId,    # the partition's number in its topic
            "replica_epoch" / Int32,            # the candidate's epoch
            "replica_id" / NodeId,              # the candidate's node id
            # the candidate's metadata directory (KIP-853)
            "replica_directory_id" / DirectoryId(since=1, ignorable=True),
            # the asked voter's metadata directory (KIP-853)
            "voter_directory_id" / DirectoryId(since=1, ignorable=True),
            "last_offset_epoch" / LeaderEpoch,  # leader epoch of the candidate's last record
            "last_offset" / Offset,             # the end of the candidate's log
            "pre_vote" / Bool(since=2),         # only ask whether it would win (KIP-996)
        )),
    )),
)

VoteResponse = Message("VoteResponse", key=52, versions="0-2", flexible="0+")(
    "error_code" / ErrorCode,              # 0, or why this was refused (errors.py)
    "topics" / Array(Struct("TopicData")(  # one entry per topic
        "topic_name" / TopicName,                      # the topic's name
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
            "leader_id" / NodeId,             # the leader's node id, -1 for none or unknown
            "leader_epoch" / LeaderEpoch,     # the latest epoch the voter knows
            "vote_granted" / Bool,            # whether the voter agrees
        )),
    )),
    "node_endpoints" / Array(Struct("NodeEndpoint")(  # where to reach the leaders named above
        "node_id" / NodeId,  # the node's id
        "host" / HostName,   # where to connect: host name or address
        "port" / UInt16,     # where to connect: port
    ), since=1, tag=0),
)
