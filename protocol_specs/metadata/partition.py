"""PartitionRecord: the whole state of one partition.

v1 adds directories (KIP-858); v2 the eligible leader replicas (KIP-966).
"""

from protocol_specs.grammar import (
    Array,
    DirectoryId,
    Int8,
    LeaderEpoch,
    Message,
    NodeId,
    Nullable,
    PartitionEpoch,
    PartitionId,
    TopicId,
)

PartitionRecord = Message("PartitionRecord", key=3, versions="0-2", flexible="0+")(
    "partition_id" / PartitionId(default=-1),        # the partition's number in its topic
    "topic_id" / TopicId,                            # the topic's uuid (KIP-516)
    "replicas" / Array(NodeId),                      # every replica, the preferred leader first
    "isr" / Array(NodeId),                           # the replicas in sync
    "removing_replicas" / Array(NodeId),             # being removed by a reassignment
    "adding_replicas" / Array(NodeId),               # being added by a reassignment
    "leader" / NodeId(default=-1),                   # node id of the leader, -1 for none
    "leader_recovery_state" / Int8(tag=0),           # 0 recovered, 1 recovering from an unclean election
    "leader_epoch" / LeaderEpoch(default=-1),        # bumped by every change of leader
    "partition_epoch" / PartitionEpoch(default=-1),  # version of the partition's state, for compare and set
    "directories" / Array(DirectoryId, since=1),     # each replica's directory, in replica order (KIP-858)
    # replicas out of the ISR that still hold all committed data (KIP-966)
    "eligible_leader_replicas" / Nullable(Array(NodeId), since=2, tag=1, default=None),
    # the replicas last known to be eligible (KIP-966)
    "last_known_elr" / Nullable(Array(NodeId), since=2, tag=2, default=None),
)
