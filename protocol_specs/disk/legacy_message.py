"""Messages of the formats before record batches (magic 0 and 1), in Produce 0-2 and Fetch 0-3 and old segments.

A message set is entries back to back, the last one possibly cut by a size limit. Attributes: bits 0-2 the codec (0
none, 1 gzip, 2 snappy, 3 lz4), bit 3 the timestamp's type (1 log append time; magic 1 only, KIP-32). A compressed
message is a wrapper whose value is a message set: magic 0 has absolute offsets inside; magic 1 has offsets from 0
inside and the last one's absolute offset outside (KIP-31). Wrappers don't nest.
"""

from protocol_specs.grammar import Bytes, Int8, Int32, Message, Nullable, Offset, TimestampMs, UInt32

LegacyMessage = Message("LegacyMessage", versions="0-1", flexible="none")(
    "offset" / Offset,                  # the message's offset; of a wrapper, that of its last message
    "message_size" / Int32,             # bytes after this field, at least 14 (magic 0) or 22 (magic 1)
    "crc" / UInt32,                     # CRC-32 (IEEE) from magic to the end
    "magic" / Int8,                     # 0 or 1: the version of this declaration
    "attributes" / Int8,                # bits, see above
    "timestamp" / TimestampMs(since=1, default=-1, ignorable=True),  # ms since 1970, -1 unknown
    "key" / Nullable(Bytes),            # the key, null for none
    "value" / Nullable(Bytes),          # the value, null for none
)
