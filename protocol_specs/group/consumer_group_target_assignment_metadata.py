"""ConsumerGroupTargetAssignmentMetadata, type 6 of `__consumer_offsets`: which group epoch the target belongs to
(KIP-848).
"""

from protocol_specs.grammar import GroupId, Int32, Message, TimestampMs

ConsumerGroupTargetAssignmentMetadataKey = Message(
    "ConsumerGroupTargetAssignmentMetadataKey", key=6, versions="0", flexible="none"
)(
    "group_id" / GroupId,  # the group
)

ConsumerGroupTargetAssignmentMetadataValue = Message(
    "ConsumerGroupTargetAssignmentMetadataValue", key=6, versions="0", flexible="0+"
)(
    "assignment_epoch" / Int32,                   # the group epoch that the target was computed for
    "assignment_timestamp" / TimestampMs(tag=0),  # ms since 1970 when the target was computed
)
