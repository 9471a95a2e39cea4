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

# fmt: off
ProduceRequest = Message("ProduceRequest", key=0, versions="0-13", flexible="9+")(
    "transactional_id" / Nullable(TransactionalId, since=3, default=None),  # null outside of transactions
    "acks" / Int16,               # 0 nobody answers, 1 the leader's log has it, -1 every in-sync replica has it
    "timeout_ms" / DurationMs,    # ms to wait for the replicas that acks asks for
    "topic_data" / Array(Struct("TopicProduceData")(  # one entry per topic
        "name" / TopicName(until=12, ignorable=True),   # the topic's name
        "topic_id" / TopicId(since=13, ignorable=True),  # the topic's uuid (KIP-516)
        "partition_data" / Array(Struct("PartitionProduceData")(  # one entry per partition
            "index" / PartitionId,           # the partition's number in its topic
            "records" / Nullable(Records),   # exactly one batch from v3 on, a message set before
        )),
    )),
)

ProduceResponse = Message("ProduceResponse", key=0, versions="0-13", flexible="9+")(
    "responses" / Array(Struct("TopicProduceResponse")(  # one entry per topic of the request
        "name" / TopicName(until=12, ignorable=True),    # the topic's name
        "topic_id" / TopicId(since=13, ignorable=True),  # the topic's uuid (KIP-516)
        "partition_responses" / Array(Struct("PartitionProduceResponse")(  # one entry per partition
            "index" / PartitionId,     # the partition's number in its topic
            "error_code" / ErrorCode,  # 0, or why nothing was appended (errors.py)
            "base_offset" / Offset,    # the offset that the first record got, -1 with an error
            # ms since 1970 of the append, if the topic has LogAppendTime; else -1
            "log_append_time_ms" / TimestampMs(since=2, default=-1, ignorable=True),
            "log_start_offset" / Offset(since=5, default=-1, ignorable=True),  # the first offset that is kept
            # the records for which the whole batch was refused (KIP-467)
            "record_errors" / Array(Struct("BatchIndexAndErrorMessage")(
                "batch_index" / Int32,  # place of the record in its batch, from 0
                "batch_index_error_message" / Nullable(ErrorMessage, default=None),  # the reason in words
            ), since=8, ignorable=True),
            "error_message" / Nullable(ErrorMessage, since=8, default=None, ignorable=True),  # the reason in words
            # where to produce from now on, with NOT_LEADER_OR_FOLLOWER (KIP-951)
            "current_leader" / Struct("LeaderIdAndEpoch", since=10, tag=0)(
                "leader_id" / NodeId(default=-1),          # the leader, -1 unknown
                "leader_epoch" / LeaderEpoch(default=-1),  # its epoch, -1 unknown
            ),
        )),
    )),
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),  # ms that a quota delays this client
    "node_endpoints" / Array(Struct("NodeEndpoint")(  # of every current_leader above
        "node_id" / NodeId,                        # the broker
        "host" / HostName,                         # where to connect
        "port" / Int32,                            # and on which port
        "rack" / Nullable(String, default=None),   # its rack, null when it has none
    ), since=10, tag=0),
)
