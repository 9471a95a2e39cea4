"""LeaderChangeMessage, control record 2 of the metadata log: the first record of every leader's epoch (KIP-595).

v1 adds directory ids (KIP-853).
"""

from protocol_specs.grammar import Array, DirectoryId, Int16, Message, NodeId, Struct

Voter = Struct("Voter")(
    "voter_id" / NodeId,                          # the voter's node id
    "voter_directory_id" / DirectoryId(since=1),  # the voter's metadata directory (KIP-853)
)

LeaderChangeMessage = Message("LeaderChangeMessage", versions="0-1", flexible="0+")(
    "version" / Int16,                 # version of this record, again inside its value
    "leader_id" / NodeId,              # the new leader's node id
    "voters" / Array(Voter),           # the voters of this epoch
    "granting_voters" / Array(Voter),  # those that voted for it
)
