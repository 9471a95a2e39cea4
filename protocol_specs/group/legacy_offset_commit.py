"""LegacyOffsetCommit, type 0 of `__consumer_offsets`: offsets as the oldest brokers wrote them; read, never written."""

from protocol_specs.grammar import GroupId, Message, Offset, PartitionId, String, TimestampMs, TopicName

LegacyOffsetCommitKey = Message("LegacyOffsetCommitKey", key=0, versions="0", flexible="none")(
    "group" / GroupId,          # the group
    "topic" / TopicName,        # the topic's name
    "partition" / PartitionId,  # the partition's number in its topic
)

LegacyOffsetCommitValue = Message("LegacyOffsetCommitValue", key=0, versions="0", flexible="none")(
    "offset" / Offset,                 # the next record to read
    "metadata" / String,               # a note of the client's, kept with the offset
    "commit_timestamp" / TimestampMs,  # ms since 1970 when it was committed
)
