"""Control records: batches of one record that the broker writes for itself; consumers skip them.

Key: int16 version, then ControlRecordTypeSchema. Value of types 0 and 1, which end a transaction (KIP-98): int16
version, then EndTxnMarker. Types 2 to 6 belong to the metadata log: see protocol_specs/raft.
"""

from protocol_specs.grammar import Int16, Int32, Message

ControlRecordTypeSchema = Message("ControlRecordTypeSchema", versions="0", flexible="none")(
    "type" / Int16,  # 0 abort, 1 commit, 2 leader change, 3/4 snapshot header/footer, 5 kraft.version, 6 voters
)

EndTxnMarker = Message("EndTxnMarker", versions="0", flexible="none")(
    "coordinator_epoch" / Int32,  # the transaction coordinator's epoch; older ones are fenced
)
