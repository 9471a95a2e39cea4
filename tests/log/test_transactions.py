"""Transactions as logs hold them: the last stable offset, the index of aborted ones, fencing, and what survives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from log_workshop import DIRECTORY, Workshop

from kbroker.log.damage import DamagedIndex
from kbroker.log.open_files import FileHandle, OpenFiles
from kbroker.log.outcome import Appended, Origin, Refused
from kbroker.log.partition_log import PartitionLog
from kbroker.log.txn_index import AbortedTransaction, TransactionIndex
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.batch import build_batch, read_header
from kbroker.record.compression import CorruptRecords
from kbroker.record.markers import Marker, build_marker, read_marker
from kbroker.testing.simulated_disk import Crashed, Loss, SimulatedDisk
from kbroker.world import DiskFailure
from protocol_specs.disk.control_record import ControlRecordTypeSchema, EndTxnMarker
from protocol_specs.disk.index_entries import TransactionIndexEntry
from protocol_specs.errors import ErrorCode

INDEX = f"{DIRECTORY}/{0:020d}.txnindex"
LATE = 1 << 40


class Producers:
    """Producers with ids 1, 2, ... at epoch 0 that write transactions to the shop's log, sequences counted."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self._next: dict[int, int] = {}

    def write(self, producer: int, count: int = 1, *, epoch: int = 0, **extra: Any) -> Appended:
        outcome = self.try_write(producer, count, epoch=epoch, **extra)
        assert isinstance(outcome, Appended), outcome
        return outcome

    def try_write(
        self, producer: int, count: int = 1, *, epoch: int = 0, transactional: bool = True, **extra: Any
    ) -> Appended | Refused:
        sequence = self._next.get(producer, 0)
        batch = self.shop.batch(
            count,
            producer_id=producer,
            producer_epoch=epoch,
            base_sequence=extra.pop("sequence", sequence),
            transactional=transactional,
        )
        outcome = self.shop.log.append_as_leader(batch, 0, origin=Origin.TRANSACTION)
        if isinstance(outcome, Appended):
            self._next[producer] = sequence + count
        return outcome

    def end(self, producer: int, *, aborts: bool, epoch: int = 0, coordinator_epoch: int = 7) -> Appended | Refused:
        marker = build_marker(
            producer,
            epoch,
            is_abort=aborts,
            coordinator_epoch=coordinator_epoch,
            timestamp_ms=self.shop.clock.wall_ms(),
        )
        return self.shop.log.append_as_leader(marker, 0, origin=Origin.COORDINATOR)

    def commit(self, producer: int) -> Appended:
        outcome = self.end(producer, aborts=False)
        assert isinstance(outcome, Appended), outcome
        return outcome

    def abort(self, producer: int) -> Appended:
        outcome = self.end(producer, aborts=True)
        assert isinstance(outcome, Appended), outcome
        return outcome


@pytest.fixture
def producers(shop: Workshop) -> Producers:
    return Producers(shop)


def stable(log: PartitionLog) -> int:
    """The last stable offset when everything is replicated."""
    return log.last_stable_end(log.log_end)


# ---- markers


@pytest.mark.parametrize("is_abort", [True, False])
def test_a_marker_reads_as_the_declaration_says(is_abort: bool) -> None:
    batch = build_marker(9, 3, is_abort=is_abort, coordinator_epoch=5, timestamp_ms=1_000)
    header = read_header(batch)
    assert (header.is_control, header.is_transactional, header.base_sequence) == (True, True, -1)
    assert (header.producer_id, header.producer_epoch, header.records_count) == (9, 3, 1)
    assert read_marker(batch) == Marker(is_abort, 5)
    kind = ControlRecordTypeSchema.build(ControlRecordTypeSchema(type=0 if is_abort else 1), version=0)
    value = EndTxnMarker.build(EndTxnMarker(coordinator_epoch=5), version=0)
    by_hand = build_batch(
        [(b"\0\0" + kind, b"\0\0" + value)],
        timestamp_ms=1_000,
        producer_id=9,
        producer_epoch=3,
        transactional=True,
        control=True,
    )
    assert by_hand == batch


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"\0\0\0", b"\0\0\0\0\0\5"),
        (None, b"\0\0\0\0\0\5"),
        (b"\0\0\0\0", None),
        (b"\0\0\0\0", b"\0\0\0\0\0"),
        (b"\0\0\0\2", b"\0\0\0\0\0\5"),
        (b"\xff\xff\0\0", b"\0\0\0\0\0\5"),
        (b"\0\0\0\0", b"\xff\xff\0\0\0\5"),
    ],
)
def test_a_control_record_that_is_no_marker_is_corrupt(key: bytes | None, value: bytes | None) -> None:
    batch = build_batch([(key, value)], timestamp_ms=1, producer_id=1, producer_epoch=0, control=True)
    with pytest.raises(CorruptRecords):
        read_marker(batch)


