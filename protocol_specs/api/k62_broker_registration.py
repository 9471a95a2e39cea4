"""BrokerRegistration: a starting broker presents itself to the controller (KIP-500).

v1 marked brokers migrating from ZooKeeper (KIP-866); v2 adds log directories (KIP-858); v3 the epoch before a clean
shutdown (KIP-966); v4 lets the lowest feature level be 0 (KAFKA-17011).
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    BrokerEpoch,
    DirectoryId,
    DurationMs,
    ErrorCode,
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

BrokerRegistrationRequest = Message("BrokerRegistrationRequest", key=62, versions="0-4", flexible="0+")(
    "broker_id" / NodeId,                    # the broker's node id
    "cluster_id" / String,                   # the cluster the broker believes to be in
    "incarnation_id" / Uuid,                 # uuid made anew by each start of the process
    "listeners" / Array(Struct("Listener")(  # where the node listens
        "name" / String,              # the listener's name
        "host" / HostName,            # where to connect: host name or address
        "port" / UInt16,              # where to connect: port
        "security_protocol" / Int16,  # 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL
    )),
    "features" / Array(Struct("Feature")(  # feature levels that this node supports
        "name" / String,                  # the feature's name
        "min_supported_version" / Int16,  # the lowest level it can run
        "max_supported_version" / Int16,  # the highest level it can run
    )),
    "rack" / Nullable(String),                 # the broker's rack, null when it has none
    "is_migrating_zk_broker" / Bool(since=1),  # left over from the ZooKeeper migration
    "log_dirs" / Array(DirectoryId, since=2, ignorable=True),  # uuids of the log directories in use (KIP-858)
    # its epoch before a clean shutdown, -1 none (KIP-966)
    "previous_broker_epoch" / BrokerEpoch(since=3, default=-1, ignorable=True),
)

BrokerRegistrationResponse = Message("BrokerRegistrationResponse", key=62, versions="0-4", flexible="0+")(
    "throttle_time_ms" / DurationMs,           # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
    "broker_epoch" / BrokerEpoch(default=-1),  # the broker's new epoch, -1 on error
)
