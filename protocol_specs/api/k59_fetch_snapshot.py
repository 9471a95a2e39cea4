"""FetchSnapshot: read a snapshot of the metadata log piece by piece (KIP-630).

v1 adds directory ids and endpoints (KIP-853).
"""

from protocol_specs.grammar import (
    Array,
    DirectoryId,
    DurationMs,
    ErrorCode,
    HostName,
    Int32,
    Int64,
    LeaderEpoch,
    Message,
    NodeId,
    Nullable,
    Offset,
    PartitionId,
    Records,
    String,
    Struct,
    TopicName,
    UInt16,
)

FetchSnapshotRequest = Message("FetchSnapshotRequest", key=59, versions="0-1", flexible="0+")(
    "cluster_id" / Nullable(String, tag=0, default=None),  # the cluster's id, null skips the check
    "replica_id" / NodeId(default=-1),                     # the fetching replica's node id
    "max_bytes" / Int32(default=2147483647),               # bytes wanted at most, over all snapshots
    "topics" / Array(Struct("TopicSnapshot")(              # one entry per topic
        "name" / TopicName,                                # the topic's name
        "partitions" / Array(Struct("PartitionSnapshot")(  # one entry per partition
            "partition" / PartitionId,             # the partition's number in its topic
            "current_leader_epoch" / LeaderEpoch,  # term the sender believes in, -1 skips the check
            "snapshot_id" / Struct("SnapshotId")(  # which snapshot
                "end_offset" / Offset,  # the snapshot holds everything before this offset
                "epoch" / LeaderEpoch,  # leader epoch of the last record in it
            ),
            "position" / Int64,                                                    # byte position to go on from
            "replica_directory_id" / DirectoryId(since=1, tag=0, ignorable=True),  # the replica's directory (KIP-853)
        )),
    )),
)

FetchSnapshotResponse = Message("FetchSnapshotResponse", key=59, versions="0-1", flexible="0+")(
    "throttle_time_ms" / DurationMs,           # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
    "topics" / Array(Struct("TopicSnapshot")(  # one entry per topic
        "name" / TopicName,                                # the topic's name
        "partitions" / Array(Struct("PartitionSnapshot")(  # one entry per partition
            "index" / PartitionId,                 # the partition's number in its topic
            "error_code" / ErrorCode,              # 0, or why this was refused (errors.py)
            "snapshot_id" / Struct("SnapshotId")(  # which snapshot
                "end_offset" / Offset,  # the snapshot holds everything before this offset
                "epoch" / LeaderEpoch,  # leader epoch of the last record in it
            ),
            "current_leader" / Struct("LeaderIdAndEpoch", tag=0)(  # who leads now, when the sender guessed wrong
                "leader_id" / NodeId,          # the leader's node id, -1 for none or unknown
                "leader_epoch" / LeaderEpoch,  # the leader's term for this partition, -1 unknown
            ),
            "size" / Int64,                 # bytes of the whole snapshot
            "position" / Int64,             # byte position of this piece
            "unaligned_records" / Records,  # a piece of the file; may start or end within a batch
        )),
    )),
    "node_endpoints" / Array(Struct("NodeEndpoint")(  # where to reach the leaders named above
        "node_id" / NodeId,  # the node's id
        "host" / HostName,   # where to connect: host name or address
        "port" / UInt16,     # where to connect: port
    ), since=1, tag=0),
)
