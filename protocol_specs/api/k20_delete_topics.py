"""DeleteTopics: remove topics with all their data.

v1 adds throttling, v2 answers before it throttles; v3 may answer TOPIC_DELETION_DISABLED; v4 is flexible; v5 adds
messages and THROTTLING_QUOTA_EXCEEDED (KIP-599); v6 names topics by id too (KIP-516). v0 is gone since Kafka 4.0.
"""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    Message,
    Nullable,
    Struct,
    TopicId,
    TopicName,
)

DeleteTopicsRequest = Message("DeleteTopicsRequest", key=20, versions="0-6", flexible="4+")(
    "topics" / Array(Struct("DeleteTopicState")(  # the topics to delete, each by name or by id
        "name" / Nullable(TopicName, default=None),  # the topic's name, null when the id names it
        "topic_id" / TopicId,                        # the topic's uuid, zero when the name names it
    ), since=6),
    "topic_names" / Array(TopicName, until=5, ignorable=True),  # the topics to delete
    "timeout_ms" / DurationMs,                                  # ms to wait for completion before answering anyway
)

DeleteTopicsResponse = Message("DeleteTopicsResponse", key=20, versions="0-6", flexible="4+")(
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "responses" / Array(Struct("DeletableTopicResult")(        # one result per entry of the request
        "name" / TopicName(nullable_since=6),           # the topic's name, null when the id was unknown
        "topic_id" / TopicId(since=6, ignorable=True),  # the topic's uuid, zero when unknown
        "error_code" / ErrorCode,                       # 0, or why this was refused (errors.py)
        # the reason in words, null when there is none to add
        "error_message" / Nullable(ErrorMessage, since=5, default=None, ignorable=True),
    )),
)
