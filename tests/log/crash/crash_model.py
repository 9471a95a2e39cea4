"""A partition as plain lists: what it was given, what it promised. Deliberately dumb: no code shared with the log."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_HEADER = struct.Struct(">qiibIhiqqqhii")


class Given(NamedTuple):
    """One batch, as it must lie on the disk."""

    base: int
    last: int
    epoch: int
    timestamp: int
    producer: tuple[int, int, int]
    """Producer id, its epoch, the sequence of the last record; (-1, -1, -1) without one."""
    data: bytes
    records: tuple[tuple[int, int], ...] = ()
    """(offset, timestamp) of each; empty where the batch was only read back."""


def given(data: bytes, records: tuple[tuple[int, int], ...] = ()) -> Given:
    """What a batch's bytes say."""
    base, _, epoch, _, _, _, delta, _, largest, producer_id, producer_epoch, sequence, _ = _HEADER.unpack_from(data)
    last_sequence = -1 if sequence < 0 else (sequence + delta) % (1 << 31)
    return Given(base, base + delta, epoch, largest, (producer_id, producer_epoch, last_sequence), data, records)


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

    def rebased(self, found: list[Given], log: Any) -> Topic:
        """The same topic that knows of nothing but what was found after a crash, and of what had left it before."""
        first = log.segments[0].base_offset
        history = next(
            h for h in reversed(self.histories) if {batch.data for batch in h}.issuperset(b.data for b in found)
        )
        of = {batch.data: batch for batch in history}
        kept = [batch for batch in history if batch.last < first] + [of[batch.data] for batch in found]
        end = log.log_end
        fresh = Topic(self.name, self.topic_id, [kept], base=end, written=end, start_ceiling=log.log_start)
        fresh.leader_epoch = self.leader_epoch
        return fresh


def producers_of(batches: list[Given]) -> dict[int, list[tuple[int, int, int]]]:
    """Producer id -> (epoch, last sequence, last offset) of its last five batches of its newest epoch."""
    known: dict[int, list[tuple[int, int, int]]] = {}
    for batch in batches:
        producer_id, epoch, sequence = batch.producer
        if producer_id >= 0:
            window = [entry for entry in known.get(producer_id, []) if entry[0] == epoch]
            known[producer_id] = [*window, (epoch, sequence, batch.last)][-5:]
    return known


def epochs_of(batches: list[Given]) -> list[tuple[int, int]]:
    """(leader epoch, the offset that it begins at), in order."""
    found: list[tuple[int, int]] = []
    for batch in batches:
        if not found or batch.epoch > found[-1][0]:
            found.append((batch.epoch, batch.base))
    return found
