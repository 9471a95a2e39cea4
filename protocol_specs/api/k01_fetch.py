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

FetchRequest = Message("FetchRequest", key=1, versions="0-18", flexible="12+")(
    # Checked against the cluster by the quorum's followers before they are registered.
    "cluster_id" / Nullable(String, since=12, tag=0, default=None, ignorable=True),
    "replica_id" / NodeId(until=14, default=-1),  # the follower that asks; -1 a consumer
    "replica_state"
    / Struct("ReplicaState", since=15, tag=1)(
        "replica_id" / NodeId(default=-1),  # -1 a consumer
        "replica_epoch" / BrokerEpoch(default=-1),
    ),
    "max_wait_ms" / DurationMs,
    "min_bytes" / Int32,  # wait for as many, unless max_wait_ms passes before
    "max_bytes" / Int32(since=3, default=0x7FFFFFFF, ignorable=True),  # the first batch may exceed it
    "isolation_level" / Int8(since=4, ignorable=True),  # 0 read_uncommitted, 1 read_committed
    "session_id" / Int32(since=7, ignorable=True),  # 0 none yet
    "session_epoch" / Int32(since=7, default=-1, ignorable=True),  # 0 opens a session, -1 goes without or closes it
    "topics"
    / Array(
        Struct("FetchTopic")(
            "topic" / TopicName(until=12, ignorable=True),
            "topic_id" / TopicId(since=13, ignorable=True),
            "partitions"
            / Array(
                Struct("FetchPartition")(
                    "partition" / PartitionId,
                    "current_leader_epoch" / LeaderEpoch(since=9, default=-1, ignorable=True),  # -1 not checked
                    "fetch_offset" / Offset,
                    "last_fetched_epoch" / LeaderEpoch(since=12, default=-1),  # a follower's; -1 not checked
                    "log_start_offset" / Offset(since=5, default=-1, ignorable=True),  # a follower's
                    "partition_max_bytes" / Int32,
                    "replica_directory_id" / DirectoryId(since=17, tag=0, ignorable=True),
                    # -1 not known yet, the largest int64 if the follower does not tell.
                    "high_watermark" / Offset(since=18, tag=1, default=0x7FFF_FFFF_FFFF_FFFF, ignorable=True),
                )
            ),
        )
    ),
    # What leaves the session.
    "forgotten_topics_data"
    / Array(
        Struct("ForgottenTopic")(
            "topic" / TopicName(until=12, ignorable=True),
            "topic_id" / TopicId(since=13, ignorable=True),
            "partitions" / Array(PartitionId),
        ),
        since=7,
    ),
    "rack_id" / String(since=11, ignorable=True),
)

FetchResponse = Message("FetchResponse", key=1, versions="0-18", flexible="12+")(
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),
    "error_code" / ErrorCode(since=7, ignorable=True),
    "session_id" / Int32(since=7),  # 0 no session
    "responses"
    / Array(
        Struct("FetchableTopicResponse")(
            "topic" / TopicName(until=12, ignorable=True),
            "topic_id" / TopicId(since=13, ignorable=True),
            "partitions"
            / Array(
                Struct("PartitionData")(
                    "partition_index" / PartitionId,
                    "error_code" / ErrorCode,
                    "high_watermark" / Offset,
                    "last_stable_offset" / Offset(since=4, default=-1, ignorable=True),
                    "log_start_offset" / Offset(since=5, default=-1, ignorable=True),
                    # Where the follower's log left the leader's: the largest epoch they share and its end.
                    "diverging_epoch"
                    / Struct("EpochEndOffset", since=12, tag=0)(
                        "epoch" / LeaderEpoch(default=-1),
                        "end_offset" / Offset(default=-1),
                    ),
                    "current_leader"
                    / Struct("LeaderIdAndEpoch", since=12, tag=1)(
                        "leader_id" / NodeId(default=-1),  # -1 unknown
                        "leader_epoch" / LeaderEpoch(default=-1),
                    ),
                    # The snapshot to fetch instead when the offset lies before the start of the metadata log.
                    "snapshot_id"
                    / Struct("SnapshotId", since=12, tag=2)(
                        "end_offset" / Offset(default=-1),
                        "epoch" / LeaderEpoch(default=-1),
                    ),
                    # What a read_committed consumer has to leave out.
                    "aborted_transactions"
                    / Array(
                        Struct("AbortedTransaction")(
                            "producer_id" / ProducerId,
                            "first_offset" / Offset,
                        ),
                        since=4,
                        nullable_since=4,
                        ignorable=True,
                    ),
                    "preferred_read_replica" / NodeId(since=11, default=-1),  # -1 stay with this broker
                    "records" / Nullable(Records),
                )
            ),
        )
    ),
    # The endpoints of every current_leader above.
    "node_endpoints"
    / Array(
        Struct("NodeEndpoint")(
            "node_id" / NodeId,
            "host" / HostName,
            "port" / Int32,
            "rack" / Nullable(String, default=None),
        ),
        since=16,
        tag=0,
    ),
)