def test_an_emptied_control_batch_says_nothing() -> None:
    emptied = build_marker(1, 0, is_abort=True, coordinator_epoch=0, timestamp_ms=1)[:61]
    emptied[57:61] = bytes(4)
    emptied[8:12] = (61 - 12).to_bytes(4, "big")
    assert read_marker(emptied) is None


# ---- the last stable offset


def test_readers_of_committed_records_stop_before_the_oldest_open_transaction(
    shop: Workshop, producers: Producers
) -> None:
    shop.append(2)
    producers.write(1, 3)
    producers.write(2)
    shop.append()
    assert stable(shop.log) == 2
    producers.commit(1)
    assert stable(shop.log) == 5
    producers.abort(2)
    assert stable(shop.log) == shop.log.log_end == 9


def test_the_last_stable_offset_is_never_above_the_high_watermark(shop: Workshop, producers: Producers) -> None:
    shop.append(4)
    producers.write(1)
    assert [shop.log.last_stable_end(high) for high in (0, 3, 4, 5)] == [0, 3, 4, 4]


def test_a_transaction_whose_marker_is_not_replicated_still_holds_readers_back(
    shop: Workshop, producers: Producers
) -> None:
    """A new leader's log may lack the marker: what was readable as committed could be aborted there."""
    producers.write(1, 2)
    producers.write(2)
    marker = producers.commit(1).base_offset
    assert shop.log.last_stable_end(marker) == 0
    assert shop.log.last_stable_end(marker + 1) == 2
    producers.commit(2)
    assert shop.log.last_stable_end(marker + 1) == 2


def test_replicated_transactions_are_forgotten_without_being_asked_about(shop: Workshop, producers: Producers) -> None:
    for _ in range(3):
        producers.write(1)
        producers.commit(1)
    state = shop.log.producers
    assert state.has_unreplicated
    state.replicated(5)
    assert state.has_unreplicated
    state.replicated(6)
    assert not state.has_unreplicated


def test_a_log_start_inside_an_open_transaction_is_the_last_stable_offset(shop: Workshop, producers: Producers) -> None:
    producers.write(1, 4)
    shop.log.delete_before(3)
    assert stable(shop.log) == 3


def test_a_marker_without_records_changes_neither_offset_nor_index(shop: Workshop, producers: Producers) -> None:
    producers.abort(1)
    assert stable(shop.log) == 1
    assert shop.names(".txnindex") == []


# ---- what is refused


def test_a_plain_batch_of_a_producer_with_an_open_transaction_is_refused(shop: Workshop, producers: Producers) -> None:
    producers.write(1)
    refused = producers.try_write(1, transactional=False)
    assert isinstance(refused, Refused)
    assert refused.error == ErrorCode.INVALID_TXN_STATE
    producers.commit(1)
    producers.write(1, transactional=False)


def test_a_transactional_batch_has_sequences_and_is_known_when_it_comes_again(
    shop: Workshop, producers: Producers
) -> None:
    first = producers.write(1, 2)
    again = producers.try_write(1, 2, sequence=0)
    assert isinstance(again, Appended)
    assert (again.is_duplicate, again.base_offset) == (True, first.base_offset)
    gap = producers.try_write(1, sequence=9)
    assert isinstance(gap, Refused)
    assert gap.error == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_clients_transactional_batch_needs_somebody_who_vouches_for_it(shop: Workshop) -> None:
    batch = shop.batch(producer_id=1, producer_epoch=0, base_sequence=0, transactional=True)
    assert shop.refused(batch).error == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


@pytest.mark.parametrize("origin", [Origin.CLIENT, Origin.TRANSACTION])
def test_no_client_writes_control_batches(shop: Workshop, origin: Origin) -> None:
    is_vouched = origin is Origin.TRANSACTION
    batch = shop.batch(producer_id=1, producer_epoch=0, base_sequence=0, transactional=is_vouched, control=True)
    outcome = shop.log.append_as_leader(batch, 0, origin=origin)
    assert isinstance(outcome, Refused)
    assert outcome.error == ErrorCode.INVALID_RECORD


