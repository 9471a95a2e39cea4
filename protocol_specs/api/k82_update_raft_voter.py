"""UpdateRaftVoter: a voter tells its endpoints and kraft.version levels (KIP-853)."""

from protocol_specs.grammar import (
    Array,
    DirectoryId,
    DurationMs,
    ErrorCode,
    HostName,
    Int16,
    Int32,
    LeaderEpoch,
    Message,
    NodeId,
    Nullable,
    String,
    Struct,
    UInt16,
)

UpdateRaftVoterRequest = Message("UpdateRaftVoterRequest", key=82, versions="0", flexible="0+")(
    "cluster_id" / Nullable(String),         # the cluster's id, null skips the check
    "current_leader_epoch" / LeaderEpoch,    # the epoch of the leader this is meant for
    "voter_id" / NodeId,                     # the voter's node id
    "voter_directory_id" / DirectoryId,      # the voter's metadata directory (KIP-853)
    "listeners" / Array(Struct("Listener")(  # where to reach the voter now
        "name" / String,    # the listener's name
        "host" / HostName,  # where to connect: host name or address
        "port" / UInt16,    # where to connect: port
    )),
    "kraft_version_feature" / Struct("KRaftVersionFeature")(  # kraft.version levels it can run
        "min_supported_version" / Int16,  # the lowest level it can run
        "max_supported_version" / Int16,  # the highest level it can run
    ),
)

UpdateRaftVoterResponse = Message("UpdateRaftVoterResponse", key=82, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,                    # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                           # 0, or why this was refused (errors.py)
    "current_leader" / Struct("CurrentLeader", tag=0)(  # who leads, when it isn't the asked node
        "leader_id" / NodeId(default=-1),          # the leader's node id, -1 for none or unknown
        "leader_epoch" / LeaderEpoch(default=-1),  # the latest epoch known
        "host" / HostName,                         # where to connect: host name or address
        "port" / Int32,                            # where to connect: port
    ),
)
