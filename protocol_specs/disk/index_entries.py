"""Entries of a segment's indexes: rows of fixed size back to back, sorted.

`.index`: for one batch per `index.interval.bytes`, its last offset and where it starts. `.timeindex`: the largest
timestamp so far, and the offset of the batch that holds it, whenever it grew by an entry of `.index`. Both are filled
with zeros up to `segment.index.bytes` while the segment is active. `.txnindex`: aborted transactions that end in the
segment, made with the first (KIP-98); its rows begin with a version.
"""

from protocol_specs.grammar import Int16, Int32, Message, Offset, ProducerId, TimestampMs

OffsetIndexEntry = Message("OffsetIndexEntry", versions="0", flexible="none")(
    "relative_offset" / Int32,  # the batch's last offset minus the segment's base offset
    "position" / Int32,         # where the batch starts in the segment, in bytes
)

TimeIndexEntry = Message("TimeIndexEntry", versions="0", flexible="none")(
    "timestamp" / TimestampMs,  # ms since 1970, the largest of the segment up to that batch
    "relative_offset" / Int32,  # last offset of the batch that holds it, minus the segment's base offset
)

TransactionIndexEntry = Message("TransactionIndexEntry", versions="0", flexible="none")(
    "version" / Int16,              # 0
    "producer_id" / ProducerId,     # whose transaction it was
    "first_offset" / Offset,        # its first record
    "last_offset" / Offset,         # its abort marker
    "last_stable_offset" / Offset,  # the last stable offset when it was aborted
)
