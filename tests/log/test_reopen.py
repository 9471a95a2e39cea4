"""A log comes back as it was: after a clean stop by trusting its files, after a kill by reading them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from log_workshop import DIRECTORY, TOPIC_ID

from kbroker.log.outcome import Refused
from kbroker.log.partition_log import InconsistentTopicId, PartitionLog
from kbroker.log.place import LogPlace
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.disk import RealDisk
from kbroker.testing.simulated_disk import Crashed, Keep, Loss, SimulatedDisk
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from log_workshop import Workshop

SMALL = {"segment_bytes": 700, "index_interval_bytes": 100}


def _filled(shop: Workshop) -> list[tuple[Any, ...]]:
    shop.open(**SMALL)
    for number in range(20):
        shop.append(2, epoch=number // 5, producer_id=7, producer_epoch=0, base_sequence=2 * number)
        shop.clock.advance(10)
    return _shape(shop)


def _shape(shop: Workshop) -> list[tuple[Any, ...]]:
    """Everything that a reopened log must have again, indexes included."""
    log = shop.log
    return [
        (log.log_start, log.log_end, log.written_end, log.size_bytes, tuple(log.epochs.entries())),
        tuple((record.offset, record.timestamp, record.key) for record in shop.records(log.log_start)),
        *(
            (segment.base_offset, segment.size, segment.max_timestamp, tuple(segment.offsets.entries()))
            for segment in log.segments
        ),
    ]


@pytest.mark.parametrize("clean", [True, False])
def test_everything_is_there_again(shop: Workshop, clean: bool) -> None:
    before = _filled(shop)
    shop.reopen(clean=clean)
    assert _shape(shop) == before
    assert shop.log.flushed_end == (40 if clean else 0)


def test_recovery_changes_no_file_that_says_the_truth(make: Callable[[Any], Workshop]) -> None:
    """It used to empty every index and to write it again, and the leader epochs with it: ten thousand small logs took
    half a minute on a busy disk."""
    shop = make(SimulatedDisk())
    before = _filled(shop)
    shop.log.assign_epoch(9, shop.log.log_end)
    assert shop.log.close(clean=True)
    touched: list[str] = []
    shop.disk.on_step = touched.append
    shop.open(recovery_point=shop.log.log_end, **SMALL)
    assert touched == []
    assert _shape(shop)[1:] == before[1:]


@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
@pytest.mark.parametrize("edit", [lambda data: data[:-3], lambda data: data + bytes(24), lambda data: b"\1" + data[1:]])
def test_recovery_mends_an_index_that_says_anything_else(
    make: Callable[[Any], Workshop], suffix: str, edit: Callable[[bytes], bytes]
) -> None:
    shop = make(SimulatedDisk())
    before = _filled(shop)
    assert shop.log.close(clean=True)
    path = f"{DIRECTORY}/{shop.log.segments[1].base_offset:020}{suffix}"
    whole = shop.disk.read(path)
    shop.disk.replace(path, edit(whole))
    shop.open(**SMALL)
    assert shop.disk.read(path) == whole
    assert _shape(shop)[1:] == before[1:]


@pytest.mark.parametrize("clean", [True, False])
def test_an_idempotent_producer_goes_on_where_it_was(shop: Workshop, clean: bool) -> None:
    _filled(shop)
    shop.reopen(clean=clean)
    repeated = shop.append(2, producer_id=7, producer_epoch=0, base_sequence=38)
    assert (repeated.is_duplicate, repeated.base_offset) == (True, 38)
    gap = shop.refused(shop.batch(2, producer_id=7, producer_epoch=0, base_sequence=42))
    assert gap.error == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert shop.append(2, producer_id=7, producer_epoch=0, base_sequence=40).base_offset == 40


def test_indexes_after_recovery_equal_those_of_a_clean_stop(shop: Workshop) -> None:
    _filled(shop)
    shop.log.close(clean=True)
    clean = {name: shop.disk.read(f"{DIRECTORY}/{name}") for name in (*shop.names("index"), *shop.names(".log"))}
    for name in shop.names("index"):
        shop.disk.remove(f"{DIRECTORY}/{name}")
    shop.open()
    shop.log.close(clean=True)
    assert {name: shop.disk.read(f"{DIRECTORY}/{name}") for name in clean} == clean


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("damage", ["missing", "odd size", "zeros", "beyond the log"])
@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
def test_a_bad_index_is_rebuilt(shop: Workshop, suffix: str, damage: str, clean: bool) -> None:
    before = _filled(shop)
    shop.log.close(clean=True)
    for name in shop.names(suffix):
        path = f"{DIRECTORY}/{name}"
        if damage == "missing":
            shop.disk.remove(path)
            continue
        file = shop.disk.open(path)
        if damage == "odd size":
            file.write_at(file.size(), [b"x"])
        elif damage == "zeros":
            file.write_at(0, [bytes(file.size() + 24)])
        else:
            file.write_at(file.size(), [struct.pack(">ii", 9999, 99999) if suffix == ".index" else b"\xff" * 12])
    shop.open(clean=clean, recovery_point=40)
    assert _shape(shop)[:2] == before[:2]
    for offset in range(40):
        assert shop.read(offset).first_offset == offset // 2 * 2


def test_a_torn_tail_is_cut_and_never_an_earlier_batch(make: Callable[[Any], Workshop]) -> None:
    for cut in range(1, 180, 7):
        shop = make(SimulatedDisk())
        shop.open()
        sizes = [len(shop.batch(2)), len(shop.batch(2))]
        shop.append(2)
        shop.append(2)
        file = shop.disk.open(f"{DIRECTORY}/{0:020d}.log")
        file.truncate(file.size() - min(cut, sizes[1]))
        shop.reopen(clean=False)
        assert shop.offsets() == [0, 1]
        assert shop.append(1).base_offset == 2
        assert shop.disk.open(f"{DIRECTORY}/{0:020d}.log").size() == sizes[0] + len(shop.batch(1))


@pytest.mark.parametrize("position", [0, 8, 16, 17, 21, 60, 70])
def test_a_damaged_batch_ends_the_log_and_what_follows_is_dropped(shop: Workshop, position: int) -> None:
    shop.open(**SMALL)
    for _ in range(20):
        shop.append(2)
    second = shop.log.segments[1]
    start = second.find(second.base_offset + 2)
    assert start is not None
    byte = second.handle.file().read_at(start.position + position, 1)
    second.handle.file().write_at(start.position + position, [bytes([byte[0] ^ 0xFF])])
    shop.reopen(clean=False)
    assert shop.offsets() == list(range(second.base_offset + 2))
    assert len(shop.names(".log")) == 2


def test_what_lies_before_the_recovery_point_is_not_read_again(shop: Workshop) -> None:
    """Kafka's promise and ours: only segments beyond the recovery point are checked at start."""
    _filled(shop)
    first = shop.log.segments[0]
    shop.log.close(clean=True)
    file = shop.disk.open(f"{DIRECTORY}/{0:020d}.log")
    file.write_at(first.size - 1, [b"\xff"])
    shop.open(clean=False, recovery_point=40)
    assert shop.log.log_end == 40


