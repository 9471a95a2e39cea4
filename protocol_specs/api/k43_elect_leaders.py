"""ElectLeaders: make partitions elect a leader now (KIP-183).

v1 chooses between preferred and unclean elections (KIP-460); v2 is flexible.
"""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    Int8,
    Message,
    Nullable,
    PartitionId,
    Struct,
    TopicName,
)

ElectLeadersRequest = Message("ElectLeadersRequest", key=43, versions="0-2", flexible="2+")(
    "election_type" / Int8(since=1),  # 0 preferred leader, 1 unclean if no replica in sync is alive (KIP-460)
    "topic_partitions" / Nullable(Array(Struct("TopicPartitions")(  # the partitions, null for all
        "topic" / TopicName,                # the topic's name
        "partitions" / Array(PartitionId),  # the partitions' numbers
    ))),
    "timeout_ms" / DurationMs(default=60000),  # ms to wait for completion before answering anyway
)

ElectLeadersResponse = Message("ElectLeadersResponse", key=43, versions="0-2", flexible="2+")(
    "throttle_time_ms" / DurationMs,    # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode(since=1),  # 0, or why this was refused (errors.py)
    "replica_election_results" / Array(Struct("ReplicaElectionResult")(  # one result per topic
        "topic" / TopicName,                                   # the topic's name
        "partition_result" / Array(Struct("PartitionResult")(  # one result per partition
            "partition_id" / PartitionId,              # the partition's number in its topic
            "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
            "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
        )),
    )),
)
