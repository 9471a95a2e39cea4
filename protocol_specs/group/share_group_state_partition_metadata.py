"""ShareGroupStatePartitionMetadata, type 15 of `__consumer_offsets`: for which partitions share state exists
(KIP-932).
"""

from protocol_specs.grammar import Array, GroupId, Message, PartitionId, Struct, TopicId, TopicName

ShareGroupStatePartitionMetadataKey = Message(
    "ShareGroupStatePartitionMetadataKey", key=15, versions="0", flexible="none"
)(
    "group_id" / GroupId,  # the group
)

TopicPartitionsInfo = Struct("TopicPartitionsInfo")(
    "topic_id" / TopicId,               # the topic's uuid (KIP-516)
    "topic_name" / TopicName,           # the topic's name
    "partitions" / Array(PartitionId),  # the partitions' numbers
)

ShareGroupStatePartitionMetadataValue = Message(
    "ShareGroupStatePartitionMetadataValue", key=15, versions="0", flexible="0+"
)(
    "initializing_topics" / Array(TopicPartitionsInfo),  # topics whose share state is being set up
    "initialized_topics" / Array(TopicPartitionsInfo),   # topics whose share state is set up
    "deleting_topics" / Array(Struct("TopicInfo")(       # topics whose share state is being deleted
        "topic_id" / TopicId,      # the topic's uuid (KIP-516)
        "topic_name" / TopicName,  # the topic's name
    )),
)
