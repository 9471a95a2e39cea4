"""Logs after a clean stop: nothing of them is opened before it is needed, and then they are what they were."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.log.directory import LogDirectory
from kbroker.log.dormant import measure_sleeping
from kbroker.log.kept_log import KeptLog
from kbroker.log.outcome import Appended, LogRead, Refused
from kbroker.log.partition_log import PartitionLog
from kbroker.log.place import Measured
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.entropy import RealEntropy
from kbroker.record.batch import build_batch
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.world import DiskFailure
from protocol_specs.errors import ErrorCode

WHERE = TopicPartition("t", 0)
ID = bytes(range(16))
SETTINGS = LogSettings(segment_bytes=300)
APPENDED_MS = 1_700_000_000_000
FILE = "/data/t-0/00000000000000000000"


def _open(disk: SimulatedDisk) -> LogDirectory:
    return LogDirectory.open(disk, "/data", VirtualClock(), RealEntropy(), node_id=1)


def _append(log: PartitionLog, epoch: int = 3) -> Any:
    return log.append_as_leader(build_batch([(None, b"v" * 40)], timestamp_ms=APPENDED_MS), epoch)


@pytest.fixture
def disk() -> SimulatedDisk:
    """Ten records in some segments, cleanly stopped."""
    disk = SimulatedDisk()
    directory = _open(disk)
    log = directory.open_log(WHERE, ID, SETTINGS)
    for _ in range(10):
        _append(log)
    log.delete_before(1)
    assert directory.close(clean=True)
    return disk


def _asleep(disk: SimulatedDisk) -> PartitionLog:
    log = _open(disk).open_log(WHERE, ID, SETTINGS)
    assert log.is_asleep
    return log


def test_the_ends_are_known_without_a_look_at_segments_indexes_or_snapshots(disk: SimulatedDisk) -> None:
    disk.failing = {FILE: "opened", ".snapshot": "opened", "leader-epoch": "opened"}
    names = [name for name in disk.list("/data/t-0") if name.endswith(".log")]
    log = _asleep(disk)
    assert (log.log_start, log.flushed_end, log.written_end, log.log_end) == (1, 10, 10, 10)
    assert (log.recovery_point, log.has_moved_start, log.cut, log.is_dirty) == (10, True, (0, 0), False)
    log.sync_if_overdue()
    log.assign_epoch(4, 10)
    assert log.expire_producers() == 0
    assert log.segments_count == len(names) > 1
    assert not log.producers.has_unreplicated
    assert log.is_asleep
    assert log.close(clean=True)


def test_a_clean_stop_and_another_start_later_it_still_sleeps(disk: SimulatedDisk) -> None:
    directory = _open(disk)
    directory.open_log(WHERE, ID, SETTINGS)
    directory.checkpoint()
    assert directory.close(clean=True)
    assert _asleep(disk).log_end == 10


USES: list[Any] = [
    lambda log: log.read(5, 1000, 10),
    lambda log: log.offset_for_timestamp(1),
    lambda log: log.end_offset_for_epoch(3),
    lambda log: log.segments,
    lambda log: log.size_bytes,
    lambda log: log.latest_epoch,
    lambda log: log.epoch_at(5),
    lambda log: log.aborted_transactions(1, 5),
    lambda log: log.without_waiting(lambda: log.read(5, 1000, 10)),
    lambda log: log.max_timestamp(),
    lambda log: log.place_of(5),
    lambda log: log.delete_before(2),
    lambda log: log.roll(),
    lambda log: log.append_as_follower(b""),
    lambda log: log.last_stable_end(10),
    lambda log: log.apply_retention(10),
    _append,
]


@pytest.mark.parametrize("use", USES)
def test_the_first_use_wakes_it(disk: SimulatedDisk, use: Any) -> None:
    log = _asleep(disk)
    assert not isinstance(use(log), Refused)
    assert not log.is_asleep
    assert log.failure is None
    assert log.log_start in (1, 2)
    assert isinstance(log.read(9, 1000, 10), LogRead)


ANSWERED_ASLEEP = {
    *("asleep", "open", "close", "in_worker"),
    *("assign_epoch", "broken", "fail", "fence", "unfence", "note_measured"),
    *("on_failure", "on_progress", "on_sealing", "on_truncation", "on_woken"),
    *("can_close_cleanly", "cut", "has_moved_start", "is_asleep", "is_syncing", "is_unmeasured", "noted_start"),
    *("has_lost_end", "is_fenced"),
    *("last_base", "recovery_point", "segments_count"),
    *("cleaning", "directory", "is_closed", "is_dirty", "last_flush_ms", "log_start", "mended", "producers"),
    *("settings", "sync", "sync_if_overdue", "synced_to", "expire_producers", "topic_id", "topic_partition"),
}
"""What needs nothing but the ends."""
REACHED_THROUGH_OTHERS = {
    "append_or_prepare",
    "append_prepared",
    "aborted_in",
    "replace_segments",
    "epochs",
    "append_run",
}
"""`append_as_leader` and `segments` come first."""
OF_A_DIRTY_LOG = {"must_be_written_out", "write_out", "written_out"}
OF_FOLLOWERS = {"truncate_to", "truncate_fully_and_start_at"}


def test_it_is_said_of_every_member_whether_it_wakes_a_log() -> None:
    """A new one that forgets to wake it meets a log without segments."""
    woken_by = {name for use in USES for name in (*use.__code__.co_names, *_inner_names(use))}
    public = {name for kind in (KeptLog, PartitionLog) for name in vars(kind) if not name.startswith("_")}
    assert public - woken_by - ANSWERED_ASLEEP - REACHED_THROUGH_OTHERS - OF_A_DIRTY_LOG - OF_FOLLOWERS == set()


def _inner_names(use: Any) -> list[str]:
    return [name for inner in use.__code__.co_consts if hasattr(inner, "co_names") for name in inner.co_names]


def _measure(disk: SimulatedDisk, log: PartitionLog) -> None:
    done: list[bool] = []
    measure_sleeping(disk, [log], lambda: done.append(True))
    assert done == [True]


def _sizes(disk: SimulatedDisk) -> list[int]:
    return [disk.open(f"/data/t-0/{name}").size() for name in disk.list("/data/t-0") if name.endswith(".log")]


def test_a_worker_learns_how_large_it_is_while_it_sleeps(disk: SimulatedDisk) -> None:
    """The first DescribeLogDirs woke every log, half a second for 1,500."""
    log = _asleep(disk)
    _measure(disk, log)
    assert log.size_bytes == sum(_sizes(disk)) > 0
    assert log.is_asleep
    disk.failing = {"/data/t-0": "looked at again"}
    _measure(disk, log)
    assert log.size_bytes > 0


def test_what_was_measured_is_forgotten_when_it_wakes(disk: SimulatedDisk) -> None:
    log = _asleep(disk)
    _measure(disk, log)
    before = log.size_bytes
    _append(log)
    assert log.size_bytes == sum(_sizes(disk)) > before
    _measure(disk, log)
    log.note_measured(Measured(1, 1, 1))
    assert log.size_bytes > before


@pytest.mark.parametrize(
    ("retention_ms", "retention_bytes", "end", "goes"),
    [
        (-1, -1, 10, False),
        (1000, -1, 10, False),  # as old as, not older
        (999, -1, 10, True),
        (999, -1, 1, False),  # not replicated yet
        (-1, 10_000, 10, False),
        (-1, 0, 10, True),
    ],
)
def test_retention_wakes_only_a_log_that_loses_something(
    disk: SimulatedDisk, retention_ms: int, retention_bytes: int, end: int, goes: bool
) -> None:
    """The first round of retention woke every log, some half a millisecond each."""
    clock = VirtualClock()
    directory = LogDirectory.open(disk, "/data", clock, RealEntropy(), node_id=1)
    settings = LogSettings(segment_bytes=300, retention_ms=retention_ms, retention_bytes=retention_bytes)
    log = directory.open_log(WHERE, ID, settings)
    clock.advance(APPENDED_MS + 1000 - clock.wall_ms())
    _measure(disk, log)
    dropped = log.apply_retention(end)
    assert (bool(dropped), log.is_asleep) == (goes, not goes)


def test_retention_judges_a_measured_log_by_its_settings_of_now(disk: SimulatedDisk) -> None:
    log = _asleep(disk)
    _measure(disk, log)
    assert (log.apply_retention(10), log.is_asleep) == (0, True)
    log.settings = LogSettings(segment_bytes=300, retention_bytes=0)
    assert log.apply_retention(10) > 0


def test_a_log_that_cannot_be_measured_is_looked_at_more_closely(disk: SimulatedDisk) -> None:
    log = _asleep(disk)
    first = min(name for name in disk.list("/data/t-0") if name.endswith(".timeindex"))
    disk.open(f"/data/t-0/{first}").truncate(5)
    _measure(disk, log)
    assert log.is_asleep
    log.apply_retention(10)
    assert not log.is_asleep


def test_a_disk_that_refuses_to_be_measured_takes_the_directory_offline(disk: SimulatedDisk) -> None:
    directory = _open(disk)
    log = directory.open_log(WHERE, ID, SETTINGS)
    disk.failing = {FILE: "Input/output error"}
    _measure(disk, log)
    assert isinstance(directory.failure, DiskFailure)
    refused = log.read(5, 1000, 10)
    assert isinstance(refused, Refused)
    assert refused.error == ErrorCode.KAFKA_STORAGE_ERROR


def test_a_log_that_woke_while_it_was_measured_keeps_what_it_knows(disk: SimulatedDisk) -> None:
    log = _asleep(disk)
    disk.queues_work = True
    measure_sleeping(disk, [log], lambda: None)
    _append(log)
    size = log.size_bytes
    disk.run_queued()
    assert (log.size_bytes, log.is_asleep) == (size, False)


def test_a_recovered_log_holds_no_descriptor_until_it_is_used(disk: SimulatedDisk) -> None:
    """After a kill ten thousand logs held as many descriptors as the bound allows, 4,096, for nobody."""
    disk.remove("/data/.kafka_cleanshutdown")
    directory = _open(disk)
    log = directory.open_log(WHERE, ID, SETTINGS)
    assert not log.is_asleep
    assert not any(handle.is_open for segment in log.segments for handle in segment.handles())
    assert isinstance(_append(log), Appended)


def test_an_awakened_log_goes_on_where_it_stopped(disk: SimulatedDisk) -> None:
    log = _asleep(disk)
    log.assign_epoch(5, 10)
    appended = _append(log, 5)
    assert isinstance(appended, Appended)
    assert appended.base_offset == 10
    assert log.epochs.entries() == [(3, 1), (5, 10)]
    assert log.size_bytes == sum(
        len(disk.read(f"/data/t-0/{name}")) for name in disk.list("/data/t-0") if name.endswith(".log")
    )


def test_a_log_that_was_never_written_to_sleeps_too() -> None:
    disk = SimulatedDisk()
    directory = _open(disk)
    directory.open_log(WHERE, ID, SETTINGS)
    assert directory.close(clean=True)
    log = _asleep(disk)
    assert log.log_end == 0
    assert isinstance(_append(log), Appended)


def test_of_a_log_that_was_made_and_not_used_a_power_failure_takes_some_names_without_a_word() -> None:
    """A clean stop does not sync it; the start after the power failure warned of an index without a segment."""
    disk = SimulatedDisk()
    directory = _open(disk)
    directory.made(WHERE, is_new=directory.making(WHERE, ID)())
    directory.open_log(WHERE, ID, SETTINGS)
    assert directory.close(clean=True)
    disk.remove(f"{FILE}.log")
    log = _open(disk).open_log(WHERE, ID, SETTINGS)
    assert log.mended == []
    assert isinstance(_append(log), Appended)


def test_a_log_sleeps_although_files_of_its_dropped_segments_are_left(disk: SimulatedDisk) -> None:
    """A stop within `file.delete.delay.ms` after a retention round left some, and the next start loaded those logs."""
    directory = _open(disk)
    directory.open_log(WHERE, ID, SETTINGS).delete_before(6)
    assert directory.close(clean=True)
    assert [name for name in disk.list("/data/t-0") if name.endswith(".deleted")]
    disk.queues_work = True
    log = _asleep(disk)
    assert [name for name in disk.list("/data/t-0") if name.endswith(".deleted")], "the start does not wait for that"
    disk.run_queued()
    assert not [name for name in disk.list("/data/t-0") if name.endswith(".deleted")]
    read = log.read(6, 1, 10)
    assert isinstance(read, LogRead)
    assert read.first_offset == 6


@pytest.mark.parametrize("name", ["cut-under-way.deleted", "00000000000000000003.log.swap", "x.tmp"])
def test_a_directory_with_something_to_be_tidied_is_looked_at(disk: SimulatedDisk, name: str) -> None:
    disk.open(f"/data/t-0/{name}", create=True)
    assert not _open(disk).open_log(WHERE, ID, SETTINGS).is_asleep


def test_a_recovery_point_that_the_newest_snapshot_does_not_share_is_not_taken_for_the_end(disk: SimulatedDisk) -> None:
    disk.replace("/data/recovery-point-offset-checkpoint", b"0\n1\nt 0 8\n")
    log = _open(disk).open_log(WHERE, ID, SETTINGS)
    assert (log.is_asleep, log.log_end) == (False, 10)


def test_a_log_of_many_segments_is_loaded_by_the_start(disk: SimulatedDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first fetch of a log of a thousand segments held up everybody for 120 to 450 ms."""
    count = sum(name.endswith(".log") for name in disk.list("/data/t-0"))
    for limit, is_asleep in ((count, True), (count - 1, False)):
        monkeypatch.setattr("kbroker.log.dormant.SEGMENTS_ASLEEP_MAX", limit)
        directory = _open(disk)
        log = directory.open_log(WHERE, ID, SETTINGS)
        assert (log.is_asleep, log.log_end) == (is_asleep, 10)
        assert directory.close(clean=True)


