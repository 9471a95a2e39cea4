"""A batch opened and packed anew under another codec; for topics whose `compression.type` isn't the producer's."""

from __future__ import annotations

from kbroker.record.batch import (
    CODEC_MASK,
    HEADER_BYTES,
    PREFIX_BYTES,
    Buffer,
    read_header,
    restamp_checksum,
)
from kbroker.record.compression import DECOMPRESSED_BYTES_MAX, compress, decompress
from kbroker.record.skim import skim_records


def recompressed(
    batch: Buffer,
    codec: int,
    level: int | None,
    *,
    plain_max: int = DECOMPRESSED_BYTES_MAX,
    packed_max: int | None = None,
) -> bytearray:
    """The same records under `codec`; everything of the header but length, codec and checksum stays.

    Every record is looked at on the way, so that a body which doesn't match its header is refused here rather than
    stored. Over `packed_max` bytes the result may be cut, and is good for nothing but its size. Raises CorruptRecords;
    ExcessiveRecords for more than `plain_max` bytes of records or what no batch may have.
    """
    header = read_header(batch)
    for _ in skim_records(batch, plain_max):
        pass
    plain = decompress(header.codec, memoryview(batch)[HEADER_BYTES : header.size], plain_max)
    body = compress(codec, plain, level)
    rebuilt = bytearray(memoryview(batch)[:HEADER_BYTES])
    rebuilt += body
    rebuilt[8:12] = (len(rebuilt) - PREFIX_BYTES).to_bytes(4, "big")
    rebuilt[21:23] = (header.attributes & 0xFFFF & ~CODEC_MASK | codec).to_bytes(2, "big")
    restamp_checksum(rebuilt, len(rebuilt))
    return rebuilt
