"""AddRaftVoter: let a node vote in the metadata quorum (KIP-853).

v1 may be answered before the change is committed (KIP-1186).
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DirectoryId,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    HostName,
    Message,
    NodeId,
    Nullable,
    String,
    Struct,
    UInt16,
)

AddRaftVoterRequest = Message("AddRaftVoterRequest", key=80, versions="0-1", flexible="0+")(
    "cluster_id" / Nullable(String),         # the cluster's id, null skips the check
    "timeout_ms" / DurationMs,               # ms to wait for completion before answering anyway
    "voter_id" / NodeId,                     # the node to add
    "voter_directory_id" / DirectoryId,      # its metadata directory
    "listeners" / Array(Struct("Listener")(  # where to reach it
        "name" / String,    # the listener's name
        "host" / HostName,  # where to connect: host name or address
        "port" / UInt16,    # where to connect: port
    )),
    "ack_when_committed" / Bool(since=1, default=True),  # answer after the commit; false: once written (KIP-1186)
)

AddRaftVoterResponse = Message("AddRaftVoterResponse", key=80, versions="0-1", flexible="0+")(
    "throttle_time_ms" / DurationMs,           # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
)