def test_a_marker_of_a_replaced_producer_or_coordinator_is_fenced(shop: Workshop, producers: Producers) -> None:
    producers.write(1, epoch=2)
    old = producers.end(1, aborts=False, epoch=1)
    assert isinstance(old, Refused)
    assert old.error == ErrorCode.INVALID_PRODUCER_EPOCH
    assert isinstance(producers.end(1, aborts=False, epoch=2, coordinator_epoch=7), Appended)
    zombie = producers.end(1, aborts=False, epoch=2, coordinator_epoch=6)
    assert isinstance(zombie, Refused)
    assert zombie.error == ErrorCode.TRANSACTION_COORDINATOR_FENCED


def test_a_marker_with_a_newer_epoch_fences_the_old_one(shop: Workshop, producers: Producers) -> None:
    """The coordinator aborts for a producer that is gone: it raises the epoch, and the zombie is refused."""
    producers.write(1)
    assert isinstance(producers.end(1, aborts=True, epoch=1), Appended)
    fenced = producers.try_write(1)
    assert isinstance(fenced, Refused)
    assert fenced.error == ErrorCode.INVALID_PRODUCER_EPOCH
    producers.write(1, epoch=1, sequence=0)


def test_a_coordinators_own_transactional_batches_need_no_sequence(shop: Workshop) -> None:
    """Offsets committed in a transaction: the second such batch was refused as out of order."""
    for _ in range(2):
        shop.append(producer_id=1, producer_epoch=0, base_sequence=-1, transactional=True, origin=Origin.COORDINATOR)
    assert stable(shop.log) == 0


# ---- the index


def test_an_abort_is_indexed_and_a_commit_is_not(shop: Workshop, producers: Producers) -> None:
    producers.write(1, 2)
    producers.commit(1)
    assert shop.names(".txnindex") == []
    producers.write(2)
    producers.write(1)
    producers.abort(1)
    producers.abort(2)
    assert shop.log.aborted_transactions(0, LATE) == [
        AbortedTransaction(1, 4, 5, 3),  # the other one is still open: offset 3 bounds what is stable
        AbortedTransaction(2, 3, 6, 7),
    ]
    data = shop.disk.read(INDEX)
    entry, end = TransactionIndexEntry.parse(data[:34], version=0), 34
    assert len(data) == 2 * end
    assert (entry.version, entry.producer_id, entry.first_offset, entry.last_offset) == (0, 1, 4, 5)
    assert entry.last_stable_offset == 3


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (0, 1, [1]),
        (0, 100, [1, 2, 3]),
        (2, 3, []),
        (3, 4, [2]),
        (1, 4, [1, 2]),
        (4, 5, [2, 3]),
        (9, 100, []),
    ],
)
def test_aborted_transactions_are_those_that_touch_the_range(
    shop: Workshop, producers: Producers, start: int, end: int, found: list[int]
) -> None:
    producers.write(1)  # 0
    producers.abort(1)  # 1
    shop.append()  # 2
    producers.write(2)  # 3
    producers.write(3)  # 4
    producers.abort(3)  # 5
    producers.abort(2)  # 6
    touching = shop.log.aborted_transactions(start, end)
    assert sorted(entry.producer_id for entry in touching) == found


def test_an_abort_in_a_later_segment_is_found_for_records_of_an_earlier_one(shop: Workshop) -> None:
    shop.open(segment_bytes=400)
    producers = Producers(shop)
    producers.write(1)
    for _ in range(20):
        shop.append(3)
    producers.abort(1)
    assert len(shop.log.segments) > 3
    assert [entry.first_offset for entry in shop.log.aborted_transactions(0, 1)] == [0]
    assert shop.log.aborted_transactions(0, 0) == []


def test_a_long_index_is_searched_rather_than_read(shop: Workshop) -> None:
    index = TransactionIndex(FileHandle(OpenFiles(shop.disk), f"{DIRECTORY}/long.txnindex"))
    for number in range(3_000):
        index.append(AbortedTransaction(1, 10 * number, 10 * number + 5, 10 * number + 6))
    found, is_complete = index.overlapping(20_003, 20_014)
    assert ([entry.first_offset for entry in found], is_complete) == ([20_000, 20_010], True)
    found, is_complete = index.overlapping(29_995, LATE)
    assert ([entry.first_offset for entry in found], is_complete) == ([29_990], False)
    assert len(index.overlapping(0, LATE)[0]) == 3_000


