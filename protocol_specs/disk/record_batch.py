"""Record batches (magic 2, KIP-98), in segments and in Produce and Fetch alike.

    0            8             12            16    17    21           61
    | baseOffset | batchLength | leaderEpoch | 2 | crc | ... header | records ...
    |  outside the CRC: stamped by the broker      |     | CRC-32C covers from here to the end

`batch_length` counts what follows it: the batch has 12 bytes more. Base offset and leader epoch are outside the CRC, so
a broker stamps them in place. Records are compressed together, if at all. Attributes of a batch: bits 0-2 the codec
(0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd (KIP-110)), bit 3 the timestamp's type (1 log append time, KIP-32), bit 4
transactional, bit 5 control, bit 6 base_timestamp holds the delete horizon (KIP-534).
"""

from protocol_specs.grammar import (
    Int8,
    Int16,
    Int32,
    LeaderEpoch,
    Message,
    Nullable,
    Offset,
    ProducerEpoch,
    ProducerId,
    Sequence,
    Struct,
    TimestampMs,
    UInt32,
    Varint,
    VarintArray,
    VarintBytes,
    VarintString,
    Varlong,
)

RecordBatchHeader = Message("RecordBatchHeader", versions="2", flexible="none")(
    "base_offset" / Offset,                  # offset of the first record, even if compaction removed it
    "batch_length" / Int32,                  # bytes after this field
    "partition_leader_epoch" / LeaderEpoch,  # epoch of the leader that appended it, -1 from a producer
    "magic" / Int8(default=2),               # 2; 0 and 1 are in legacy_message.py
    "crc" / UInt32,                          # CRC-32C from attributes to the end
    "attributes" / Int16,                    # bits, see above
    "last_offset_delta" / Int32,             # last offset minus base_offset, even if compaction removed it
    "base_timestamp" / TimestampMs,          # ms since 1970 of the first record, or the delete horizon
    "max_timestamp" / TimestampMs,           # ms since 1970 of the newest record, or of the append
    "producer_id" / ProducerId(default=-1),  # who wrote it, -1 without idempotence
    "producer_epoch" / ProducerEpoch(default=-1),  # that producer's epoch, -1 without idempotence
    "base_sequence" / Sequence(default=-1),  # sequence number of the first record, -1 none; wraps after 2^31-1
    "records_count" / Int32,                 # records left in the batch; compaction may leave 0
)

Record = Message("Record", versions="2", flexible="none")(
    "length" / Varint,                       # bytes after this field
    "attributes" / Int8,                     # unused
    "timestamp_delta" / Varlong,             # ms after base_timestamp
    "offset_delta" / Varint,                 # offset minus base_offset
    "key" / Nullable(VarintBytes),           # the key, null for none
    "value" / Nullable(VarintBytes),         # the value, null for none (a tombstone in compacted topics)
    "headers" / VarintArray(Struct("RecordHeader")(  # in the producer's order; keys may repeat (KIP-82)
        "key" / VarintString,              # the header's name
        "value" / Nullable(VarintBytes),   # its value, null for none
    )),
)
