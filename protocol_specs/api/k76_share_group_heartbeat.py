"""ShareGroupHeartbeat: join, leave, report and be assigned in a share group (KIP-932).

Null stands for "as in my last heartbeat". v0 was a draft and is not spoken.
"""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    GroupId,
    Int32,
    MemberId,
    Message,
    Nullable,
    PartitionId,
    String,
    Struct,
    TopicId,
    TopicName,
)

ShareGroupHeartbeatRequest = Message("ShareGroupHeartbeatRequest", key=76, versions="1", flexible="0+")(
    "group_id" / GroupId,                                                 # the group
    "member_id" / MemberId,                                               # made by the client
    "member_epoch" / Int32,                                               # 0 joins, -1 leaves, else the current epoch
    "rack_id" / Nullable(String, default=None),                           # null: unchanged since the last heartbeat
    "subscribed_topic_names" / Nullable(Array(TopicName), default=None),  # null: unchanged
)

ShareGroupHeartbeatResponse = Message("ShareGroupHeartbeatResponse", key=76, versions="1", flexible="0+")(
    "throttle_time_ms" / DurationMs,                         # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                                # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage, default=None),  # the reason in words, null when there is none to add
    "member_id" / Nullable(MemberId, default=None),          # the member's id, null on error
    "member_epoch" / Int32,                                  # the epoch to go on with
    "heartbeat_interval_ms" / DurationMs,                    # ms between heartbeats that the coordinator wants
    "assignment" / Nullable(Struct("Assignment")(            # what the member may fetch from, null: unchanged
        "topic_partitions" / Array(Struct("TopicPartitions")(  # partitions by topic
            "topic_id" / TopicId,               # the topic's uuid (KIP-516)
            "partitions" / Array(PartitionId),  # the partitions' numbers
        )),
    ), default=None),
)
