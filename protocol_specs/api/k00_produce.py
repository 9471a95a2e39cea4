"""Produce: append record batches to partition logs.

v0-v2 carry message sets of the old formats (v1 answers with throttle_time_ms, v2 with log_append_time_ms); v3 brings
record batches (KIP-98) and the transactional id; v4 may answer KAFKA_STORAGE_ERROR (KIP-112); v5 adds
log_start_offset; v7 allows zstd (KIP-110); v8 tells which records were refused (KIP-467); v9 is flexible (KIP-482);
v10 names the new leader to a producer that asked the wrong broker (KIP-951); v11 may answer TRANSACTION_ABORTABLE and
v12 enlists a partition in a transaction by itself (KIP-890); v13 names topics by id (KIP-516).
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
    # names the transactional producer, null for any other
    "transactional_id" / Nullable(TransactionalId, since=3, default=None),
    "acks" / Int16,                                   # 0 nobody, 1 the leader, -1 every replica in sync
    "timeout_ms" / DurationMs,                        # ms to wait for the replicas that acks asks for
    "topic_data" / Array(Struct("TopicProduceData")(  # one entry per topic
        "name" / TopicName(until=12, ignorable=True),             # the topic's name
        "topic_id" / TopicId(since=13, ignorable=True),           # the topic's uuid (KIP-516)
        "partition_data" / Array(Struct("PartitionProduceData")(  # one entry per partition
            "index" / PartitionId,          # the partition's number in its topic
            "records" / Nullable(Records),  # record batches; message sets before v3
        )),
    )),
)

ProduceResponse = Message("ProduceResponse", key=0, versions="0-13", flexible="9+")(
    "responses" / Array(Struct("TopicProduceResponse")(  # one result per entry of the request
        "name" / TopicName(until=12, ignorable=True),                      # the topic's name
        "topic_id" / TopicId(since=13, ignorable=True),                    # the topic's uuid (KIP-516)
        "partition_responses" / Array(Struct("PartitionProduceResponse")(  # one result per partition
            "index" / PartitionId,     # the partition's number in its topic
            "error_code" / ErrorCode,  # 0, or why this was refused (errors.py)
            "base_offset" / Offset,    # the offset that the first record got
            # ms since 1970 of the append under LogAppendTime, else -1
            "log_append_time_ms" / TimestampMs(since=2, default=-1, ignorable=True),
            # the partition's first offset, -1 unknown
            "log_start_offset" / Offset(since=5, default=-1, ignorable=True),
            # the records for which the whole batch was refused
            "record_errors" / Array(Struct("BatchIndexAndErrorMessage")(
                "batch_index" / Int32,  # place of the record in its batch
                # what is wrong with it, null when there is nothing to add
                "batch_index_error_message" / Nullable(ErrorMessage, default=None),
            ), since=8, ignorable=True),
            # what the refused records have in common, null for nothing
            "error_message" / Nullable(ErrorMessage, since=8, default=None, ignorable=True),
            # where to produce from now on, with NOT_LEADER_OR_FOLLOWER
            "current_leader" / Struct("LeaderIdAndEpoch", since=10, tag=0)(
                "leader_id" / NodeId(default=-1),          # the leader's node id, -1 for none or unknown
                "leader_epoch" / LeaderEpoch(default=-1),  # the leader's term for this partition, -1 unknown
            ),
        )),
    )),
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "node_endpoints" / Array(Struct("NodeEndpoint")(           # where to reach the leaders named above
        "node_id" / NodeId,                       # the node's id
        "host" / HostName,                        # where to connect: host name or address
        "port" / Int32,                           # where to connect: port
        "rack" / Nullable(String, default=None),  # the node's rack, null when it has none
    ), since=10, tag=0),
)
