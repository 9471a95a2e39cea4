"""ConsumerGroupPartitionMetadata, type 4 of `__consumer_offsets`: partitions of the subscribed topics, as the group
last saw them (KIP-848). Superseded by the metadata hash (KIP-1101); still read, so that it can be deleted.
"""

from protocol_specs.grammar import Array, GroupId, Int32, Message, PartitionId, String, Struct, TopicId, TopicName

ConsumerGroupPartitionMetadataKey = Message("ConsumerGroupPartitionMetadataKey", key=4, versions="0", flexible="none")(
    "group_id" / GroupId,  # the group
)

ConsumerGroupPartitionMetadataValue = Message(
    "ConsumerGroupPartitionMetadataValue", key=4, versions="0", flexible="0+"
)(
    "topics" / Array(Struct("TopicMetadata")(  # one entry per topic
        "topic_id" / TopicId,                                      # the topic's uuid (KIP-516)
        "topic_name" / TopicName,                                  # the topic's name
        "num_partitions" / Int32,                                  # number of partitions
        "partition_metadata" / Array(Struct("PartitionMetadata")(  # racks per partition
            "partition" / PartitionId,  # the partition's number in its topic
            "racks" / Array(String),    # racks that hold a replica
        )),
    )),
)
