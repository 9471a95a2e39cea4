"""SnapshotHeaderRecord, control record 3: the first record of a metadata snapshot (KIP-630)."""

from protocol_specs.grammar import Int16, Message, TimestampMs

SnapshotHeaderRecord = Message("SnapshotHeaderRecord", versions="0", flexible="0+")(
    "version" / Int16,                             # version of this record, again inside its value
    "last_contained_log_timestamp" / TimestampMs,  # ms since 1970 of the last batch in the snapshot
)
