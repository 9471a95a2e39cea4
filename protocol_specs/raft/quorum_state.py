"""QuorumStateData: the file `quorum-state` beside the metadata log: the epoch and the vote that must not be
forgotten.

The file is JSON of these fields in lowerCamelCase with `data_version` as version (and uuids as text). v0 lists the
voters (KIP-595); v1 adds the directory voted for (KIP-853), the voters being in the log or the config then.
"""

from protocol_specs.grammar import Array, DirectoryId, LeaderEpoch, Message, NodeId, Nullable, Offset, String, Struct

QuorumStateData = Message("QuorumStateData", versions="0-1", flexible="0+")(
    "cluster_id" / String(until=0),                     # the cluster's id
    "leader_id" / NodeId(default=-1),                   # the leader, -1 unknown
    "leader_epoch" / LeaderEpoch(default=-1),           # the latest epoch, -1 unknown
    "voted_id" / NodeId(default=-1),                    # whom this node voted for in that epoch, -1 nobody
    "voted_directory_id" / DirectoryId(since=1),        # metadata directory of the one voted for (KIP-853)
    "applied_offset" / Offset(until=0),                 # never used
    "current_voters" / Nullable(Array(Struct("Voter")(  # the voters
        "voter_id" / NodeId,  # the voter's node id
    )), until=0),
)
