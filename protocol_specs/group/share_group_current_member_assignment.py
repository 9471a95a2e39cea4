"""ShareGroupCurrentMemberAssignment, type 14 of `__consumer_offsets`: what a member has now (KIP-932)."""

from protocol_specs.grammar import Array, GroupId, Int8, Int32, MemberId, Message, PartitionId, Struct, TopicId

ShareGroupCurrentMemberAssignmentKey = Message(
    "ShareGroupCurrentMemberAssignmentKey", key=14, versions="0", flexible="none"
)(
    "group_id" / GroupId,    # the group
    "member_id" / MemberId,  # the member
)

ShareGroupCurrentMemberAssignmentValue = Message(
    "ShareGroupCurrentMemberAssignmentValue", key=14, versions="0", flexible="0+"
)(
    "member_epoch" / Int32,                                   # the member's epoch in the group
    "previous_member_epoch" / Int32,  # the epoch before, accepted once more after a lost response
    "state" / Int8,                                           # 0 stable
    "assigned_partitions" / Array(Struct("TopicPartitions")(  # what the member owns now
        "topic_id" / TopicId,               # the topic's uuid (KIP-516)
        "partitions" / Array(PartitionId),  # the partitions' numbers
    )),
)