def test_left_over_files_are_removed(shop: Workshop) -> None:
    _filled(shop)
    for name in ("x.cleaned", f"{99:020d}.index", f"{99:020d}.timeindex", f"{0:020d}.log.deleted"):
        shop.disk.open(f"{DIRECTORY}/{name}", create=True)
    shop.reopen(clean=True)
    assert not {"x.cleaned", f"{99:020d}.index", f"{0:020d}.log.deleted"} & set(shop.names())


def test_a_directory_of_another_topic_is_not_opened(shop: Workshop) -> None:
    shop.log.close(clean=True)
    with pytest.raises(InconsistentTopicId):
        PartitionLog.open(LogPlace(shop.disk, DIRECTORY, TopicPartition("t", 0), b"x" * 16, LogSettings(), shop.clock))


def test_damaged_snapshots_and_epochs_are_rebuilt_from_the_log(shop: Workshop) -> None:
    before = _filled(shop)
    shop.log.close(clean=True)
    for name in shop.names(".snapshot"):
        shop.disk.open(f"{DIRECTORY}/{name}").write_at(8, [b"\xff\xff"])
    shop.disk.replace(f"{DIRECTORY}/leader-epoch-checkpoint", b"1\nnonsense\n")
    shop.open(clean=False)
    assert _shape(shop) == before
    assert shop.append(2, producer_id=7, producer_epoch=0, base_sequence=38).is_duplicate


