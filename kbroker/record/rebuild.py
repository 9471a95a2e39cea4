"""A batch opened and packed anew under another codec; for topics whose `compression.type` isn't the producer's."""

from __future__ import annotations

from kbroker.record.batch import (
    CODEC_MASK,
    HEADER_BYTES,
    PREFIX_BYTES,
    Buffer,
    iterate_records,
    read_header,
    restamp_checksum,
)
from kbroker.record.compression import DECOMPRESSED_BYTES_MAX, compress, decompress


def recompressed(batch: Buffer, codec: int, level: int | None, limit: int = DECOMPRESSED_BYTES_MAX) -> bytearray:
    """The same records under `codec`; everything of the header but length, codec and checksum stays.

    Every record is parsed on the way, so that a body which doesn't match its header is refused here rather than stored.
    Raises CorruptRecords.
    """
    header = read_header(batch)
    for _ in iterate_records(batch, limit):
        pass
    body = compress(codec, decompress(header.codec, memoryview(batch)[HEADER_BYTES : header.size], limit), level)
    rebuilt = bytearray(memoryview(batch)[:HEADER_BYTES])
    rebuilt += body
    rebuilt[8:12] = (len(rebuilt) - PREFIX_BYTES).to_bytes(4, "big")
    rebuilt[21:23] = (header.attributes & 0xFFFF & ~CODEC_MASK | codec).to_bytes(2, "big")
    restamp_checksum(rebuilt, len(rebuilt))
    return rebuilt


def keys(batch: Buffer) -> list[bytes | None]:
    """The key of each record, None where it has none. Raises CorruptRecords."""
    return [record.key for record in iterate_records(batch)]
