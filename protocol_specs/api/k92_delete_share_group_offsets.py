"""DeleteShareGroupOffsets: forget where an empty share group stands in whole topics (KIP-932)."""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    GroupId,
    Message,
    Nullable,
    Struct,
    TopicId,
    TopicName,
)

DeleteShareGroupOffsetsRequest = Message("DeleteShareGroupOffsetsRequest", key=92, versions="0", flexible="0+")(
    "group_id" / GroupId,                                            # the group
    "topics" / Array(Struct("DeleteShareGroupOffsetsRequestTopic")(  # the topics whose offsets go
        "topic_name" / TopicName,  # the topic's name
    )),
)

DeleteShareGroupOffsetsResponse = Message("DeleteShareGroupOffsetsResponse", key=92, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,                         # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                                # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage, default=None),  # the reason in words, null when there is none to add
    "responses" / Array(Struct("DeleteShareGroupOffsetsResponseTopic")(  # one result per entry of the request
        "topic_name" / TopicName,                                # the topic's name
        "topic_id" / TopicId,                                    # the topic's uuid (KIP-516)
        "error_code" / ErrorCode,                                # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage, default=None),  # the reason in words, null when there is none to add
    )),
)
