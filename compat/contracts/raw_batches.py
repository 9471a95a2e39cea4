"""Record batches that no builder makes: any field of any record, any body, any stream, under a right checksum."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from kbroker.record.batch import HEADER_BYTES, PREFIX_BYTES, build_batch, restamp_checksum
from kbroker.record.compression import Codec, compress
from kbroker.record.varint import write_varint

Headers = Sequence[tuple[bytes | None, bytes | int | None]]
"""An int in place of content is written as its length."""


def varint(value: int) -> bytes:
    """Zig-zag, as short as it can be."""
    out = bytearray()
    write_varint(out, value)
    return bytes(out)


def record(
    offset_delta: int = 0,
    key: bytes | None = b"k",
    value: bytes | None = b"v",
    headers: Headers = ((b"h", b"1"),),
    *,
    attributes: int = 0,
    timestamp_delta: int = 0,
    key_length: int | None = None,
    value_length: int | None = None,
    headers_count: int | None = None,
    size: int | None = None,
    tail: bytes = b"",
) -> bytes:
    """One record; lengths and counts that are given are written in place of the right ones."""
    body = bytes([attributes]) + varint(timestamp_delta) + varint(offset_delta)
    body += _sized(key, key_length) + _sized(value, value_length)
    body += varint(len(headers) if headers_count is None else headers_count)
    for name, content in headers:
        body += _sized(name, None)
        body += varint(content) if isinstance(content, int) else _sized(content, None)
    body += tail
    return varint(len(body) if size is None else size) + body


def raw_batch(
    body: bytes,
    count: int,
    codec: int = Codec.NONE,
    *,
    timestamp_ms: int,
    packed: bytes | None = None,
    max_timestamp: int | None = None,
    attributes: int = 0,
    producer: tuple[int, int, int] = (-1, -1, -1),
) -> bytearray:
    """A batch of `count` records around `body`, or around a stream that is `packed` already."""
    producer_id, producer_epoch, base_sequence = producer
    front = build_batch(
        [(None, None)],
        timestamp_ms=timestamp_ms,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
    )
    batch = front[:HEADER_BYTES] + (compress(codec, body) if packed is None else packed)
    struct.pack_into(">i", batch, 8, len(batch) - PREFIX_BYTES)
    struct.pack_into(">h", batch, 21, codec | attributes)
    struct.pack_into(">i", batch, 23, count - 1)
    struct.pack_into(">i", batch, 57, count)
    if max_timestamp is not None:
        struct.pack_into(">q", batch, 35, max_timestamp)
    restamp_checksum(batch, len(batch))
    return batch


def _sized(data: bytes | None, length: int | None) -> bytes:
    if length is None:
        length = -1 if data is None else len(data)
    return varint(length) + (data or b"")


class Body(NamedTuple):
    """A rule on record bodies: what is sent, and the error code of Apache Kafka 4.3.1 by way of appending."""

    rule: str
    records: bytes
    record_count: int
    plain: int
    """Stored as it came, uncompressed."""
    packed: int
    """Stored as it came, compressed."""
    repacked: int
    """Packed anew under the topic's own codec."""


BODIES = (
    Body("whole records", record(0) + record(1), 2, 0, 0, 0),
    Body("a record that is longer than what is left", record(0, size=30), 1, 87, 0, 87),
    Body("a record that ends inside its fields", record(0) + record(1, size=9), 2, 87, 0, 87),
    Body("a record of no bytes", varint(0), 1, 87, 87, 87),
    Body("a record of fewer than no bytes", varint(-3), 1, 87, 87, 87),
    Body("a byte behind the fields of a record", record(0, tail=b"x"), 1, 87, 87, 87),
    Body("a key that is longer than its record", record(0, key_length=500), 1, 87, 87, 87),
    Body("a value that is longer than its record", record(0, value_length=900), 1, 87, 87, 87),
    Body("lengths below -1 are null", record(0, value=b"", value_length=-7, headers=((b"h", -2),)), 1, 0, 0, 0),
    Body("fewer than no headers", record(0, headers_count=-1, headers=()), 1, 87, 87, 87),
    Body("more headers than bytes", record(0, headers_count=900), 1, 87, 87, 87),
    Body("a header more than there is", record(0, headers_count=2), 1, 87, 87, 87),
    Body(
        "a header less than there is", record(0, headers=((b"a", b"1"), (b"b", b"2")), headers_count=1), 1, 87, 87, 87
    ),
    Body("a header without a name", record(0, headers=((None, b"1"),)), 1, 87, 87, 87),
    Body("bytes behind the last record", record(0) + b"\0\0", 1, 87, 87, 87),
    Body("a record more than the count", record(0) + record(1), 1, 87, 87, 87),
    Body("a record less than the count", record(0), 2, 87, 87, 87),
    Body("no record where there is one in the count", b"", 1, 87, 87, 87),
    Body("offsets with a gap", record(0) + record(5), 2, 0, -1, 0),
    Body("offsets in another order", record(1) + record(0), 2, 0, -1, 0),
    Body("an offset twice", record(0) + record(0), 2, 0, -1, 0),
    Body("a length of six bytes", b"\x80\x80\x80\x80\x80\x00" + record(0), 1, -1, 87, -1),
    Body("a length padded to five bytes", b"\x98\x80\x80\x80\x00" + record(0)[1:], 1, 0, 0, 0),
    Body("attributes of a record", record(0, attributes=255), 1, 0, 0, 0),
    Body("an offset of 33 bits", record(1 << 33), 1, 0, 0, 0),
)


class Stream(NamedTuple):
    """A rule on compressed streams: how a whole one is spoilt, and Apache Kafka's error code by codec."""

    rule: str
    kafka: dict[int, int]


def spoilt_streams(codec: int) -> dict[str, bytes]:
    """Two records under `codec`, spoilt in every way that STREAMS names."""
    packed = compress(codec, record(0) + record(1, value=b"v" * 3000))
    other_magic = bytes([packed[0] ^ 0xFF]) + packed[1:]
    return {
        "a stream that is cut at its end": packed[:-1],
        "a stream that is cut in its middle": packed[: len(packed) // 2],
        "a stream of no bytes": b"",
        "a stream that begins with another magic": other_magic,
        "junk behind a stream": packed + b"junk " * 10,
        "a byte behind a stream": packed + b"\0",
        "a stream twice": packed + packed,
        "records in two streams": compress(codec, record(0)) + compress(codec, record(1, value=b"v" * 3000)),
    }


_ALL = (Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD)
STREAMS = (
    Stream("a stream that is cut at its end", dict.fromkeys(_ALL, -1)),
    Stream("a stream that is cut in its middle", dict.fromkeys(_ALL, -1)),
    Stream("a stream of no bytes", {**dict.fromkeys(_ALL, -1), Codec.ZSTD: 87}),
    Stream("a stream that begins with another magic", dict.fromkeys(_ALL, -1)),
    Stream("junk behind a stream", {Codec.GZIP: 0, Codec.SNAPPY: -1, Codec.LZ4: 0, Codec.ZSTD: -1}),
    Stream("a stream twice", {Codec.GZIP: 87, Codec.SNAPPY: 87, Codec.LZ4: 0, Codec.ZSTD: 87}),
    Stream("records in two streams", {Codec.GZIP: 0, Codec.SNAPPY: 0, Codec.LZ4: 87, Codec.ZSTD: 0}),
    Stream("a byte behind a stream", {Codec.GZIP: 0, Codec.SNAPPY: 0, Codec.LZ4: 0, Codec.ZSTD: -1}),
)
