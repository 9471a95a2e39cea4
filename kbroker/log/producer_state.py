"""What idempotent producers last wrote to one partition: how a repeated batch is told from a gap.

Per producer id: its epoch and the last five batches. A batch that equals one of them was stored already; otherwise its
first sequence must follow the last one (behind 2^31-1 comes 0), and a new epoch must begin at 0. A producer that we
know nothing of may begin anywhere: its state may have expired.

    .snapshot   int16 version 1, uint32 CRC-32C of what follows, int32 n, n times
                {id i64, epoch i16, last sequence i32, last offset i64, offset delta i32, timestamp i64,
                 coordinator epoch i32, first offset of the open transaction i64 or -1}

Source: Kafka's ProducerStateManager, ProducerAppendInfo, ProducerStateEntry.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from crc32c import crc32c

from kbroker.record.batch import NO_SEQUENCE, SEQUENCE_MAX, BatchHeader
from protocol_specs.errors import ErrorCode

WINDOW_BATCHES: Final = 5
"""Producers keep at most five requests in flight."""

_VERSION = 1
_PROLOGUE = struct.Struct(">hIi")
_COUNTED_POSITION = 6
_ENTRY = struct.Struct(">qhiqiqiq")


class CorruptSnapshot(ValueError):
    """Not a snapshot; state is rebuilt from an older one or from the log."""


class StoredBatch(NamedTuple):
    """One remembered batch. The sequence and offset are of its last record; `timestamp` is its largest, in ms."""

    last_sequence: int
    last_offset: int
    offset_delta: int
    timestamp: int

    @property
    def first_sequence(self) -> int:
        """Wrapped like Kafka's: the sequences of a batch may run over 2^31-1."""
        return (self.last_sequence - self.offset_delta) & SEQUENCE_MAX


class Producer:
    """One producer id in one partition."""

    __slots__ = ("batches", "coordinator_epoch", "epoch", "last_timestamp", "open_transaction_offset", "producer_id")

    def __init__(self, producer_id: int, epoch: int) -> None:
        self.producer_id = producer_id
        self.epoch = epoch
        self.batches: list[StoredBatch] = []
        self.last_timestamp = -1
        self.coordinator_epoch = -1
        self.open_transaction_offset = -1


class OutOfSequence(NamedTuple):
    """Why a batch is refused."""

    error: ErrorCode
    reason: str


class ProducerState:
    """All producers of one partition. Pure."""

    __slots__ = ("_producers",)

    def __init__(self) -> None:
        self._producers: dict[int, Producer] = {}

    def __len__(self) -> int:
        return len(self._producers)

    def __iter__(self) -> Iterator[Producer]:
        return iter(self._producers.values())

    def judge(self, header: BatchHeader) -> StoredBatch | OutOfSequence | None:
        """None: append it. A StoredBatch: it is here already. OutOfSequence: refuse it."""
        producer = self._producers.get(header.producer_id)
        if producer is None:
            return None
        if producer.epoch == header.producer_epoch:
            last_sequence = header.last_sequence
            for stored in producer.batches:
                if stored.last_sequence == last_sequence and stored.first_sequence == header.base_sequence:
                    return stored
            last = producer.batches[-1].last_sequence if producer.batches else NO_SEQUENCE
            expected = (last + 1) & SEQUENCE_MAX
            if header.base_sequence == expected:
                return None
            return _out_of_order(header, f"sequence {expected} was expected")
        if header.producer_epoch < producer.epoch:
            return OutOfSequence(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"producer {header.producer_id} is at epoch {producer.epoch}, the batch at {header.producer_epoch}",
            )
        if header.base_sequence != 0 and producer.epoch != -1:
            return _out_of_order(header, f"epoch {header.producer_epoch} is new and must begin at sequence 0")
        return None

    def update(self, header: BatchHeader) -> None:
        """A batch with a producer id was appended (or is being replayed); nothing is judged."""
        producer = self._producers.get(header.producer_id)
        if producer is None:
            producer = self._producers[header.producer_id] = Producer(header.producer_id, header.producer_epoch)
        if producer.epoch != header.producer_epoch:
            producer.epoch = header.producer_epoch
            producer.batches.clear()
        producer.last_timestamp = header.max_timestamp
        if header.base_sequence < 0:
            return  # a transaction marker: it fences by epoch and has no sequence
        batches = producer.batches
        batches.append(
            StoredBatch(header.last_sequence, header.last_offset, header.last_offset_delta, header.max_timestamp)
        )
        if len(batches) > WINDOW_BATCHES:
            del batches[0]

    def expire(self, now_ms: int, expiration_ms: int) -> int:
        """Forget producers whose last batch is as old as `expiration_ms`; how many."""
        stale = [
            producer.producer_id
            for producer in self._producers.values()
            if now_ms - producer.last_timestamp >= expiration_ms and producer.open_transaction_offset < 0
        ]
        for producer_id in stale:
            del self._producers[producer_id]
        return len(stale)

    def clear(self) -> None:
        """Forget everybody."""
        self._producers.clear()

    def snapshot(self) -> bytes:
        """The contents of a `.snapshot` file: only the last batch of each producer, as Kafka keeps it."""
        body = bytearray()
        for producer in self._producers.values():
            last = (
                producer.batches[-1] if producer.batches else StoredBatch(NO_SEQUENCE, -1, 0, producer.last_timestamp)
            )
            body += _ENTRY.pack(
                producer.producer_id,
                producer.epoch,
                last.last_sequence,
                last.last_offset,
                last.offset_delta,
                last.timestamp,
                producer.coordinator_epoch,
                producer.open_transaction_offset,
            )
        counted = struct.pack(">i", len(self._producers)) + body
        return struct.pack(">hI", _VERSION, crc32c(counted)) + counted

    def restore(self, data: bytes) -> None:
        """Take the state from a snapshot instead of what is known. Raises CorruptSnapshot."""
        if len(data) < _PROLOGUE.size:
            raise CorruptSnapshot("too short")
        version, crc, count = _PROLOGUE.unpack_from(data)
        if version != _VERSION:
            raise CorruptSnapshot(f"version {version}")
        if crc != crc32c(memoryview(data)[_COUNTED_POSITION:]):
            raise CorruptSnapshot("the checksum doesn't match")
        if len(data) != _PROLOGUE.size + count * _ENTRY.size:
            raise CorruptSnapshot(f"{len(data)} bytes for {count} producers")
        self._producers.clear()
        for entry in _ENTRY.iter_unpack(memoryview(data)[_PROLOGUE.size :]):
            producer = Producer(entry[0], entry[1])
            if entry[2] >= 0:
                producer.batches.append(StoredBatch(*entry[2:6]))
            producer.last_timestamp = entry[5]
            producer.coordinator_epoch = entry[6]
            producer.open_transaction_offset = entry[7]
            self._producers[producer.producer_id] = producer


def _out_of_order(header: BatchHeader, why: str) -> OutOfSequence:
    return OutOfSequence(
        ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
        f"producer {header.producer_id} at epoch {header.producer_epoch} sent sequence {header.base_sequence}; {why}",
    )