# ---- bytes on disk, as Kafka writes them


def test_the_files_of_a_partition_are_kafkas_byte_for_byte(shop: Workshop) -> None:
    shop.open(index_interval_bytes=100)
    size = len(shop.batch(2))
    for number in range(4):
        shop.append(2, epoch=number // 2, producer_id=9, producer_epoch=1, base_sequence=2 * number)
        shop.clock.advance(1)
    shop.log.close(clean=True)
    start = 1_700_000_000_000
    read = {name: shop.disk.read(f"{DIRECTORY}/{name}") for name in shop.names()}
    assert sorted(read) == [
        f"{0:020d}.index",
        f"{0:020d}.log",
        f"{0:020d}.timeindex",
        f"{8:020d}.snapshot",
        "leader-epoch-checkpoint",
        "partition.metadata",
    ]
    assert len(read[f"{0:020d}.log"]) == 4 * size
    # An entry when more than the interval came since the last one: the batch's last offset, its own position.
    assert read[f"{0:020d}.index"] == struct.pack(">iiiiii", 3, size, 5, 2 * size, 7, 3 * size)
    assert read[f"{0:020d}.timeindex"] == struct.pack(">qiqiqi", start + 1, 3, start + 2, 5, start + 3, 7)
    assert read["leader-epoch-checkpoint"] == b"0\n2\n0 0\n1 4\n"
    assert read["partition.metadata"] == b"version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw"
    snapshot = read[f"{8:020d}.snapshot"]
    assert snapshot[:2] == b"\0\1"
    assert snapshot[6:] == struct.pack(">iqhiqiqiq", 1, 9, 1, 7, 7, 1, start + 3, -1, -1)


def test_a_sealed_segment_has_the_entry_of_its_largest_time(shop: Workshop) -> None:
    shop.append(1, timestamp_ms=1_700_000_000_500)
    shop.append(1)
    shop.log.roll()
    assert shop.disk.read(f"{DIRECTORY}/{0:020d}.timeindex") == struct.pack(">qi", 1_700_000_000_500, 0)
    assert shop.disk.read(f"{DIRECTORY}/{0:020d}.index") == b""
    assert shop.names(".snapshot") == [f"{2:020d}.snapshot"]


@pytest.mark.parametrize("clean", [True, False])
def test_the_snapshots_of_clean_stops_go_again(shop: Workshop, clean: bool) -> None:
    """Each stop left one, for ever; a segment's own stay."""
    shop.append(1)
    shop.log.roll()
    for _ in range(4):
        shop.append(1)
        shop.reopen(clean=True)
    assert shop.log.log_end == 5
    shop.reopen(clean=clean)
    assert shop.names(".snapshot") == [f"{1:020d}.snapshot", f"{5:020d}.snapshot"]


# ---- syncs


def test_one_sync_serves_all_that_wait_and_moves_the_recovery_point(make: Callable[[Any], Workshop]) -> None:
    shop = make(SimulatedDisk(queues_work=True))
    shop.open()
    shop.append(2)
    shop.disk.run_queued()
    shop.log.sync()
    shop.append(2)
    shop.log.sync()
    shop.log.sync()
    assert shop.log.flushed_end == 0
    shop.disk.run_queued(1)
    assert shop.log.flushed_end == 2
    assert shop.disk.run_queued() == 1
    assert shop.log.flushed_end == 4
    steps = shop.disk.steps
    shop.log.sync()
    shop.disk.run_queued()
    assert shop.disk.steps == steps, "nothing is dirty: nothing is synced"


def test_flush_messages_syncs_by_itself_and_flush_ms_when_somebody_looks(shop: Workshop) -> None:
    shop.open(flush_messages=3)
    shop.append(2)
    assert shop.log.flushed_end == 0
    shop.append(1)
    assert shop.log.flushed_end == 3
    shop.log.settings = LogSettings(flush_ms=100)
    shop.append(1)
    shop.log.sync_if_overdue()
    assert shop.log.flushed_end == 3
    shop.clock.advance(100)
    shop.log.sync_if_overdue()
    assert shop.log.flushed_end == 4


def test_a_failed_sync_fails_the_log(make: Callable[[Any], Workshop]) -> None:
    shop = make(SimulatedDisk(queues_work=True))
    shop.open()
    shop.append(2)
    shop.disk.run_queued()
    shop.log.sync()
    shop.disk.failing[".log"] = "Input/output error"
    shop.disk.run_queued()
    assert shop.log.flushed_end == 0
    assert shop.log.failure is not None
    assert isinstance(shop.log.read(0, 10, 10), Refused)


def test_a_log_on_the_real_disk_is_killed_and_comes_back(make: Callable[[Any], Workshop], tmp_path: Path) -> None:
    posted: list[Callable[[], None]] = []
    disk = RealDisk(posted.append, small_bytes_max=300, slow_write_s=0)
    shop = make(disk)

    def opened() -> PartitionLog:
        shop.log = PartitionLog.open(
            LogPlace(
                disk,
                str(tmp_path / "t-0"),
                TopicPartition("t", 0),
                TOPIC_ID,
                LogSettings(segment_bytes=2000),
                shop.clock,
            )
        )
        return shop.log

    opened()
    for count in (1, 30, 1, 30, 2):
        shop.append(count)
    disk.drain()
    log = shop.log
    assert log.written_end == 64
    records = shop.records()
    log.close(clean=False)
    opened()
    assert shop.records() == records
    assert shop.log.close(clean=True)
    disk.drain()
    disk.close()


# ---- a crash at every step


def _workload(shop: Workshop, promised: list[int]) -> None:
    """Appends, rolls, syncs, a moved start; promised[0] is what was acknowledged, [1] what was synced."""
    shop.open(segment_bytes=400, index_interval_bytes=100)
    for number in range(9):
        shop.append(2, epoch=number // 4, producer_id=5, producer_epoch=0, base_sequence=2 * number)
        promised[0] = shop.log.written_end
        if number % 3 == 2:
            shop.log.sync()
            promised[1] = max(promised[1], shop.log.recovery_point)
    shop.log.close(clean=True)
    promised[1] = shop.log.flushed_end


def _steps(make: Callable[[Any], Workshop]) -> int:
    shop = make(SimulatedDisk())
    _workload(shop, [0, 0])
    return shop.disk.steps


def _crashed_at(make: Callable[[Any], Workshop], step: int) -> tuple[Workshop, list[int]]:
    shop = make(SimulatedDisk())
    shop.disk.make_directory("/data")
    shop.disk.sync_directory("/data")
    shop.disk.crash_at = shop.disk.steps + step
    promised = [0, 0]
    with pytest.raises(Crashed):
        _workload(shop, promised)
    return shop, promised


def _check(shop: Workshop, promised_end: int) -> None:
    """The model: offsets dense from 0, all that was promised, nothing else, producers as a replay has them."""
    end = shop.log.log_end
    assert promised_end <= end <= 18
    assert shop.offsets() == list(range(end))
    for offset in range(end):
        assert shop.read(offset).first_offset == offset // 2 * 2
    if end:
        repeated = shop.append(2, producer_id=5, producer_epoch=0, base_sequence=end - 2)
        assert (repeated.is_duplicate, repeated.base_offset) == (True, end - 2)
        gap = shop.refused(shop.batch(2, producer_id=5, producer_epoch=0, base_sequence=end + 2))
        assert gap.error == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert shop.log.latest_epoch == (end - 1) // 2 // 4
    assert shop.append(2, epoch=9, producer_id=5, producer_epoch=0, base_sequence=end).base_offset == end


def test_a_process_killed_at_any_step_loses_nothing_acknowledged(make: Callable[[Any], Workshop]) -> None:
    steps = _steps(make)
    assert steps > 50
    for step in range(1, steps):
        shop, promised = _crashed_at(make, step)
        shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
        shop.open(segment_bytes=400, index_interval_bytes=100)
        _check(shop, promised[0])


@pytest.mark.parametrize("keep", list(Keep))
def test_power_lost_at_any_step_loses_nothing_synced(make: Callable[[Any], Workshop], keep: Keep) -> None:
    for step in range(1, _steps(make)):
        shop, promised = _crashed_at(make, step)
        shop.disk = shop.disk.restarted(Loss.POWER_FAILED, keep)
        shop.open(segment_bytes=400, index_interval_bytes=100, recovery_point=promised[1])
        _check(shop, promised[1])
