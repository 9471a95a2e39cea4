"""TopicRecord: a topic exists; its partitions follow as PartitionRecords."""

from protocol_specs.grammar import Message, TopicId, TopicName

TopicRecord = Message("TopicRecord", key=2, versions="0", flexible="0+")(
    "name" / TopicName,    # the topic's name
    "topic_id" / TopicId,  # the topic's uuid (KIP-516)
)
