"""ListGroups: the groups this broker coordinates.

v1 adds throttling, v2 answers before it throttles; v3 is flexible; v4 filters by state (KIP-518); v5 filters by type
(KIP-848).
"""

from protocol_specs.grammar import Array, DurationMs, ErrorCode, GroupId, Message, String, Struct

ListGroupsRequest = Message("ListGroupsRequest", key=16, versions="0-5", flexible="3+")(
    "states_filter" / Array(String, since=4),  # wanted states, empty for all (KIP-518)
    "types_filter" / Array(String, since=5),   # wanted types, empty for all (KIP-848)
)

ListGroupsResponse = Message("ListGroupsResponse", key=16, versions="0-5", flexible="3+")(
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                                  # 0, or why this was refused (errors.py)
    "groups" / Array(Struct("ListedGroup")(                    # one entry per group
        "group_id" / GroupId,                             # the group
        "protocol_type" / String,                         # what the group is for: "consumer" or "connect"
        "group_state" / String(since=4, ignorable=True),  # the state's name, such as "Stable"
        "group_type" / String(since=5, ignorable=True),   # "classic", "consumer", "share" or "streams" (KIP-848)
    )),
)
