"""AlterPartition: a partition's leader proposes a new ISR to the controller (KIP-497).

v1 adds recovery from unclean elections (KIP-704); v2 names topics by id (KIP-841); v3 gives each replica's broker
epoch, so that a restarted one can't slip in (KIP-903). v0 and v1 are gone since Kafka 4.0.
"""

from protocol_specs.grammar import (
    Array,
    BrokerEpoch,
    DurationMs,
    ErrorCode,
    Int8,
    LeaderEpoch,
    Message,
    NodeId,
    PartitionEpoch,
    PartitionId,
    Struct,
    TopicId,
    TopicName,
)

AlterPartitionRequest = Message("AlterPartitionRequest", key=56, versions="0-3", flexible="0+")(
    "broker_id" / NodeId,                      # the asking leader's node id
    "broker_epoch" / BrokerEpoch(default=-1),  # the broker's registration epoch; older ones are fenced
    "topics" / Array(Struct("TopicData")(      # one entry per topic
        "topic_name" / TopicName(until=1, ignorable=True),  # the topic's name
        "topic_id" / TopicId(since=2, ignorable=True),      # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionData")(       # one entry per partition
            "partition_index" / PartitionId,     # the partition's number in its topic
            "leader_epoch" / LeaderEpoch,        # the asking leader's epoch
            "new_isr" / Array(NodeId, until=2),  # the replicas in sync to have
            # the replicas in sync to have, each with its broker epoch (KIP-903)
            "new_isr_with_epochs" / Array(Struct("BrokerState")(
                "broker_id" / NodeId,                      # a replica in sync
                "broker_epoch" / BrokerEpoch(default=-1),  # its registration epoch, -1 skips the check
            ), since=3),
            "leader_recovery_state" / Int8(since=1),  # 0 recovered, 1 recovering from an unclean election
            "partition_epoch" / PartitionEpoch,       # the partition epoch this change builds on
        )),
    )),
)

AlterPartitionResponse = Message("AlterPartitionResponse", key=56, versions="0-3", flexible="0+")(
    "throttle_time_ms" / DurationMs,       # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,              # 0, or why this was refused (errors.py)
    "topics" / Array(Struct("TopicData")(  # one entry per topic
        "topic_name" / TopicName(until=1, ignorable=True),  # the topic's name
        "topic_id" / TopicId(since=2, ignorable=True),      # the topic's uuid (KIP-516)
        "partitions" / Array(Struct("PartitionData")(       # one entry per partition
            "partition_index" / PartitionId,     # the partition's number in its topic
            "error_code" / ErrorCode,            # 0, or why this was refused (errors.py)
            "leader_id" / NodeId,                # the leader's node id, -1 for none or unknown
            "leader_epoch" / LeaderEpoch,        # the leader's term for this partition, -1 unknown
            "isr" / Array(NodeId),               # the replicas in sync
            # 0 recovered, 1 recovering from an unclean election
            "leader_recovery_state" / Int8(since=1, ignorable=True),
            "partition_epoch" / PartitionEpoch,  # version of the partition's state, for compare and set
        )),
    )),
)
