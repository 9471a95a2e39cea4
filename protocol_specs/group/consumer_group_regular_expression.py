"""ConsumerGroupRegularExpression, type 16 of `__consumer_offsets`: the topics that a group's pattern matches
(KIP-848).
"""

from protocol_specs.grammar import Array, GroupId, Int64, Message, String, TimestampMs

ConsumerGroupRegularExpressionKey = Message("ConsumerGroupRegularExpressionKey", key=16, versions="0", flexible="none")(
    "group_id" / GroupId,           # the group
    "regular_expression" / String,  # the RE2 pattern
)

ConsumerGroupRegularExpressionValue = Message(
    "ConsumerGroupRegularExpressionValue", key=16, versions="0", flexible="0+"
)(
    "topics" / Array(String),   # topics that the pattern matches
    "version" / Int64,          # metadata offset at which it was resolved
    "timestamp" / TimestampMs,  # ms since 1970 when it was resolved
)
