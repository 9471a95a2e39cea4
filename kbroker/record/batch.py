"""One record batch (magic 2): its header read at a glance, stamped in place, built and opened.

     0 baseOffset i64          21 attributes i16         51 producerEpoch i16
     8 batchLength i32         23 lastOffsetDelta i32    53 baseSequence i32
    12 leaderEpoch i32         27 baseTimestamp i64      57 recordsCount i32
    16 magic i8                35 maxTimestamp i64       61 records, one compressed blob if a codec is set
    17 crc u32 (21..end)       43 producerId i64

The base offset and the leader epoch lie outside the checksum, so that a leader may stamp them without reading the
batch. The broker's hot path uses the header alone; `iterate_records` opens the bodies of batches that somebody vouches
for, `skim_records` (skim.py) those of clients.
Source: Apache Kafka's DefaultRecordBatch and DefaultRecord.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from crc32c import crc32c

from kbroker.record.compression import DECOMPRESSED_BYTES_MAX, Codec, CorruptRecords, compress, decompressed
from kbroker.record.varint import VARINT_BYTES_MAX, read_varint, read_varint32, wrapped, write_varint

Buffer = bytes | bytearray | memoryview

HEADER_BYTES: Final = 61
PREFIX_BYTES: Final = 12
"""Base offset and batch length: `batch_length` counts what follows them."""
MAGIC: Final = 2
NO_TIMESTAMP: Final = -1
NO_PRODUCER_ID: Final = -1
NO_SEQUENCE: Final = -1
SEQUENCE_MAX: Final = 0x7FFFFFFF

CODEC_MASK: Final = 0x07
LOG_APPEND_TIME_BIT: Final = 0x08
TRANSACTIONAL_BIT: Final = 0x10
CONTROL_BIT: Final = 0x20
DELETE_HORIZON_BIT: Final = 0x40
KNOWN_ATTRIBUTES: Final = 0x7F
"""Those that mean something; Kafka drops the others when it writes the header anew."""

_CRC_POSITION = 17
_CHECKED_POSITION = 21
_HEADER = struct.Struct(">qiibIhiqqqhii")
_INT64 = struct.Struct(">q")
_INT32 = struct.Struct(">i")
_LEADER_EPOCH_POSITION = 12
_ATTRIBUTES_POSITION = 21
_MAX_TIMESTAMP_POSITION = 35


class BatchHeader(NamedTuple):
    """The 61 bytes before the records. Timestamps in milliseconds since 1970, -1 none."""

    base_offset: int
    batch_length: int
    partition_leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records_count: int

    @property
    def size(self) -> int:
        """The whole batch in bytes."""
        return self.batch_length + PREFIX_BYTES

    @property
    def last_offset(self) -> int:
        """The offset of the last record that the batch ever had (compaction leaves gaps, not smaller batches)."""
        return self.base_offset + self.last_offset_delta

    @property
    def last_sequence(self) -> int:
        """The producer's sequence of the last record, wrapped behind 2^31-1; -1 where the batch has none."""
        if self.base_sequence < 0:
            return NO_SEQUENCE
        return (self.base_sequence + self.last_offset_delta) & SEQUENCE_MAX

    @property
    def codec(self) -> int:
        """The number of the compression codec, 0 none; see `Codec`."""
        return self.attributes & CODEC_MASK

    @property
    def is_transactional(self) -> bool:
        """Does it belong to a transaction?"""
        return bool(self.attributes & TRANSACTIONAL_BIT)

    @property
    def is_control(self) -> bool:
        """Is it a marker rather than data?"""
        return bool(self.attributes & CONTROL_BIT)

    @property
    def is_log_append_time(self) -> bool:
        """Is every record's time the max timestamp, set by the broker?"""
        return bool(self.attributes & LOG_APPEND_TIME_BIT)

    @property
    def has_delete_horizon(self) -> bool:
        """Is `base_timestamp` the time from which compaction may drop the tombstones (KIP-534)?"""
        return bool(self.attributes & DELETE_HORIZON_BIT)

    def time_of(self, timestamp_delta: int) -> int:
        """The timestamp in ms of the record with this delta. It always fits 64 bits, whatever a client wrote."""
        if self.attributes & LOG_APPEND_TIME_BIT:
            return self.max_timestamp
        return wrapped(self.base_timestamp + timestamp_delta)


