"""DescribeTransactions: details of transactions, from their coordinator (KIP-664)."""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    Message,
    PartitionId,
    ProducerEpoch,
    ProducerId,
    String,
    Struct,
    TimestampMs,
    TopicName,
    TransactionalId,
)

DescribeTransactionsRequest = Message("DescribeTransactionsRequest", key=65, versions="0", flexible="0+")(
    "transactional_ids" / Array(TransactionalId),  # the transactions to describe
)

DescribeTransactionsResponse = Message("DescribeTransactionsResponse", key=65, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,                          # ms the client is asked to wait: its quota was exceeded
    "transaction_states" / Array(Struct("TransactionState")(  # one entry per transaction
        "error_code" / ErrorCode,                   # 0, or why this was refused (errors.py)
        "transactional_id" / TransactionalId,       # names the transactional producer across its restarts
        "transaction_state" / String,               # the state's name, such as "Ongoing"
        "transaction_timeout_ms" / DurationMs,      # ms a transaction may stay open
        "transaction_start_time_ms" / TimestampMs,  # ms since 1970 when it began, -1 not open
        "producer_id" / ProducerId,                 # the producer's id, -1 for none
        "producer_epoch" / ProducerEpoch,           # fences older instances of this producer id, -1 for none
        "topics" / Array(Struct("TopicData")(       # the partitions it has written to
            "topic" / TopicName,                # the topic's name
            "partitions" / Array(PartitionId),  # the partitions' numbers
        )),
    )),
)
