"""ClientQuotaRecord: one limit of one entity was set or removed (KIP-546)."""

from protocol_specs.grammar import Array, Bool, Float64, Message, Nullable, String, Struct

ClientQuotaRecord = Message("ClientQuotaRecord", key=14, versions="0", flexible="0+")(
    "entity" / Array(Struct("EntityData")(  # the parts that together name who is limited
        "entity_type" / String,            # "user", "client-id" or "ip"
        "entity_name" / Nullable(String),  # the name, null for the default of its type
    )),
    "key" / String,     # the quota, such as "producer_byte_rate"
    "value" / Float64,  # the limit, in the quota's unit
    "remove" / Bool,    # the limit is taken away
)
