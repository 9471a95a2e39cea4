"""A compacted log to clean, and a dumb model of what must be left of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from log_workshop import Workshop

from kbroker.log.compaction.offset_map import ENTRY_BYTES
from kbroker.log.compaction.rounds import Means, Round, Works, clean, cleanable_part, exhaust
from kbroker.log.outcome import Origin
from kbroker.record.batch import BatchHeader, build_batch, iterate_batches, iterate_records, read_header

COMPACT = frozenset({"compact"})


def means(keys: int = 1 << 20, io_buffer_size: int = 1 << 20) -> Means:
    return Means(keys * ENTRY_BYTES, 1.0, io_buffer_size)


class CleaningShop(Workshop):
    """A workshop whose topic is compacted."""

    def put(self, *pairs: tuple[str | None, str | None], **extra: Any) -> int:
        """Append one batch of (key, value); its base offset."""
        records = [
            (key.encode() if key is not None else None, value.encode() if value is not None else None)
            for key, value in pairs
        ]
        outcome = self.log.append_as_leader(self.batch_of(records, **extra), 0, origin=Origin.COORDINATOR)
        return outcome.base_offset  # type: ignore[union-attr]

    def batch_of(self, records: list[Any], **extra: Any) -> bytearray:
        return build_batch(records, timestamp_ms=self.clock.wall_ms(), **extra)

    def roll(self) -> None:
        self.log.roll()

    def works(self, keys: int = 1 << 20, **extra: Any) -> Works:
        now_ms = self.clock.wall_ms()
        part = cleanable_part(self.log, self.log.written_end, now_ms)
        return clean(self.log, self.disk, part, means(keys, **extra), now_ms)

    def clean(self, keys: int = 1 << 20, **extra: Any) -> Round:
        return exhaust(self.works(keys, **extra))

    def left(self) -> list[tuple[int, str | None, str | None]]:
        """(offset, key, value) of every record."""
        return [
            (record.offset, _text(record.key), _text(record.value))
            for header in self.batches()
            for record in header.records
        ]

    def headers(self) -> list[BatchHeader]:
        return [batch.header for batch in self.batches()]

    def batches(self) -> Iterator[Stored]:
        """Every batch from the log's start, empty ones too."""
        offset = self.log.log_start
        while data := self.bytes_of(self.read(offset)):
            for batch in iterate_batches(data):
                header = read_header(batch)
                yield Stored(header, tuple(iterate_records(batch)))
                offset = header.last_offset + 1


class Stored(NamedTuple):
    """A batch as it lies in the log."""

    header: BatchHeader
    records: tuple[Any, ...]


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode()


@dataclass
class Model:
    """What a compacted log holds, by the rules alone: no map, no segments, no files."""

    delete_retention_ms: int
    records: list[tuple[int, str, str | None, int]] = field(default_factory=list)
    """(offset, key, value, base offset of its batch)."""
    horizons: dict[int, int] = field(default_factory=dict)

    def put(self, base: int, pairs: list[tuple[str, str | None]]) -> None:
        self.records += [(base + index, key, value, base) for index, (key, value) in enumerate(pairs)]

    def clean(self, end: int, now_ms: int) -> None:
        newest = {key: offset for offset, key, _, _ in self.records if offset < end}
        self.records = [
            record for record in self.records if record[0] >= end or self._stays(record, newest[record[1]], now_ms)
        ]
        for _, _, value, batch in self.records:
            if value is None and batch < end:
                self.horizons.setdefault(batch, now_ms + self.delete_retention_ms)

    def _stays(self, record: tuple[int, str, str | None, int], newest: int, now_ms: int) -> bool:
        offset, _, value, batch = record
        return offset == newest and (value is not None or now_ms < self.horizons.get(batch, now_ms + 1))

    def left(self) -> list[tuple[int, str, str | None]]:
        return [record[:3] for record in self.records]
