"""A good directory has no findings; each kind of damage is one, at the file that has it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from kbroker.log.directory import LogDirectory
from kbroker.log.outcome import Appended
from kbroker.log.settings import LogSettings
from kbroker.log.verify import Finding, total_bytes, verify_directory
from kbroker.names import TopicPartition
from kbroker.real.entropy import RealEntropy
from kbroker.record.batch import build_batch, iterate_batches, read_header, restamp_checksum
from kbroker.record.compression import Codec
from kbroker.testing.simulated_disk import Loss, SimulatedDisk, SimulatedFile
from kbroker.testing.virtual_clock import VirtualClock

SETTINGS = LogSettings(segment_bytes=2000, index_interval_bytes=100)
T0 = "/data/t-0"
FIRST = f"{T0}/{0:020d}"


def _filled(disk: Any, *, clean: bool) -> None:
    """Some segments of idempotent batches in every codec and of two leader epochs, and a second topic."""
    clock = VirtualClock()
    directory = LogDirectory.open(disk, "/data", clock, RealEntropy(), node_id=1)
    random = Random(1)
    for name in ("t", "u"):
        log = directory.open_log(TopicPartition(name, 0), name.encode() * 16, SETTINGS)
        for number in range(60):
            clock.advance(7)
            records = [(b"k", random.randbytes(60))] * (1 + number % 3)
            identity = {"producer_id": number % 2, "producer_epoch": 0, "base_sequence": -1}
            known = [p for p in log.producers if p.producer_id == number % 2]
            identity["base_sequence"] = known[0].batches[-1].last_sequence + 1 if known else 0
            batch = build_batch(records, timestamp_ms=clock.wall_ms(), codec=number % len(Codec), **identity)
            assert isinstance(log.append_as_leader(batch, number // 40), Appended)
    if clean:
        assert directory.close(clean=True)


def _findings(disk: Any, *, is_in_use: bool = False) -> list[Finding]:
    return [found for found in verify_directory(disk, "/data", is_in_use=is_in_use) if isinstance(found, Finding)]


@pytest.fixture
def disk() -> SimulatedDisk:
    disk = SimulatedDisk()
    _filled(disk, clean=True)
    assert len([name for name in disk.list(T0) if name.endswith(".log")]) > 2
    return disk


def test_every_segment_that_is_opened_is_closed(disk: SimulatedDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What says how much there is to read kept all segments open: beyond `ulimit -n` of them the check died."""
    opened, unopened, close = 0, disk.open, SimulatedFile.close

    def counted_open(path: str, **how: Any) -> SimulatedFile:
        nonlocal opened
        opened += path.endswith(".log")
        return unopened(path, **how)

    def counted_close(file: SimulatedFile) -> None:
        nonlocal opened
        opened -= file.path.endswith(".log")
        close(file)

    monkeypatch.setattr(disk, "open", counted_open)
    monkeypatch.setattr(SimulatedFile, "close", counted_close)
    assert total_bytes(disk, "/data") > 10_000
    assert opened == 0
    _findings(disk)
    assert opened == 0
    steps = verify_directory(disk, "/data")
    assert isinstance(next(steps), int)
    assert opened == 1
    steps.close()
    assert opened == 0


def test_nothing_is_found_after_a_clean_stop(disk: SimulatedDisk) -> None:
    assert _findings(disk) == []


def test_nothing_is_found_after_a_kill() -> None:
    disk = SimulatedDisk()
    _filled(disk, clean=False)
    assert _findings(disk.restarted(Loss.PROCESS_DIED)) == []


def test_a_check_changes_nothing(disk: SimulatedDisk) -> None:
    before = disk.steps
    _findings(disk)
    assert disk.steps == before


def test_the_bytes_of_every_segment_are_counted(disk: SimulatedDisk) -> None:
    sizes = [
        disk.open(f"/data/{topic}-0/{name}").size()
        for topic in "tu"
        for name in disk.list(f"/data/{topic}-0")
        if name.endswith(".log")
    ]
    assert sum(found for found in verify_directory(disk, "/data") if isinstance(found, int)) == sum(sizes)


