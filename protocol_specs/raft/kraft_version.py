"""KRaftVersionRecord, control record 5: the level of kraft.version (KIP-853)."""

from protocol_specs.grammar import Int16, Message

KRaftVersionRecord = Message("KRaftVersionRecord", versions="0", flexible="0+")(
    "version" / Int16,        # version of this record, again inside its value
    "kraft_version" / Int16,  # the level finalized: 0 static voters, 1 voters in the log
)
