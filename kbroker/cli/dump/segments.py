"""Segments: batches and records, of any topic and of the metadata log."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from kbroker.cli.dump.rows import Row, bytes_text, plain
from kbroker.metadata.records import decode_record
from kbroker.record.batch import MAGIC, BatchHeader, Record, checksum_matches, iterate_records, read_header
from kbroker.record.compression import CorruptRecords
from protocol_specs.disk.control_record import EndTxnMarker
from protocol_specs.disk.legacy_message import LegacyMessage
from protocol_specs.raft.kraft_version import KRaftVersionRecord
from protocol_specs.raft.leader_change import LeaderChangeMessage
from protocol_specs.raft.snapshot_footer import SnapshotFooterRecord
from protocol_specs.raft.snapshot_header import SnapshotHeaderRecord
from protocol_specs.raft.voters import VotersRecord

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
CONTROL_RECORDS: dict[int, tuple[str, Any]] = {
    0: ("abort", EndTxnMarker),
    1: ("commit", EndTxnMarker),
    2: ("leader_change", LeaderChangeMessage),
    3: ("snapshot_header", SnapshotHeaderRecord),
    4: ("snapshot_footer", SnapshotFooterRecord),
    5: ("kraft_version", KRaftVersionRecord),
    6: ("voters", VotersRecord),
}
"""Type of a control record: its name and what its value holds."""

_PREFIX = struct.Struct(">qi")
_MAGIC_POSITION = 16
_SMALLEST = 17
_CONTROL_KEY = struct.Struct(">hh")
_VERSION = struct.Struct(">h")


def entries(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(position, bytes) of every batch or old message; ends before zeros that were allocated in advance.

    Raises CorruptRecords for a length that can't be, and for a cut entry at the end.
    """
    position = 0
    while len(view) - position >= _SMALLEST:
        _, length = _PREFIX.unpack_from(view, position)
        size = length + _PREFIX.size
        if length == 0 and not any(view[position : position + _SMALLEST]):
            return
        if size < _SMALLEST:
            raise CorruptRecords(f"an entry of {size} bytes at position {position}")
        if size > len(view) - position:
            raise CorruptRecords(f"the entry at position {position} is cut: {len(view) - position} of {size} bytes")
        yield position, view[position : position + size]
        position += size
    if position < len(view):
        raise CorruptRecords(f"{len(view) - position} bytes behind the last entry, at position {position}")


def segment_rows(view: memoryview, *, with_records: bool) -> Iterator[Row]:
    """A row per batch or old message, and per record where wanted. Raises CorruptRecords, MalformedFrame."""
    for position, entry in entries(view):
        if entry[_MAGIC_POSITION] < MAGIC:
            yield {"position": position, **plain(LegacyMessage.parse_version(entry[_MAGIC_POSITION], entry))}
            continue
        header = read_header(entry)
        yield _batch_row(position, entry, header)
        if with_records:
            yield from (_record_row(record, header) for record in iterate_records(entry))


def _batch_row(position: int, batch: memoryview, header: BatchHeader) -> Row:
    codec = CODECS[header.codec] if header.codec < len(CODECS) else str(header.codec)
    return {
        "position": position,
        "size": header.size,
        "base_offset": header.base_offset,
        "last_offset": header.last_offset,
        "count": header.records_count,
        "leader_epoch": header.partition_leader_epoch,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "base_timestamp": header.base_timestamp,
        "max_timestamp": header.max_timestamp,
        "timestamp_type": "LogAppendTime" if header.is_log_append_time else "CreateTime",
        "codec": codec,
        "is_transactional": header.is_transactional,
        "is_control": header.is_control,
        "delete_horizon": header.has_delete_horizon,
        "magic": header.magic,
        "crc": header.crc & 0xFFFFFFFF,
        "is_valid": checksum_matches(batch, header),
    }


def _record_row(record: Record, header: BatchHeader) -> Row:
    row: dict[str, Any] = {"offset": record.offset, "timestamp": record.timestamp}
    if header.is_control:
        return {**row, **_control(record)}
    headers = {name: bytes_text(value) for name, value in record.headers}
    return {**row, "key": bytes_text(record.key), "value": bytes_text(record.value), "headers": headers}


def metadata_rows(view: memoryview) -> Iterator[Row]:
    """A row per record of the metadata log. Raises CorruptRecords, MalformedFrame, UnknownRecord."""
    for position, batch in entries(view):
        header = read_header(batch)
        if not checksum_matches(batch, header):
            raise CorruptRecords(f"the checksum of the batch at position {position} does not hold")
        for record in iterate_records(batch):
            row = {"offset": record.offset, "epoch": header.partition_leader_epoch, "timestamp": record.timestamp}
            yield {**row, **(_control(record) if header.is_control else _metadata(record))}


def _metadata(record: Record) -> Row:
    value = decode_record(record.value or b"")
    return {"type": type(value).__name__, "data": plain(value)}


def _control(record: Record) -> Row:
    """A control record: int16 version and int16 type as its key; see protocol_specs/disk/control_record.py."""
    if record.key is None or len(record.key) < _CONTROL_KEY.size or record.value is None:
        raise CorruptRecords(f"the control record at offset {record.offset} has no type")
    _, kind = _CONTROL_KEY.unpack_from(record.key)
    if kind not in CONTROL_RECORDS:
        return {"control": kind, "data": bytes_text(record.value)}
    name, message = CONTROL_RECORDS[kind]
    (version,) = _VERSION.unpack_from(record.value)
    body = record.value[_VERSION.size :] if message is EndTxnMarker else record.value
    return {"control": name, "data": plain(message.parse_version(min(version, message.highest), body))}
