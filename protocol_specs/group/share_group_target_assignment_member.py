"""ShareGroupTargetAssignmentMember, type 13 of `__consumer_offsets`: what a member shall end up with (KIP-932)."""

from protocol_specs.grammar import Array, GroupId, MemberId, Message, PartitionId, Struct, TopicId

ShareGroupTargetAssignmentMemberKey = Message(
    "ShareGroupTargetAssignmentMemberKey", key=13, versions="0", flexible="none"
)(
    "group_id" / GroupId,    # the group
    "member_id" / MemberId,  # the member
)

ShareGroupTargetAssignmentMemberValue = Message(
    "ShareGroupTargetAssignmentMemberValue", key=13, versions="0", flexible="0+"
)(
    "topic_partitions" / Array(Struct("TopicPartition")(  # partitions by topic
        "topic_id" / TopicId,               # the topic's uuid (KIP-516)
        "partitions" / Array(PartitionId),  # the partitions' numbers
    )),
)