class Record(NamedTuple):
    """One record of a batch, opened. `timestamp` in milliseconds since 1970; null keys and values are None."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def read_header(buffer: Buffer, position: int = 0) -> BatchHeader:
    """The header at `position`; nothing is judged. Raises struct.error where fewer than 61 bytes are left."""
    return tuple.__new__(BatchHeader, _HEADER.unpack_from(buffer, position))


def checksum_matches(batch: Buffer, header: BatchHeader) -> bool:
    """Does the CRC-32C from the attributes to the end agree with the header? `batch` starts at its base offset."""
    return (
        header.batch_length >= HEADER_BYTES - PREFIX_BYTES
        and crc32c(memoryview(batch)[_CHECKED_POSITION : header.size]) == header.crc
    )


def stamp(buffer: bytearray | memoryview, base_offset: int, leader_epoch: int) -> None:
    """Write base offset and leader epoch into the batch at the start of `buffer`; the checksum stays right."""
    _INT64.pack_into(buffer, 0, base_offset)
    _INT32.pack_into(buffer, _LEADER_EPOCH_POSITION, leader_epoch)


def stamp_log_append_time(buffer: bytearray | memoryview, header: BatchHeader, timestamp_ms: int) -> None:
    """Make the broker's clock the time of every record: attribute bit 3, max timestamp, checksum."""
    attributes = header.attributes & KNOWN_ATTRIBUTES | LOG_APPEND_TIME_BIT
    struct.pack_into(">h", buffer, _ATTRIBUTES_POSITION, attributes)
    _INT64.pack_into(buffer, _MAX_TIMESTAMP_POSITION, timestamp_ms)
    restamp_checksum(buffer, header.size)


def restamp_checksum(buffer: bytearray | memoryview, size: int) -> None:
    """Compute the checksum of the batch of `size` bytes at the start of `buffer` anew."""
    struct.pack_into(">I", buffer, _CRC_POSITION, crc32c(memoryview(buffer)[_CHECKED_POSITION:size]))


NewRecord = (
    tuple[bytes | None, bytes | None]
    | tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]
    | tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]], int]
    | tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]], int, int]
)
"""(key, value), then optionally headers, timestamp in ms, offset delta."""


def build_batch(
    records: Iterable[NewRecord],
    *,
    timestamp_ms: int,
    base_offset: int = 0,
    leader_epoch: int = 0,
    codec: int = Codec.NONE,
    level: int | None = None,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = -1,
    base_sequence: int = NO_SEQUENCE,
    transactional: bool = False,
    control: bool = False,
    log_append_time: bool = False,
) -> bytearray:
    """A whole batch of at least one record; records without a time of their own get `timestamp_ms`."""
    gathering = Gathering(timestamp_ms)
    for record in records:
        gathering.add(record)
    return gathering.batch(
        base_offset=base_offset,
        leader_epoch=leader_epoch,
        codec=codec,
        level=level,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        attributes=(TRANSACTIONAL_BIT if transactional else 0)
        | (CONTROL_BIT if control else 0)
        | (LOG_APPEND_TIME_BIT if log_append_time else 0),
    )


class Gathering:
    """The records of a batch to be, added one by one; those without a time of their own get `timestamp_ms`."""

    __slots__ = ("_base_timestamp", "_bodies", "_count", "_last_delta", "_max_timestamp", "_timestamp_ms")

    def __init__(self, timestamp_ms: int) -> None:
        self._timestamp_ms = self._base_timestamp = timestamp_ms
        self._max_timestamp = NO_TIMESTAMP
        self._bodies = bytearray()
        self._count = 0
        self._last_delta = -1

    def add(self, record: NewRecord) -> None:
        """The next one."""
        headers = record[2] if len(record) > 2 else ()
        timestamp = record[3] if len(record) > 3 else self._timestamp_ms
        self._last_delta = record[4] if len(record) > 4 else self._count
        if not self._count:
            self._base_timestamp = timestamp
        self._count += 1
        if timestamp > self._max_timestamp:
            self._max_timestamp = timestamp
        timestamp_delta = wrapped(timestamp - self._base_timestamp)
        _write_record(self._bodies, timestamp_delta, self._last_delta, record[0], record[1], headers)

    def batch(
        self,
        *,
        base_offset: int = 0,
        leader_epoch: int = 0,
        codec: int = Codec.NONE,
        level: int | None = None,
        producer_id: int = NO_PRODUCER_ID,
        producer_epoch: int = -1,
        base_sequence: int = NO_SEQUENCE,
        attributes: int = 0,
    ) -> bytearray:
        """All of them, at least one; `attributes` are the bits beside the codec's."""
        if not self._count:
            raise ValueError("a batch needs at least one record")
        blob = self._bodies if codec == Codec.NONE else compress(codec, bytes(self._bodies), level)
        batch = bytearray(HEADER_BYTES)
        _HEADER.pack_into(
            batch,
            0,
            base_offset,
            HEADER_BYTES - PREFIX_BYTES + len(blob),
            leader_epoch,
            MAGIC,
            0,
            codec | attributes,
            self._last_delta,
            self._base_timestamp,
            self._timestamp_ms if attributes & LOG_APPEND_TIME_BIT else self._max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            self._count,
        )
        batch += blob
        restamp_checksum(batch, len(batch))
        return batch


