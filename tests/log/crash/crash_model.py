"""A partition as plain lists: what it was given, what it promised. Deliberately dumb: no code shared with the log."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

from kbroker.record.batch import iterate_records

_HEADER = struct.Struct(">qiibIhiqqqhii")
_MARKER_TYPE_POSITION = 68
"""Of a marker's type in its batch: behind the header, six fields of a byte each, and the version of its key."""
DATA, COMMIT, ABORT = "data", "commit", "abort"


class Record(NamedTuple):
    """One record of a batch."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Given(NamedTuple):
    """One batch, as it must lie on the disk."""

    base: int
    last: int
    epoch: int
    timestamp: int
    producer: tuple[int, int, int]
    """Producer id, its epoch, the sequence of the last record; (-1, -1, -1) without one."""
    transaction: str
    """What it is to a transaction: DATA, or the marker that ends it; empty without one."""
    data: bytes
    is_cleaned: bool = False
    """All of it left the log, which is compacted."""


def given(data: bytes) -> Given:
    """What a batch's bytes say."""
    base, _, epoch, _, _, attributes, delta, _, largest, producer_id, producer_epoch, sequence, _ = _HEADER.unpack_from(
        data
    )
    last_sequence = -1 if sequence < 0 else (sequence + delta) % (1 << 31)
    transaction = DATA if attributes & 0x10 else ""
    if attributes & 0x20 and producer_id >= 0:
        transaction = COMMIT if struct.unpack_from(">h", data, _MARKER_TYPE_POSITION)[0] else ABORT
    return Given(base, base + delta, epoch, largest, (producer_id, producer_epoch, last_sequence), transaction, data)


@lru_cache(maxsize=4096)
def records_in(data: bytes) -> tuple[Record, ...]:
    """The records of a batch."""
    return tuple(
        Record(record.offset, record.timestamp, _whole(record.key), _whole(record.value))
        for record in iterate_records(data)
    )


def _whole(piece: Any) -> bytes | None:
    return None if piece is None else bytes(piece)


def batches_in(data: bytes) -> list[bytes]:
    """A segment's bytes, cut into batches by their lengths."""
    found, position = [], 0
    while position < len(data):
        size = 12 + struct.unpack_from(">i", data, position + 8)[0]
        found.append(data[position : position + size])
        position += size
    return found


@dataclass
class Topic:
    """One partition of one topic id, from its creation on."""

    name: str
    topic_id: bytes
    histories: list[list[Given]] = field(default_factory=lambda: [[]])
    """The batches; each truncation begins another list with those that it left."""
    written: int = 0
    flushed: int = 0
    start_floor: int = 0
    """The log start of the last checkpoint: it is never less afterwards."""
    start_ceiling: int = 0
    """How far retention and DeleteRecords were allowed to go."""
    dropped_end: int = 0
    """Up to where records had left the log when its disk failed: of their files some may be left."""
    cleaned_end: int = 0
    """Up to where rounds of cleaning were told to go."""
    sequences: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Producer id -> its epoch and next sequence."""
    leader_epoch: int = 0

    @property
    def batches(self) -> list[Given]:
        return self.histories[-1]

    @property
    def end(self) -> int:
        return max(self.base, self.batches[-1].last + 1 if self.batches else 0)

    base: int = 0
    """The end of a log that lost its last batches but not the name of the segment behind them."""

    def truncate(self, offset: int) -> None:
        """Nothing from the batch that holds `offset` on is promised any more."""
        self.histories.append([batch for batch in self.batches if batch.last < offset])
        self.base = min(self.base, offset)
        self.written = min(self.written, self.end)
        self.flushed = min(self.flushed, self.end)
        self.start_floor = min(self.start_floor, self.end)

    def go_on_after(self, log: Any) -> None:
        """Producers go on where the log thinks they are: it was compared before."""
        self.sequences = {}
        for producer in log.producers:
            last = producer.batches[-1].last_sequence if producer.batches else -1
            self.sequences[producer.producer_id] = (producer.epoch, last + 1)

    def fits(self, history: list[Given], found: list[Given]) -> bool:
        """Could a log with this history hold these batches, and nothing else? Cleaning leaves some of the records."""
        known = {batch.base: batch for batch in history}
        return all(batch.base in known and self._is_left_of(known[batch.base], batch) for batch in found)

    def _is_left_of(self, whole: Given, found: Given) -> bool:
        if whole.data == found.data:
            return True
        is_same = found._replace(timestamp=whole.timestamp, data=whole.data, is_cleaned=whole.is_cleaned) == whole
        is_cleanable = found.last < self.cleaned_end and not found.transaction
        return is_same and is_cleanable and set(records_in(found.data)) <= set(records_in(whole.data))

    def lived(self, found: list[Given], first: int, end: int) -> list[list[Given]]:
        """Each history that fits what was found: its batches that are there or have left properly, not those that a
        crash took. The log's segments begin at `first`, and it ends at `end`."""
        present = {batch.base: batch for batch in found}
        return [
            [
                present.get(batch.base, batch._replace(is_cleaned=True))
                for batch in history
                if batch.base in present or batch.last < first or batch.last < min(self.cleaned_end, end)
            ]
            for history in reversed(self.histories)
            if self.fits(history, found)
        ]

    def rebased(self, found: list[Given], log: Any) -> Topic:
        """The same topic that knows of nothing but what was found after a crash, and of what had left it before."""
        end = log.log_end
        kept = self.lived(found, log.segments[0].base_offset, end)[0]
        fresh = Topic(self.name, self.topic_id, [kept], base=end, written=end, start_ceiling=log.log_start)
        return replace(fresh, leader_epoch=self.leader_epoch, cleaned_end=min(self.cleaned_end, end))


