"""ConsumerGroupHeartbeat: the one request of the new consumer protocol: join, leave, report, be assigned (KIP-848).

Null and -1 stand for "as in my last heartbeat". v1 subscribes by RE2 pattern and has clients make their own member id
(KIP-1082).
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

ConsumerGroupHeartbeatRequest = Message("ConsumerGroupHeartbeatRequest", key=68, versions="0-1", flexible="0+")(
    "group_id" / GroupId,                                # the group
    "member_id" / MemberId,  # made by the client (from v1 on); "" in v0 lets the broker make it
    "member_epoch" / Int32,  # 0 joins, -1 leaves, -2 leaves for a while as static, else the current epoch
    "instance_id" / Nullable(String, default=None),      # static member's name, null for a dynamic member (KIP-345)
    "rack_id" / Nullable(String, default=None),          # null: unchanged since the last heartbeat
    "rebalance_timeout_ms" / DurationMs(default=-1),     # ms to give up partitions; -1: unchanged
    "subscribed_topic_names" / Nullable(Array(TopicName), default=None),  # null: unchanged
    "subscribed_topic_regex" / Nullable(String, since=1, default=None),  # RE2 pattern of topics; null: unchanged
    "server_assignor" / Nullable(String, default=None),  # broker-side assignor wanted; null: unchanged or the default
    "topic_partitions" / Nullable(Array(Struct("TopicPartitions")(  # what the member owns now; null: unchanged
        "topic_id" / TopicId,               # the topic's uuid (KIP-516)
        "partitions" / Array(PartitionId),  # the partitions' numbers
    )), default=None),
)

ConsumerGroupHeartbeatResponse = Message("ConsumerGroupHeartbeatResponse", key=68, versions="0-1", flexible="0+")(
    "throttle_time_ms" / DurationMs,                         # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                                # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage, default=None),  # the reason in words, null when there is none to add
    "member_id" / Nullable(MemberId, default=None),          # the member's id, null on error
    "member_epoch" / Int32,                                  # the epoch to go on with
    "heartbeat_interval_ms" / DurationMs,                    # ms between heartbeats that the coordinator wants
    "assignment" / Nullable(Struct("Assignment")(            # what the member shall own, null: unchanged
        "topic_partitions" / Array(Struct("TopicPartitions")(  # partitions by topic
            "topic_id" / TopicId,               # the topic's uuid (KIP-516)
            "partitions" / Array(PartitionId),  # the partitions' numbers
        )),
    ), default=None),
)
