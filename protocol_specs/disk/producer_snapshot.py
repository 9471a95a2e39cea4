"""ProducerSnapshot: the file `<offset>.snapshot`: idempotent producers as of that offset (exclusive).

Bytes: int16 version (1), then the fields; one entry per producer, its last batch only (KIP-98).
"""

from protocol_specs.grammar import (
    Array,
    Int16,
    Int32,
    Message,
    Offset,
    ProducerId,
    Sequence,
    Struct,
    TimestampMs,
    UInt32,
)

ProducerSnapshot = Message("ProducerSnapshot", versions="1", flexible="none")(
    "crc" / UInt32,                                      # CRC-32C over all that follows
    "producer_entries" / Array(Struct("ProducerEntry")(  # one entry per producer
        "producer_id" / ProducerId,           # the producer's id, -1 for none
        "epoch" / Int16,                      # the producer's epoch
        "last_sequence" / Sequence,           # sequence number of the last record, -1 none
        "last_offset" / Offset,               # offset of the last record
        "offset_delta" / Int32,               # last offset minus first offset of the last batch
        "timestamp" / TimestampMs,            # ms since 1970 of the last batch
        "coordinator_epoch" / Int32,          # of the coordinator that wrote the last marker, -1 none
        "current_txn_first_offset" / Offset,  # first offset of the open transaction, -1 none
    )),
)
