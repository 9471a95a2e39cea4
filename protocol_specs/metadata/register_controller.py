"""RegisterControllerRecord: a controller has registered (KIP-919)."""

from protocol_specs.grammar import Array, Bool, HostName, Int16, Message, NodeId, String, Struct, UInt16, Uuid

RegisterControllerRecord = Message("RegisterControllerRecord", key=27, versions="0", flexible="0+")(
    "controller_id" / NodeId,                           # the controller's node id
    "incarnation_id" / Uuid,                            # uuid made anew by each start of the process
    "zk_migration_ready" / Bool,                        # left over from the ZooKeeper migration
    "end_points" / Array(Struct("ControllerEndpoint")(  # where the node listens
        "name" / String,              # the listener's name
        "host" / HostName,            # where to connect: host name or address
        "port" / UInt16,              # where to connect: port
        "security_protocol" / Int16,  # 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL
    )),
    "features" / Array(Struct("ControllerFeature")(  # feature levels that this node supports
        "name" / String,                  # the feature's name
        "min_supported_version" / Int16,  # the lowest level it can run
        "max_supported_version" / Int16,  # the highest level it can run
    )),
)
