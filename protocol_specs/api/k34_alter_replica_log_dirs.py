"""AlterReplicaLogDirs: move replicas between this broker's log directories (KIP-113).

v1 answers before it throttles; v2 is flexible. v0 is gone since Kafka 4.0.
"""

from protocol_specs.grammar import Array, DurationMs, ErrorCode, Message, PartitionId, String, Struct, TopicName

AlterReplicaLogDirsRequest = Message("AlterReplicaLogDirsRequest", key=34, versions="0-2", flexible="2+")(
    "dirs" / Array(Struct("AlterReplicaLogDir")(  # one entry per target directory
        "path" / String,                                     # absolute path of the directory
        "topics" / Array(Struct("AlterReplicaLogDirTopic")(  # one entry per topic
            "name" / TopicName,                 # the topic's name
            "partitions" / Array(PartitionId),  # the partitions' numbers
        )),
    )),
)

AlterReplicaLogDirsResponse = Message("AlterReplicaLogDirsResponse", key=34, versions="0-2", flexible="2+")(
    "throttle_time_ms" / DurationMs,                            # ms the client is asked to wait: its quota was exceeded
    "results" / Array(Struct("AlterReplicaLogDirTopicResult")(  # one result per entry of the request
        "topic_name" / TopicName,                                          # the topic's name
        "partitions" / Array(Struct("AlterReplicaLogDirPartitionResult")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
        )),
    )),
)
