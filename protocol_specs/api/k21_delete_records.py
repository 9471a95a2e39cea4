"""DeleteRecords: move a partition's start forward (KIP-107).

v1 answers before it throttles; v2 is flexible.
"""

from protocol_specs.grammar import Array, DurationMs, ErrorCode, Message, Offset, PartitionId, Struct, TopicName

DeleteRecordsRequest = Message("DeleteRecordsRequest", key=21, versions="0-2", flexible="2+")(
    "topics" / Array(Struct("DeleteRecordsTopic")(  # one entry per topic
        "name" / TopicName,                                     # the topic's name
        "partitions" / Array(Struct("DeleteRecordsPartition")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "offset" / Offset,                # everything before it goes; -1 for the high watermark
        )),
    )),
    "timeout_ms" / DurationMs,  # ms to wait for completion before answering anyway
)

DeleteRecordsResponse = Message("DeleteRecordsResponse", key=21, versions="0-2", flexible="2+")(
    "throttle_time_ms" / DurationMs,                      # ms the client is asked to wait: its quota was exceeded
    "topics" / Array(Struct("DeleteRecordsTopicResult")(  # one entry per topic
        "name" / TopicName,                                           # the topic's name
        "partitions" / Array(Struct("DeleteRecordsPartitionResult")(  # one entry per partition
            "partition_index" / PartitionId,  # the partition's number in its topic
            "low_watermark" / Offset,         # the lowest offset left on any live replica, -1 on error
            "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
        )),
    )),
)
