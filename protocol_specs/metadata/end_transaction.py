"""EndTransactionRecord: the records since BeginTransactionRecord take effect (KIP-868)."""

from protocol_specs.grammar import Message

EndTransactionRecord = Message("EndTransactionRecord", key=24, versions="0", flexible="0+")()  # no fields
