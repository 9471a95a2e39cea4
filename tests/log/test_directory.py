"""A log directory: its lock and identity, its checkpoints, what a clean stop leaves and a kill does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from log_workshop import PATH, open_directory

from kbroker.log import directory as directory_module
from kbroker.log.checkpoints import (
    CorruptCheckpoint,
    format_epochs,
    format_offsets,
    parse_epochs,
    parse_offsets,
    parse_partition_metadata,
)
from kbroker.log.directory import METADATA_PARTITION
from kbroker.log.directory_checkpoints import HIGH_WATERMARKS_FILE, LOG_STARTS_FILE, DirectoryCheckpoints
from kbroker.log.meta_properties import ForeignDirectory, parse_meta_properties
from kbroker.log.outcome import Appended, Origin, Refused
from kbroker.log.partition_log import InconsistentTopicId, PartitionLog
from kbroker.log.settings import LogSettings
from kbroker.log.verify import partition_names
from kbroker.names import METADATA_TOPIC_ID, TopicPartition, uuid_text
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.batch import build_batch
from kbroker.record.compression import CorruptRecords
from kbroker.testing.simulated_disk import Keep, Loss, SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.world import DirectoryLocked, DiskFailure
from protocol_specs.errors import ErrorCode

WHERE = TopicPartition("my-topic.x", 3)
ID = bytes(range(16))


def _append(log: Any, count: int = 2) -> Any:
    return log.append_as_leader(build_batch([(b"k", b"v")] * count, timestamp_ms=1_700_000_000_000), 0)


def _batch() -> bytearray:
    return build_batch([(b"k", b"v")], timestamp_ms=1_700_000_000_000)


LATE_USES: list[Callable[[PartitionLog], object]] = [
    _append,
    lambda log: log.append_or_prepare(_batch(), 0),
    lambda log: log.append_as_leader(_batch(), 0, origin=Origin.COORDINATOR),
    lambda log: log.append_prepared(memoryview(_batch()), 0),
    lambda log: log.append_run([memoryview(_batch())], 0),
    lambda log: log.append_as_follower(_batch()),
    lambda log: log.read(0, 1, 1),
    lambda log: log.offset_for_timestamp(1),
    lambda log: log.max_timestamp(),
    lambda log: log.delete_before(1) and None,
    lambda log: log.apply_retention(),
    lambda log: log.truncate_to(0),
    lambda log: log.truncate_fully_and_start_at(7),
    lambda log: log.sync(),
]


@pytest.fixture
def disk() -> MemoryDisk:
    return MemoryDisk()


def test_a_fresh_directory_is_formatted_for_its_node(disk: MemoryDisk) -> None:
    directory = open_directory(disk, cluster_id="c1")
    assert (directory.cluster_id, directory.directory_id) == ("c1", (1).to_bytes(16, "big"))
    assert disk.read(f"{PATH}/meta.properties") == (
        b"cluster.id=c1\ndirectory.id=" + uuid_text((1).to_bytes(16, "big")).encode() + b"\nnode.id=1\nversion=1\n"
    )


def test_a_checkpoint_that_cannot_be_lowered_for_an_opened_log_takes_the_directory_offline() -> None:
    """The log's opening failed and the directory stayed online: a partition that nobody hosted, and no line said so."""
    disk = SimulatedDisk()
    directory = open_directory(disk)
    log = directory.open_log(WHERE, ID, LogSettings())
    for _ in range(3):
        _append(log)
    log.sync()
    directory.checkpoint()
    file = disk.open(f"{PATH}/{WHERE}/{0:020d}.log")
    file.truncate(file.size() // 3 + 5)
    disk = disk.restarted(Loss.PROCESS_DIED)
    directory = open_directory(disk)
    directory.begin()
    told: list[DiskFailure] = []
    directory.on_failure = told.append
    disk.failing["recovery-point-offset-checkpoint"] = "No space left on device"
    with pytest.raises(DiskFailure):
        directory.open_log(WHERE, ID, LogSettings())
    assert [directory.failure] == told != []
    assert WHERE not in directory.logs


def test_without_a_cluster_id_what_is_there_is_taken_or_a_fresh_one_made(disk: MemoryDisk) -> None:
    first = open_directory(disk)
    cluster_id = first.cluster_id
    first.close(clean=True)
    assert open_directory(disk, cluster_id="").cluster_id == cluster_id


@pytest.mark.parametrize(("extra", "message"), [({"cluster_id": "c2"}, "cluster c1"), ({"node_id": 2}, "node 1")])
def test_a_directory_of_another_cluster_or_node_is_refused_and_left_unlocked(
    disk: MemoryDisk, extra: dict[str, Any], message: str
) -> None:
    open_directory(disk, cluster_id="c1").close(clean=True)
    with pytest.raises(ForeignDirectory, match=message):
        open_directory(disk, **extra)
    open_directory(disk, cluster_id="c1")


def test_javas_properties_file_is_read() -> None:
    text = b"#\n#Sat Nov 21 09:00:00 UTC 2026\ncluster.id=a\\=b\nversion=1\n"
    text += b"directory.id=AAAAAAAAAAAAAAAAAAAAAQ\nnode.id=7\n"
    assert parse_meta_properties(text, "p") == ("a=b", 7, bytes(15) + b"\1")


@pytest.mark.parametrize(
    "text", [b"", b"version=0\nbroker.id=1\n", b"version=1\ncluster.id=x\nnode.id=one\n", b"version=1\nnode.id=1\n"]
)
def test_a_properties_file_that_is_none_of_ours_is_refused(text: bytes) -> None:
    with pytest.raises(ForeignDirectory, match="some/path"):
        parse_meta_properties(text, "some/path")


def test_one_broker_at_a_time(disk: MemoryDisk) -> None:
    first = open_directory(disk)
    with pytest.raises(DirectoryLocked):
        open_directory(disk)
    first.close(clean=False)
    open_directory(disk)


def test_a_clean_stop_leaves_checkpoints_and_the_marker_that_the_next_start_takes(disk: MemoryDisk) -> None:
    first = open_directory(disk)
    assert not first.was_clean
    first.open_metadata_log()
    log = first.open_log(WHERE, ID, LogSettings())
    _append(log, 4)
    _append(log, 3)
    log.delete_before(1)
    assert first.close(clean=True, high_watermarks={WHERE: 5}, broker_epoch=12)
    assert first.close(clean=True) is False, "harmless twice"
    read = {name: disk.read(f"{PATH}/{name}") for name in disk.list(PATH) if not disk.is_directory(f"{PATH}/{name}")}
    assert read[".kafka_cleanshutdown"] == b'{"version": 0, "brokerEpoch": 12}'
    assert read["recovery-point-offset-checkpoint"] == b"0\n1\nmy-topic.x 3 7\n"
    assert read["log-start-offset-checkpoint"] == b"0\n1\nmy-topic.x 3 1\n"
    assert read["replication-offset-checkpoint"] == b"0\n1\nmy-topic.x 3 5\n"
    second = open_directory(disk)
    assert second.was_clean
    again = second.open_log(WHERE, ID, LogSettings())
    assert (again.log_start, again.log_end) == (1, 7)
    assert not disk.exists(f"{PATH}/.kafka_cleanshutdown")


def test_a_kill_leaves_no_marker_and_the_records(disk: MemoryDisk) -> None:
    _append(open_directory(disk).open_log(WHERE, ID, LogSettings()), 4)
    disk.open(f"{PATH}/.lock")
    disk._locks.clear()
    second = open_directory(disk)
    assert not second.was_clean
    assert second.open_log(WHERE, ID, LogSettings()).log_end == 4


def test_the_marker_of_a_clean_stop_is_gone_for_good_before_anything_is_appended() -> None:
    """It used to be back after a power failure: zeros at the end of a log were trusted, and appended to."""
    disk = SimulatedDisk()
    directory = open_directory(disk)
    _append(directory.open_log(WHERE, ID, LogSettings()), 1)
    assert directory.close(clean=True)
    log = open_directory(disk).open_log(WHERE, ID, LogSettings())
    for _ in range(5):
        _append(log, 1)
    again = open_directory(disk.restarted(Loss.POWER_FAILED, Keep.ZEROS))
    assert not again.was_clean
    log = again.open_log(WHERE, ID, LogSettings())
    assert log.log_end == 1
    assert _append(log, 1).base_offset == 1
    assert log.read(1, 100, 2).first_offset == 1


def test_a_checkpoint_bounds_what_the_next_start_reads(disk: MemoryDisk) -> None:
    directory = open_directory(disk)
    log = directory.open_log(WHERE, ID, LogSettings())
    _append(log, 4)
    log.sync()
    directory.checkpoint()
    disk._locks.clear()
    # Inside the segment that grows: it is read anyway.
    assert open_directory(disk).recovery_points == {WHERE: 3}


def test_logs_that_are_cut_or_deleted_between_the_steps_of_a_checkpoint_are_noted_as_they_are_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(directory_module, "LOGS_PER_STEP", 1)
    disk = SimulatedDisk()
    directory = open_directory(disk)
    logs = [directory.open_log(TopicPartition("t", number), ID, LogSettings()) for number in range(5)]
    for log in logs:
        for _ in range(3):
            _append(log)
        log.sync()
    steps = directory.checkpoint_recovery_points()
    for _ in range(2):
        next(steps)
    for cut in (logs[0], logs[3]):
        cut.truncate_to(1)
    for deleted in (logs[1], logs[4]):
        directory.delete_log(deleted)
    list(steps)
    points = {
        str(where): point for where, point in open_directory(disk.restarted(Loss.PROCESS_DIED)).recovery_points.items()
    }
    assert points == {"t-0": 0, "t-2": 5, "t-3": 1}


def test_the_metadata_log_is_no_partition_and_not_in_the_checkpoints(disk: MemoryDisk) -> None:
    directory = open_directory(disk)
    log = directory.open_metadata_log()
    assert (log.topic_partition, log.topic_id) == (METADATA_PARTITION, METADATA_TOPIC_ID)
    directory.open_log(WHERE, ID, LogSettings())
    assert list(directory.partitions()) == [WHERE]


def test_a_deleted_log_vanishes_at_once_and_its_files_after_the_delay(disk: MemoryDisk) -> None:
    clock = VirtualClock()
    directory = open_directory(disk, clock)
    log = directory.open_log(WHERE, ID, LogSettings(file_delete_delay_ms=500))
    _append(log)
    directory.delete_log(log)
    names = [name for name in disk.list(PATH) if name.startswith("my-topic")]
    assert len(names) == 1
    assert names[0].startswith("my-topic.x-3.")
    assert names[0].endswith("-delete")
    assert list(directory.partitions()) == []
    fresh = directory.open_log(WHERE, b"n" * 16, LogSettings())
    assert fresh.log_end == 0
    clock.advance(500)
    assert [name for name in disk.list(PATH) if name.startswith("my-topic")] == ["my-topic.x-3"]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_the_next_topic_of_a_deleted_ones_name_takes_nothing_from_its_checkpoints(is_restarted: bool) -> None:
    """The old recovery point and log start were forgotten in memory alone: after a kill new records were invisible."""
    disk = SimulatedDisk()
    directory = open_directory(disk)
    other = directory.open_log(TopicPartition("other", 0), ID, LogSettings())
    _append(other, 3)
    other.delete_before(2)
    old = directory.open_log(WHERE, ID, LogSettings())
    _append(old, 10)
    old.delete_before(8)
    directory.checkpoint()
    directory.delete_log(old)
    if is_restarted:
        disk = disk.restarted(Loss.PROCESS_DIED)
        directory = open_directory(disk)
    fresh = directory.open_log(WHERE, b"n" * 16, LogSettings())
    assert (fresh.log_start, fresh.flushed_end) == (0, 0)
    _append(fresh, 5)
    again = open_directory(disk.restarted(Loss.PROCESS_DIED))
    fresh = again.open_log(WHERE, b"n" * 16, LogSettings())
    assert (fresh.log_start, fresh.log_end, fresh.flushed_end) == (0, 5, 0)
    assert again.open_log(TopicPartition("other", 0), ID, LogSettings()).log_start == 2, "of others nothing is lost"


def test_a_deleted_log_is_not_back_under_its_name_after_a_power_failure() -> None:
    """Its renaming was not durable, nor was its topic's id: the next topic of the name took over its records."""
    disk = SimulatedDisk()
    directory = open_directory(disk)
    directory.begin()
    old = directory.open_log(WHERE, ID, LogSettings())
    _append(old, 10)
    old.sync()
    directory.delete_log(old)
    directory.open_log(WHERE, b"n" * 16, LogSettings())
    disk = disk.restarted(Loss.POWER_FAILED, Keep.NOTHING)
    assert open_directory(disk).open_log(WHERE, b"n" * 16, LogSettings()).log_end == 0


@pytest.mark.parametrize("is_by_a_worker", [True, False])
def test_the_records_of_a_deleted_log_without_an_id_are_not_back_after_a_power_failure(is_by_a_worker: bool) -> None:
    """Its renaming was not on the medium, and nothing else said that they were another topic's."""
    new_id = b"n" * 16
    disk = SimulatedDisk()
    before = open_directory(disk).open_log(WHERE, ID, LogSettings())
    _append(before)
    before.sync()
    disk.remove(f"{before.directory}/partition.metadata")
    disk.sync_directory(before.directory)
    disk = disk.restarted(Loss.PROCESS_DIED)
    directory = open_directory(disk)
    old = directory.open_log(WHERE, ID, LogSettings())
    assert old.log_end == 2
    directory.delete_log(old)
    if is_by_a_worker:
        directory.clear_names([WHERE], lambda: None)
        work = directory.making(WHERE, new_id)
        directory.made(WHERE, is_new=work())
    directory.open_log(WHERE, new_id, LogSettings())
    after = open_directory(disk.restarted(Loss.POWER_FAILED, Keep.NOTHING))
    assert after.open_log(WHERE, new_id, LogSettings()).log_end == 0


def test_a_name_that_was_used_again_during_a_checkpoint_may_still_be_back() -> None:
    disk = SimulatedDisk(queues_work=True)
    disk.make_directory(PATH)
    checkpoints = DirectoryCheckpoints(disk, PATH, pytest.fail)
    checkpoints.forget(WHERE)
    checkpoints.save([LOG_STARTS_FILE])
    checkpoints.forget(WHERE)
    disk.run_queued()
    assert checkpoints.is_in_the_way(WHERE)
    checkpoints.save([LOG_STARTS_FILE])
    disk.run_queued()
    assert not checkpoints.is_in_the_way(WHERE)


def test_a_checkpoint_under_way_when_a_name_is_used_again_is_written_once_more() -> None:
    disk = SimulatedDisk(queues_work=True)
    directory = open_directory(disk)
    old = directory.open_log(WHERE, ID, LogSettings())
    _append(old, 10)
    old.delete_before(8)
    directory.checkpoint()
    directory.delete_log(old)
    _append(directory.open_log(WHERE, b"n" * 16, LogSettings()), 5)
    disk.run_queued()
    again = open_directory(disk.restarted(Loss.PROCESS_DIED))
    assert again.log_starts == {}
    assert again.open_log(WHERE, b"n" * 16, LogSettings()).log_start == 0


def test_a_deletion_that_a_stop_cut_short_is_finished_by_the_next_start(disk: MemoryDisk) -> None:
    directory = open_directory(disk)
    directory.delete_log(directory.open_log(WHERE, ID, LogSettings()))
    directory.close(clean=True)
    open_directory(disk).begin()
    assert [name for name in disk.list(PATH) if name.startswith("my-topic")] == []


def test_a_directory_of_another_topic_id_is_set_aside(disk: MemoryDisk) -> None:
    directory = open_directory(disk)
    _append(directory.open_log(WHERE, ID, LogSettings()))
    directory.close(clean=True)
    again = open_directory(disk)
    assert again.open_log(WHERE, b"o" * 16, LogSettings()).log_end == 0
    assert [name for name in disk.list(PATH) if name.endswith("-stray")] == [f"my-topic.x-3.{1:032x}-stray"]


def test_the_offsets_of_a_deleted_log_leave_the_files_although_no_others_move(disk: MemoryDisk) -> None:
    """They stayed until another partition's moved. A topic made anew by that name, and killed before it had its
    directory, was said to have lost the records of the old one."""
    directory = open_directory(disk)
    log = directory.open_log(WHERE, ID, LogSettings())
    _append(log)
    log.delete_before(1)
    directory.note_high_watermark(WHERE, 2)
    directory.checkpoint({WHERE: 2})
    assert directory.high_watermark(WHERE) == 2
    directory.delete_log(log)
    directory.save_high_watermarks()
    for _ in directory.checkpoint_log_starts():
        pass
    for name in (HIGH_WATERMARKS_FILE, LOG_STARTS_FILE):
        assert parse_offsets(disk.read(f"{PATH}/{name}")) == {}


def test_the_offsets_of_a_log_that_is_set_aside_leave_the_files_although_no_others_move(disk: MemoryDisk) -> None:
    directory = open_directory(disk)
    log = directory.open_log(WHERE, ID, LogSettings())
    _append(log)
    log.delete_before(1)
    assert directory.close(clean=True, high_watermarks={WHERE: 2})
    again = open_directory(disk)
    assert again.set_aside_strays(()) == [WHERE]
    again.save_high_watermarks()
    for _ in again.checkpoint_log_starts():
        pass
    for name in (HIGH_WATERMARKS_FILE, LOG_STARTS_FILE):
        assert parse_offsets(disk.read(f"{PATH}/{name}")) == {}


def test_partitions_that_nobody_claims_are_set_aside(disk: MemoryDisk) -> None:
    directory = open_directory(disk)
    for partition in range(3):
        directory.open_log(TopicPartition("t", partition), ID, LogSettings())
    directory.close(clean=True)
    again = open_directory(disk)
    assert again.set_aside_strays({TopicPartition("t", 1)}) == [TopicPartition("t", 0), TopicPartition("t", 2)]
    assert list(again.partitions()) == [TopicPartition("t", 1)]


@pytest.mark.parametrize("name", ["backup-2026-11-05", "orders-00", "old-²", "a\udcff-0", "-5", "x-٣", "x-99999999999"])
def test_what_is_named_as_no_partition_is_left_alone(disk: MemoryDisk, name: str) -> None:
    """A directory whose name ends in a number that is written otherwise was renamed by a name that it did not have, or
    its digits were none: every start ended there."""
    disk.make_directory(f"{PATH}/{name}")
    directory = open_directory(disk)
    assert directory.set_aside_strays(()) == []
    assert list(directory.partitions()) == partition_names(disk, PATH) == []
    assert disk.is_directory(f"{PATH}/{name}")


def test_a_file_that_is_named_as_a_partition_is_left_alone(disk: MemoryDisk) -> None:
    """It was set aside like a directory; Kafka looks at directories alone."""
    disk.make_directory(PATH)
    disk.open(f"{PATH}/dump-3", create=True).close()
    assert open_directory(disk).set_aside_strays(()) == []
    assert disk.exists(f"{PATH}/dump-3")


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("stem", ["5", "copy of 0", "²" * 20, "9" * 20, "0" * 21])
def test_a_file_beside_the_segments_that_is_named_by_no_offset_is_left_alone(
    disk: MemoryDisk, stem: str, clean: bool
) -> None:
    """A start that read an offset from it ended there, or the log went on behind it."""
    directory = open_directory(disk)
    _append(directory.open_log(WHERE, ID, LogSettings()))
    assert directory.close(clean=clean) == clean
    others = [f"{PATH}/{WHERE}/{stem}{suffix}" for suffix in (".log", ".snapshot", ".log.swap.old")]
    for path in others:
        disk.open(path, create=True).close()
    log = open_directory(disk).open_log(WHERE, ID, LogSettings())
    assert ([segment.base_offset for segment in log.segments], log.log_end, log.mended) == ([0], 2, [])
    assert all(map(disk.exists, others))


def test_a_long_topic_name_still_fits_a_file_name(disk: MemoryDisk) -> None:
    directory = open_directory(disk)
    log = directory.open_log(TopicPartition("x" * 249, 12), ID, LogSettings())
    directory.delete_log(log)
    assert max(map(len, disk.list(PATH))) == 255


def test_a_broken_log_takes_its_directory_offline() -> None:
    disk = SimulatedDisk()
    directory = open_directory(disk)
    one = directory.open_log(TopicPartition("a", 0), ID, LogSettings())
    two = directory.open_log(TopicPartition("b", 0), ID, LogSettings())
    told: list[Any] = []
    directory.on_failure = told.append
    disk.failing["a-0/"] = "Input/output error"
    assert isinstance(_append(one), Refused)
    refused = _append(two)
    assert isinstance(refused, Refused)
    assert refused.error == ErrorCode.KAFKA_STORAGE_ERROR
    assert len(told) == 1
    assert directory.close(clean=True) is False
    assert not disk.exists(f"{PATH}/.kafka_cleanshutdown")
    disk.failing.clear()
    assert isinstance(_append(open_directory(disk).open_log(TopicPartition("b", 0), ID, LogSettings())), Appended)


def test_what_workers_still_do_for_a_deleted_log_harms_nobody() -> None:
    """The checkpoint of its leader epochs used to fail in the renamed directory, and took all others offline."""
    disk = SimulatedDisk(queues_work=True)
    clock = VirtualClock()
    directory = open_directory(disk, clock)
    log = directory.open_log(WHERE, ID, LogSettings(file_delete_delay_ms=100, segment_bytes=1))
    _append(log, 1)  # its epoch is saved, by a worker
    _append(log, 1)  # its full segment is synced, by another
    directory.delete_log(log)
    disk.run_queued()
    clock.advance(100)
    disk.run_queued()
    assert directory.failure is None
    assert log.failure is None
    assert not any(name.startswith("my-topic") for name in disk.list(PATH))


def test_workers_of_a_deleted_log_leave_the_next_topic_of_its_name_alone() -> None:
    disk = SimulatedDisk(queues_work=True)
    directory = open_directory(disk)
    old = directory.open_log(WHERE, ID, LogSettings())
    old.append_as_leader(build_batch([(b"k", b"v")], timestamp_ms=1_700_000_000_000), 7)
    directory.delete_log(old)
    directory.open_log(WHERE, bytes(16)[1:] + b"\1", LogSettings())
    disk.run_queued()
    assert "leader-epoch-checkpoint" not in disk.list(f"{PATH}/{WHERE}")


def test_a_write_that_is_queued_when_its_topic_is_deleted_harms_nobody() -> None:
    disk = SimulatedDisk(queues_writes=True, queues_work=True)
    directory = open_directory(disk)
    log = directory.open_log(WHERE, ID, LogSettings(segment_bytes=200))
    for _ in range(4):
        _append(log)
    directory.delete_log(log)
    disk.run_queued()
    assert directory.failure is None


@pytest.mark.parametrize("is_deleted", [True, False])
@pytest.mark.parametrize("use", LATE_USES)
def test_what_comes_late_for_a_closed_log_is_refused_and_touches_nothing(
    use: Callable[[PartitionLog], object], is_deleted: bool
) -> None:
    """A batch that a worker had prepared was appended to the log of a deleted topic: its file could not be made in the
    renamed directory, which took all others offline; or it came to the files of the next topic of that name."""
    disk = SimulatedDisk()
    directory = open_directory(disk)
    log = directory.open_log(WHERE, ID, LogSettings(retention_ms=0))
    _append(log, 1)
    log.roll()
    if is_deleted:
        directory.delete_log(log)
        directory.open_log(WHERE, bytes(16)[1:] + b"\1", LogSettings())
    else:
        assert directory.close(clean=True)
    steps, ends = disk.steps, (log.log_start, log.log_end)
    outcome = use(log)
    assert outcome in (None, 0) or (isinstance(outcome, Refused) and outcome.error is ErrorCode.KAFKA_STORAGE_ERROR)
    assert (disk.steps, directory.failure, log.failure) == (steps, None, None)
    assert (log.log_start, log.log_end) == ends


def test_a_log_that_could_not_be_recovered_is_recovered_by_the_next_start() -> None:
    """Its checkpoints were dropped, and the marker of the next clean stop made its torn end trusted."""
    disk = SimulatedDisk()
    directory = open_directory(disk)
    log = directory.open_log(WHERE, ID, LogSettings())
    _append(log, 4)
    _append(log, 4)
    log.delete_before(2)
    directory.checkpoint()
    disk = disk.restarted(Loss.PROCESS_DIED)
    file = disk.open(f"{PATH}/{WHERE}/{0:020d}.log")
    file.write_at(file.size(), [bytes(200)])
    directory = open_directory(disk)
    disk.failing[f"{WHERE}/"] = "Input/output error"
    with pytest.raises(DiskFailure):
        directory.open_log(WHERE, ID, LogSettings())
    disk.failing.clear()
    directory.checkpoint()
    assert directory.close(clean=True) is False
    again = open_directory(disk)
    assert not again.was_clean
    log = again.open_log(WHERE, ID, LogSettings())
    assert (log.log_start, log.log_end) == (2, 8)
    assert again.close(clean=True)


def test_the_metadata_log_goes_on_when_its_directory_is_offline_and_fails_by_itself() -> None:
    disk = SimulatedDisk()
    directory = open_directory(disk)
    metadata = directory.open_metadata_log()
    log = directory.open_log(WHERE, ID, LogSettings())
    disk.failing[f"{WHERE}/"] = "Input/output error"
    assert isinstance(_append(log), Refused)
    assert directory.failure is not None
    assert isinstance(_append(metadata), Appended)
    with pytest.raises(DiskFailure):
        directory.open_log(TopicPartition("another", 0), ID, LogSettings())
    disk.failing["__cluster_metadata-0/"] = "No space left on device"
    assert isinstance(_append(metadata), Refused)


def test_a_foreign_metadata_log_is_never_set_aside(disk: MemoryDisk) -> None:
    """It used to be renamed as a stray, and a new cluster began."""
    directory = open_directory(disk)
    directory.open_log(METADATA_PARTITION, ID, LogSettings())
    directory.close(clean=True)
    before = disk.list(PATH)
    with pytest.raises(InconsistentTopicId):
        open_directory(disk).open_metadata_log()
    assert disk.list(PATH) == before


def test_a_log_whose_files_were_taken_away_fails_like_a_broken_disk() -> None:
    """FileNotFoundError used to go up to the handler."""
    disk = SimulatedDisk()
    log = open_directory(disk, open_files_max=1).open_log(WHERE, ID, LogSettings())
    _append(log)
    for segment in log.segments:
        for handle in segment.handles():
            handle.close()
    disk.remove_tree(f"{PATH}/{WHERE}")
    for refused in (log.read(0, 100, 2), log.offset_for_timestamp(0), _append(log)):
        assert isinstance(refused, Refused)
        assert refused.error == ErrorCode.KAFKA_STORAGE_ERROR


def _metadata_log(disk: SimulatedDisk, batches: int) -> Any:
    """The file of a metadata log of so many batches, left by a kill."""
    log = open_directory(disk).open_metadata_log()
    for _ in range(batches):
        assert isinstance(_append(log), Appended)
    return disk.open(f"{PATH}/__cluster_metadata-0/00000000000000000000.log")


def test_a_damaged_metadata_log_is_not_cut_even_after_a_kill() -> None:
    """Every batch behind the damage used to be dropped: the topics were gone, and their logs set aside."""
    whole = _metadata_log(SimulatedDisk(), 3)
    size = whole.size() // 3
    for position in range(size):
        disk = SimulatedDisk()
        file = _metadata_log(disk, 3)
        (byte,) = file.read_at(size + position, 1)
        file.write_at(size + position, [bytes([byte ^ 0x10])])
        after = disk.restarted(Loss.PROCESS_DIED)
        if position in range(12, 16):
            continue  # the leader epoch is under no checksum
        with pytest.raises(CorruptRecords, match=f"the batch at byte {size} is damaged"):
            open_directory(after).open_metadata_log()


@pytest.mark.parametrize("cut", [2, 30, 60, 61, 75])
def test_a_torn_end_of_the_metadata_log_is_cut(cut: int) -> None:
    for tail in (b"", bytes(200)):
        disk = SimulatedDisk()
        file = _metadata_log(disk, 3)
        end = file.size()
        file.truncate(end - cut)
        file.write_at(end - cut, [tail])
        log = open_directory(disk.restarted(Loss.PROCESS_DIED)).open_metadata_log()
        assert log.log_end == 4


def test_zeros_where_bytes_never_reached_the_medium_are_cut_with_what_follows() -> None:
    disk = SimulatedDisk()
    file = _metadata_log(disk, 3)
    size = file.size() // 3
    file.write_at(size, [bytes(size)])
    assert open_directory(disk.restarted(Loss.PROCESS_DIED)).open_metadata_log().log_end == 2


def test_checkpoints_come_back() -> None:
    offsets = {TopicPartition("a", 0): 5, TopicPartition("b.c-d", 12): 1 << 40}
    assert parse_offsets(format_offsets(offsets)) == offsets
    assert parse_epochs(format_epochs([(0, 0), (5, 100)])) == [(0, 0), (5, 100)]
    assert parse_offsets(b"0\n0\n") == {}
    assert parse_offsets(b"") == {}  # as an Apache Kafka that was killed early leaves it


@pytest.mark.parametrize(
    "data", [b"1\n0\n", b"0\n", b"0\n2\na 0 5\n", b"0\n1\na 0\n", b"0\n1\na x 5\n", b"0\nx\n", b"\xff\xfe"]
)
def test_a_damaged_checkpoint_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptCheckpoint):
        parse_offsets(data)


@pytest.mark.parametrize("data", [b"", b"version: 0\n", b"version: 0\ntopic_id: short"])
def test_partition_metadata_without_an_id_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptCheckpoint):
        parse_partition_metadata(data)


def test_settings_come_from_kafkas_names() -> None:
    values = {
        "segment.bytes": 5,
        "cleanup.policy": "compact,delete",
        "message.timestamp.type": "LogAppendTime",
        "unknown": 1,
    }
    settings = LogSettings.of(values)
    assert settings == LogSettings(
        segment_bytes=5, cleanup_policy=frozenset({"compact", "delete"}), message_timestamp_type="LogAppendTime"
    )
    assert (settings.is_compacted, settings.is_log_append_time) == (True, True)
