"""DeleteGroups: forget empty groups with their offsets (KIP-229).

v1 answers before it throttles; v2 is flexible.
"""

from protocol_specs.grammar import Array, DurationMs, ErrorCode, GroupId, Message, Struct

DeleteGroupsRequest = Message("DeleteGroupsRequest", key=42, versions="0-2", flexible="2+")(
    "groups_names" / Array(GroupId),  # the groups to delete
)

DeleteGroupsResponse = Message("DeleteGroupsResponse", key=42, versions="0-2", flexible="2+")(
    "throttle_time_ms" / DurationMs,                   # ms the client is asked to wait: its quota was exceeded
    "results" / Array(Struct("DeletableGroupResult")(  # one result per entry of the request
        "group_id" / GroupId,      # the group
        "error_code" / ErrorCode,  # 0, or why this was refused (errors.py)
    )),
)
