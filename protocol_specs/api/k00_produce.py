"""Produce: append record batches to partition logs.

v0-v2 carry message sets of the old formats (v1 answers with throttle_time_ms, v2 with log_append_time_ms); v3 brings
record batches (KIP-98) and the transactional id; v4 may answer KAFKA_STORAGE_ERROR (KIP-112); v5 adds log_start_offset;
v7 allows zstd (KIP-110); v8 tells which records were refused (KIP-467); v9 is flexible (KIP-482); v10 names the new
leader to a producer that asked the wrong broker (KIP-951); v11 may answer TRANSACTION_ABORTABLE and v12 enlists a
partition in a transaction by itself (KIP-890); v13 names topics by id (KIP-516).
"""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    HostName,
    Int16,
    Int32,
    LeaderEpoch,
    Message,
    NodeId,
    Nullable,
    Offset,
    PartitionId,
    Records,
    String,
    Struct,
    TimestampMs,
    TopicId,
    TopicName,
    TransactionalId,
)

ProduceRequest = Message("ProduceRequest", key=0, versions="0-13", flexible="9+")(
    "transactional_id" / Nullable(TransactionalId, since=3, default=None),
    "acks" / Int16,  # 0 nobody, 1 the leader, -1 every in-sync replica
    "timeout_ms" / DurationMs,  # how long to wait for the replicas that acks asks for
    "topic_data"
    / Array(
        Struct("TopicProduceData")(
            "name" / TopicName(until=12, ignorable=True),
            "topic_id" / TopicId(since=13, ignorable=True),
            "partition_data"
            / Array(
                Struct("PartitionProduceData")(
                    "index" / PartitionId,
                    "records" / Nullable(Records),
                )
            ),
        )
    ),
)

ProduceResponse = Message("ProduceResponse", key=0, versions="0-13", flexible="9+")(
    "responses"
    / Array(
        Struct("TopicProduceResponse")(
            "name" / TopicName(until=12, ignorable=True),
            "topic_id" / TopicId(since=13, ignorable=True),
            "partition_responses"
            / Array(
                Struct("PartitionProduceResponse")(
                    "index" / PartitionId,
                    "error_code" / ErrorCode,
                    "base_offset" / Offset,  # the offset that the first record got
                    # When the broker appended, if the topic has LogAppendTime; -1 with CreateTime.
                    "log_append_time_ms" / TimestampMs(since=2, default=-1, ignorable=True),
                    "log_start_offset" / Offset(since=5, default=-1, ignorable=True),
                    # The records for which the whole batch was refused.
                    "record_errors"
                    / Array(
                        Struct("BatchIndexAndErrorMessage")(
                            "batch_index" / Int32,  # place of the record in its batch
                            "batch_index_error_message" / Nullable(ErrorMessage, default=None),
                        ),
                        since=8,
                        ignorable=True,
                    ),
                    "error_message" / Nullable(ErrorMessage, since=8, default=None, ignorable=True),
                    # Where to produce from now on, with NOT_LEADER_OR_FOLLOWER.
                    "current_leader"
                    / Struct("LeaderIdAndEpoch", since=10, tag=0)(
                        "leader_id" / NodeId(default=-1),  # -1 unknown
                        "leader_epoch" / LeaderEpoch(default=-1),
                    ),
                )
            ),
        )
    ),
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),
    # The endpoints of every current_leader above.
    "node_endpoints"
    / Array(
        Struct("NodeEndpoint")(
            "node_id" / NodeId,
            "host" / HostName,
            "port" / Int32,
            "rack" / Nullable(String, default=None),
        ),
        since=10,
        tag=0,
    ),
)
