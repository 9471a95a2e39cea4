"""AddPartitionsToTxn: enlist partitions in a transaction before writing to them (KIP-98).

v1 answers before it throttles; v2 may answer PRODUCER_FENCED; v3 is flexible. v4 and v5 are for brokers, which ask
about several transactions and may only verify (KIP-890); clients stay at v3.
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    Message,
    PartitionId,
    ProducerEpoch,
    ProducerId,
    Struct,
    TopicName,
    TransactionalId,
)

AddPartitionsToTxnTopic = Struct("AddPartitionsToTxnTopic")(
    "name" / TopicName,                 # the topic's name
    "partitions" / Array(PartitionId),  # the partitions' numbers
)

AddPartitionsToTxnRequest = Message("AddPartitionsToTxnRequest", key=24, versions="0-5", flexible="3+")(
    # one entry per transaction; only brokers send several
    "transactions" / Array(Struct("AddPartitionsToTxnTransaction")(
        "transactional_id" / TransactionalId,       # names the transactional producer across its restarts
        "producer_id" / ProducerId,                 # the producer's id, -1 for none
        "producer_epoch" / ProducerEpoch,           # fences older instances of this producer id, -1 for none
        "verify_only" / Bool,                       # only check that the partitions are in the transaction (KIP-890)
        "topics" / Array(AddPartitionsToTxnTopic),  # one entry per topic
    ), since=4),
    "v3_and_below_transactional_id" / TransactionalId(until=3),       # names the transactional producer
    "v3_and_below_producer_id" / ProducerId(until=3),                 # the producer's id
    "v3_and_below_producer_epoch" / ProducerEpoch(until=3),           # the producer's epoch
    "v3_and_below_topics" / Array(AddPartitionsToTxnTopic, until=3),  # the partitions to add
)

AddPartitionsToTxnTopicResult = Struct("AddPartitionsToTxnTopicResult")(
    "name" / TopicName,                                                          # the topic's name
    "results_by_partition" / Array(Struct("AddPartitionsToTxnPartitionResult")(  # one result per partition
        "partition_index" / PartitionId,     # the partition's number in its topic
        "partition_error_code" / ErrorCode,  # 0, or why the partition wasn't added
    )),
)

AddPartitionsToTxnResponse = Message("AddPartitionsToTxnResponse", key=24, versions="0-5", flexible="3+")(
    "throttle_time_ms" / DurationMs,                    # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode(since=4, ignorable=True),  # 0, or why the whole request was refused
    "results_by_transaction" / Array(Struct("AddPartitionsToTxnResult")(  # one result per transaction
        "transactional_id" / TransactionalId,                    # names the transactional producer across its restarts
        "topic_results" / Array(AddPartitionsToTxnTopicResult),  # one result per topic
    ), since=4),
    "results_by_topic_v3_and_below" / Array(AddPartitionsToTxnTopicResult, until=3),  # one result per topic
)
