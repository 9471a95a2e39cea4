"""WriteTxnMarkers: the transaction coordinator tells partition leaders how a transaction ended (KIP-98).

v1 is flexible; v2 tells the transaction's version, so that leaders can check the bumped epoch (KIP-1228). v0 is gone
since Kafka 4.0.
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    ErrorCode,
    Int8,
    Int32,
    Message,
    PartitionId,
    ProducerEpoch,
    ProducerId,
    Struct,
    TopicName,
)

WriteTxnMarkersRequest = Message("WriteTxnMarkersRequest", key=27, versions="0-2", flexible="1+")(
    "markers" / Array(Struct("WritableTxnMarker")(  # one entry per ending transaction
        "producer_id" / ProducerId,                         # the producer's id, -1 for none
        "producer_epoch" / ProducerEpoch,                   # fences older instances of this producer id, -1 for none
        "transaction_result" / Bool,                        # true commits, false aborts
        "topics" / Array(Struct("WritableTxnMarkerTopic")(  # one entry per topic
            "name" / TopicName,                        # the topic's name
            "partition_indexes" / Array(PartitionId),  # the partitions' numbers
        )),
        "coordinator_epoch" / Int32,                            # the coordinator's epoch; older ones are fenced
        "transaction_version" / Int8(since=2, ignorable=True),  # 0 or 1 old protocol, 2 with a bumped epoch (KIP-1228)
    )),
)

WriteTxnMarkersResponse = Message("WriteTxnMarkersResponse", key=27, versions="0-2", flexible="1+")(
    "markers" / Array(Struct("WritableTxnMarkerResult")(  # one result per marker
        "producer_id" / ProducerId,                               # the producer's id, -1 for none
        "topics" / Array(Struct("WritableTxnMarkerTopicResult")(  # one entry per topic
            "name" / TopicName,                                               # the topic's name
            "partitions" / Array(Struct("WritableTxnMarkerPartitionResult")(  # one entry per partition
                "partition_index" / PartitionId,  # the partition's number in its topic
                "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
            )),
        )),
    )),
)
