"""TransactionLog, type 0 of `__transaction_state`: one transactional id with the state of its transaction (KIP-98).

Value v1 is flexible and remembers the ids and epochs around it (KIP-890); it is written from transaction.version 1
on. A null value deletes the id.
"""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    Int8,
    Int16,
    Message,
    Nullable,
    PartitionId,
    ProducerEpoch,
    ProducerId,
    Struct,
    TimestampMs,
    TopicName,
    TransactionalId,
)

TransactionLogKey = Message("TransactionLogKey", key=0, versions="0", flexible="none")(
    "transactional_id" / TransactionalId,  # names the transactional producer across its restarts
)

TransactionLogValue = Message("TransactionLogValue", key=0, versions="0-1", flexible="1+")(
    "producer_id" / ProducerId,             # the producer's id
    # the id used before it ran out of epochs, -1 none (KIP-890)
    "previous_producer_id" / ProducerId(since=1, tag=0, default=-1),
    # the id to use after this transaction, -1 none (KIP-890)
    "next_producer_id" / ProducerId(since=1, tag=1, default=-1),
    "producer_epoch" / ProducerEpoch,       # the producer's epoch
    # the epoch to use after this transaction, -1 none (KIP-939)
    "next_producer_epoch" / ProducerEpoch(since=1, tag=3, default=-1),
    "transaction_timeout_ms" / DurationMs,  # ms the transaction may stay open
    # 0 empty, 1 ongoing, 2/3 prepare commit/abort, 4/5 complete commit/abort, 6 dead, 7 fencing
    "transaction_status" / Int8,
    "transaction_partitions" / Nullable(Array(Struct("PartitionsSchema")(  # the partitions written to, null for none
        "topic" / TopicName,                   # the topic's name
        "partition_ids" / Array(PartitionId),  # the partitions' numbers
    ))),
    "transaction_last_update_timestamp_ms" / TimestampMs,  # ms since 1970 of the last change
    "transaction_start_timestamp_ms" / TimestampMs,        # ms since 1970 when it began, -1 none
    "client_transaction_version" / Int16(since=1, tag=2),  # transaction protocol of the client (KIP-890)
)