# ---- what survives


def rebuilt(shop: Workshop) -> list[AbortedTransaction]:
    return [entry for segment in shop.log.segments for entry in segment.transactions.entries()]


def scenario(shop: Workshop, producers: Producers) -> None:
    """A committed, an aborted and an open transaction, in several segments."""
    producers.write(1, 3)
    producers.write(2, 3)
    producers.write(3, 3)
    for _ in range(3):
        shop.append(5)
    producers.abort(2)
    producers.commit(1)
    producers.write(2, 3)
    shop.append(5)
    producers.abort(2)


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("recovery_point", [0, 15, 1000])
def test_open_and_aborted_transactions_survive_a_restart(
    make: Callable[[Any], Workshop], clean: bool, recovery_point: int
) -> None:
    shop = make(MemoryDisk())
    shop.open(segment_bytes=500)
    scenario(shop, Producers(shop))
    before = (rebuilt(shop), stable(shop.log), shop.log.aborted_transactions(0, LATE))
    assert len(before[0]) == 2
    assert before[1] == 6
    shop.reopen(clean=clean, recovery_point=min(recovery_point, shop.log.log_end))
    assert (rebuilt(shop), stable(shop.log), shop.log.aborted_transactions(0, LATE)) == before
    producers = Producers(shop)
    producers.end(3, aborts=True)
    assert stable(shop.log) == shop.log.log_end


def test_an_index_that_is_lost_or_wrong_is_rebuilt_after_a_kill(shop: Workshop, producers: Producers) -> None:
    scenario(shop, producers)
    whole = rebuilt(shop)
    for damage in (None, b"", b"\x01" * 34, shop.disk.read(INDEX) + b"junk"):
        if damage is None:
            shop.disk.remove(INDEX)
        else:
            file = shop.disk.open(INDEX, create=True)
            file.truncate(0)
            file.write_at(0, [damage])
        shop.reopen(clean=False)
        assert rebuilt(shop) == whole


@pytest.mark.parametrize("damage", [b"\0" * 33, b"\0\1" + b"\0" * 32, b"\0\0" + b"\xff" * 32])
def test_an_index_that_cannot_be_the_segments_is_rebuilt_after_a_clean_stop(
    shop: Workshop, producers: Producers, damage: bytes
) -> None:
    scenario(shop, producers)
    whole = rebuilt(shop)
    assert shop.log.close(clean=True)
    file = shop.disk.open(INDEX)
    file.truncate(0)
    file.write_at(0, [damage])
    shop.open(clean=True)
    assert rebuilt(shop) == whole


@pytest.mark.parametrize("loss", list(Loss))
def test_a_start_that_stops_anywhere_while_it_rebuilds_leaves_an_index_to_the_next(
    make: Callable[[Any], Workshop], loss: Loss
) -> None:
    shop = make(SimulatedDisk())
    shop.open(segment_bytes=500)
    scenario(shop, Producers(shop))
    shop.log.sync()
    whole, point = rebuilt(shop), shop.log.recovery_point
    first = shop.log.segments[0].offsets.handle.path
    shop.disk.remove(first)
    shop.disk.sync_directory(DIRECTORY)
    before, stops = shop.disk, 0
    while True:
        disk = before.restarted(loss)
        disk.crash_at = stops = stops + 1
        try:
            make(disk).open(recovery_point=point, segment_bytes=500)
        except Crashed:
            shop.disk = disk.restarted(loss)
            shop.open(recovery_point=point)
            assert rebuilt(shop) == whole
        else:
            break
    assert stops > 3


@pytest.mark.parametrize("is_cut", [False, True])
def test_an_entry_that_cannot_be_read_any_more_fails_who_meets_it_alone(
    shop: Workshop, producers: Producers, is_cut: bool
) -> None:
    """As in Kafka, whose consumers ask again. One of an unknown version used to take the log directory offline."""
    producers.write(1)
    producers.abort(1)
    failed: list[DiskFailure] = []
    shop.log.on_failure = failed.append
    file = shop.disk.open(INDEX)
    file.truncate(33) if is_cut else file.write_at(0, [b"\0\1"])
    with pytest.raises(DamagedIndex):
        shop.log.aborted_transactions(0, 1)
    refused = shop.log.aborted_in(shop.read(0), 0)
    assert isinstance(refused, Refused)
    assert refused.error == ErrorCode.UNKNOWN_SERVER_ERROR
    assert (shop.log.failure, failed) == (None, [])
    producers.write(2)
    producers.abort(2)
    assert len(shop.log.aborted_transactions(2, 4)) == 1


