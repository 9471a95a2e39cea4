"""InitProducerId: an id and epoch for an idempotent or transactional producer (KIP-98).

With a transactional id it also fences older producers of that id and ends what they left open. v1 answers before it
throttles; v2 is flexible; v3 lets a producer bump its own epoch (KIP-360); v4 may answer PRODUCER_FENCED; v5
TRANSACTION_ABORTABLE (KIP-890); v6 prepares two-phase commit (KIP-939) and is unstable in 4.3.
"""

from protocol_specs.grammar import (
    Bool,
    DurationMs,
    ErrorCode,
    Message,
    Nullable,
    ProducerEpoch,
    ProducerId,
    TransactionalId,
)

InitProducerIdRequest = Message("InitProducerIdRequest", key=22, versions="0-6", flexible="2+")(
    "transactional_id" / Nullable(TransactionalId),         # null for a producer that is only idempotent
    "transaction_timeout_ms" / DurationMs,                  # ms until an open transaction is aborted
    "producer_id" / ProducerId(since=3, default=-1),        # the id held so far, -1 for none (KIP-360)
    "producer_epoch" / ProducerEpoch(since=3, default=-1),  # the epoch held so far, -1 for none (KIP-360)
    "enable2_pc" / Bool(since=6),                           # the client takes part in two-phase commits (KIP-939)
    "keep_prepared_txn" / Bool(since=6),                    # leave a prepared transaction open (KIP-939)
)

InitProducerIdResponse = Message("InitProducerIdResponse", key=22, versions="0-6", flexible="2+")(
    "throttle_time_ms" / DurationMs,         # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                # 0, or why this was refused (errors.py)
    "producer_id" / ProducerId(default=-1),  # the id to use, -1 on error
    "producer_epoch" / ProducerEpoch,        # the epoch to use
    # id behind the kept transaction, -1 for none (KIP-939)
    "ongoing_txn_producer_id" / ProducerId(since=6, default=-1),
    # epoch behind the kept transaction, -1 for none (KIP-939)
    "ongoing_txn_producer_epoch" / ProducerEpoch(since=6, default=-1),
)
