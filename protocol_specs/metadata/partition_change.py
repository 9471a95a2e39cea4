"""PartitionChangeRecord: what changed in one partition; everything is tagged, absent fields stay as they were.

Replay adds 1 to the partition's epoch, and 1 to its leader epoch when the leader changed or a replica was removed
from the ISR under old metadata versions. v1 adds directories (KIP-858); v2 the eligible leader replicas (KIP-966).
"""

from protocol_specs.grammar import Array, DirectoryId, Int8, Message, NodeId, Nullable, PartitionId, TopicId

PartitionChangeRecord = Message("PartitionChangeRecord", key=5, versions="0-2", flexible="0+")(
    "partition_id" / PartitionId(default=-1),              # the partition's number in its topic
    "topic_id" / TopicId,                                  # the topic's uuid (KIP-516)
    "isr" / Nullable(Array(NodeId), tag=0, default=None),  # replicas in sync; null: unchanged
    "leader" / NodeId(tag=1, default=-2),                  # the new leader, -1 for none, -2 unchanged
    "replicas" / Nullable(Array(NodeId), tag=2, default=None),  # every replica; null: unchanged
    # being removed by a reassignment; null: unchanged
    "removing_replicas" / Nullable(Array(NodeId), tag=3, default=None),
    "adding_replicas" / Nullable(Array(NodeId), tag=4, default=None),  # being added by a reassignment; null: unchanged
    "leader_recovery_state" / Int8(tag=5, default=-1),     # 0 recovered, 1 recovering, -1 unchanged
    # each replica's directory, in replica order; null: unchanged
    "directories" / Nullable(Array(DirectoryId), since=1, tag=8, default=None),
    # eligible beyond the ISR; null: unchanged (KIP-966)
    "eligible_leader_replicas" / Nullable(Array(NodeId), since=2, tag=6, default=None),
    # last known eligible; null: unchanged (KIP-966)
    "last_known_elr" / Nullable(Array(NodeId), since=2, tag=7, default=None),
)
