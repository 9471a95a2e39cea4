"""RemoveRaftVoter: take a node's vote in the metadata quorum (KIP-853)."""

from protocol_specs.grammar import DirectoryId, DurationMs, ErrorCode, ErrorMessage, Message, NodeId, Nullable, String

RemoveRaftVoterRequest = Message("RemoveRaftVoterRequest", key=81, versions="0", flexible="0+")(
    "cluster_id" / Nullable(String),     # the cluster's id, null skips the check
    "voter_id" / NodeId,                 # the node to remove
    "voter_directory_id" / DirectoryId,  # its metadata directory
)

RemoveRaftVoterResponse = Message("RemoveRaftVoterResponse", key=81, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,           # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
)
