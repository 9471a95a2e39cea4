"""ConsumerGroupCurrentMemberAssignment, type 8 of `__consumer_offsets`: what a member has now (KIP-848).

Assignment epochs let a commit with an older epoch pass for partitions held since then (KIP-1251).
"""

from protocol_specs.grammar import (
    Array,
    GroupId,
    Int8,
    Int32,
    MemberId,
    Message,
    Nullable,
    PartitionId,
    Struct,
    TopicId,
)

ConsumerGroupCurrentMemberAssignmentKey = Message(
    "ConsumerGroupCurrentMemberAssignmentKey", key=8, versions="0", flexible="none"
)(
    "group_id" / GroupId,    # the group
    "member_id" / MemberId,  # the member
)

TopicPartitions = Struct("TopicPartitions")(
    "topic_id" / TopicId,                                 # the topic's uuid (KIP-516)
    "partitions" / Array(PartitionId),                    # the partitions' numbers
    # per partition, the member epoch it was assigned at; null unknown
    "assignment_epochs" / Nullable(Array(Int32), tag=0),
)

ConsumerGroupCurrentMemberAssignmentValue = Message(
    "ConsumerGroupCurrentMemberAssignmentValue", key=8, versions="0", flexible="0+"
)(
    "member_epoch" / Int32,                          # the member's epoch in the group
    "previous_member_epoch" / Int32,                 # the epoch before, accepted once more after a lost response
    "state" / Int8,                                  # 0 stable, 1 gives up partitions, 2 waits for others, 127 unknown
    "assigned_partitions" / Array(TopicPartitions),  # what the member owns now
    "partitions_pending_revocation" / Array(TopicPartitions),  # what the member must give up first
)