def iterate_batches(buffer: Buffer) -> Iterator[memoryview]:
    """Each whole batch in `buffer` as a slice of it; a cut batch at the end is left out.

    Raises CorruptRecords for a length that no batch can have.
    """
    view = memoryview(buffer)
    position, end = 0, len(view)
    while end - position >= HEADER_BYTES:
        size = read_header(view, position).size
        if size < HEADER_BYTES:
            raise CorruptRecords(f"a batch of {size} bytes at position {position}")
        if size > end - position:
            return
        yield view[position : position + size]
        position += size


def iterate_records(batch: Buffer, limit: int = DECOMPRESSED_BYTES_MAX) -> Iterator[Record]:
    """Each record of one whole batch, in order; decompresses at most `limit` bytes. Raises CorruptRecords.

    For batches that somebody vouches for: a client's costs what its author likes. See `skim_records`.
    """
    header = read_header(batch)
    for data, start, end in record_spans(batch, header, limit):
        yield _read_record(data, start, end, header)


def record_spans(batch: Buffer, header: BatchHeader, limit: int) -> Iterator[tuple[bytes, int, int]]:
    """(buffer, start, end) of each record behind its length; the buffer is a window of the body, or all of it.

    Raises CorruptRecords; ExcessiveRecords for more than `limit` bytes.
    """
    if header.magic != MAGIC:
        raise CorruptRecords(f"magic {header.magic} is not a record batch")
    pieces = decompressed(header.codec, memoryview(batch)[HEADER_BYTES : header.size], limit)
    data, position = next(pieces, b""), 0
    for _ in range(header.records_count):
        if len(data) - position < VARINT_BYTES_MAX:
            data, position = window(data, position, pieces, VARINT_BYTES_MAX), 0
        length, start = read_varint32(data, position)
        if start + length > len(data):
            data, start = window(data, start, pieces, length), 0
        position = start + length
        if length < 1 or position > len(data):
            raise CorruptRecords(f"a record of {length} bytes where {len(data) - start} are left")
        yield data, start, position
    if position != len(data) or any(pieces):
        raise CorruptRecords("bytes behind the last record")


def window(data: bytes, position: int, pieces: Iterator[bytes], wanted: int) -> bytes:
    """What `data` has from `position` on, with as many pieces behind it as make `wanted` bytes, or all there are."""
    parts = [data[position:]]
    missing = wanted - len(parts[0])
    while missing > 0:
        piece = next(pieces, None)
        if piece is None:
            break
        parts.append(piece)
        missing -= len(piece)
    return b"".join(parts)


def _write_record(
    out: bytearray,
    timestamp_delta: int,
    offset_delta: int,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
) -> None:
    body = bytearray(1)
    write_varint(body, timestamp_delta)
    write_varint(body, offset_delta)
    _write_bytes(body, key)
    _write_bytes(body, value)
    write_varint(body, len(headers))
    for name, content in headers:
        _write_bytes(body, name.encode("utf-8"))
        _write_bytes(body, content)
    write_varint(out, len(body))
    out += body


def _write_bytes(out: bytearray, data: bytes | None) -> None:
    if data is None:
        out.append(1)  # zig-zag of -1
    else:
        write_varint(out, len(data))
        out += data


def _read_record(data: bytes, position: int, end: int, header: BatchHeader) -> Record:
    timestamp_delta, position = read_varint(data, position + 1)
    offset_delta, position = read_varint32(data, position)
    key, position = read_bytes(data, position, end)
    value, position = read_bytes(data, position, end)
    count, position = read_varint(data, position)
    if count < 0 or count > end - position:
        raise CorruptRecords(f"{count} headers in {end - position} bytes")
    headers = []
    for _ in range(count):
        name, position = read_bytes(data, position, end)
        if name is None:
            raise CorruptRecords("a header without a name")
        content, position = read_bytes(data, position, end)
        headers.append((name.decode("utf-8", "replace"), content))
    if position != end:
        raise CorruptRecords(f"a record that ends {end - position} bytes before its length says")
    timestamp = header.time_of(timestamp_delta)
    return Record(header.base_offset + offset_delta, timestamp, key, value, tuple(headers))


def read_bytes(data: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    """The key or value at `position` of a record that ends at `end`, and where it ends. Raises CorruptRecords."""
    length, position = read_varint(data, position)
    if length < 0:  # -1 is written; Java reads any as null
        return None, position
    stop = position + length
    if stop > end:
        raise CorruptRecords(f"{length} bytes where {end - position} are left")
    return data[position:stop], stop