def _flip(disk: Any, path: str, position: int) -> None:
    data = bytearray(disk.read(path))
    data[position] ^= 0x10
    disk.open(path).write_at(0, [data])


@pytest.mark.parametrize(
    ("path", "position", "problem"),
    [
        (f"{FIRST}.log", 100, "at byte 0: the checksum does not hold"),
        (f"{FIRST}.log", 16, "are no batch"),
        (f"{FIRST}.log", 0, "offset"),
        (f"{FIRST}.index", 3, "leads to no batch"),
        (f"{FIRST}.index", 7, "leads to no batch"),
        (f"{FIRST}.timeindex", 7, "leads to no batch"),
        (f"{FIRST}.timeindex", 11, "leads to no batch"),
        (f"{T0}/leader-epoch-checkpoint", 4, "an entry without 2 fields"),
        (f"{T0}/partition.metadata", 12, "topic_id"),
        ("/data/recovery-point-offset-checkpoint", 0, "version 0"),
        ("/data/meta.properties", 0, "is missing or wrong"),
    ],
)
def test_a_flipped_bit_is_found(disk: SimulatedDisk, path: str, position: int, problem: str) -> None:
    _flip(disk, path, position)
    findings = _findings(disk)
    assert path in {finding.path for finding in findings}, findings
    assert any(word in finding.problem for finding in findings for word in problem.split("|")), findings


def _without_a_segment(disk: SimulatedDisk) -> tuple[int, int]:
    """Between others one is lost, with all its files; from which offset to which."""
    bases = sorted(int(name[:20]) for name in disk.list(T0) if name.endswith(".log"))
    for name in disk.list(T0):
        if name.startswith(f"{bases[1]:020d}"):
            disk.remove(f"{T0}/{name}")
    return bases[1], bases[2]


def test_a_segment_that_is_gone_from_between_others_is_found(disk: SimulatedDisk) -> None:
    """Nothing told that its records are missing, but for producers that had their last batches there."""
    start, end = _without_a_segment(disk)
    problem = f"offsets {start} to {end - 1} are missing before it: a segment is gone"
    assert Finding(f"{T0}/{end:020d}.log", problem) in _findings(disk)


def test_behind_damage_nothing_else_is_said_to_be_gone(disk: SimulatedDisk) -> None:
    """The rest of the damaged segment was said to be a segment that is gone."""
    _flip(disk, f"{FIRST}.log", 100)
    assert not [found for found in _findings(disk) if "is gone" in found.problem]
    _, end = _without_a_segment(disk)
    file = f"{T0}/{end:020d}.log"
    assert not [found for found in _findings(disk) if found.path == file], "nobody knows where the damaged one ended"


def test_a_segment_that_is_gone_behind_a_sound_one_is_found_though_an_earlier_one_is_damaged(
    disk: SimulatedDisk,
) -> None:
    _flip(disk, f"{FIRST}.log", 100)
    bases = [int(name[:20]) for name in disk.list(T0) if name.endswith(".log")]
    disk.remove(f"{T0}/{bases[2]:020d}.log")
    problem = f"offsets {bases[2]} to {bases[3] - 1} are missing before it: a segment is gone"
    assert Finding(f"{T0}/{bases[3]:020d}.log", problem) in _findings(disk)


def test_where_compaction_has_been_a_gap_between_segments_is_no_damage(disk: SimulatedDisk) -> None:
    """Where a producer's last batches went with it, its snapshot was taken for damaged."""
    _without_a_segment(disk)
    disk.replace("/data/cleaner-offset-checkpoint", b"0\n1\nt 0 1\n")
    assert not [found for found in _findings(disk) if found.path.endswith((".log", ".snapshot"))]


def _without_a_batch(disk: SimulatedDisk, number: int) -> tuple[int, int, int]:
    """One is cut out of the first segment; where it was, and from which offset to which."""
    data = disk.read(f"{FIRST}.log")
    gone = list(iterate_batches(data))[number]
    header = read_header(gone)
    position = data.index(gone)
    disk.replace(f"{FIRST}.log", data.replace(gone, b""))
    return position, header.base_offset, header.last_offset


