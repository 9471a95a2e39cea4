"""CreatePartitions: give topics more partitions (KIP-195).

v1 answers before it throttles; v2 is flexible; v3 may answer THROTTLING_QUOTA_EXCEEDED (KIP-599).
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    Int32,
    Message,
    NodeId,
    Nullable,
    Struct,
    TopicName,
)

CreatePartitionsRequest = Message("CreatePartitionsRequest", key=37, versions="0-3", flexible="2+")(
    "topics" / Array(Struct("CreatePartitionsTopic")(  # one entry per topic
        "name" / TopicName,  # the topic's name
        "count" / Int32,     # number of partitions to have in the end
        # where each new replica goes, null lets the controller choose
        "assignments" / Nullable(Array(Struct("CreatePartitionsAssignment")(
            "broker_ids" / Array(NodeId),  # the brokers that hold replicas, the preferred leader first
        ))),
    )),
    "timeout_ms" / DurationMs,  # ms to wait for completion before answering anyway
    "validate_only" / Bool,     # check everything, change nothing
)

CreatePartitionsResponse = Message("CreatePartitionsResponse", key=37, versions="0-3", flexible="2+")(
    "throttle_time_ms" / DurationMs,                          # ms the client is asked to wait: its quota was exceeded
    "results" / Array(Struct("CreatePartitionsTopicResult")(  # one result per entry of the request
        "name" / TopicName,                                      # the topic's name
        "error_code" / ErrorCode,                                # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage, default=None),  # the reason in words, null when there is none to add
    )),
)
