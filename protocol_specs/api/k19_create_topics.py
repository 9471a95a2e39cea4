"""CreateTopics: make topics, through the controller.

v1 adds validate_only (KIP-4); v2 adds throttling, v3 answers before it throttles; v4 takes the broker's defaults for
counts of -1 (KIP-464); v5 is flexible and answers with the topic's configs (KIP-525); v6 may answer
THROTTLING_QUOTA_EXCEEDED (KIP-599); v7 answers with the topic's id. v0 and v1 are gone since Kafka 4.0.
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    Int8,
    Int16,
    Int32,
    Message,
    NodeId,
    Nullable,
    PartitionId,
    String,
    Struct,
    TopicId,
    TopicName,
)

CreateTopicsRequest = Message("CreateTopicsRequest", key=19, versions="0-7", flexible="5+")(
    "topics" / Array(Struct("CreatableTopic")(  # the topics to create
        "name" / TopicName,            # the topic's name
        "num_partitions" / Int32,      # -1 for the broker's default, or when assignments are given
        "replication_factor" / Int16,  # -1 for the broker's default, or when assignments are given
        # where each replica goes; empty lets the controller choose
        "assignments" / Array(Struct("CreatableReplicaAssignment")(
            "partition_index" / PartitionId,  # the partition's number in its topic
            "broker_ids" / Array(NodeId),     # the brokers that hold replicas, the preferred leader first
        )),
        "configs" / Array(Struct("CreatableTopicConfig")(  # configs that differ from the defaults
            "name" / String,             # the config's name
            "value" / Nullable(String),  # the value as text, null for the default
        )),
    )),
    "timeout_ms" / DurationMs(default=60000),  # ms to wait for completion before answering anyway
    "validate_only" / Bool(since=1),           # check everything, change nothing
)

CreateTopicsResponse = Message("CreateTopicsResponse", key=19, versions="0-7", flexible="5+")(
    "throttle_time_ms" / DurationMs(since=2, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "topics" / Array(Struct("CreatableTopicResult")(           # one entry per topic
        "name" / TopicName,                             # the topic's name
        "topic_id" / TopicId(since=7, ignorable=True),  # the new topic's uuid, zero on error
        "error_code" / ErrorCode,                       # 0, or why this was refused (errors.py)
        # the reason in words, null when there is none to add
        "error_message" / Nullable(ErrorMessage, since=1, ignorable=True),
        # why configs are missing: 0 or TOPIC_AUTHORIZATION_FAILED
        "topic_config_error_code" / ErrorCode(since=5, tag=0, ignorable=True),
        "num_partitions" / Int32(since=5, default=-1, ignorable=True),  # partitions created, -1 on error
        "replication_factor" / Int16(since=5, default=-1, ignorable=True),  # replicas per partition, -1 on error
        # the topic's effective configs, null when not authorized
        "configs" / Nullable(Array(Struct("CreatableTopicConfigs")(
            "name" / String,                     # the config's name
            "value" / Nullable(String),          # the value as text, null when it is sensitive
            "read_only" / Bool,                  # whether it can't be changed
            "config_source" / Int8(default=-1),  # where the value comes from: 1 topic, 4 static broker, 5 default, ...
            "is_sensitive" / Bool,               # whether the value is a secret
        )), since=5, ignorable=True),
    )),
)
