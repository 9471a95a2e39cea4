"""BeginTransactionRecord: the records up to EndTransactionRecord take effect together (KIP-868)."""

from protocol_specs.grammar import Message, Nullable, String

BeginTransactionRecord = Message("BeginTransactionRecord", key=23, versions="0", flexible="0+")(
    "name" / Nullable(String, tag=0, default=None),  # what it is for, null for no name
)
