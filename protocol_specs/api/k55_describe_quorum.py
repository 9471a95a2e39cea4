"""DescribeQuorum: leader, voters and observers of the metadata log and how far each is (KIP-595).

v1 adds timestamps (KIP-836); v2 directory ids, endpoints and messages (KIP-853).
"""

from protocol_specs.grammar import (
    Array,
    DirectoryId,
    ErrorCode,
    ErrorMessage,
    HostName,
    LeaderEpoch,
    Message,
    NodeId,
    Nullable,
    Offset,
    PartitionId,
    String,
    Struct,
    TimestampMs,
    TopicName,
    UInt16,
)

DescribeQuorumRequest = Message("DescribeQuorumRequest", key=55, versions="0-2", flexible="0+")(
    "topics" / Array(Struct("TopicData")(  # one entry per topic
        "topic_name" / TopicName,                      # the topic's name
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
        )),
    )),
)

ReplicaState = Struct("ReplicaState")(
    "replica_id" / NodeId,                          # the replica's node id
    "replica_directory_id" / DirectoryId(since=2),  # the replica's directory (KIP-853)
    "log_end_offset" / Offset,                      # where its log ends, -1 unknown
    # ms since 1970 of its last fetch, -1 unknown (KIP-836)
    "last_fetch_timestamp" / TimestampMs(since=1, default=-1, ignorable=True),
    # ms since 1970 when it last had everything, -1 unknown (KIP-836)
    "last_caught_up_timestamp" / TimestampMs(since=1, default=-1, ignorable=True),
)

DescribeQuorumResponse = Message("DescribeQuorumResponse", key=55, versions="0-2", flexible="0+")(
    "error_code" / ErrorCode,              # 0, or why this was refused (errors.py)
    # the reason in words, null when there is none to add
    "error_message" / Nullable(ErrorMessage, since=2, ignorable=True),
    "topics" / Array(Struct("TopicData")(  # one entry per topic
        "topic_name" / TopicName,                      # the topic's name
        "partitions" / Array(Struct("PartitionData")(  # one entry per partition
            "partition_index" / PartitionId,         # the partition's number in its topic
            "error_code" / ErrorCode,                # 0, or why this was refused (errors.py)
            # the reason in words, null when there is none to add
            "error_message" / Nullable(ErrorMessage, since=2, ignorable=True),
            "leader_id" / NodeId,                    # the leader's node id, -1 for none or unknown
            "leader_epoch" / LeaderEpoch,            # the latest leader epoch
            "high_watermark" / Offset,               # one past the last committed offset
            "current_voters" / Array(ReplicaState),  # the replicas that vote
            "observers" / Array(ReplicaState),       # the replicas that only follow
        )),
    )),
    "nodes" / Array(Struct("Node")(  # where to reach the replicas (KIP-853)
        "node_id" / NodeId,                      # the node's id
        "listeners" / Array(Struct("Listener")(  # where the node listens
            "name" / String,    # the listener's name
            "host" / HostName,  # where to connect: host name or address
            "port" / UInt16,    # where to connect: port
        )),
    ), since=2),
)
