"""What a start after a power failure may trust: recovery points, indexes, markers, names, each at its worst moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from log_workshop import DIRECTORY, Workshop, open_directory

from kbroker.log.checkpoints import parse_epochs
from kbroker.log.directory import CLEAN_FILE
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition, uuid_text
from kbroker.record.batch import build_batch
from kbroker.testing.simulated_disk import Crashed, Keep, Loss, SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock

EPOCHS_FILE = f"{DIRECTORY}/leader-epoch-checkpoint"
WHERE, ID = TopicPartition("t", 0), bytes(range(16))
NEVER_INDEXED = 1 << 20
"""Bytes between two index entries: there are none but those that a stop or a roll asks for."""


@pytest.fixture
def shop(make: Callable[[Any], Workshop]) -> Workshop:
    """A new log on a disk that forgets, its work in line until run_queued()."""
    workshop = make(SimulatedDisk(queues_work=True))
    workshop.disk.make_directory("/data")
    workshop.open(index_interval_bytes=NEVER_INDEXED)
    return workshop


def in_three_epochs(shop: Workshop) -> None:
    """A record in each, the first in a sealed segment; all is synced."""
    shop.append(epoch=0)
    shop.log.roll()
    shop.append(epoch=1)
    shop.append(epoch=2)
    shop.log.sync()
    shop.disk.run_queued()


def power_fails(shop: Workshop, **extra: Any) -> None:
    shop.disk = shop.disk.restarted(Loss.POWER_FAILED, **extra)


def shortest(count: int) -> int:
    """Of a file that had more sizes than one: the least. Of names: as last synced."""
    return 3 if count == 4 else 0


# ---- recovery points


def test_a_recovery_point_at_the_end_of_a_growing_segment_does_not_vouch_for_its_indexes(shop: Workshop) -> None:
    """Written down before the log rolled there, it did: of the sealed segment an empty time index was trusted, so that
    searches passed it over and retention thought it old."""
    shop.open(index_interval_bytes=0)
    for _ in range(4):
        shop.append()
        shop.clock.advance(1)
    shop.log.sync()
    shop.disk.run_queued()
    assert shop.log.flushed_end == 4
    checkpoint = shop.log.recovery_point
    shop.log.roll()
    newest = shop.log.segments[0].max_timestamp
    shop.disk.sync_directory(DIRECTORY)
    power_fails(shop)
    log = shop.open(recovery_point=checkpoint)
    assert [segment.base_offset for segment in log.segments] == [0, 4]
    assert log.segments[0].max_timestamp == newest
    assert log.offset_for_timestamp(newest) == (3, newest, 0)


def test_a_segment_that_grows_again_is_not_trusted_for_what_it_was(shop: Workshop) -> None:
    """A truncation to its end left the recovery point there, and wrote its time index anew."""
    shop.append(2)
    shop.disk.run_queued()
    shop.reopen(clean=True)
    shop.clock.advance(1)
    shop.append(1)
    shop.log.roll()
    newest = shop.log.segments[0].max_timestamp
    shop.disk.run_queued()
    checkpoints = [shop.log.recovery_point]
    assert checkpoints == [3]
    shop.log.on_truncation = lambda end: checkpoints.append(min(checkpoints[-1], end))
    shop.append(1)
    shop.log.truncate_to(3)
    shop.log.roll()
    shop.disk.sync_directory(DIRECTORY)
    power_fails(shop, below=shortest)
    log = shop.open(recovery_point=checkpoints[-1])
    assert log.segments[0].max_timestamp == newest


def test_a_sealed_segment_that_lost_its_end_is_synced_before_it_is_trusted(shop: Workshop) -> None:
    """It ended at the recovery point, and was taken for synced; trusted it was when the point had reached the next."""
    shop.open(index_interval_bytes=0)
    for number in range(5):
        if number == 3:
            shop.log.sync()
            shop.disk.run_queued()
        shop.append()
        shop.clock.advance(1)
    newest = shop.log.segments[0].max_timestamp - 2
    shop.log.roll()
    shop.disk.sync_directory(DIRECTORY)
    power_fails(shop)
    shop.disk.queues_work = True
    log = shop.open(recovery_point=3)
    assert [(segment.base_offset, segment.next_offset) for segment in log.segments] == [(0, 3), (5, 5)]
    log.sync()
    shop.disk.run_queued()
    checkpoint = log.recovery_point
    assert checkpoint == 5
    power_fails(shop)
    assert shop.open(recovery_point=checkpoint).segments[0].max_timestamp == newest


# ---- leader epochs


def test_epochs_that_were_cut_for_a_start_that_is_lost_again_are_no_damage(shop: Workshop) -> None:
    """Whoever deleted records shortly before a crash was told that the file of the epochs lacked some."""
    for epoch in (0, 1):
        shop.append(epoch=epoch)
    shop.log.roll()
    shop.append(epoch=2)
    shop.disk.run_queued()
    checkpoint = shop.log.recovery_point
    shop.log.delete_before(1)
    shop.disk.run_queued()
    shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
    log = shop.open(recovery_point=checkpoint)
    assert (log.log_start, log.epochs.entries(), log.mended) == (0, [(0, 0), (1, 1), (2, 2)], [])


def test_epochs_that_were_lost_are_in_their_file_again(shop: Workshop) -> None:
    """Nobody wrote them before the next epoch began, and until then the recovery point stood still."""
    in_three_epochs(shop)
    shop.disk.remove(EPOCHS_FILE)
    shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
    shop.open()
    shop.log.sync()
    shop.disk.run_queued()
    assert parse_epochs(shop.disk.read(EPOCHS_FILE)) == [(0, 0), (1, 1), (2, 2)]


def test_the_recovery_point_waits_for_epochs_that_a_start_has_read(make: Callable[[Any], Workshop]) -> None:
    """It was that of the last checkpoint at once: killed again, the log was trusted, and the epochs unknown."""
    shop = make(SimulatedDisk())
    shop.open()
    in_three_epochs(shop)
    checkpoint = shop.log.recovery_point
    assert checkpoint == 2
    shop.disk.replace(EPOCHS_FILE, b"0\n1\n0 0\n")
    shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
    shop.disk.queues_work = True
    log = shop.open(recovery_point=checkpoint)
    assert (log.epochs.entries(), log.recovery_point) == ([(0, 0), (1, 1), (2, 2)], 1)
    shop.disk.run_queued()
    assert log.recovery_point == checkpoint


def test_the_recovery_point_waits_for_an_epoch_that_began_while_older_ones_were_saved(shop: Workshop) -> None:
    """A save told of all epochs that the log had when it was over, not of those that it had written."""
    shop.append(epoch=0)
    shop.append(3, epoch=1)
    shop.log.roll()
    assert shop.disk.run_queued(2) == 2
    assert (shop.log.flushed_end, shop.log.recovery_point) == (4, 1)
    shop.disk.run_queued()
    assert shop.log.recovery_point == 4


def test_epochs_of_batches_are_truer_than_those_of_a_file(shop: Workshop) -> None:
    """An older epoch that begins behind a newer one took its place."""
    for _ in range(3):
        shop.append(epoch=2)
    assert shop.log.close(clean=True)
    shop.disk.replace(EPOCHS_FILE, b"0\n1\n1 2\n")
    assert shop.open(clean=True).epochs.entries() == [(2, 0)]


# ---- the checkpoint of recovery points


def one_log(disk: SimulatedDisk, count: int) -> Any:
    """A directory with a log of so many records, all of it on the medium and in the checkpoints."""
    disk.make_directory("/data")
    directory = open_directory(disk)
    log = directory.open_log(WHERE, ID, LogSettings())
    for _ in range(count):
        log.append_as_leader(build_batch([(None, b"v")], timestamp_ms=1), 0)
    log.sync()
    directory.checkpoint()
    disk.run_queued()
    return directory


def append_at(log: Any, timestamp_ms: int) -> None:
    log.append_as_leader(build_batch([(None, b"v")], timestamp_ms=timestamp_ms), 0)


def test_a_recovery_point_beyond_the_end_of_a_log_is_lowered_before_it_grows() -> None:
    """It vouched for what came there later, synced or not."""
    disk = SimulatedDisk()
    log = one_log(disk, 6).logs[WHERE]
    file = disk.open(log.segments[0].handle.path)
    file.truncate(file.size() // 2)
    disk = disk.restarted(Loss.PROCESS_DIED)
    log = open_directory(disk).open_log(WHERE, ID, LogSettings())
    assert log.log_end == 3
    assert open_directory(disk.restarted(Loss.POWER_FAILED)).recovery_points[WHERE] <= 3


def test_a_recovery_point_that_was_lowered_is_not_raised_by_an_older_checkpoint() -> None:
    """A worker that was writing the file brought the old offset back."""
    disk = SimulatedDisk(queues_work=True)
    directory = one_log(disk, 6)
    directory.checkpoint()
    directory.logs[WHERE].truncate_to(3)
    disk.run_queued()
    assert open_directory(disk.restarted(Loss.POWER_FAILED)).recovery_points[WHERE] < 3


def test_a_recovery_point_that_is_the_end_of_what_was_recovered_is_lowered_before_the_log_rolls_there() -> None:
    """Of the sealed segment a time index was trusted that the recovery had written anew and nothing had synced: a
    search by time missed its newest record, and retention thought it older than it was."""
    disk = SimulatedDisk()
    assert one_log(disk, 2).close(clean=True)
    directory = open_directory(disk)
    log = directory.open_log(WHERE, ID, LogSettings())
    append_at(log, 10)
    log.sync()
    append_at(log, 10)
    directory.checkpoint()
    disk = disk.restarted(Loss.POWER_FAILED)
    directory = open_directory(disk)
    log = directory.open_log(WHERE, ID, LogSettings())
    assert directory.recovery_points[WHERE] == log.log_end == 3
    disk.queues_work = True
    log.roll()
    disk.sync_directory(DIRECTORY)
    log = open_directory(disk.restarted(Loss.POWER_FAILED)).open_log(WHERE, ID, LogSettings())
    assert [segment.base_offset for segment in log.segments] == [0, 3]
    assert (log.offset_for_timestamp(10), log.mended) == ((2, 10, 0), [])


def test_the_recovery_points_of_all_recovered_logs_are_lowered_together() -> None:
    """Thousands that nobody wrote to since a clean stop may roll at about the same time: the file is written once."""
    disk = SimulatedDisk()
    directory = one_log(disk, 1)
    names = [TopicPartition("t", number) for number in range(3)]
    for where in names[1:]:
        append_at(directory.open_log(where, ID, LogSettings()), 1)
    assert directory.close(clean=True)
    open_directory(disk).begin()  # killed
    directory = open_directory(disk.restarted(Loss.PROCESS_DIED))
    logs = [directory.open_log(where, ID, LogSettings()) for where in names]
    assert directory.recovery_points == dict.fromkeys(names, 1)
    directory.disk.queues_work = True
    logs[1].roll()
    points = open_directory(directory.disk.restarted(Loss.POWER_FAILED)).recovery_points
    assert points == directory.recovery_points == dict.fromkeys(names, 0)
    steps = directory.disk.steps
    logs[2].roll()
    assert directory.disk.steps == steps + 1, "the new segment's file"


def test_recovery_points_are_lowered_by_a_worker_when_the_start_is_over() -> None:
    """The first of the logs to roll waited for two syncs, and everybody with it."""
    disk = SimulatedDisk()
    clock = VirtualClock()
    assert one_log(disk, 1).close(clean=True)
    open_directory(disk).begin()  # killed
    disk = disk.restarted(Loss.PROCESS_DIED)
    directory = open_directory(disk, clock)
    log = directory.open_log(WHERE, ID, LogSettings())
    disk.queues_work = True
    clock.advance(0)
    disk.run_queued()
    assert open_directory(disk.restarted(Loss.POWER_FAILED)).recovery_points == {WHERE: 0}
    steps = disk.steps
    log.roll()
    assert disk.steps == steps + 1, "the new segment's file"


def test_a_log_that_is_recovered_while_a_worker_lowers_the_others_is_lowered_behind_them() -> None:
    disk = SimulatedDisk()
    clock = VirtualClock()
    directory = one_log(disk, 1)
    names = [TopicPartition("t", number) for number in range(2)]
    append_at(directory.open_log(names[1], ID, LogSettings()), 1)
    assert directory.close(clean=True)
    open_directory(disk).begin()  # killed
    disk = disk.restarted(Loss.PROCESS_DIED)
    directory = open_directory(disk, clock)
    disk.queues_work = True
    directory.open_log(names[0], ID, LogSettings())
    clock.advance(0)
    directory.open_log(names[1], ID, LogSettings())
    clock.advance(0)
    assert directory.recovery_points == {names[0]: 0, names[1]: 1}
    disk.run_queued()
    assert open_directory(disk.restarted(Loss.POWER_FAILED)).recovery_points == dict.fromkeys(names, 0)


def test_a_clean_stop_notes_the_end_of_a_log_whose_epochs_were_on_their_way() -> None:
    """It noted where the newest of them began, and the next start could not let the log sleep."""
    disk = SimulatedDisk()
    disk.make_directory("/data")
    directory = open_directory(disk)
    log = directory.open_log(WHERE, ID, LogSettings())
    disk.queues_work = True
    log.append_as_leader(build_batch([(None, b"v")], timestamp_ms=1), 0)
    assert directory.close(clean=True)
    assert open_directory(disk).recovery_points == {WHERE: 1}


# ---- indexes that are made anew


class LastPageNew:
    """What a power failure leaves of files of pages as large as an index entry: the last one as written, others as
    synced."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.asked = 0

    def __call__(self, count: int) -> int:
        if count == 4:  # what is left of a file: 3 is a mixture
            self.asked = -1
            return 3
        self.asked += 1
        return count - 1 if not self.asked else int(self.asked == self.pages)


