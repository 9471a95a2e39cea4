"""AlterPartitionReassignments: start, change or cancel moving partitions to other brokers (KIP-455).

v1 says whether the number of replicas may change (KIP-860).
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    Message,
    NodeId,
    Nullable,
    PartitionId,
    Struct,
    TopicName,
)

AlterPartitionReassignmentsRequest = Message(
    "AlterPartitionReassignmentsRequest", key=45, versions="0-1", flexible="0+"
)(
    "timeout_ms" / DurationMs(default=60000),      # ms to wait for completion before answering anyway
    "allow_replication_factor_change" / Bool(since=1, default=True),  # permit another number of replicas (KIP-860)
    "topics" / Array(Struct("ReassignableTopic")(  # one entry per topic
        "name" / TopicName,                                    # the topic's name
        "partitions" / Array(Struct("ReassignablePartition")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            # the replicas to have, null cancels a running reassignment
            "replicas" / Nullable(Array(NodeId), default=None),
        )),
    )),
)

AlterPartitionReassignmentsResponse = Message(
    "AlterPartitionReassignmentsResponse", key=45, versions="0-1", flexible="0+"
)(
    "throttle_time_ms" / DurationMs,                          # ms the client is asked to wait: its quota was exceeded
    "allow_replication_factor_change" / Bool(since=1, default=True, ignorable=True),  # the permission, as requested
    "error_code" / ErrorCode,                                 # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage),                 # the reason in words, null when there is none to add
    "responses" / Array(Struct("ReassignableTopicResponse")(  # one result per entry of the request
        "name" / TopicName,                                            # the topic's name
        "partitions" / Array(Struct("ReassignablePartitionResponse")(  # one entry per partition
            "partition_index" / PartitionId,           # the partition's number in its topic
            "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
            "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
        )),
    )),
)