def _is_plain(_topic: str) -> bool:
    return True


def _of_plain_topics(disk: SimulatedDisk) -> list[Finding]:
    return [found for found in verify_directory(disk, "/data", is_plain=_is_plain) if isinstance(found, Finding)]


def test_a_batch_that_is_gone_from_between_others_is_found(disk: SimulatedDisk) -> None:
    """A gap inside a segment was taken for the cleaner's, also where the topic is not compacted."""
    assert _of_plain_topics(disk) == []
    position, start, last = _without_a_batch(disk, 2)
    found = Finding(f"{FIRST}.log", f"offsets {start} to {last} are missing before the batch at byte {position}")
    assert found in _of_plain_topics(disk)
    assert found not in _findings(disk), "nobody knows whether it was compacted"
    disk.replace("/data/cleaner-offset-checkpoint", b"0\n1\nt 0 1\n")
    assert found not in _of_plain_topics(disk), "it was"


def test_where_a_batch_lacks_records_gaps_are_those_of_a_compaction_long_ago(disk: SimulatedDisk) -> None:
    disk.remove("/data/cleaner-offset-checkpoint")
    log = f"{FIRST}.log"
    _without_a_batch(disk, 2)
    data = bytearray(disk.read(log))
    thinned = bytearray(build_batch([(b"k", b"v")], timestamp_ms=1))
    thinned[23:27] = (1).to_bytes(4, "big")
    restamp_checksum(thinned, len(thinned))
    first, second, *others = iterate_batches(data)
    assert read_header(second).last_offset_delta == 1
    thinned[0:8] = bytes(second[0:8])
    disk.replace(log, b"".join([first, thinned, *others]))
    assert not [found for found in _of_plain_topics(disk) if "are missing" in found.problem]


@pytest.mark.parametrize(("listed", "is_found"), [(1, False), (10**6, True)])
def test_where_compaction_has_been_a_leader_epoch_may_begin_before_what_is_left_of_it(
    disk: SimulatedDisk, listed: int, is_found: bool
) -> None:
    disk.replace("/data/cleaner-offset-checkpoint", b"0\n1\nt 0 1\n")
    disk.replace(f"{T0}/leader-epoch-checkpoint", b"0\n2\n0 0\n1 %d\n" % listed)
    assert bool(_findings(disk)) is is_found


def test_a_checkpoint_that_a_power_failure_emptied_is_found(disk: SimulatedDisk) -> None:
    """It counted as one without entries: what DeleteRecords had removed came back unseen."""
    disk.replace("/data/log-start-offset-checkpoint", b"")
    problem = "is empty, and no clean stop leaves it so"
    assert _findings(disk) == [Finding("/data/log-start-offset-checkpoint", problem)]


def test_kafka_leaves_empty_checkpoints_where_no_log_was_made() -> None:
    disk = SimulatedDisk()
    LogDirectory.open(disk, "/data", VirtualClock(), RealEntropy(), node_id=1).close(clean=True)
    disk.replace("/data/replication-offset-checkpoint", b"")
    assert _findings(disk) == []
    assert [*LogDirectory.open(disk, "/data", VirtualClock(), RealEntropy(), node_id=1).damage] == []


def test_a_flipped_bit_in_any_snapshot_is_found(disk: SimulatedDisk) -> None:
    path = next(f"{T0}/{name}" for name in disk.list(T0) if name.endswith(".snapshot"))
    _flip(disk, path, 20)
    assert _findings(disk) == [Finding(path, "the checksum doesn't match")]


def test_a_snapshot_of_another_moment_is_found(disk: SimulatedDisk) -> None:
    first, *_, last = (f"{T0}/{name}" for name in disk.list(T0) if name.endswith(".snapshot"))
    disk.replace(first, disk.read(last))
    findings = _findings(disk)
    assert {finding.path for finding in findings} == {first}
    assert "is not where its batches are" in findings[0].problem