@pytest.mark.parametrize(("kind", "width"), [("index", 8), ("timeindex", 12)])
@pytest.mark.parametrize("clean", [False, True])
def test_an_index_that_was_made_anew_is_no_mixture_after_another_crash(
    make: Callable[[Any], Workshop], kind: str, width: int, clean: bool
) -> None:
    """It was written over and not synced. A power failure left its last entry, so that it was trusted, and what had
    been damaged before that. The same where the start that made it anew was killed in between."""
    step, is_over = 0, False
    while not is_over:
        step += 1
        shop = make(SimulatedDisk(page_bytes=width))
        shop.disk.make_directory("/data")
        shop.open(index_interval_bytes=0)
        for _ in range(6):
            shop.append()
            shop.clock.advance(1)
        shop.log.roll()
        shop.append()
        assert shop.log.close(clean=True)
        file = shop.disk.open(f"{DIRECTORY}/{0:020d}.{kind}")
        data = file.read_at(0, file.size())
        file.write_at(width, [b"\0\0\0\1" * (width // 4)])
        file.write_at(len(data) - width, [bytes(width)])
        file.sync()
        shop.disk.crash_at = shop.disk.steps + step
        try:
            shop.open(clean=clean, recovery_point=6)
            is_over = True
        except Crashed:
            shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
            shop.open(recovery_point=6)
        shop.disk.crash_at = None
        shop.disk = shop.disk.restarted(Loss.POWER_FAILED, below=LastPageNew(len(data) // width))
        shop.open(recovery_point=6)
        index = shop.log.segments[0].offsets if kind == "index" else shop.log.segments[0].times
        assert [entry[kind != "index"] for entry in index.entries()] == [1, 2, 3, 4, 5], f"step {step}"
    assert step > 2


# ---- the marker of a clean stop


def test_a_marker_whose_removal_was_interrupted_is_gone_before_the_metadata_log_is_recovered() -> None:
    """A power failure brought it back, and what the second start had half done was trusted: a time index, cut for new
    entries that never came."""
    disk = SimulatedDisk()
    disk.make_directory("/data")
    directory = open_directory(disk)
    metadata = directory.open_metadata_log()
    directory.begin()
    metadata.append_as_leader(build_batch([(None, b"v")], timestamp_ms=1), 0)
    assert directory.close(clean=True)
    directory = open_directory(disk)
    directory.open_metadata_log()
    disk.crash_at = disk.steps + 2
    with pytest.raises(Crashed):
        directory.begin()
    disk = disk.restarted(Loss.PROCESS_DIED)
    assert not disk.exists(f"/data/{CLEAN_FILE}")
    assert disk.restarted(Loss.POWER_FAILED).exists(f"/data/{CLEAN_FILE}")
    open_directory(disk).open_metadata_log()
    assert not disk.restarted(Loss.POWER_FAILED).exists(f"/data/{CLEAN_FILE}")


# ---- the log start


def test_a_start_that_was_moved_stays_noted_when_the_segments_before_it_are_gone() -> None:
    """The checkpoint said no more of it than the name of the first segment; a power failure brought the older ones
    back, and with them deleted records."""
    disk = SimulatedDisk()
    directory = one_log(disk, 3)
    log = directory.logs[WHERE]
    log.roll()
    log.append_as_leader(build_batch([(None, b"v")], timestamp_ms=1), 0)
    log.sync()
    log.delete_before(2)
    directory.checkpoint()
    assert log.delete_before(3) == log.segments[0].base_offset == 3
    directory.checkpoint()
    disk = disk.restarted(Loss.POWER_FAILED)
    assert disk.exists(f"{DIRECTORY}/{0:020}.log")
    for _ in range(2):  # a start that knows it tells the next one
        directory = open_directory(disk)
        assert directory.open_log(WHERE, ID, LogSettings()).log_start == 3
        directory.checkpoint()
        disk = disk.restarted(Loss.PROCESS_DIED)


# ---- whose a log is


@pytest.mark.parametrize("keep", [Keep.NOTHING, Keep.ZEROS])
def test_a_topic_that_was_made_anew_has_nothing_of_the_one_before(keep: Keep) -> None:
    """The log was durable and its topic's id was not: a deletion that the power failure undid gave the deleted topic's
    records to the new topic of its name."""
    disk = SimulatedDisk()
    directory = one_log(disk, 3)
    directory.logs[WHERE].sync()
    directory.delete_log(directory.logs[WHERE])
    disk = disk.restarted(Loss.POWER_FAILED, keep)
    assert disk.exists(f"{DIRECTORY}/{0:020}.log")
    log = open_directory(disk).open_log(WHERE, bytes([9]) * 16, LogSettings())
    (stray,) = [name for name in disk.list("/data") if name.endswith("-stray")]
    said = f"partition.metadata was of topic id {uuid_text(ID)}: that log is set aside as {stray}"
    assert (log.log_end, [str(each) for each in log.mended]) == (0, [said])


@pytest.mark.parametrize("drop", ["deletion", "retention"])
def test_no_segment_goes_before_the_next_one_has_its_file(make: Callable[[Any], Workshop], drop: str) -> None:
    """The records were replicated, the file that is named by their end was still to be made: a start after a kill found
    an empty directory, and gave offsets away anew."""
    shop = make(SimulatedDisk(queues_writes=True))
    shop.disk.make_directory("/data")
    shop.open(retention_ms=10)
    shop.append(3)
    shop.log.roll()
    assert shop.disk.run_queued(1) == 1
    assert shop.log.written_end == 3
    shop.clock.advance(20)
    if drop == "deletion":
        assert shop.log.delete_before(3) == 3
    else:
        assert shop.log.apply_retention() == 0
    killed = Workshop(shop.disk.restarted(Loss.PROCESS_DIED))
    assert killed.open().log_end == 3
    shop.disk.run_queued()
    assert shop.log.apply_retention() == 1
    killed = Workshop(shop.disk.restarted(Loss.PROCESS_DIED))
    assert (killed.open().log_start, killed.log.log_end) == (3, 3)