def producers_of(batches: list[Given]) -> dict[int, list[tuple[int, int, int]]]:
    """Producer id -> (epoch, last sequence, last offset) of its last five batches of its newest epoch."""
    known: dict[int, list[tuple[int, int, int]]] = {}
    epochs: dict[int, int] = {}
    for batch in batches:
        producer_id, epoch, sequence = batch.producer
        if producer_id >= 0:
            window = known.get(producer_id, []) if epochs.get(producer_id) == epoch else []
            if batch.transaction not in (COMMIT, ABORT):
                window = [*window, (epoch, sequence, batch.last)][-5:]
            known[producer_id], epochs[producer_id] = window, epoch
    return known


class Transactions(NamedTuple):
    """How a row of batches leaves them."""

    opened: dict[int, int]
    """Producer id -> the first offset of its open transaction."""
    aborted: list[tuple[int, int, int, int]]
    """Producer id, first offset, the marker's, and up to where all was decided then; in the order of the markers."""


def transactions_of(batches: list[Given]) -> Transactions:
    """What a replay says."""
    opened: dict[int, int] = {}
    aborted = []
    for batch in batches:
        producer_id = batch.producer[0]
        if batch.transaction == DATA:
            opened.setdefault(producer_id, batch.base)
        elif batch.transaction and producer_id in opened:
            first = opened.pop(producer_id)
            if batch.transaction == ABORT:
                aborted.append((producer_id, first, batch.base, min(opened.values(), default=batch.base + 1)))
    return Transactions(opened, aborted)


def committed(batches: list[Given], end: int) -> list[int]:
    """The base offsets of the batches before offset `end` that a reader of committed records gets."""
    fates: dict[int, str] = {}
    found = []
    for batch in reversed(batches):
        if batch.transaction in (COMMIT, ABORT):
            fates[batch.producer[0]] = batch.transaction
        elif batch.last < end and (not batch.transaction or fates[batch.producer[0]] == COMMIT):
            found.append(batch.base)
    return found[::-1]


def epochs_of(batches: list[Given]) -> list[tuple[int, int]]:
    """(leader epoch, the offset that it begins at), in order."""
    found: list[tuple[int, int]] = []
    for batch in batches:
        if not found or batch.epoch > found[-1][0]:
            found.append((batch.epoch, batch.base))
    return found