@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
def test_an_index_that_is_missing_or_cut_is_found(disk: SimulatedDisk, suffix: str) -> None:
    disk.open(FIRST + suffix).truncate(13)
    assert [finding.path for finding in _findings(disk)] == [FIRST + suffix]
    disk.remove(FIRST + suffix)
    assert _findings(disk) == [Finding(FIRST + suffix, "is missing")]


def test_a_transaction_index_that_lists_what_the_log_does_not_is_found(disk: SimulatedDisk) -> None:
    disk.open(f"{FIRST}.txnindex", create=True).write_at(0, [bytes(34)])
    assert _findings(disk) == [Finding(f"{FIRST}.txnindex", "lists an abort of producer 0 at offset 0")]


def test_a_torn_tail_behind_the_recovery_point_is_found_and_its_fate_said() -> None:
    disk = SimulatedDisk()
    _filled(disk, clean=False)
    name = [name for name in disk.list(T0) if name.endswith(".log")][-1]
    file = disk.open(f"{T0}/{name}")
    file.truncate(file.size() - 1)
    (finding,) = [found for found in _findings(disk) if found.path.endswith(".log")]
    assert finding.problem.endswith("are no batch; the next start cuts the log there")


def test_a_body_that_does_not_keep_what_its_header_says_is_found_and_what_comes_behind_it_read_too() -> None:
    """It was said that the next start cuts the log there, which looks at checksums, and the rest was not read."""
    disk = SimulatedDisk()
    _filled(disk, clean=False)
    names = [name for name in disk.list(T0) if name.endswith(".log")]
    file = disk.open(f"{T0}/{names[-1]}")
    size, end = file.size(), int(names[-1][:20])
    for batch in iterate_batches(file.read_at(0, size)):
        end = read_header(batch).last_offset + 1
    lying = build_batch([(None, b"a")] * 2, base_offset=end, leader_epoch=1, timestamp_ms=1)
    lying[23:27] = (2).to_bytes(4, "big")
    lying[57:61] = (1).to_bytes(4, "big")
    restamp_checksum(lying, len(lying))
    file.write_at(size, [lying, b"torn"])
    problems = [found.problem for found in _findings(disk) if found.path == file.path]
    assert problems == [
        f"at byte {size}: bytes behind the last record",
        f"at byte {size + len(lying)}: 4 bytes are no batch; the next start cuts the log there",
    ]


def test_a_checkpoint_beyond_the_log_or_of_no_log_is_found(disk: SimulatedDisk) -> None:
    path = "/data/recovery-point-offset-checkpoint"
    disk.replace(path, b"0\n2\nt 0 9999\ngone 0 1\n")
    problems = [finding.problem for finding in _findings(disk) if finding.path == path]
    assert problems[0].startswith("t-0 at 9999, but the log ends at ")
    assert problems[1] == "gone-0 has no directory"


HIGH_WATERMARKS = "/data/replication-offset-checkpoint"
RECOVERY_POINTS = "/data/recovery-point-offset-checkpoint"


def _checkpoint_problems(disk: SimulatedDisk) -> list[str]:
    return [found.problem for found in _findings(disk) if found.path.endswith("-offset-checkpoint")]


@pytest.mark.parametrize("path", [RECOVERY_POINTS, HIGH_WATERMARKS])
def test_a_damaged_name_in_a_checkpoint_is_found(disk: SimulatedDisk, path: str) -> None:
    disk.replace(path, b"0\n2\nt 0 0\nv 0 0\n")
    assert _checkpoint_problems(disk) == ["v-0 has no directory, and u-0 no entry: the name is damaged"]


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("path", [RECOVERY_POINTS, HIGH_WATERMARKS])
def test_a_name_that_no_topic_can_have_or_that_comes_twice_is_found(path: str, clean: bool) -> None:
    disk = SimulatedDisk()
    _filled(disk, clean=clean)
    disk.replace(path, b"0\n2\nt 0 0\n5\x14 0 0\n")
    assert _checkpoint_problems(disk) == [r"'5\x14-0' is no partition: the name is damaged"]
    disk.replace(path, b"0\n2\nt 0 0\nt 0 0\n")
    assert _checkpoint_problems(disk) == ["lists a partition twice"]


