"""DescribeClientQuotas: the quotas of users, client ids and addresses (KIP-546).

v1 is flexible.
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    Float64,
    Int8,
    Message,
    Nullable,
    String,
    Struct,
)

DescribeClientQuotasRequest = Message("DescribeClientQuotasRequest", key=48, versions="0-1", flexible="1+")(
    "components" / Array(Struct("ComponentData")(  # all must match
        "entity_type" / String,      # "user", "client-id" or "ip"
        "match_type" / Int8,         # 0 exactly that name, 1 the default entity, 2 any name
        "match" / Nullable(String),  # the name to match, null unless match_type is 0
    )),
    "strict" / Bool,  # leave out entities with parts not named here
)

DescribeClientQuotasResponse = Message("DescribeClientQuotasResponse", key=48, versions="0-1", flexible="1+")(
    "throttle_time_ms" / DurationMs,                 # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                        # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage),        # the reason in words, null when there is none to add
    "entries" / Nullable(Array(Struct("EntryData")(  # one entry per limited entity, null on error
        "entity" / Array(Struct("EntityData")(  # the parts that together name who is limited
            "entity_type" / String,            # "user", "client-id" or "ip"
            "entity_name" / Nullable(String),  # the name, null for the default of its type
        )),
        "values" / Array(Struct("ValueData")(  # its limits
            "key" / String,     # the quota, such as "producer_byte_rate"
            "value" / Float64,  # the limit, in the quota's unit
        )),
    ))),
)
