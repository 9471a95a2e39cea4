"""AlterClientQuotas: set and remove quotas (KIP-546).

v1 is flexible.
"""

from protocol_specs.grammar import (
    Array,
    Bool,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    Float64,
    Message,
    Nullable,
    String,
    Struct,
)

AlterClientQuotasRequest = Message("AlterClientQuotasRequest", key=49, versions="0-1", flexible="1+")(
    "entries" / Array(Struct("EntryData")(  # one entry per entity
        "entity" / Array(Struct("EntityData")(  # the parts that together name who is limited
            "entity_type" / String,            # "user", "client-id" or "ip"
            "entity_name" / Nullable(String),  # the name, null for the default of its type
        )),
        "ops" / Array(Struct("OpData")(  # the changes
            "key" / String,     # the quota, such as "producer_byte_rate"
            "value" / Float64,  # the limit, in the quota's unit
            "remove" / Bool,    # take the limit away
        )),
    )),
    "validate_only" / Bool,  # check everything, change nothing
)

AlterClientQuotasResponse = Message("AlterClientQuotasResponse", key=49, versions="0-1", flexible="1+")(
    "throttle_time_ms" / DurationMs,        # ms the client is asked to wait: its quota was exceeded
    "entries" / Array(Struct("EntryData")(  # one entry per entity
        "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
        "entity" / Array(Struct("EntityData")(     # the parts that together name who is limited
            "entity_type" / String,            # "user", "client-id" or "ip"
            "entity_name" / Nullable(String),  # the name, null for the default of its type
        )),
    )),
)
