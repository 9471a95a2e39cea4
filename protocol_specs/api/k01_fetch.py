"""Fetch: read record batches, by consumers and by followers.

v1 answers with throttle_time_ms; v2 may return message format v1; v3 bounds the whole answer by max_bytes (KIP-74);
v4 brings record batches and read_committed (KIP-98); v5 adds log_start_offset (KIP-107); v7 brings fetch sessions
(KIP-227); v9 fences by current_leader_epoch (KIP-320); v10 allows zstd (KIP-110); v11 has racks and a preferred
replica (KIP-392); v12 is flexible (KIP-482) and detects divergence (KIP-595); v13 names topics by id (KIP-516); v14
may answer OFFSET_MOVED_TO_TIERED_STORAGE (KIP-405); v15 moves the replica id into a tagged field with its epoch
(KIP-903); v16 names current leaders (KIP-951); v17 adds the follower's directory (KIP-853); v18 its high watermark
(KIP-1166).
"""

from protocol_specs.grammar import (
    Array,
    BrokerEpoch,
    DirectoryId,
    DurationMs,
    ErrorCode,
    HostName,
    Int8,
    Int32,
    LeaderEpoch,
    Message,
    NodeId,
    Nullable,
    Offset,
    PartitionId,
    ProducerId,
    Records,
    String,
    Struct,
    TopicId,
    TopicName,
)

FetchRequest = Message("FetchRequest", key=1, versions="0-18", flexible="12+")(
    # the cluster's id, null skips the check; KRaft's replicas send it
    "cluster_id" / Nullable(String, since=12, tag=0, default=None, ignorable=True),
    "replica_id" / NodeId(until=14, default=-1),  # the fetching replica's node id, -1 for a consumer
    "replica_state" / Struct("ReplicaState", since=15, tag=1)(  # who fetches, if a replica (KIP-903)
        "replica_id" / NodeId(default=-1),          # the fetching replica's node id, -1 for a consumer
        "replica_epoch" / BrokerEpoch(default=-1),  # its broker epoch, -1 unknown
    ),
    "max_wait_ms" / DurationMs,                         # ms to wait for min_bytes
    "min_bytes" / Int32,                                # bytes to gather before answering
    # bytes wanted at most in all; the first batch may exceed it
    "max_bytes" / Int32(since=3, default=2147483647, ignorable=True),
    "isolation_level" / Int8(since=4, ignorable=True),  # 0 read uncommitted, 1 read committed
    "session_id" / Int32(since=7, ignorable=True),      # the fetch session, 0 for none (KIP-227)
    # 0 opens a session, -1 has none, else the next number
    "session_epoch" / Int32(since=7, default=-1, ignorable=True),
    "topics" / Array(Struct("FetchTopic")(              # what to fetch; in a session only what changed
        "topic" / TopicName(until=12, ignorable=True),   # the topic's name
        "topic_id" / TopicId(since=13, ignorable=True),  # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("FetchPartition")(   # one entry per partition
            "partition" / PartitionId,      # the partition's number in its topic
            # term the sender believes in, -1 skips the check
            "current_leader_epoch" / LeaderEpoch(since=9, default=-1, ignorable=True),
            "fetch_offset" / Offset,        # where to read from
            # epoch of the last record read, -1 none: finds divergence (KIP-595)
            "last_fetched_epoch" / LeaderEpoch(since=12, default=-1),
            # the follower's own first offset, -1 for a consumer
            "log_start_offset" / Offset(since=5, default=-1, ignorable=True),
            "partition_max_bytes" / Int32,  # bytes wanted at most of this partition
            "replica_directory_id" / DirectoryId(since=17, tag=0, ignorable=True),  # the replica's directory (KIP-853)
            # the follower's high watermark, to be told when it moves (KIP-1166)
            "high_watermark" / Offset(since=18, tag=1, default=9223372036854775807, ignorable=True),
        )),
    )),
    "forgotten_topics_data" / Array(Struct("ForgottenTopic")(  # partitions to drop from the session
        "topic" / TopicName(until=12, ignorable=True),   # the topic's name
        "topic_id" / TopicId(since=13, ignorable=True),  # the topic's uuid (KIP-516)
        "partitions" / Array(PartitionId),               # the partitions' numbers
    ), since=7),
    "rack_id" / String(since=11, ignorable=True),  # the consumer's rack, to read from a replica nearby (KIP-392)
)

FetchResponse = Message("FetchResponse", key=1, versions="0-18", flexible="12+")(
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode(since=7, ignorable=True),         # 0, or why this was refused (errors.py)
    "session_id" / Int32(since=7),                             # the fetch session, 0 for none
    "responses" / Array(Struct("FetchableTopicResponse")(      # one result per entry of the request
        "topic" / TopicName(until=12, ignorable=True),   # the topic's name
        "topic_id" / TopicId(since=13, ignorable=True),  # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionData")(    # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
            "high_watermark" / Offset,        # one past the last committed offset
            # where the first open transaction begins, -1 unknown (KIP-98)
            "last_stable_offset" / Offset(since=4, default=-1, ignorable=True),
            # the partition's first offset, -1 unknown
            "log_start_offset" / Offset(since=5, default=-1, ignorable=True),
            # set when the logs differ: truncate to this point (KIP-595)
            "diverging_epoch" / Struct("EpochEndOffset", since=12, tag=0)(
                "epoch" / LeaderEpoch(default=-1),  # the largest epoch at or below the fetcher's, -1 none
                "end_offset" / Offset(default=-1),  # where that epoch ends, -1 none
            ),
            # who leads now, when the sender guessed wrong
            "current_leader" / Struct("LeaderIdAndEpoch", since=12, tag=1)(
                "leader_id" / NodeId(default=-1),          # the leader's node id, -1 for none or unknown
                "leader_epoch" / LeaderEpoch(default=-1),  # the leader's term for this partition, -1 unknown
            ),
            # set when the log begins later: read this snapshot first (KIP-630)
            "snapshot_id" / Struct("SnapshotId", since=12, tag=2)(
                "end_offset" / Offset(default=-1),  # the snapshot holds everything before this offset
                "epoch" / LeaderEpoch(default=-1),  # leader epoch of the last record in it
            ),
            # transactions in the records to leave out, null when reading uncommitted
            "aborted_transactions" / Nullable(Array(Struct("AbortedTransaction")(
                "producer_id" / ProducerId,  # the producer's id, -1 for none
                "first_offset" / Offset,     # the transaction's first offset
            )), since=4, ignorable=True),
            # the replica to read from instead, -1 none (KIP-392)
            "preferred_read_replica" / NodeId(since=11, default=-1),
            "records" / Nullable(Records),  # record batches, the last one perhaps cut; message sets before v4
        )),
    )),
    "node_endpoints" / Array(Struct("NodeEndpoint")(  # where to reach the leaders named above
        "node_id" / NodeId,                       # the node's id
        "host" / HostName,                        # where to connect: host name or address
        "port" / Int32,                           # where to connect: port
        "rack" / Nullable(String, default=None),  # the node's rack, null when it has none
    ), since=16, tag=0),
)