@pytest.mark.parametrize("path", [RECOVERY_POINTS, HIGH_WATERMARKS, "/data/cleaner-offset-checkpoint"])
def test_after_a_kill_names_of_topics_that_went_and_of_those_that_came_may_be_alike(path: str) -> None:
    """Where topics are numbered, one that was deleted was taken for the damaged name of one that is new."""
    disk = SimulatedDisk()
    _filled(disk, clean=False)
    disk.replace(path, b"0\n2\nt 0 0\nv 0 0\n")
    assert _checkpoint_problems(disk) == []


def test_a_compacted_topic_that_was_deleted_may_be_named_like_one_that_was_not_cleaned_yet(disk: SimulatedDisk) -> None:
    disk.replace("/data/cleaner-offset-checkpoint", b"0\n1\nv 0 0\n")
    assert _checkpoint_problems(disk) == []


def test_entries_of_deleted_topics_are_no_damage() -> None:
    """After a kill they are there until the next checkpoint; they were found to have no directory."""
    disk = SimulatedDisk()
    _filled(disk, clean=False)
    for path in (RECOVERY_POINTS, HIGH_WATERMARKS):
        disk.replace(path, b"0\n3\nt 0 0\nu 0 0\nv 0 0\n")
    assert _checkpoint_problems(disk) == []


def test_after_a_clean_stop_an_entry_has_a_directory_or_one_that_waits_for_its_removal(disk: SimulatedDisk) -> None:
    disk.replace(HIGH_WATERMARKS, b"0\n3\nt 0 0\nu 0 0\nv 0 0\n")
    assert _checkpoint_problems(disk) == ["v-0 has no directory"]
    disk.make_directory("/data/v-0.0123456789abcdef0123456789abcdef-delete")
    assert _checkpoint_problems(disk) == []


def test_what_the_cleaner_noted_of_a_topic_that_is_gone_is_no_damage(disk: SimulatedDisk) -> None:
    disk.replace("/data/cleaner-offset-checkpoint", b"0\n1\ngone 0 1\n")
    assert _checkpoint_problems(disk) == []


def test_what_was_set_aside_is_found(disk: SimulatedDisk) -> None:
    disk.rename("/data/u-0", "/data/u-0.0123-stray")
    assert any(finding.path == "/data/u-0.0123-stray" for finding in _findings(disk))
    disk.rename("/data/u-0.0123-stray", "/data/u-0.0123-delete")
    assert not any("0123" in finding.path for finding in _findings(disk)), "a deleted topic's files wait by design"


class GrowingDisk:
    """The simulated disk, on which `grow` runs whenever a segment's file is opened."""

    def __init__(self, disk: SimulatedDisk, grow: Callable[[], None]) -> None:
        self._disk = disk
        self._grow = grow
        self._is_growing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)

    def open(self, path: str, *, create: bool = False) -> Any:
        if path.endswith(".log") and not self._is_growing:
            self._is_growing = True
            self._grow()
            self._is_growing = False
        return self._disk.open(path, create=create)


def test_a_log_in_use_that_grows_rolls_and_loses_segments_is_sound_and_its_damage_is_found() -> None:
    disk = SimulatedDisk()
    clock = VirtualClock()
    directory = LogDirectory.open(disk, "/data", clock, RealEntropy(), node_id=1)
    settings = LogSettings(segment_bytes=2000, index_interval_bytes=100, retention_bytes=8000, file_delete_delay_ms=0)
    logs = [directory.open_log(TopicPartition(name, 0), name.encode() * 16, settings) for name in ("t", "u")]
    random = Random(1)

    def grow() -> None:
        for log in logs:
            for _ in range(random.randrange(9)):
                log.append_as_leader(build_batch([(b"k", random.randbytes(60))], timestamp_ms=clock.wall_ms()), 0)
        log.apply_retention()
        directory.checkpoint()
        clock.advance(7)

    for _ in range(10):
        grow()
    growing = GrowingDisk(disk, grow)
    for _ in range(20):
        assert _findings(growing, is_in_use=True) == []
    file = f"{T0}/{[name for name in disk.list(T0) if name.endswith('.log')][-1]}"
    _flip(disk, file, 100)
    found = _findings(growing, is_in_use=True)
    assert [finding.path for finding in found] == [file]


