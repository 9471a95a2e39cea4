"""AssignReplicasToDirs: a broker tells the controller which log directory holds which replica (KIP-858)."""

from protocol_specs.grammar import (
    Array,
    BrokerEpoch,
    DurationMs,
    ErrorCode,
    Message,
    NodeId,
    PartitionId,
    Struct,
    TopicId,
    Uuid,
)

AssignReplicasToDirsRequest = Message("AssignReplicasToDirsRequest", key=73, versions="0", flexible="0+")(
    "broker_id" / NodeId,                           # the broker's node id
    "broker_epoch" / BrokerEpoch(default=-1),       # the broker's registration epoch; older ones are fenced
    "directories" / Array(Struct("DirectoryData")(  # one entry per directory
        "id" / Uuid,                           # the directory's uuid
        "topics" / Array(Struct("TopicData")(  # one entry per topic
            "topic_id" / TopicId,                          # the topic's uuid (KIP-516)
            "partitions" / Array(Struct("PartitionData")(  # one entry per partition
                "partition_index" / PartitionId,  # the partition's number in its topic
            )),
        )),
    )),
)

AssignReplicasToDirsResponse = Message("AssignReplicasToDirsResponse", key=73, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,                # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                       # 0, or why this was refused (errors.py)
    "directories" / Array(Struct("DirectoryData")(  # one entry per directory
        "id" / Uuid,                           # the directory's uuid
        "topics" / Array(Struct("TopicData")(  # one entry per topic
            "topic_id" / TopicId,                          # the topic's uuid (KIP-516)
            "partitions" / Array(Struct("PartitionData")(  # one entry per partition
                "partition_index" / PartitionId,  # the partition's number in its topic
                "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
            )),
        )),
    )),
)
