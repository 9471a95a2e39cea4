"""Fetch: read record batches, by consumers and by followers.

v1 answers with throttle_time_ms; v2 may return message format v1; v3 bounds the whole answer by max_bytes (KIP-74);
v4 brings record batches and read_committed (KIP-98); v5 adds log_start_offset (KIP-107); v7 brings fetch sessions
(KIP-227); v9 fences by current_leader_epoch (KIP-320); v10 allows zstd (KIP-110); v11 has racks and a preferred replica
(KIP-392); v12 is flexible (KIP-482) and detects divergence (KIP-595); v13 names topics by id (KIP-516); v14 may answer
OFFSET_MOVED_TO_TIERED_STORAGE (KIP-405); v15 moves the replica id into a tagged field with its epoch (KIP-903); v16
names current leaders (KIP-951); v17 adds the follower's directory (KIP-853); v18 its high watermark (KIP-1166).
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

# fmt: off
FetchRequest = Message("FetchRequest", key=1, versions="0-18", flexible="12+")(
    # checked against the cluster by the quorum, before its followers are registered
    "cluster_id" / Nullable(String, since=12, tag=0, default=None, ignorable=True),
    "replica_id" / NodeId(until=14, default=-1),   # the follower that asks, -1 a consumer
    "replica_state" / Struct("ReplicaState", since=15, tag=1)(  # the follower that asks (KIP-903)
        "replica_id" / NodeId(default=-1),         # the follower, -1 a consumer
        "replica_epoch" / BrokerEpoch(default=-1),  # its registration, -1 unknown
    ),
    "max_wait_ms" / DurationMs,  # ms to wait for min_bytes
    "min_bytes" / Int32,         # answer as soon as there are so many bytes of records
    "max_bytes" / Int32(since=3, default=0x7FFFFFFF, ignorable=True),  # of the answer; its first batch may exceed it
    "isolation_level" / Int8(since=4, ignorable=True),                 # 0 read_uncommitted, 1 read_committed
    "session_id" / Int32(since=7, ignorable=True),                     # 0 none yet (KIP-227)
    "session_epoch" / Int32(since=7, default=-1, ignorable=True),      # 0 opens a session, -1 closes it or goes without
    "topics" / Array(Struct("FetchTopic")(  # one entry per topic; in a session only what changed
        "topic" / TopicName(until=12, ignorable=True),   # the topic's name
        "topic_id" / TopicId(since=13, ignorable=True),  # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("FetchPartition")(   # one entry per partition
            "partition" / PartitionId,  # the partition's number in its topic
            "current_leader_epoch" / LeaderEpoch(since=9, default=-1, ignorable=True),  # -1 not checked (KIP-320)
            "fetch_offset" / Offset,    # the first offset wanted
            # a follower's last epoch, to find where its log left the leader's; -1 not checked (KIP-595)
            "last_fetched_epoch" / LeaderEpoch(since=12, default=-1),
            "log_start_offset" / Offset(since=5, default=-1, ignorable=True),  # a follower's first offset
            "partition_max_bytes" / Int32,  # of this partition; the first batch may exceed it (KIP-74)
            "replica_directory_id" / DirectoryId(since=17, tag=0, ignorable=True),  # the follower's directory (KIP-853)
            # the follower's high watermark: -1 not known yet, the largest int64 if it does not tell (KIP-1166)
            "high_watermark" / Offset(since=18, tag=1, default=0x7FFF_FFFF_FFFF_FFFF, ignorable=True),
        )),
    )),
    "forgotten_topics_data" / Array(Struct("ForgottenTopic")(  # what leaves the session (KIP-227)
        "topic" / TopicName(until=12, ignorable=True),   # the topic's name
        "topic_id" / TopicId(since=13, ignorable=True),  # the topic's uuid
        "partitions" / Array(PartitionId),               # its partitions
    ), since=7),
    "rack_id" / String(since=11, ignorable=True),  # the consumer's rack (KIP-392)
)

FetchResponse = Message("FetchResponse", key=1, versions="0-18", flexible="12+")(
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),  # ms that a quota delays this client
    "error_code" / ErrorCode(since=7, ignorable=True),         # of the session or the whole request (errors.py)
    "session_id" / Int32(since=7),                             # 0 no session
    "responses" / Array(Struct("FetchableTopicResponse")(  # one entry per topic; in a session only what has news
        "topic" / TopicName(until=12, ignorable=True),     # the topic's name
        "topic_id" / TopicId(since=13, ignorable=True),    # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionData")(      # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "error_code" / ErrorCode,         # 0, or why there are no records (errors.py)
            "high_watermark" / Offset,        # the end of what every in-sync replica has
            # the end of what transactions have decided, -1 unknown (KIP-98)
            "last_stable_offset" / Offset(since=4, default=-1, ignorable=True),
            "log_start_offset" / Offset(since=5, default=-1, ignorable=True),  # the first offset that is kept
            # where the follower's log left the leader's: the largest epoch they share and its end (KIP-595)
            "diverging_epoch" / Struct("EpochEndOffset", since=12, tag=0)(
                "epoch" / LeaderEpoch(default=-1),    # -1 no divergence
                "end_offset" / Offset(default=-1),    # exclusive
            ),
            "current_leader" / Struct("LeaderIdAndEpoch", since=12, tag=1)(
                "leader_id" / NodeId(default=-1),          # the leader, -1 unknown
                "leader_epoch" / LeaderEpoch(default=-1),  # its epoch, -1 unknown
            ),
            # what to fetch instead when the offset lies before the start of the metadata log (KIP-630)
            "snapshot_id" / Struct("SnapshotId", since=12, tag=2)(
                "end_offset" / Offset(default=-1),    # exclusive
                "epoch" / LeaderEpoch(default=-1),    # of the snapshot's last record
            ),
            # what a read_committed consumer leaves out, null for read_uncommitted
            "aborted_transactions" / Array(Struct("AbortedTransaction")(
                "producer_id" / ProducerId,  # whose transaction it was
                "first_offset" / Offset,     # its first record
            ), since=4, nullable_since=4, ignorable=True),
            "preferred_read_replica" / NodeId(since=11, default=-1),  # where to fetch, -1 here (KIP-392)
            "records" / Nullable(Records),  # whole batches; the first may begin before fetch_offset
        )),
    )),
    "node_endpoints" / Array(Struct("NodeEndpoint")(  # of every current_leader above (KIP-951)
        "node_id" / NodeId,                        # the broker
        "host" / HostName,                         # where to connect
        "port" / Int32,                            # and on which port
        "rack" / Nullable(String, default=None),   # its rack, null when it has none
    ), since=16, tag=0),
)
