"""EndTxn: commit or abort a transaction (KIP-98).

v1 answers before it throttles; v2 may answer PRODUCER_FENCED; v3 is flexible; v4 may answer TRANSACTION_ABORTABLE; v5
bumps the epoch at each end and answers with it (KIP-890).
"""

from protocol_specs.grammar import Bool, DurationMs, ErrorCode, Message, ProducerEpoch, ProducerId, TransactionalId

EndTxnRequest = Message("EndTxnRequest", key=26, versions="0-5", flexible="3+")(
    "transactional_id" / TransactionalId,  # names the transactional producer across its restarts
    "producer_id" / ProducerId,            # the producer's id, -1 for none
    "producer_epoch" / ProducerEpoch,      # fences older instances of this producer id, -1 for none
    "committed" / Bool,                    # true commits, false aborts
)

EndTxnResponse = Message("EndTxnResponse", key=26, versions="0-5", flexible="3+")(
    "throttle_time_ms" / DurationMs,  # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
    # the id for the next transaction, -1 on error (KIP-890)
    "producer_id" / ProducerId(since=5, default=-1, ignorable=True),
    # the epoch for the next transaction, -1 on error (KIP-890)
    "producer_epoch" / ProducerEpoch(since=5, default=-1, ignorable=True),
)
