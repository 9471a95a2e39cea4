"""ListTransactions: the transactions a coordinator knows (KIP-664).

v1 filters by age (KIP-994); v2 by a pattern of ids (KIP-1152).
"""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    Int64,
    Message,
    Nullable,
    ProducerId,
    String,
    Struct,
    TransactionalId,
)

ListTransactionsRequest = Message("ListTransactionsRequest", key=66, versions="0-2", flexible="0+")(
    "state_filters" / Array(String),                 # wanted states, empty for all
    "producer_id_filters" / Array(ProducerId),       # wanted producer ids, empty for all
    "duration_filter" / Int64(since=1, default=-1),  # ms open at least, negative for all (KIP-994)
    # RE2 pattern of transactional ids, null for all (KIP-1152)
    "transactional_id_pattern" / Nullable(String, since=2, default=None),
)

ListTransactionsResponse = Message("ListTransactionsResponse", key=66, versions="0-2", flexible="0+")(
    "throttle_time_ms" / DurationMs,                          # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                                 # 0, or why this was refused (errors.py)
    "unknown_state_filters" / Array(String),                  # the asked-for states that don't exist
    "transaction_states" / Array(Struct("TransactionState")(  # one entry per transaction
        "transactional_id" / TransactionalId,  # names the transactional producer across its restarts
        "producer_id" / ProducerId,            # the producer's id, -1 for none
        "transaction_state" / String,          # the state's name, such as "Ongoing"
    )),
)
