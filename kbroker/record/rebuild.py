"""A batch opened and packed anew: under another codec, or with offsets that count up from 0."""

from __future__ import annotations

import struct

from kbroker.record.batch import (
    CODEC_MASK,
    DELETE_HORIZON_BIT,
    HEADER_BYTES,
    KNOWN_ATTRIBUTES,
    LOG_APPEND_TIME_BIT,
    PREFIX_BYTES,
    Buffer,
    build_batch,
    iterate_records,
    read_header,
    restamp_checksum,
)
from kbroker.record.compression import DECOMPRESSED_BYTES_MAX, compress, decompress

_ATTRIBUTES = struct.Struct(">h")
_ATTRIBUTES_POSITION = 21
_MAX_TIMESTAMP = struct.Struct(">q")
_MAX_TIMESTAMP_POSITION = 35


def recompressed(batch: Buffer, codec: int, level: int | None, *, plain_max: int = DECOMPRESSED_BYTES_MAX) -> bytearray:
    """The same records under `codec`; everything of the header but length, codec and checksum stays.

    A delete horizon does not: only compaction sets one. For a batch that was looked through (scan.py). Raises
    CorruptRecords; ExcessiveRecords over `plain_max` bytes.
    """
    header = read_header(batch)
    plain = decompress(header.codec, memoryview(batch)[HEADER_BYTES : header.size], plain_max)
    rebuilt = bytearray(memoryview(batch)[:HEADER_BYTES])
    rebuilt += compress(codec, plain, level)
    rebuilt[8:12] = (len(rebuilt) - PREFIX_BYTES).to_bytes(4, "big")
    kept = KNOWN_ATTRIBUTES & ~CODEC_MASK & ~DELETE_HORIZON_BIT
    _ATTRIBUTES.pack_into(rebuilt, _ATTRIBUTES_POSITION, header.attributes & kept | codec)
    restamp_checksum(rebuilt, len(rebuilt))
    return rebuilt


def renumbered(batch: Buffer, codec: int, level: int | None, *, plain_max: int = DECOMPRESSED_BYTES_MAX) -> bytearray:
    """The same records under `codec`, with the offsets 0, 1, 2, ... in the order they stand. Raises as recompressed."""
    header = read_header(batch)
    return build_batch(
        ((one.key, one.value, one.headers, one.timestamp) for one in iterate_records(batch, plain_max)),
        timestamp_ms=header.max_timestamp,
        codec=codec,
        level=level,
        producer_id=header.producer_id,
        producer_epoch=header.producer_epoch,
        base_sequence=header.base_sequence,
        transactional=header.is_transactional,
    )


def with_create_time(batch: memoryview, max_timestamp: int) -> memoryview:
    """The batch, or a copy where it can't be written, with this largest time and no claim that a broker set it."""
    header = read_header(batch)
    changed = batch if not batch.readonly else memoryview(bytearray(batch))
    kept = KNOWN_ATTRIBUTES & ~LOG_APPEND_TIME_BIT
    _ATTRIBUTES.pack_into(changed, _ATTRIBUTES_POSITION, header.attributes & kept)
    _MAX_TIMESTAMP.pack_into(changed, _MAX_TIMESTAMP_POSITION, max_timestamp)
    restamp_checksum(changed, header.size)
    return changed
