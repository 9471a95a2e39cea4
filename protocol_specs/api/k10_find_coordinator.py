"""FindCoordinator: which broker coordinates a group, a transactional id or a share-partition.

v1 adds key_type for transactions (KIP-98); v2 answers before it throttles; v3 is flexible; v4 asks for several keys
at once (KIP-699); v5 knows TRANSACTION_ABORTABLE (KIP-890); v6 adds share-partitions (KIP-932).
"""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    HostName,
    Int8,
    Int32,
    Message,
    NodeId,
    Nullable,
    String,
    Struct,
)

FindCoordinatorRequest = Message("FindCoordinatorRequest", key=10, versions="0-6", flexible="3+")(
    "key" / String(until=3),                      # a group id or transactional id
    "key_type" / Int8(since=1),  # 0 group, 1 transactional id, 2 share-partition "group:topicId:partition"
    "coordinator_keys" / Array(String, since=4),  # the keys; each gets its own answer (KIP-699)
)

FindCoordinatorResponse = Message("FindCoordinatorResponse", key=10, versions="0-6", flexible="3+")(
    "throttle_time_ms" / DurationMs(since=1, ignorable=True),  # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode(until=3),             # 0, or why this was refused (errors.py)
    # the reason in words, null when there is none to add
    "error_message" / Nullable(ErrorMessage, since=1, until=3, ignorable=True),
    "node_id" / NodeId(until=3),                   # the coordinator's node id, -1 for none
    "host" / HostName(until=3),                    # where to connect: host name or address
    "port" / Int32(until=3),                       # where to connect: port
    "coordinators" / Array(Struct("Coordinator")(  # one answer per key
        "key" / String,                            # the key this is about
        "node_id" / NodeId,                        # the coordinator's node id, -1 for none
        "host" / HostName,                         # where to connect: host name or address
        "port" / Int32,                            # where to connect: port
        "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
    ), since=4),
)
