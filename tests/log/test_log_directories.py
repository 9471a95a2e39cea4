"""Several log directories: what belongs together, where logs go and are found, what one failure takes along."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.log.damage import DamagedBatch
from kbroker.log.directories import DuplicateLog, LogDirectories, NewLog
from kbroker.log.meta_properties import ForeignDirectory
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.batch import build_batch
from kbroker.record.legacy import write_message
from kbroker.testing.counting_entropy import CountingEntropy
from kbroker.testing.simulated_disk import Crashed, Keep, Loss, SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.world import DirectoryLocked, DiskFailure

PATHS = ["/a", "/b", "/c"]
ID = bytes(range(16))


ENTROPY = CountingEntropy(101)


def _open(disk: Any, paths: list[str] | None = None, **extra: Any) -> LogDirectories:
    extra.setdefault("node_id", 1)
    return LogDirectories.open(disk, PATHS if paths is None else paths, VirtualClock(), ENTROPY, **extra)


def _partition(number: int, topic: str = "t") -> TopicPartition:
    return TopicPartition(topic, number)


def _append(log: Any, count: int = 2) -> None:
    log.append_as_leader(build_batch([(b"k", b"v")] * count, timestamp_ms=1_700_000_000_000), 0)


def _stop(directories: LogDirectories) -> None:
    assert directories.close(clean=True)


@pytest.fixture
def disk() -> MemoryDisk:
    return MemoryDisk()


def test_fresh_directories_are_formatted_for_one_cluster_each_with_its_own_id(disk: MemoryDisk) -> None:
    directories = _open(disk, cluster_id="c1")
    assert [each.cluster_id for each in directories.online] == ["c1"] * 3
    assert len(set(directories.ids)) == 3
    assert all(directories.by_id(each.directory_id) is each for each in directories.online)
    assert directories.by_id(bytes(16)) is None
    assert directories.metadata is directories.online[0]
    _stop(directories)
    assert _open(disk).ids == directories.ids


def test_a_directory_added_later_joins_the_cluster_of_the_others(disk: MemoryDisk) -> None:
    _stop(_open(disk, ["/a"], cluster_id="c1"))
    assert [each.cluster_id for each in _open(disk).online] == ["c1"] * 3


def test_a_fresh_directory_is_not_taken_for_the_metadata_logs(disk: MemoryDisk) -> None:
    """Its disk may not be mounted, and every log would become a stray."""
    _stop(_open(disk))
    for name in disk.list("/a"):
        disk.remove(f"/a/{name}")
    with pytest.raises(ForeignDirectory, match=r"/a has no meta.properties although /b has one"):
        _open(disk)
    assert "meta.properties" not in disk.list("/a")
    with pytest.raises(ForeignDirectory, match=r"/new has no meta.properties"):
        _open(disk, ["/b", "/c"], metadata_path="/new")


def test_the_metadata_log_may_have_a_directory_of_its_own(disk: MemoryDisk) -> None:
    directories = _open(disk, metadata_path="/meta/")
    assert directories.metadata.path == "/meta"
    assert directories.metadata not in directories.online
    directories.metadata.open_metadata_log()
    assert directories.open_log(_partition(0), ID, LogSettings()).directory == "/a/t-0"
    _stop(directories)
    with pytest.raises(DirectoryLocked):
        (_open(disk, metadata_path="/meta"), _open(disk, ["/d"], metadata_path="/meta"))


def test_a_metadata_log_elsewhere_is_refused(disk: MemoryDisk) -> None:
    directories = _open(disk)
    directories.metadata.open_metadata_log()
    _stop(directories)
    with pytest.raises(ForeignDirectory, match=r"/a holds a metadata log, and /b is its directory"):
        _open(disk, metadata_path="/b")


@pytest.mark.parametrize(
    ("line", "foreign", "reason"),
    [
        ("cluster.id", b"cluster.id=other", "/b belongs to cluster other, not c1"),
        ("node.id", b"node.id=7", "/b belongs to node 7, not 1"),
        ("directory.id", None, "/a and /b have the same directory id"),
    ],
)
def test_a_directory_that_does_not_belong_is_refused_and_all_are_unlocked(
    disk: MemoryDisk, line: str, foreign: bytes | None, reason: str
) -> None:
    _stop(_open(disk, cluster_id="c1"))
    own = disk.read("/b/meta.properties")
    lines = {each.split(b"=")[0].decode(): each for each in disk.read("/a/meta.properties").splitlines()}
    changed = [foreign or lines[line] if each.startswith(line.encode()) else each for each in own.splitlines()]
    disk.replace("/b/meta.properties", b"\n".join([*changed, b""]))
    with pytest.raises(ForeignDirectory, match=reason):
        _open(disk)
    disk.replace("/b/meta.properties", own)
    _open(disk)


def test_all_directories_are_locked(disk: MemoryDisk) -> None:
    directories = _open(disk)
    with pytest.raises(DirectoryLocked):
        _open(disk, ["/x", "/c"], cluster_id=directories.cluster_id)
    _open(disk, ["/x"])


def test_a_log_that_could_not_be_opened_is_deleted_like_any_other(disk: MemoryDisk) -> None:
    """Its files stayed, no later stop was a clean one, and every start read all the other logs as after a crash."""
    directories = _open(disk)
    directories.metadata.open_metadata_log()
    _append(directories.open_log(_partition(1), ID, LogSettings()))
    old = bytearray()
    write_message(old, 1, 0, 0, 1000, b"key", b"value")
    disk.make_directory("/b/t-0")
    disk.open("/b/t-0/00000000000000000000.log", create=True).write_at(0, [old])
    home = directories.online[1]
    with pytest.raises(DamagedBatch):
        directories.open_log(_partition(0), ID, LogSettings(), home)
    assert directories.close(clean=True) is False
    directories = _open(disk)
    directories.metadata.open_metadata_log()
    directories.look_round({_partition(0): ID, _partition(1): ID})
    directories.open_log(_partition(1), ID, LogSettings())
    with pytest.raises(DamagedBatch):
        directories.open_log(_partition(0), ID, LogSettings())
    directories.delete_unopened(_partition(1))  # is open
    assert disk.is_directory("/a/t-1") or disk.is_directory("/b/t-1")
    directories.delete_unopened(_partition(0))
    assert not disk.is_directory("/b/t-0")
    assert [name for name in disk.list("/b") if name.endswith("-delete")]
    assert directories.holder(_partition(0)) is None
    assert directories.open_log(_partition(0), bytes(16), LogSettings(), home).log_end == 0
    _stop(directories)


def _of_an_old_format(disk: MemoryDisk, path: str) -> None:
    """Messages that nobody reads any more."""
    old = bytearray()
    write_message(old, 1, 0, 0, 1000, b"key", b"value")
    file = disk.open(path, create=True)
    file.truncate(0)
    file.write_at(0, [old])


@pytest.mark.parametrize("is_found_at_its_use", [True, False])
def test_a_log_that_cannot_be_read_costs_no_other_its_clean_stop(disk: MemoryDisk, is_found_at_its_use: bool) -> None:
    """For ever after, each start recovered all logs of the directory: ten thousand took five seconds instead of two,
    and each partition had a new election."""
    directories = _open(disk, ["/a"])
    logs = [directories.open_log(_partition(number), ID, LogSettings()) for number in range(3)]
    for log in logs:
        _append(log, 3)
    _stop(directories)
    _of_an_old_format(disk, "/a/t-1/00000000000000000000.log")
    if not is_found_at_its_use:
        disk.remove("/a/.kafka_cleanshutdown")
    for stops in range(3):
        directories = _open(disk, ["/a"])
        assert directories.metadata.was_clean is (stops > 0 or is_found_at_its_use)
        if stops:
            assert directories.metadata.left_whole(7) == {_partition(0), _partition(2)}
        if is_found_at_its_use and stops == 0:
            failed = directories.open_log(_partition(1), ID, LogSettings())
            _append(failed)
            assert isinstance(failed.failure, DamagedBatch)
        else:
            with pytest.raises(DamagedBatch):
                directories.open_log(_partition(1), ID, LogSettings())
        others = [directories.open_log(_partition(number), ID, LogSettings()) for number in (0, 2)]
        assert [log.is_asleep for log in others] == [directories.metadata.was_clean] * 2
        assert [log.log_end for log in others] == [3, 3]
        assert directories.close(clean=True, broker_epoch=7) is False, "not all of them ended cleanly"


def test_a_log_that_could_be_read_no_more_is_recovered_once_it_can_be(disk: MemoryDisk) -> None:
    """The marker speaks of the others: a torn end would be trusted."""
    directories = _open(disk, ["/a"])
    log = directories.open_log(_partition(0), ID, LogSettings())
    _append(log)
    _append(log)
    _stop(directories)
    path = "/a/t-0/00000000000000000000.log"
    records = bytearray(disk.read(path))
    _of_an_old_format(disk, path)
    directories = _open(disk, ["/a"])
    _append(directories.open_log(_partition(0), ID, LogSettings()))
    assert directories.close(clean=True) is False
    records[-1] ^= 1
    disk.open(path).write_at(0, [records])
    directories = _open(disk, ["/a"])
    assert directories.metadata.was_clean
    assert directories.open_log(_partition(0), ID, LogSettings()).log_end == 2


def test_a_log_that_failed_while_it_was_written_makes_it_no_clean_stop() -> None:
    """Apache Kafka takes the marker's word for every log of the directory."""
    disk = SimulatedDisk()
    directories = _open(disk, ["/a"])
    log = directories.open_log(_partition(0), ID, LogSettings())
    _append(log)
    log.failure = DiskFailure(log.directory, "an append broke off")
    assert directories.close(clean=True) is False
    assert not disk.exists("/a/.kafka_cleanshutdown")