@pytest.mark.parametrize("damage", [b"\0\1", b"\1\0"])
def test_a_damaged_entry_before_the_last_is_found_at_the_start(
    shop: Workshop, producers: Producers, damage: bytes
) -> None:
    """Only the last one was looked at, and the readers of the others met it."""
    scenario(shop, producers)
    producers.write(1)
    producers.abort(1)
    producers.write(1)
    producers.abort(1)
    index = shop.log.segments[-1].transactions.handle.path
    whole = rebuilt(shop)
    assert shop.log.close(clean=True)
    shop.disk.open(index).write_at(0, [damage])
    shop.open(clean=True)
    assert rebuilt(shop) == whole
    assert [each.file for each in shop.log.mended] == [index.rpartition("/")[2]]


def test_truncation_takes_back_markers_and_their_entries(shop: Workshop, producers: Producers) -> None:
    producers.write(1)
    producers.abort(1)
    producers.write(1)
    producers.write(2)
    producers.abort(1)
    shop.log.truncate_to(4)
    assert [entry.first_offset for entry in shop.log.aborted_transactions(0, LATE)] == [0]
    assert stable(shop.log) == 2
    producers.abort(1)
    assert [entry.first_offset for entry in shop.log.aborted_transactions(0, LATE)] == [0, 2]
    shop.log.truncate_to(0)
    assert (shop.log.aborted_transactions(0, LATE), stable(shop.log)) == ([], 0)


def test_the_index_goes_with_its_segment(shop: Workshop, producers: Producers) -> None:
    producers.write(1)
    producers.abort(1)
    shop.log.roll()
    shop.log.delete_before(2)
    assert shop.names(".txnindex") == []
    assert f"{0:020d}.txnindex.deleted" in shop.names()
    shop.clock.advance(60_000)
    assert not [name for name in shop.names() if ".txnindex" in name]


def test_a_sealed_index_is_synced_with_its_segment(make: Callable[[Any], Workshop]) -> None:
    """Recovery trusts it below the recovery point: without its entries an aborted record would be read as committed."""
    shop = make(SimulatedDisk())
    shop.open()
    producers = Producers(shop)
    producers.write(1)
    producers.abort(1)
    shop.log.roll()
    assert shop.log.recovery_point == 2
    shop.disk = shop.disk.restarted(Loss.POWER_FAILED)
    shop.open(recovery_point=2)
    assert [entry.first_offset for entry in shop.log.aborted_transactions(0, LATE)] == [0]


def test_what_a_follower_is_sent_says_the_same(shop: Workshop, producers: Producers) -> None:
    scenario(shop, producers)
    sent = shop.bytes_of(shop.read(0))
    before = rebuilt(shop), stable(shop.log)
    other = Workshop(MemoryDisk())
    other.open()
    assert isinstance(other.log.append_as_follower(sent), Appended)
    assert (rebuilt(other), stable(other.log)) == before


def test_a_snapshot_carries_open_transactions_and_the_coordinators_epoch(shop: Workshop, producers: Producers) -> None:
    producers.write(1)
    producers.write(2)
    producers.end(2, aborts=False, coordinator_epoch=9)
    assert shop.log.close(clean=True)
    shop.open(clean=True)
    known = {producer.producer_id: producer for producer in shop.log.producers}
    assert (known[1].open_transaction_offset, known[1].coordinator_epoch) == (0, -1)
    assert (known[2].open_transaction_offset, known[2].coordinator_epoch) == (-1, 9)
    assert stable(shop.log) == 0


def test_a_producer_with_an_open_transaction_is_not_forgotten(shop: Workshop, producers: Producers) -> None:
    producers.write(1)
    producers.write(2)
    producers.commit(2)
    shop.clock.advance(shop.settings.producer_id_expiration_ms)
    assert shop.log.expire_producers() == 1
    assert stable(shop.log) == 0


def test_an_index_that_cannot_be_written_fails_the_log(make: Callable[[Any], Workshop]) -> None:
    disk = SimulatedDisk()
    shop = make(disk)
    shop.open()
    producers = Producers(shop)
    producers.write(1)
    disk.failing["txnindex"] = "No space left on device"
    outcome = producers.end(1, aborts=True)
    assert isinstance(outcome, Refused)
    assert outcome.error == ErrorCode.KAFKA_STORAGE_ERROR
    assert shop.log.failure is not None
