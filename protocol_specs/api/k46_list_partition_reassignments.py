"""ListPartitionReassignments: the moves going on (KIP-455)."""

from protocol_specs.grammar import (
    Array,
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

ListPartitionReassignmentsRequest = Message("ListPartitionReassignmentsRequest", key=46, versions="0", flexible="0+")(
    "timeout_ms" / DurationMs(default=60000),  # ms to wait for completion before answering anyway
    "topics" / Nullable(Array(Struct("ListPartitionReassignmentsTopics")(  # null for everything being reassigned
        "name" / TopicName,                        # the topic's name
        "partition_indexes" / Array(PartitionId),  # the partitions' numbers
    )), default=None),
)

ListPartitionReassignmentsResponse = Message("ListPartitionReassignmentsResponse", key=46, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,                      # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                             # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage),             # the reason in words, null when there is none to add
    "topics" / Array(Struct("OngoingTopicReassignment")(  # one entry per topic
        "name" / TopicName,                                           # the topic's name
        "partitions" / Array(Struct("OngoingPartitionReassignment")(  # one entry per partition
            "partition_index" / PartitionId,      # the partition's number in its topic
            "replicas" / Array(NodeId),           # every replica, the ones coming and going included
            "adding_replicas" / Array(NodeId),    # being added by a reassignment
            "removing_replicas" / Array(NodeId),  # being removed by a reassignment
        )),
    )),
)