def test_a_segment_is_read_a_window_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it is; the largest reads are those of one window."""
    disk = SimulatedDisk()
    directory = LogDirectory.open(disk, "/data", VirtualClock(), RealEntropy(), node_id=1)
    log = directory.open_log(TopicPartition("t", 0), b"t" * 16, LogSettings())
    batch = bytes(build_batch([(None, bytes(60_000))], timestamp_ms=1))
    for _ in range(200):
        log.append_as_leader(bytearray(batch), 0)
    assert directory.close(clean=True)
    read: list[int] = []
    read_at = SimulatedFile.read_at

    def watched(file: SimulatedFile, position: int, length: int) -> bytes:
        read.append(length)
        return read_at(file, position, length)

    monkeypatch.setattr(SimulatedFile, "read_at", watched)
    assert _findings(disk) == []
    assert sum(read) >= 200 * 60_000
    assert max(read) <= 1 << 20


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("start", [6, 20, 21, 27, 40])
def test_where_the_log_start_was_moved_the_leader_epochs_before_it_are_no_damage(start: int, clean: bool) -> None:
    """After DeleteRecords the file begins at the log start, and was measured by all batches of the first segment."""
    disk = SimulatedDisk()
    log_directory = LogDirectory.open(disk, "/data", VirtualClock(), RealEntropy(), node_id=1)
    log = log_directory.open_log(TopicPartition("t", 0), b"t" * 16, LogSettings())
    for number in range(20):
        batch = build_batch([(None, b"a"), (None, b"b")], timestamp_ms=number)
        assert isinstance(log.append_as_leader(batch, number // 7), Appended)
    assert log_directory.close(clean=True)
    log_directory = LogDirectory.open(disk, "/data", VirtualClock(), RealEntropy(), node_id=1)
    log = log_directory.open_log(TopicPartition("t", 0), b"t" * 16, LogSettings())
    assert log.delete_before(start) == start
    log_directory.close(clean=clean)
    assert _findings(disk.restarted(Loss.PROCESS_DIED)) == []


def test_a_leader_epoch_that_does_not_begin_at_the_log_start_is_found() -> None:
    disk = SimulatedDisk()
    _filled(disk, clean=True)
    disk.replace("/data/log-start-offset-checkpoint", b"0\n1\nt 0 1\n")
    epochs = f"{T0}/leader-epoch-checkpoint"
    before = disk.read(epochs)
    disk.replace(epochs, b"0\n1\n0 1\n")
    (finding,) = _findings(disk)
    assert finding.path == epochs
    assert "leader epoch 1 begins at offset" in finding.problem
    disk.replace(epochs, before)
    assert _findings(disk) == []


@pytest.mark.parametrize("epoch", [5, 0])
def test_a_leader_epoch_that_falls_is_damage_of_a_batch_and_not_of_the_file(epoch: int) -> None:
    """No checksum covers it. The file was said to lack epochs, and --repair made a worse one of the damaged batch."""
    disk = SimulatedDisk()
    log_directory = LogDirectory.open(disk, "/data", VirtualClock(), RealEntropy(), node_id=1)
    log = log_directory.open_log(TopicPartition("t", 0), b"t" * 16, LogSettings())
    for number in range(12):
        assert isinstance(log.append_as_leader(build_batch([(None, b"a")], timestamp_ms=1), number // 4), Appended)
    assert log_directory.close(clean=True)
    data = bytearray(disk.read(f"{FIRST}.log"))
    size = len(data) // 12
    data[6 * size + 12 : 6 * size + 16] = epoch.to_bytes(4, "big")
    disk.replace(f"{FIRST}.log", bytes(data))
    position, told = (6 * size, "0 behind 1") if epoch == 0 else (7 * size, "1 behind 5")
    problem = f"at byte {position}: leader epoch {told}: one of them is damaged"
    assert _findings(disk) == [Finding(f"{FIRST}.log", problem)]
