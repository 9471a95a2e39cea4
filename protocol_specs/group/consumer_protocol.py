"""The consumer protocol's blobs: subscription and assignment inside JoinGroup and SyncGroup of classic groups.

Bytes: int16 version, then the fields. A reader takes a newer version for the newest it knows and ignores what
follows. v1 adds the partitions owned (KIP-429); v2 the generation they were owned in (KIP-792); v3 the rack
(KIP-881).
"""

from protocol_specs.grammar import Array, Bytes, Int32, Message, Nullable, PartitionId, String, Struct, TopicName

ConsumerProtocolSubscription = Message("ConsumerProtocolSubscription", versions="0-3", flexible="none")(
    "topics" / Array(String),                             # the topics subscribed to
    "user_data" / Nullable(Bytes, default=None),          # assignor's own data, null for none
    "owned_partitions" / Array(Struct("TopicPartition")(  # what the member owns, for incremental rebalancing (KIP-429)
        "topic" / TopicName,                # the topic's name
        "partitions" / Array(PartitionId),  # the partitions' numbers
    ), since=1, ignorable=True),
    "generation_id" / Int32(since=2, default=-1, ignorable=True),  # generation it owned them in, -1 unknown (KIP-792)
    "rack_id" / Nullable(String, since=3, default=None, ignorable=True),  # the member's rack, null when not told
)

ConsumerProtocolAssignment = Message("ConsumerProtocolAssignment", versions="0-3", flexible="none")(
    "assigned_partitions" / Array(Struct("TopicPartition")(  # partitions by topic
        "topic" / TopicName,                # the topic's name
        "partitions" / Array(PartitionId),  # the partitions' numbers
    )),
    "user_data" / Nullable(Bytes, default=None),  # assignor's own data, null for none
)
