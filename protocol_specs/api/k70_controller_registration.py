"""ControllerRegistration: a controller presents itself to the active one (KIP-919)."""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
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

ControllerRegistrationRequest = Message("ControllerRegistrationRequest", key=70, versions="0", flexible="0+")(
    "controller_id" / NodeId,                # the registering controller's node id
    "incarnation_id" / Uuid,                 # uuid made anew by each start of the process
    "zk_migration_ready" / Bool,             # left over from the ZooKeeper migration
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
)

ControllerRegistrationResponse = Message("ControllerRegistrationResponse", key=70, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,           # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
)
