"""AddOffsetsToTxn: enlist a group's offsets in a transaction (KIP-98).

v1 answers before it throttles; v2 may answer PRODUCER_FENCED; v3 is flexible; v4 may answer TRANSACTION_ABORTABLE
(KIP-890).
"""

from protocol_specs.grammar import DurationMs, ErrorCode, GroupId, Message, ProducerEpoch, ProducerId, TransactionalId

AddOffsetsToTxnRequest = Message("AddOffsetsToTxnRequest", key=25, versions="0-4", flexible="3+")(
    "transactional_id" / TransactionalId,  # names the transactional producer across its restarts
    "producer_id" / ProducerId,            # the producer's id, -1 for none
    "producer_epoch" / ProducerEpoch,      # fences older instances of this producer id, -1 for none
    "group_id" / GroupId,                  # the group whose offsets the transaction will commit
)

AddOffsetsToTxnResponse = Message("AddOffsetsToTxnResponse", key=25, versions="0-4", flexible="3+")(
    "throttle_time_ms" / DurationMs,  # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
)
