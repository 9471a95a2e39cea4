"""VotersRecord, control record 6: who votes in the metadata quorum from here on (KIP-853)."""

from protocol_specs.grammar import Array, DirectoryId, HostName, Int16, Message, NodeId, String, Struct, UInt16

VotersRecord = Message("VotersRecord", versions="0", flexible="0+")(
    "version" / Int16,                 # version of this record, again inside its value
    "voters" / Array(Struct("Voter")(  # the voters from here on
        "voter_id" / NodeId,                     # the voter's node id
        "voter_directory_id" / DirectoryId,      # the voter's metadata directory (KIP-853)
        "endpoints" / Array(Struct("Endpoint")(  # where to reach it
            "name" / String,    # the listener's name
            "host" / HostName,  # where to connect: host name or address
            "port" / UInt16,    # where to connect: port
        )),
        "kraft_version_feature" / Struct("KRaftVersionFeature")(  # kraft.version levels it can run
            "min_supported_version" / Int16,  # the lowest level it can run
            "max_supported_version" / Int16,  # the highest level it can run
        ),
    )),
)
