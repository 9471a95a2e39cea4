"""DescribeProducers: idempotent and transactional producers with state in a partition (KIP-664)."""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    Int32,
    Message,
    Nullable,
    Offset,
    PartitionId,
    ProducerId,
    Sequence,
    Struct,
    TimestampMs,
    TopicName,
)

DescribeProducersRequest = Message("DescribeProducersRequest", key=61, versions="0", flexible="0+")(
    "topics" / Array(Struct("TopicRequest")(  # one entry per topic
        "name" / TopicName,                        # the topic's name
        "partition_indexes" / Array(PartitionId),  # the partitions' numbers
    )),
)

DescribeProducersResponse = Message("DescribeProducersResponse", key=61, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,           # ms the client is asked to wait: its quota was exceeded
    "topics" / Array(Struct("TopicResponse")(  # one entry per topic
        "name" / TopicName,                                # the topic's name
        "partitions" / Array(Struct("PartitionResponse")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
            # the reason in words, null when there is none to add
            "error_message" / Nullable(ErrorMessage, default=None),
            "active_producers" / Array(Struct("ProducerState")(  # producers with state in this partition
                "producer_id" / ProducerId,                  # the producer's id, -1 for none
                "producer_epoch" / Int32,                    # fences older instances of this producer id, -1 for none
                "last_sequence" / Sequence(default=-1),      # sequence number of the last record, -1 none
                "last_timestamp" / TimestampMs(default=-1),  # ms since 1970 of the last batch, -1 none
                "coordinator_epoch" / Int32,                 # of the coordinator that wrote the last marker
                "current_txn_start_offset" / Offset(default=-1),  # first offset of the open transaction, -1 none
            )),
        )),
    )),
)
