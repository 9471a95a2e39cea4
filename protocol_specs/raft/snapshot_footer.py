"""SnapshotFooterRecord, control record 4: the last record of a metadata snapshot; without it the file is torn
(KIP-630).
"""

from protocol_specs.grammar import Int16, Message

SnapshotFooterRecord = Message("SnapshotFooterRecord", versions="0", flexible="0+")(
    "version" / Int16,  # version of this record, again inside its value
)
