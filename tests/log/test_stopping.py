"""Many logs stopped together: as durable as one by one, and nothing lost wherever the stop is interrupted."""

from __future__ import annotations

import pytest

from kbroker.log.directory import LogDirectory
from kbroker.log.settings import LogSettings
from kbroker.log.stopping import TOGETHER_MIN
from kbroker.names import TopicPartition
from kbroker.real.entropy import RealEntropy
from kbroker.record.batch import build_batch
from kbroker.testing.simulated_disk import Crashed, Keep, Loss, SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock

COUNT = TOGETHER_MIN + 1
SETTINGS = LogSettings(segment_bytes=200)
ID = bytes(range(16))


def _open(disk: SimulatedDisk) -> LogDirectory:
    return LogDirectory.open(disk, "/data", VirtualClock(), RealEntropy(), node_id=1)


def _where(number: int) -> TopicPartition:
    return TopicPartition("t", number)


def _started(disk: SimulatedDisk) -> LogDirectory:
    """A directory with many logs of three records in as many segments."""
    directory = _open(disk)
    for number in range(COUNT):
        log = directory.open_log(_where(number), ID, SETTINGS)
        for value in (b"a", b"b", b"c"):
            batch = build_batch([(None, value * 60)], timestamp_ms=1, producer_id=7, base_sequence=log.log_end)
            log.append_as_leader(batch, number)
    disk.run_queued()
    return directory


def _steps_of_a_stop() -> int:
    disk = SimulatedDisk(queues_work=True)
    directory = _started(disk)
    before = disk.steps
    assert directory.close(clean=True)
    return disk.steps - before


def test_a_stop_of_many_leaves_all_on_the_medium() -> None:
    disk = SimulatedDisk(queues_work=True)
    assert _started(disk).close(clean=True)
    disk = disk.restarted(Loss.POWER_FAILED, Keep.NOTHING)
    directory = _open(disk)
    assert directory.was_clean
    for number in range(COUNT):
        names = disk.list(f"/data/t-{number}")
        assert not [name for name in names if name.endswith(".tmp")]
        assert [name for name in names if name.endswith(".snapshot")][-1] == f"{3:020}.snapshot"
        log = directory.open_log(_where(number), ID, SETTINGS)
        assert (log.log_end, log.flushed_end, log.latest_epoch) == (3, 3, number)
        assert [each.producer_id for each in log.producers] == [7]
        assert not log.is_dirty


def test_a_stop_of_many_costs_few_syncs() -> None:
    """Each log took ten, and ten thousand logs some minutes."""
    disk = SimulatedDisk(queues_work=True)
    directory = _started(disk)
    synced: list[str] = []
    sync = disk.sync_directory
    disk.sync_directory = lambda path: (synced.append(path), sync(path))[1]  # type: ignore[method-assign]
    assert directory.close(clean=True)
    assert [path for path in synced if "/t-" in path] == []


def test_a_stop_has_nothing_to_do_for_logs_that_never_held_anything() -> None:
    """Five thousand of them that had been looked at after a kill took six seconds: each got a snapshot of nobody."""
    disk = SimulatedDisk()
    directory = _open(disk)
    for number in range(COUNT):
        assert directory.making(_where(number), ID)()
    disk = disk.restarted(Loss.PROCESS_DIED)
    directory = _open(disk)
    for number in range(COUNT):
        directory.open_log(_where(number), ID, SETTINGS).assign_epoch(1, 0)
    before = disk.steps
    assert directory.close(clean=True)
    assert disk.steps - before < COUNT
    directory = _open(disk.restarted(Loss.POWER_FAILED))
    for number in range(COUNT):
        log = directory.open_log(_where(number), ID, SETTINGS)
        assert (log.log_end, log.latest_epoch, log.mended) == (0, -1, [])


def test_a_stop_leaves_the_indexes_of_a_log_that_never_held_anything_where_nobody_made_them_before() -> None:
    """Apache Kafka recovers a segment without, and says so of each."""
    disk = SimulatedDisk()
    directory = _open(disk)
    directory.open_log(_where(0), ID, SETTINGS)
    indexes = {f"{0:020d}.index", f"{0:020d}.timeindex"}
    assert not indexes.intersection(disk.list("/data/t-0"))
    assert directory.close(clean=True)
    assert indexes.issubset(disk.list("/data/t-0"))


def test_a_stop_writes_no_leader_epochs_that_the_file_has_already() -> None:
    """Half of the renames of a stop of ten thousand logs, eleven seconds of them, put a file in its own place."""
    disk = SimulatedDisk(queues_work=True)
    directory = _started(disk)
    directory.logs[_where(3)].assign_epoch(99, 3)
    renamed: list[str] = []
    rename = disk.rename
    disk.rename = lambda source, target: (renamed.append(target), rename(source, target))[1]  # type: ignore[method-assign]
    assert directory.close(clean=True)
    assert [path for path in renamed if path.endswith("leader-epoch-checkpoint")] == [
        "/data/t-3/leader-epoch-checkpoint"
    ]


@pytest.mark.parametrize("loss", list(Loss))
def test_a_stop_of_many_that_is_interrupted_loses_nothing(loss: Loss) -> None:
    steps = _steps_of_a_stop()
    for step in range(1, steps, 25):
        disk = SimulatedDisk(queues_work=True)
        directory = _started(disk)
        for log in directory.logs.values():
            log.sync()
        disk.run_queued()
        disk.crash_at = disk.steps + step
        with pytest.raises(Crashed):
            directory.close(clean=True)
        disk = disk.restarted(loss, Keep.NOTHING)
        directory = _open(disk)
        for number in range(COUNT):
            log = directory.open_log(_where(number), ID, SETTINGS)
            assert (log.log_end, log.latest_epoch) == (3, number)
            assert [each.producer_id for each in log.producers] == [7]


def test_a_stop_gives_no_file_its_name_before_its_bytes_are_on_the_medium() -> None:
    """A power failure that keeps names and loses bytes would leave empty leader epochs in the place of whole ones."""
    disk = SimulatedDisk(queues_work=True)
    directory = _started(disk)
    rename = disk.rename
    left: list[SimulatedDisk] = []

    def renamed(source: str, target: str) -> None:
        if not left:
            left.append(disk.restarted(Loss.POWER_FAILED, Keep.NOTHING))
        assert left[0].read(source) == disk.read(source)
        rename(source, target)

    disk.rename = renamed  # type: ignore[method-assign]
    assert directory.close(clean=True)
    assert left


@pytest.mark.parametrize("broken", ["/t-3/", ".snapshot.tmp"])
def test_a_disk_that_refuses_makes_it_no_clean_stop(broken: str) -> None:
    disk = SimulatedDisk(queues_work=True)
    directory = _started(disk)
    disk.failing = {broken: "No space left on device"}
    assert not directory.close(clean=True)
    assert not disk.exists("/data/.kafka_cleanshutdown")
    disk.failing = {}
    again = _open(disk.restarted(Loss.PROCESS_DIED))
    assert [again.open_log(_where(number), ID, SETTINGS).log_end for number in range(COUNT)] == [3] * COUNT