def test_a_log_goes_where_the_fewest_are(disk: MemoryDisk) -> None:
    directories = _open(disk)
    directories.metadata.open_metadata_log()
    paths = [directories.open_log(_partition(number), ID, LogSettings()).directory for number in range(5)]
    assert paths == ["/a/t-0", "/b/t-1", "/c/t-2", "/a/t-3", "/b/t-4"]
    home = directories.online[1]
    assert directories.open_log(_partition(5), ID, LogSettings(), home).directory == "/b/t-5", "where it belongs"
    directories.delete_log(directories.online[0].logs[_partition(0)])
    directories.delete_log(directories.online[0].logs[_partition(3)])
    assert directories.open_log(_partition(0), ID, LogSettings()).directory == "/a/t-0"
    assert directories.open_log(_partition(3), ID, LogSettings()).directory == "/a/t-3", "where the fewest are"


def test_logs_are_found_where_they_lie(disk: MemoryDisk) -> None:
    directories = _open(disk)
    for number in range(4):
        _append(directories.open_log(_partition(number), ID, LogSettings()), number + 1)
    _stop(directories)
    directories = _open(disk, PATHS[::-1], metadata_path="/a")
    assert directories.look_round({_partition(number): ID for number in range(1, 4)}) == [_partition(0)]
    for number in range(1, 4):
        log = directories.open_log(_partition(number), ID, LogSettings(), directories.online[0])
        assert (log.directory, log.log_end) == (f"{PATHS[number % 3]}/t-{number}", number + 1)
        assert directories.directory_of(log) is directories.holder(_partition(number))
    assert [name for name in disk.list("/a") if name.endswith("-stray")]


