"""RegisterBrokerRecord: a broker has started and registered (KIP-500).

v1 adds controlled shutdown (KIP-841); v2 the ZooKeeper migration (KIP-866); v3 log directories (KIP-858); v4 cordoned
ones (KIP-1066). Replay replaces any earlier registration of that broker.
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    BrokerEpoch,
    DirectoryId,
    HostName,
    Int16,
    Message,
    NodeId,
    Nullable,
    String,
    Struct,
    UInt16,
    Uuid,
)

RegisterBrokerRecord = Message("RegisterBrokerRecord", key=0, versions="0-4", flexible="0+")(
    "broker_id" / NodeId,                           # the broker's node id
    "is_migrating_zk_broker" / Bool(since=2),       # left over from the ZooKeeper migration
    "incarnation_id" / Uuid,                        # uuid made anew by each start of the process
    "broker_epoch" / BrokerEpoch,                   # the broker's new epoch: this record's offset
    "end_points" / Array(Struct("BrokerEndpoint")(  # where the node listens
        "name" / String,              # the listener's name
        "host" / HostName,            # where to connect: host name or address
        "port" / UInt16,              # where to connect: port
        "security_protocol" / Int16,  # 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL
    )),
    "features" / Array(Struct("BrokerFeature")(  # feature levels that this node supports
        "name" / String,                  # the feature's name
        "min_supported_version" / Int16,  # the lowest level it can run
        "max_supported_version" / Int16,  # the highest level it can run
    )),
    "rack" / Nullable(String),                        # the broker's rack, null when it has none
    "fenced" / Bool(default=True),                    # starts out kept from leadership
    "in_controlled_shutdown" / Bool(since=1),         # on its way out
    "log_dirs" / Array(DirectoryId, since=3, tag=0),  # uuids of the log directories in use (KIP-858)
    # uuids of directories that take no new replicas (KIP-1066)
    "cordoned_log_dirs" / Nullable(Array(DirectoryId), since=4, tag=1, default=None),
)
