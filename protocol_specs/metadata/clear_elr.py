"""ClearElrRecord: the eligible leader replicas of a topic, or of all topics for "", are forgotten (KIP-966)."""

from protocol_specs.grammar import Message, TopicName

ClearElrRecord = Message("ClearElrRecord", key=28, versions="0", flexible="0+")(
    "topic_name" / TopicName,  # the topic's name
)