def _copy(disk: Any, source: str, target: str) -> None:
    disk.make_directory(target)
    for name in disk.list(source):
        disk.replace(f"{target}/{name}", disk.read(f"{source}/{name}"))


def test_a_partition_in_two_directories_is_refused(disk: MemoryDisk) -> None:
    directories = _open(disk)
    directories.open_log(_partition(0), ID, LogSettings())
    _stop(directories)
    _copy(disk, "/a/t-0", "/c/t-0")
    directories = _open(disk)
    with pytest.raises(DuplicateLog, match="t-0 lies in both /a and /c"):
        directories.look_round({_partition(0): ID})


@pytest.mark.parametrize(("stale", "kept"), [("/a", "/c"), ("/c", "/a")])
def test_an_older_topics_log_by_the_same_name_is_a_stray(disk: MemoryDisk, stale: str, kept: str) -> None:
    """The topic was deleted and made again while one directory was offline."""
    directories = _open(disk)
    directories.open_log(_partition(0), ID, LogSettings())
    _stop(directories)
    _copy(disk, "/a/t-0", "/c/t-0")
    disk.replace(f"{stale}/t-0/partition.metadata", b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAZA\n")
    directories = _open(disk)
    assert directories.look_round({_partition(0): ID}) == [_partition(0)]
    assert directories.open_log(_partition(0), ID, LogSettings()).directory == f"{kept}/t-0"
    assert [name for name in disk.list(stale) if name.endswith("-stray")]


def test_what_kafka_left_of_a_move_between_directories_is_left_alone(disk: MemoryDisk) -> None:
    directories = _open(disk)
    disk.make_directory("/b/t-0.0123456789abcdef0123456789abcdef-future")
    assert directories.look_round({_partition(0): ID}) == []
    assert directories.holder(_partition(0)) is None
    assert disk.is_directory("/b/t-0.0123456789abcdef0123456789abcdef-future")


# ---- one fails


@pytest.mark.parametrize("broken", ["/b/.lock", "/b/recovery-point-offset-checkpoint"])
def test_a_directory_that_cannot_be_used_is_left_out(broken: str) -> None:
    disk = SimulatedDisk()
    directories = _open(disk)
    directories.open_log(_partition(0), ID, LogSettings())
    directories.open_log(_partition(1), ID, LogSettings())
    _stop(directories)
    disk.failing = {broken: "Input/output error"}
    directories = _open(disk)
    assert [each.path for each in directories.online] == ["/a", "/c"]
    assert {path: failure.reason for path, failure in directories.failures.items()} == {"/b": "Input/output error"}
    assert directories.look_round({_partition(0): ID, _partition(1): ID}) == []
    assert directories.holder(_partition(1)) is None
    assert directories.holder(_partition(0)) is directories.online[0]


def test_a_directory_with_damaged_properties_is_left_out_unless_it_is_the_metadata_logs(disk: MemoryDisk) -> None:
    _stop(_open(disk))
    disk.replace("/b/meta.properties", b"\0\0\0\0")
    assert list(_open(disk).failures) == ["/b"]
    disk._locks.clear()
    disk.replace("/a/meta.properties", b"\0\0\0\0")
    with pytest.raises(ForeignDirectory, match=r"/a/meta.properties: version None"):
        _open(disk)


def test_without_the_metadata_logs_directory_there_is_no_start() -> None:
    disk = SimulatedDisk()
    _stop(_open(disk))
    disk.failing = {"/a/.lock": "Input/output error"}
    with pytest.raises(DiskFailure, match="Input/output error"):
        _open(disk)


def test_without_any_directory_for_records_there_is_no_start() -> None:
    disk = SimulatedDisk()
    _stop(_open(disk, ["/b"], metadata_path="/a"))
    disk.failing = {"/b/.lock": "Input/output error"}
    with pytest.raises(DiskFailure, match="Input/output error"):
        _open(disk, ["/b"], metadata_path="/a")
    disk.failing = {}
    _stop(_open(disk, ["/b"], metadata_path="/a"))


def test_one_failure_takes_its_directory_and_nothing_else() -> None:
    disk = SimulatedDisk()
    directories = _open(disk)
    told: list[tuple[str, str]] = []
    directories.on_failure = lambda directory, failure: told.append((directory.path, failure.reason))
    logs = [directories.open_log(_partition(number), ID, LogSettings()) for number in range(6)]
    disk.failing = {"/b/t-1/": "No space left on device"}
    for log in logs:
        _append(log)
    assert told == [("/b", "No space left on device")]
    assert [log.failure is not None for log in logs] == [False, True, False, False, True, False]
    assert [log.log_end for log in logs if log.failure is None] == [2] * 4
    assert [each.path for each in directories.online] == ["/a", "/c"]
    assert directories.holder(_partition(1)) is None
    disk.failing = {}
    assert list(directories.checkpoint_recovery_points()) == []
    assert disk.exists("/a/recovery-point-offset-checkpoint")
    assert not disk.exists("/b/recovery-point-offset-checkpoint")
    assert not directories.close(clean=True)
    assert [disk.exists(f"{path}/.kafka_cleanshutdown") for path in PATHS] == [True, False, True]
    directories = _open(disk)
    assert [each.was_clean for each in directories.online] == [True, False, True]
    directories.look_round({_partition(number): ID for number in range(6)})
    ends = [directories.open_log(_partition(number), ID, LogSettings()).log_end for number in range(6)]
    assert ends == [2, 0, 2, 2, 0, 2]


def test_a_directory_that_fails_while_it_is_looked_through_is_left_out() -> None:
    disk = SimulatedDisk()
    directories = _open(disk)
    directories.open_log(_partition(0), ID, LogSettings())
    directories.open_log(_partition(1), ID, LogSettings())
    _stop(directories)
    directories = _open(disk)
    told: list[str] = []
    directories.on_failure = lambda directory, failure: told.append(directory.path)
    disk.failing = {"/b": "Input/output error"}
    directories.begin()
    assert told == ["/b"]
    assert directories.look_round({_partition(0): ID, _partition(1): ID}) == []
    assert [each.path for each in directories.online] == ["/a", "/c"]


# ---- logs that a worker makes


def _make(directories: LogDirectories, *numbers: int) -> list[bool]:
    done: list[bool] = []
    directories.make_logs([NewLog(_partition(number), ID, None) for number in numbers], lambda: done.append(True))
    return done


def test_a_worker_makes_the_files_of_new_logs() -> None:
    """The loop made them, a dozen system calls for each."""
    disk = SimulatedDisk(queues_work=True)
    directories = _open(disk)
    directories.begin()
    before = disk.steps
    done = _make(directories, 0, 1)
    assert (disk.steps, done) == (before, [])
    disk.run_queued()
    assert done == [True]
    disk.failing = {"-0/": "looked at again", "-1/": "looked at again"}
    for number in (0, 1):
        log = directories.open_log(_partition(number), ID, LogSettings())
        assert (log.is_asleep, log.log_end, log.size_bytes, log.topic_id) == (True, 0, 0, ID)


def test_a_log_that_a_worker_made_is_as_any_other(disk: MemoryDisk) -> None:
    directories = _open(disk)
    _make(directories, 0, 1)
    used, unused = (directories.open_log(_partition(number), ID, LogSettings()) for number in (0, 1))
    assert not used.mended
    _append(used)
    assert (used.is_asleep, used.log_end, used.failure, used.mended) == (False, 2, None, [])
    assert unused.apply_retention() == 0
    _stop(directories)
    assert unused.is_asleep
    after = _open(disk)
    assert after.look_round({_partition(0): ID, _partition(1): ID}) == []
    logs = [after.open_log(_partition(number), ID, LogSettings()) for number in (0, 1)]
    assert [(log.is_asleep, log.log_end) for log in logs] == [(True, 2), (True, 0)]


def test_a_new_log_has_the_indexes_that_apache_kafka_looks_for(disk: MemoryDisk) -> None:
    """Kafka said an ERROR of each never-written partition of a directory of ours, and made them itself."""
    directories = _open(disk)
    _make(directories, 0)
    log = directories.open_log(_partition(0), ID, LogSettings())
    assert {"0" * 20 + suffix for suffix in (".log", ".index", ".timeindex")} < set(disk.list(log.directory))


def test_logs_that_are_being_made_count_where_room_is_looked_for(disk: MemoryDisk) -> None:
    directories = _open(disk)
    _make(directories, *range(6))
    places = [directories.open_log(_partition(number), ID, LogSettings()).directory for number in range(6)]
    assert places == ["/a/t-0", "/b/t-1", "/c/t-2", "/a/t-3", "/b/t-4", "/c/t-5"]


def test_a_directory_that_is_in_the_way_of_a_new_log_is_set_aside(disk: MemoryDisk) -> None:
    directories = _open(disk, ["/a"])
    directories.open_log(_partition(0), bytes(15) + b"o", LogSettings())
    _stop(directories)
    directories = _open(disk, ["/a"])
    _make(directories, 0)
    log = directories.open_log(_partition(0), ID, LogSettings())
    assert (log.topic_id, log.log_end) == (ID, 0)
    assert any(name.endswith("-stray") for name in disk.list("/a"))


def test_a_disk_that_refuses_a_new_log_takes_its_directory_offline() -> None:
    disk = SimulatedDisk()
    directories = _open(disk)
    directories.begin()
    disk.failing = {"/a/t-0": "No space left on device"}
    assert _make(directories, 0, 1) == [True]
    with pytest.raises(DiskFailure):
        directories.open_log(_partition(0), ID, LogSettings())
    assert [directory.path for directory in directories.online] == ["/b", "/c"]
    assert directories.open_log(_partition(1), ID, LogSettings()).is_asleep


NEW_ID = bytes(15) + b"n"


def _deleted(disk: SimulatedDisk) -> LogDirectories:
    """A directory that was the home of a log with ten records, some deleted, of which the checkpoints tell."""
    directories = _open(disk, ["/a"])
    log = directories.open_log(_partition(0), ID, LogSettings())
    _append(log, 10)
    log.delete_before(8)
    log.sync()
    disk.run_queued()
    directories.online[0].checkpoint()
    disk.run_queued()
    directories.delete_log(log)
    return directories


def _make_again(directories: LogDirectories) -> list[bool]:
    done: list[bool] = []
    directories.make_logs([NewLog(_partition(0), NEW_ID, None)], lambda: done.append(True))
    return done


def test_a_worker_sees_to_it_that_a_deleted_log_is_not_back_before_one_of_its_name_is_made() -> None:
    """The loop waited for three fsyncs whenever a topic was made again under its name, as test suites do."""
    disk = SimulatedDisk(queues_work=True)
    directories = _deleted(disk)
    before = disk.steps
    done = _make_again(directories)
    assert (disk.steps, done) == (before, [])
    disk.run_queued()
    assert done == [True]
    before = disk.steps
    assert directories.open_log(_partition(0), NEW_ID, LogSettings()).is_asleep
    assert disk.steps == before
    after = _open(disk.restarted(Loss.POWER_FAILED, Keep.NOTHING), ["/a"]).online[0]
    assert (after.log_starts, after.recovery_points) == ({}, {})


def test_wherever_a_crash_comes_a_log_that_is_made_under_an_old_name_takes_nothing_of_the_old_one() -> None:
    steps = 0
    while True:
        disk = SimulatedDisk(queues_work=True)
        directories = _deleted(disk)
        steps += 1
        disk.crash_at = disk.steps + steps
        try:
            done = _make_again(directories)
            disk.run_queued()
            fresh = directories.open_log(_partition(0), NEW_ID, LogSettings())
            _append(fresh, 5)
            disk.run_queued()
        except Crashed:
            assert steps < 50
        else:
            assert done == [True]
            assert steps > 10
            return
        for loss, keep in (
            (Loss.PROCESS_DIED, Keep.ALL),
            (Loss.POWER_FAILED, Keep.ALL),
            (Loss.POWER_FAILED, Keep.NOTHING),
        ):
            left = disk.restarted(loss, keep)
            fresh = _open(left, ["/a"]).open_log(_partition(0), NEW_ID, LogSettings())
            assert fresh.log_start == 0
            assert fresh.log_end in (0, 5)


def test_a_name_waits_for_the_checkpoint_under_way_and_is_cleared_by_the_next() -> None:
    disk = SimulatedDisk(queues_work=True)
    directories = _open(disk, ["/a"])
    log = directories.open_log(_partition(0), ID, LogSettings())
    _append(log, 10)
    log.delete_before(8)
    disk.run_queued()
    directories.online[0].checkpoint()
    directories.delete_log(log)
    done = _make_again(directories)
    disk.run_queued(1)
    assert _open(disk.restarted(Loss.PROCESS_DIED), ["/a"]).online[0].log_starts == {_partition(0): 8}
    assert done == []
    disk.run_queued()
    assert done == [True]
    assert _open(disk.restarted(Loss.PROCESS_DIED), ["/a"]).online[0].log_starts == {}


def test_the_offsets_of_a_log_that_is_there_stay_when_it_is_asked_to_be_made(disk: MemoryDisk) -> None:
    directories = _open(disk, ["/a"])
    log = directories.open_log(_partition(0), ID, LogSettings())
    _append(log, 10)
    log.delete_before(8)
    _stop(directories)
    directories = _open(disk, ["/a"])
    _make(directories, 0)
    log = directories.open_log(_partition(0), ID, LogSettings())
    assert (log.log_start, log.log_end) == (8, 10)


@pytest.mark.parametrize("is_under_way", [True, False])
def test_a_disk_that_refuses_while_names_are_cleared_takes_its_directory_offline(is_under_way: bool) -> None:
    disk = SimulatedDisk(queues_work=True)
    directories = _deleted(disk)
    if is_under_way:
        directories.online[0].checkpoint()
    done = _make_again(directories)
    disk.failing = {"-checkpoint": "Input/output error"}
    disk.run_queued()
    assert done == [True]
    assert directories.online == []
