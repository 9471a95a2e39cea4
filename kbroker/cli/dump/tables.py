"""Files of rows: indexes, producer snapshots, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kbroker.cli.dump.rows import Row, plain
from protocol_specs.disk.index_entries import OffsetIndexEntry, TimeIndexEntry, TransactionIndexEntry
from protocol_specs.disk.producer_snapshot import ProducerSnapshot
from protocol_specs.disk.text_files import CHECKPOINTS
from protocol_specs.frame import MalformedFrame

_OFFSET_ENTRY_BYTES = 8
_TIME_ENTRY_BYTES = 12
_TRANSACTION_ENTRY_BYTES = 34
_VERSION_BYTES = 2


def base_offset_of(name: str) -> int:
    """The base offset in a segment file's name; 0 where the file has another name."""
    digits = name.partition(".")[0]
    return int(digits) if digits.isdecimal() else 0


def _entries(view: memoryview, message: Any, size: int, *, is_padded: bool) -> Iterator[Any]:
    """The entries of an index; zeros that an active segment's index ends with are no entries."""
    used = len(bytes(view).rstrip(b"\0")) if is_padded else len(view)
    end = min(len(view), -(-used // size) * size)
    for position in range(0, end, size):
        if len(view) - position < size:
            raise MalformedFrame("", position, f"the last entry is cut: {len(view) - position} of {size} bytes")
        yield message.parse_version(0, view[position : position + size])


def offset_index_rows(view: memoryview, name: str) -> Iterator[Row]:
    """A row per entry, with absolute offsets. Raises MalformedFrame."""
    base = base_offset_of(name)
    for entry in _entries(view, OffsetIndexEntry, _OFFSET_ENTRY_BYTES, is_padded=True):
        yield {"offset": base + entry.relative_offset, "position": entry.position}


def time_index_rows(view: memoryview, name: str) -> Iterator[Row]:
    """A row per entry, with absolute offsets. Raises MalformedFrame."""
    base = base_offset_of(name)
    for entry in _entries(view, TimeIndexEntry, _TIME_ENTRY_BYTES, is_padded=True):
        yield {"timestamp": entry.timestamp, "offset": base + entry.relative_offset}


def transaction_index_rows(view: memoryview) -> Iterator[Row]:
    """A row per aborted transaction. Raises MalformedFrame."""
    for entry in _entries(view, TransactionIndexEntry, _TRANSACTION_ENTRY_BYTES, is_padded=False):
        yield plain(entry)


def producer_rows(view: memoryview) -> Iterator[Row]:
    """A row per producer. Raises MalformedFrame; UnsupportedVersion for a version other than 1."""
    if len(view) < _VERSION_BYTES:
        raise MalformedFrame("version", 0, "the file is cut")
    version = int.from_bytes(view[:_VERSION_BYTES], "big", signed=True)
    for producer in ProducerSnapshot.parse_version(version, view[_VERSION_BYTES:]).producer_entries:
        yield plain(producer)


def checkpoint_rows(view: memoryview, name: str) -> Iterator[Row]:
    """A row per row; columns are named where the file's name is known. Raises MalformedFrame."""
    lines = bytes(view).decode("utf-8", "replace").splitlines()
    if not lines:
        # Kafka makes some checkpoints before it has anything to write.
        return
    if len(lines) < 2 or not (lines[0].isdecimal() and lines[1].isdecimal()):
        raise MalformedFrame("", 0, "a checkpoint begins with its version and the number of its rows")
    rows = lines[2:]
    known = CHECKPOINTS.get(name)
    for number, line in enumerate(rows, 3):
        cells = line.split(" ")
        columns = known.columns if known is not None else tuple(f"column_{index}" for index in range(len(cells)))
        if len(cells) != len(columns):
            raise MalformedFrame("", 0, f"line {number} has {len(cells)} columns, not {len(columns)}")
        yield {
            column: int(cell) if cell.lstrip("-").isdecimal() and column != "topic" else cell
            for column, cell in zip(columns, cells, strict=True)
        }
    if len(rows) != int(lines[1]):
        raise MalformedFrame("", 0, f"{len(rows)} rows, where line 2 promises {lines[1]}")
