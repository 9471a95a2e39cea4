"""NoOpRecord: nothing; written now and then so that an idle log's end still moves (KIP-835)."""

from protocol_specs.grammar import Message

NoOpRecord = Message("NoOpRecord", key=20, versions="0", flexible="0+")()  # no fields
