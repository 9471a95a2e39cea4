"""What producers last wrote to one partition: how a repeated batch is told from a gap, which transactions are open.

Per producer id: its epoch and the last five batches. A batch that equals one of them was stored already; otherwise its
first sequence must follow the last one (behind 2^31-1 comes 0), and a new epoch must begin at 0. A producer that we
know nothing of may begin anywhere: its state may have expired.

A transaction is open from its first batch until a marker ends it, and unreplicated until that marker is below the high
watermark: up to then another replica may lead whose log lacks the marker, so readers of committed records wait.

    .snapshot   int16 version 1, uint32 CRC-32C of what follows, int32 n, n times
                {id i64, epoch i16, last sequence i32, last offset i64, offset delta i32, timestamp i64,
                 coordinator epoch i32, first offset of the open transaction i64 or -1}

Source: Kafka's ProducerStateManager, ProducerAppendInfo, ProducerStateEntry.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from crc32c import crc32c

from kbroker.log.txn_index import AbortedTransaction
from kbroker.record.batch import NO_SEQUENCE, SEQUENCE_MAX, TRANSACTIONAL_BIT, BatchHeader
from kbroker.record.markers import Marker
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


class Unfit(NamedTuple):
    """Why a batch is refused."""

    error: ErrorCode
    reason: str


class Frozen:
    """The producers at one moment, to be packed in a worker while they go on: thousands take many milliseconds.

    Whoever changes one calls `keep` first. Should the worker be in the middle of that very producer, what it read is
    left aside: the first entry counts.
    """

    __slots__ = ("_kept", "_producers", "is_packed")

    def __init__(self, producers: Iterable[Producer]) -> None:
        self._producers = list(producers)
        self._kept: dict[Producer, bytes] = {}
        self.is_packed = False

    def keep(self, producer: Producer) -> None:
        """It is going to change."""
        if producer not in self._kept:
            self._kept.setdefault(producer, _packed(producer))

    def drop(self) -> None:
        """Nobody is going to pack it."""
        self.is_packed = True

    def packed(self) -> bytes:
        """The contents of a `.snapshot` file; in any thread."""
        for producer in self._producers:
            self.keep(producer)
        data = _snapshot([self._kept[producer] for producer in self._producers])
        self.is_packed = True
        return data


class ProducerState:
    """All producers of one partition. Pure."""

    __slots__ = ("_frozen", "_open", "_producers", "_unreplicated")

    def __init__(self) -> None:
        # Moments that may not be packed yet.
        self._frozen: list[Frozen] = []
        self._producers: dict[int, Producer] = {}
        # First offset -> producer id, rising.
        self._open: dict[int, int] = {}
        # First offset -> offset of the marker, in the order of the markers.
        self._unreplicated: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._producers)

    def __iter__(self) -> Iterator[Producer]:
        return iter(self._producers.values())

    def judge(self, header: BatchHeader, *, is_sequenced: bool = True) -> StoredBatch | Unfit | None:
        """None: append it. A StoredBatch: it is here already. Unfit: refuse it.

        Not `is_sequenced` are the batches of coordinators: they have no sequence and are never sent twice.
        """
        producer = self._producers.get(header.producer_id)
        if producer is None:
            return None
        if producer.epoch != header.producer_epoch:
            if header.producer_epoch < producer.epoch:
                return _fenced(header, producer)
            if is_sequenced and header.base_sequence != 0 and producer.epoch != -1:
                return _out_of_order(header, f"epoch {header.producer_epoch} is new and must begin at sequence 0")
        elif is_sequenced:
            last_sequence = header.last_sequence
            for stored in producer.batches:
                if stored.last_sequence == last_sequence and stored.first_sequence == header.base_sequence:
                    return stored
            last = producer.batches[-1].last_sequence if producer.batches else NO_SEQUENCE
            expected = (last + 1) & SEQUENCE_MAX
            if header.base_sequence != expected:
                return _out_of_order(header, f"sequence {expected} was expected")
        if producer.open_transaction_offset >= 0 and not header.attributes & TRANSACTIONAL_BIT:
            return Unfit(
                ErrorCode.INVALID_TXN_STATE,
                f"producer {header.producer_id} has a transaction open since offset {producer.open_transaction_offset}",
            )
        return None

    def judge_marker(self, header: BatchHeader, marker: Marker) -> Unfit | None:
        """None: append it. Unfit: a producer or a coordinator that has been replaced sent it."""
        producer = self._producers.get(header.producer_id)
        if producer is None:
            return None
        if header.producer_epoch < producer.epoch:
            return _fenced(header, producer)
        if marker.coordinator_epoch < producer.coordinator_epoch:
            return Unfit(
                ErrorCode.TRANSACTION_COORDINATOR_FENCED,
                f"the coordinator's epoch is {producer.coordinator_epoch}, the marker's {marker.coordinator_epoch}",
            )
        return None

    def update(self, header: BatchHeader) -> None:
        """A data batch with a producer id was appended (or is being replayed); nothing is judged."""
        producer = self._producers.get(header.producer_id)
        if producer is None or producer.epoch != header.producer_epoch:
            producer = self._moved(header)
        if self._frozen:
            self._keep(producer)
        producer.last_timestamp = header.max_timestamp
        batches = producer.batches
        batches.append(
            StoredBatch(header.last_sequence, header.last_offset, header.last_offset_delta, header.max_timestamp)
        )
        if len(batches) > WINDOW_BATCHES:
            del batches[0]
        if header.attributes & TRANSACTIONAL_BIT and producer.open_transaction_offset < 0:
            producer.open_transaction_offset = header.base_offset
            self._open[header.base_offset] = header.producer_id

    def end_transaction(self, header: BatchHeader, marker: Marker) -> AbortedTransaction | None:
        """A marker was appended (or is being replayed): the producer's transaction is over; not None if aborted.

        A marker may come where the producer wrote nothing, or after its state was forgotten.
        """
        producer = self._moved(header)
        if self._frozen:
            self._keep(producer)
        producer.last_timestamp = header.max_timestamp
        producer.coordinator_epoch = marker.coordinator_epoch
        first = producer.open_transaction_offset
        if first < 0:
            return None
        producer.open_transaction_offset = -1
        del self._open[first]
        self._unreplicated[first] = header.base_offset
        if not marker.is_abort:
            return None
        last_stable = next(iter(self._open), header.base_offset + 1)
        return AbortedTransaction(header.producer_id, first, header.base_offset, last_stable)

    def _moved(self, header: BatchHeader) -> Producer:
        """The batch's producer, moved to the batch's epoch."""
        producer = self._producers.get(header.producer_id)
        if producer is None:
            producer = self._producers[header.producer_id] = Producer(header.producer_id, header.producer_epoch)
        elif producer.epoch != header.producer_epoch:
            if self._frozen:
                self._keep(producer)
            producer.epoch = header.producer_epoch
            producer.batches.clear()
        return producer

    # ---- transactions

    @property
    def has_unreplicated(self) -> bool:
        """Does any transaction wait for its marker to be replicated?"""
        return bool(self._unreplicated)

    def replicated(self, high_watermark: int) -> None:
        """The high watermark moved: transactions whose markers are below it bound nobody any more."""
        over = [first for first, marker in self._unreplicated.items() if marker < high_watermark]
        for first in over:
            del self._unreplicated[first]

    def first_unstable_offset(self, high_watermark: int) -> int | None:
        """Where the oldest transaction begins that is open or unreplicated; None without one."""
        if self._unreplicated:
            self.replicated(high_watermark)
            if self._unreplicated:
                oldest = min(self._unreplicated)
                return min(oldest, next(iter(self._open), oldest))
        return next(iter(self._open), None)

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
        self._open.clear()
        self._unreplicated.clear()

    def _keep(self, producer: Producer) -> None:
        self._frozen = [each for each in self._frozen if not each.is_packed]
        for each in self._frozen:
            each.keep(producer)

    def frozen(self) -> Frozen:
        """What is known now, to be packed later, perhaps by a worker."""
        frozen = Frozen(self._producers.values())
        self._frozen = [each for each in self._frozen if not each.is_packed] + [frozen]
        return frozen

    def snapshot(self) -> bytes:
        """The contents of a `.snapshot` file: only the last batch of each producer, as Kafka keeps it."""
        return _snapshot([_packed(producer) for producer in self._producers.values()])

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
        self.clear()
        for entry in _ENTRY.iter_unpack(memoryview(data)[_PROLOGUE.size :]):
            producer = Producer(entry[0], entry[1])
            if entry[3] >= 0:
                producer.batches.append(StoredBatch(*entry[2:6]))
            producer.last_timestamp = entry[5]
            producer.coordinator_epoch = entry[6]
            producer.open_transaction_offset = entry[7]
            self._producers[producer.producer_id] = producer
        self._open = dict(sorted(_open_transactions(self._producers.values())))


def _packed(producer: Producer) -> bytes:
    """Its entry in a snapshot. A slice, because another thread may take the batches away meanwhile."""
    last = next(iter(producer.batches[-1:]), _NO_BATCH)
    return _ENTRY.pack(
        producer.producer_id,
        producer.epoch,
        last.last_sequence,
        last.last_offset,
        last.offset_delta,
        producer.last_timestamp,
        producer.coordinator_epoch,
        producer.open_transaction_offset,
    )


def _snapshot(entries: list[bytes]) -> bytes:
    counted = struct.pack(">i", len(entries)) + b"".join(entries)
    return struct.pack(">hI", _VERSION, crc32c(counted)) + counted


_NO_BATCH = StoredBatch(NO_SEQUENCE, -1, 0, -1)


def _open_transactions(producers: Iterable[Producer]) -> Iterator[tuple[int, int]]:
    """(first offset, producer id)."""
    for producer in producers:
        if producer.open_transaction_offset >= 0:
            yield producer.open_transaction_offset, producer.producer_id


def _fenced(header: BatchHeader, producer: Producer) -> Unfit:
    return Unfit(
        ErrorCode.INVALID_PRODUCER_EPOCH,
        f"producer {header.producer_id} is at epoch {producer.epoch}, the batch at {header.producer_epoch}",
    )


def _out_of_order(header: BatchHeader, why: str) -> Unfit:
    return Unfit(
        ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
        f"producer {header.producer_id} at epoch {header.producer_epoch} sent sequence {header.base_sequence}; {why}",
    )