@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
def test_a_sealed_segment_without_an_index_is_mended_by_the_start(disk: SimulatedDisk, suffix: str) -> None:
    """All of it was read on the loop, by whoever came first: 420 ms for 250 MB."""
    disk.remove(FILE + suffix)
    log = _open(disk).open_log(WHERE, ID, SETTINGS)
    assert not log.is_asleep
    assert log.mended


def test_a_growing_segment_without_an_index_is_mended_by_the_start_where_that_takes_long(
    disk: SimulatedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = _last_log(disk).removesuffix(".log")
    for suffix in (".index", ".timeindex"):
        disk.remove(last + suffix)
    for bytes_max, is_asleep in ((1 << 20, True), (1, False)):
        monkeypatch.setattr("kbroker.log.dormant.UNINDEXED_BYTES_MAX", bytes_max)
        directory = _open(disk)
        log = directory.open_log(WHERE, ID, SETTINGS)
        assert (log.is_asleep, log.log_end) == (is_asleep, 10)
        assert directory.close(clean=True)


def test_after_a_kill_nothing_sleeps(disk: SimulatedDisk) -> None:
    disk.remove("/data/.kafka_cleanshutdown")
    assert not _open(disk).open_log(WHERE, ID, SETTINGS).is_asleep


def test_a_disk_that_refuses_when_it_wakes_takes_the_directory_offline(disk: SimulatedDisk) -> None:
    directory = _open(disk)
    log = directory.open_log(WHERE, ID, SETTINGS)
    disk.failing = {FILE: "Input/output error"}
    before = disk.steps
    refused = _append(log)
    assert isinstance(refused, Refused)
    assert refused.error == ErrorCode.KAFKA_STORAGE_ERROR
    assert isinstance(directory.failure, DiskFailure)
    assert disk.steps == before, "nothing is written to what could not be read"
    assert not directory.close(clean=True)


def _last_log(disk: SimulatedDisk) -> str:
    return max(f"/data/t-0/{name}" for name in disk.list("/data/t-0") if name.endswith(".log"))


def test_a_growing_segment_cut_within_a_batch_is_served_up_to_there(disk: SimulatedDisk) -> None:
    """It used to fail the log."""
    end = int(_last_log(disk)[-24:-4])
    directory = _open(disk)
    log = directory.open_log(WHERE, ID, SETTINGS)
    disk.open(_last_log(disk)).truncate(100)
    told: list[str] = []
    log.on_woken = lambda woken: told.extend(map(str, woken.mended))
    assert isinstance(log.read(2, 1000, 10), LogRead)
    assert log.log_end == end
    assert f"ends at offset {end}, not at 10" in told[0]
    appended = _append(log)
    assert isinstance(appended, Appended)
    assert appended.base_offset == end
    assert directory.close(clean=True)
    assert _asleep(disk).log_end == end + 1


@pytest.mark.parametrize("size", [100, 20])
def test_a_damaged_sealed_segment_costs_itself_alone(disk: SimulatedDisk, size: int) -> None:
    """It used to pass for a disk that refuses, then to fail the log."""
    directory = _open(disk)
    log = directory.open_log(WHERE, ID, SETTINGS)
    for name in disk.list("/data/t-0"):
        if name.endswith(".index"):
            disk.remove(f"/data/t-0/{name}")
    disk.open(f"{FILE}.log").truncate(size)
    told: list[PartitionLog] = []
    log.on_woken = told.append
    refused = log.read(1, 1000, 10)
    assert isinstance(refused, Refused)
    assert refused.error == ErrorCode.CORRUPT_MESSAGE
    assert f"{FILE}.log" in refused.reason
    assert told == [log]
    assert log.mended[0].is_loss
    assert isinstance(log.read(9, 1000, 10), LogRead)
    assert isinstance(_append(log), Appended)


def _lose_the_last_segment(disk: SimulatedDisk) -> None:
    disk.remove(_last_log(disk))


def _empty_the_last_segment(disk: SimulatedDisk) -> None:
    disk.open(_last_log(disk)).truncate(0)


@pytest.mark.parametrize("lose", [_lose_the_last_segment, _empty_the_last_segment])
def test_a_log_that_lost_its_end_is_served_up_to_there_and_says_so(disk: SimulatedDisk, lose: Any) -> None:
    """It used to refuse everything, and the log had no word of it."""
    end = int(_last_log(disk)[-24:-4])
    directory = _open(disk)
    lose(disk)
    log = directory.open_log(WHERE, ID, SETTINGS)
    told: list[str] = []
    log.on_woken = lambda woken: told.extend(map(str, woken.mended))
    assert isinstance(log.read(2, 1000, 10), LogRead)
    assert log.log_end == log.written_end == end
    assert f"ends at offset {end}, not at 10" in told[0]
    appended = _append(log)
    assert isinstance(appended, Appended)
    assert appended.base_offset == end
    assert directory.recovery_points[WHERE] <= end, "what comes there now is not what was synced"
    assert directory.close(clean=True)
    assert _asleep(disk).log_end == end + 1


def test_a_deleted_log_that_slept_does_not_wake_to_its_successors_files(disk: SimulatedDisk) -> None:
    """It used to load what the new topic of its name had there."""
    directory = _open(disk)
    log = directory.open_log(WHERE, ID, SETTINGS)
    directory.delete_log(log)
    successor = directory.open_log(WHERE, bytes(15) + b"s", SETTINGS)
    _append(successor)
    before = disk.steps
    refused = log.read(5, 1000, 10)
    assert isinstance(refused, Refused)
    assert refused.error == ErrorCode.KAFKA_STORAGE_ERROR
    assert disk.steps == before
    assert directory.failure is None
    assert isinstance(_append(successor), Appended)


def test_a_snapshot_beyond_the_end_is_said_with_both_offsets(disk: SimulatedDisk) -> None:
    disk.replace("/data/t-0/00000000000000000012.snapshot", disk.read("/data/t-0/00000000000000000010.snapshot"))
    log = _open(disk).open_log(WHERE, ID, SETTINGS)
    assert (log.log_end, log.failure) == (10, None)
    assert "ends at offset 10, not at 12" in str(log.mended[0])
    assert "00000000000000000012.snapshot" not in disk.list("/data/t-0")
    assert isinstance(_append(log), Appended)
