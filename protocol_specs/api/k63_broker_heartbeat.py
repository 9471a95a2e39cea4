"""BrokerHeartbeat: a registered broker is alive and says what it wants (KIP-500).

v1 reports failed log directories (KIP-858); v2 cordoned ones (KIP-1066).
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    BrokerEpoch,
    DirectoryId,
    DurationMs,
    ErrorCode,
    Message,
    NodeId,
    Nullable,
    Offset,
)

BrokerHeartbeatRequest = Message("BrokerHeartbeatRequest", key=63, versions="0-2", flexible="0+")(
    "broker_id" / NodeId,                                     # the broker's node id
    "broker_epoch" / BrokerEpoch(default=-1),                 # the broker's registration epoch; older ones are fenced
    "current_metadata_offset" / Offset,                       # the highest metadata offset the broker has applied
    "want_fence" / Bool,                                      # asks to be kept out of leadership
    "want_shut_down" / Bool,                                  # asks to leave in an orderly way
    "offline_log_dirs" / Array(DirectoryId, since=1, tag=0),  # uuids of directories that failed (KIP-858)
    # uuids of directories that take no new replicas, null no change (KIP-1066)
    "cordoned_log_dirs" / Nullable(Array(DirectoryId), since=2, tag=1, default=None),
)

BrokerHeartbeatResponse = Message("BrokerHeartbeatResponse", key=63, versions="0-2", flexible="0+")(
    "throttle_time_ms" / DurationMs,   # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,          # 0, or why this was refused (errors.py)
    "is_caught_up" / Bool,             # whether it has nearly all metadata
    "is_fenced" / Bool(default=True),  # whether it is kept out of leadership
    "should_shut_down" / Bool,         # it may go now: it leads nothing any more
)
