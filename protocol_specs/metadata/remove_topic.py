"""RemoveTopicRecord: a topic with its partitions is gone."""

from protocol_specs.grammar import Message, TopicId

RemoveTopicRecord = Message("RemoveTopicRecord", key=9, versions="0", flexible="0+")(
    "topic_id" / TopicId,  # the topic's uuid (KIP-516)
)
