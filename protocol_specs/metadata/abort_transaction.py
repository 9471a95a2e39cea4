"""AbortTransactionRecord: the records since BeginTransactionRecord never were (KIP-868)."""

from protocol_specs.grammar import Message, Nullable, String

AbortTransactionRecord = Message("AbortTransactionRecord", key=25, versions="0", flexible="0+")(
    "reason" / Nullable(String, tag=0, default=None),  # why, null for no reason given
)
