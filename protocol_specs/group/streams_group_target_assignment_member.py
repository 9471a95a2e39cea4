"""StreamsGroupTargetAssignmentMember, type 21 of `__consumer_offsets`: the tasks a member shall end up with
(KIP-1071).
"""

from protocol_specs.grammar import Array, GroupId, MemberId, Message, PartitionId, String, Struct

StreamsGroupTargetAssignmentMemberKey = Message(
    "StreamsGroupTargetAssignmentMemberKey", key=21, versions="0", flexible="none"
)(
    "group_id" / GroupId,    # the group
    "member_id" / MemberId,  # the member
)

TaskIds = Struct("TaskIds")(
    "subtopology_id" / String,          # the subtopology, unique in its topology
    "partitions" / Array(PartitionId),  # the partitions of its tasks
)

StreamsGroupTargetAssignmentMemberValue = Message(
    "StreamsGroupTargetAssignmentMemberValue", key=21, versions="0", flexible="0+"
)(
    "active_tasks" / Array(TaskIds),   # tasks run actively
    "standby_tasks" / Array(TaskIds),  # tasks kept as warm copies
    "warmup_tasks" / Array(TaskIds),   # tasks being warmed up before they move
)
