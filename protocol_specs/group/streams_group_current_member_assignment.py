"""StreamsGroupCurrentMemberAssignment, type 22 of `__consumer_offsets`: the tasks a member has now (KIP-1071).

Assignment epochs are kept for active tasks only.
"""

from protocol_specs.grammar import Array, GroupId, Int8, Int32, MemberId, Message, Nullable, PartitionId, String, Struct

StreamsGroupCurrentMemberAssignmentKey = Message(
    "StreamsGroupCurrentMemberAssignmentKey", key=22, versions="0", flexible="none"
)(
    "group_id" / GroupId,    # the group
    "member_id" / MemberId,  # the member
)

TaskIds = Struct("TaskIds")(
    "subtopology_id" / String,                            # the subtopology, unique in its topology
    "partitions" / Array(PartitionId),                    # the partitions of its tasks
    # per partition, the member epoch it was assigned at; null unknown
    "assignment_epochs" / Nullable(Array(Int32), tag=0),
)

StreamsGroupCurrentMemberAssignmentValue = Message(
    "StreamsGroupCurrentMemberAssignmentValue", key=22, versions="0", flexible="0+"
)(
    "member_epoch" / Int32,                               # the member's epoch in the group
    "previous_member_epoch" / Int32,                      # the epoch before, accepted once more after a lost response
    "state" / Int8,                                       # 0 stable, 1 gives up tasks, 2 waits for others, 127 unknown
    "active_tasks" / Array(TaskIds),                      # tasks run actively
    "standby_tasks" / Array(TaskIds),                     # tasks kept as warm copies
    "warmup_tasks" / Array(TaskIds),                      # tasks being warmed up before they move
    "active_tasks_pending_revocation" / Array(TaskIds),   # active tasks to give up first
    "standby_tasks_pending_revocation" / Array(TaskIds),  # standby tasks to give up first
    "warmup_tasks_pending_revocation" / Array(TaskIds),   # warm-up tasks to give up first
)
