"""What a sync under way must not do to segments that are sealed, dropped or cut meanwhile."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest
from log_workshop import DIRECTORY, open_directory

from kbroker.log import syncing
from kbroker.log.open_files import OpenFiles
from kbroker.log.partition_log import PartitionLog
from kbroker.log.place import LogPlace
from kbroker.log.settings import LogSettings
from kbroker.log.syncing import SEGMENTS_MAX
from kbroker.names import TopicPartition
from kbroker.real.disk import RealDisk, RealFile
from kbroker.record.batch import build_batch
from kbroker.testing.simulated_disk import Keep, Loss, SimulatedDisk, SimulatedFile
from kbroker.testing.virtual_clock import VirtualClock
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from log_workshop import Workshop


@pytest.fixture
def shop(make: Callable[[Any], Workshop]) -> Workshop:
    """A log whose syncs wait until they are told to run."""
    return make(SimulatedDisk(queues_work=True))


def test_segments_that_retention_dropped_are_synced_no_more(shop: Workshop) -> None:
    """Their files used to come back, empty: after a kill the log started in front of them."""
    shop.open(segment_bytes=200, retention_bytes=300, file_delete_delay_ms=1000)
    for _ in range(12):
        shop.append(1)
    assert shop.log.apply_retention() > 3
    for _ in range(2):
        shop.clock.advance(1000)
        shop.disk.run_queued()
    bases = [f"{segment.base_offset:020d}" for segment in shop.log.segments]
    assert [name[:20] for name in shop.names(".log")] == bases
    assert [name[:20] for name in shop.names(".timeindex")] == bases[:-1]
    assert all(name[:20] in bases for name in shop.names(".snapshot"))
    assert shop.log.failure is None
    log_start = shop.log.log_start
    shop.reopen(clean=False)
    assert shop.log.log_start == log_start


def test_a_segment_that_is_dropped_while_it_is_synced_gives_its_files_back(shop: Workshop) -> None:
    shop.open(segment_bytes=200, retention_bytes=300)
    for _ in range(12):
        shop.append(1)
        shop.disk.run_queued(1)
    shop.log.apply_retention()
    shop.disk.run_queued()
    segments = shop.log.segments
    assert len(shop.log._files) <= 3 * len(segments)
    assert shop.log.flushed_end == segments[-1].base_offset


def test_segments_that_truncation_took_are_synced_no_more(shop: Workshop) -> None:
    shop.open(segment_bytes=200)
    for _ in range(12):
        shop.append(1)
    shop.log.truncate_to(3)
    shop.disk.run_queued()
    assert [name[:20] for name in shop.names(".log")] == [f"{s.base_offset:020d}" for s in shop.log.segments]
    assert shop.log.failure is None


def test_a_log_that_is_deleted_during_a_sync_leaves_no_snapshot_to_the_next_of_its_name(shop: Workshop) -> None:
    """Only the first of several snapshots was kept back: the next topic took producers of the last for its own."""
    shop.open(segment_bytes=200, file_delete_delay_ms=0)
    for sequence in range(8):
        shop.append(1, producer_id=7, producer_epoch=0, base_sequence=sequence)
    old = shop.log

    def deleted_and_made_again(path: str) -> None:
        if path == DIRECTORY and f"{4:020d}.snapshot" in shop.names():
            shop.disk.on_step = lambda path: None
            old.close(clean=False)
            shop.disk.rename(DIRECTORY, f"{DIRECTORY}.x-delete")
            shop.open()

    shop.disk.on_step = deleted_and_made_again
    shop.disk.run_queued()
    assert shop.log is not old
    assert shop.names(".snapshot") == []


@pytest.mark.parametrize("name", ["index", "timeindex"])
def test_a_log_that_is_deleted_while_its_indexes_are_written_leaves_none_to_the_next_of_its_name(
    shop: Workshop, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looked between the two: the old topic's times came into the time index of the new one, which the start
    after that believed, and records were not found by their time."""
    directory = open_directory(shop.disk, shop.clock)
    settings = LogSettings(index_interval_bytes=50)
    old = directory.open_log(TopicPartition("t", 0), b"o" * 16, settings)
    for number in range(40):
        old.append_as_leader(build_batch([(None, b"v" * 60)], timestamp_ms=number), 0)
    old.roll()
    opened = shop.disk.open

    def open_of_a_slow_worker(path: str, *, create: bool = False) -> SimulatedFile:
        if create and path.endswith(f".{name}") and not old.is_closed:
            directory.delete_log(old)
            directory.made(TopicPartition("t", 0), is_new=directory.making(TopicPartition("t", 0), b"n" * 16)())
        return opened(path, create=create)

    monkeypatch.setattr(shop.disk, "open", open_of_a_slow_worker)
    shop.disk.run_queued()
    assert old.is_closed
    fresh = directory.open_log(TopicPartition("t", 0), b"n" * 16, settings)
    assert fresh.segments[0].largest_timestamp() == -1
    assert {path: len(shop.disk.read(f"{fresh.directory}/{path}")) for path in shop.disk.list(fresh.directory)} == {
        **{f"{0:020d}{suffix}": 0 for suffix in (".index", ".log", ".timeindex")},
        "partition.metadata": len(shop.disk.read(f"{fresh.directory}/partition.metadata")),
    }


@pytest.mark.parametrize("is_rolled_first", [True, False])
def test_a_sealed_segment_is_behind_the_recovery_point_only_with_its_indexes(
    shop: Workshop, is_rolled_first: bool
) -> None:
    """The recovery point used to reach the next segment before: after a power failure a time index of zeros was
    trusted, and retention dropped what had been synced."""
    shop.disk.make_directory("/data")
    shop.open(index_interval_bytes=0)
    for _ in range(5):
        shop.append(1)
    shop.log.sync()
    if is_rolled_first:
        shop.log.roll()
    while shop.log.flushed_end < 5:
        assert shop.disk.run_queued(1)
    shop.log.roll()
    newest = shop.log.segments[0].max_timestamp
    recovery_point = shop.log.recovery_point
    assert recovery_point == 4
    crashed = shop.disk.restarted(Loss.POWER_FAILED, Keep.ZEROS)
    shop.disk.run_queued()
    assert shop.log.recovery_point == 5, "the next sync brings the indexes"
    shop.disk = crashed
    shop.open(recovery_point=recovery_point)
    assert shop.log.segments[0].max_timestamp == newest
    assert shop.log.apply_retention() == 0


@pytest.mark.parametrize("name", ["index", "timeindex"])
@pytest.mark.parametrize("kept", [0, 1])
def test_an_index_that_ends_in_zeros_is_made_again(shop: Workshop, name: str, kept: int) -> None:
    shop.open(index_interval_bytes=0)
    for number in range(5):
        shop.append(1, timestamp_ms=shop.clock.wall_ms() + number)
    shop.log.roll()
    shop.disk.run_queued()
    entries = [(list(s.offsets.entries()), list(s.times.entries())) for s in shop.log.segments]
    path = f"{DIRECTORY}/{0:020d}.{name}"
    size = len(shop.disk.read(path))
    width = {"index": 8, "timeindex": 12}[name] * kept
    shop.disk.open(path).write_at(width, [bytes(size - width)])
    shop.reopen(clean=False, recovery_point=5)
    assert [(list(s.offsets.entries()), list(s.times.entries())) for s in shop.log.segments] == entries


def test_a_sync_that_began_before_a_truncation_does_not_vouch_for_what_came_after(shop: Workshop) -> None:
    """The recovery point used to cover batches that no sync had seen."""
    shop.open()
    shop.append(10)
    for _ in range(4):
        shop.append(1)
    shop.disk.run_queued()
    shop.log.sync()
    shop.log.truncate_to(10)
    for _ in range(6):
        shop.append(1)
    shop.disk.run_queued(1)
    assert shop.log.flushed_end == 10


def test_more_segments_than_may_be_open_are_synced_some_at_a_time(tmp_path: Path) -> None:
    """The first of them were closed again for the last, and the worker that synced them failed."""
    posted: SimpleQueue[Callable[[], None]] = SimpleQueue()
    disk = RealDisk(posted.put)
    files = OpenFiles(disk, 8)
    directory, settings = str(tmp_path / "t-0"), LogSettings(segment_bytes=100)
    log = PartitionLog.open(
        LogPlace(disk, directory, TopicPartition("t", 0), bytes(16), settings, VirtualClock(), files=files)
    )
    open_most = 0
    for number in range(SEGMENTS_MAX * 2):
        log.append_as_leader(build_batch([(b"k", b"v" * 20)], timestamp_ms=number), 0)
    while log.recovery_point < log.log_end - 1:
        posted.get(timeout=5)()
        open_most = max(open_most, len(files))
    assert open_most <= 3 * SEGMENTS_MAX + 8
    disk.drain()
    disk.close()


def test_the_indexes_of_a_full_segment_are_written_by_the_worker_that_syncs_it(shop: Workshop) -> None:
    """They were written on the loop, some entries at a time and the rest at the roll: 33 ms and more while the kernel
    makes whoever writes wait."""
    shop.open(index_interval_bytes=0)
    for _ in range(200):
        shop.append()
    assert shop.names("index") == []
    shop.log.roll()
    assert shop.names("index") == []
    full = shop.log.segments[0]
    assert (shop.offsets(150)[0], full.is_complete) == (150, False)
    while not full.is_complete:
        assert shop.disk.run_queued(1)
        # The recovery point vouches for them.
        assert full.is_complete or shop.log.recovery_point < 200
    assert len(shop.disk.read(full.offsets.handle.path)) == 8 * 199
    assert shop.offsets(150)[0] == 150
    assert shop.log.close(clean=True)
    assert [len(shop.disk.read(f"{DIRECTORY}/{name}")) for name in shop.names("index")][:2] == [8 * 199, 12]


@pytest.mark.parametrize("is_refused", [False, True])
def test_nothing_is_flushed_before_an_unsynced_segment_that_was_dropped_is_out_of_the_way(
    shop: Workshop, is_refused: bool
) -> None:
    """Its renaming failed, and a power failure left it torn: recovery ended there, and what was flushed behind went."""
    shop.open()
    shop.append()
    shop.log.sync()
    shop.append()
    shop.log.roll()
    shop.append()
    shop.log.delete_before(2)
    shop.log.sync()
    first = f"{DIRECTORY}/{0:020d}.log"
    while not shop.log.flushed_end:
        shop.disk.run_queued(1)
    assert shop.disk.exists(first)
    shop.disk.failing = {first: "Input/output error"} if is_refused else {}
    shop.disk.run_queued()
    flushed_end = shop.log.flushed_end
    assert flushed_end == (1 if is_refused else 3)
    shop.disk.failing = {}
    shop.disk = shop.disk.restarted(Loss.POWER_FAILED, Keep.ZEROS)
    shop.open()
    assert shop.log.log_end >= flushed_end


def test_behind_a_dropped_segment_that_stays_the_others_stay_too(shop: Workshop) -> None:
    """They were renamed by the next worker: a start found a gap, and the end of a transaction was in it."""
    shop.open()
    for end in (1, 2):
        shop.append()
        shop.log.roll()
        shop.log.delete_before(end)
    shop.disk.failing = {f"{DIRECTORY}/{0:020d}.log": "Input/output error"}
    shop.disk.run_queued()
    assert shop.log.failure is not None
    assert shop.names(".log") == [f"{base:020d}.log" for base in range(3)]


def test_of_segments_that_are_dropped_one_by_one_a_later_one_does_not_go_first(shop: Workshop) -> None:
    """Two workers renamed them side by side. A start after a kill found a gap, and told nobody of it."""
    shop.open()
    for _ in range(3):
        shop.append()
        shop.log.roll()
    shop.disk.run_queued()
    shop.log.delete_before(1)
    shop.log.delete_before(3)
    shop.disk.order = lambda count: count - 1
    shop.disk.run_queued(1)
    assert shop.names(".log") == [f"{base:020d}.log" for base in (1, 2, 3)]
    assert [segment.base_offset for segment in shop.log.segments] == [1, 2, 3]
    assert shop.log.log_start == 3
    shop.disk.run_queued()
    assert shop.names(".log") == [f"{3:020d}.log"]


def test_an_index_that_a_worker_wrote_for_a_dropped_segment_does_not_go_before_it(shop: Workshop) -> None:
    """Another worker removed it before the log had its other name: killed then, the start told of a missing index, and
    read the whole segment."""
    shop.open()
    shop.append()
    shop.disk.run_queued()
    shop.log.roll()
    shop.log.delete_before(1)
    shop.disk.run_queued(1)
    assert shop.log.recovery_point == 1
    shop.disk.order = lambda count: count - 1
    shop.disk.run_queued(1)
    shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
    assert shop.open(recovery_point=1).mended == []


def test_indexes_that_are_made_while_others_than_their_log_are_still_renamed_go_in_the_end(shop: Workshop) -> None:
    """The renaming found none, so they are removed when it is over."""
    shop.open()
    shop.append()
    shop.disk.run_queued()
    for _ in range(2):
        shop.log.roll()
        shop.append()
    shop.log.delete_before(2)
    made = f"{DIRECTORY}/{0:020d}.index"

    def first_is_renamed(path: str) -> None:
        if path == f"{DIRECTORY}/{1:020d}.log":
            shop.disk.on_step, shop.disk.order = lambda path: None, None
            shop.disk.run_queued(1)
            assert shop.disk.exists(made)

    shop.disk.on_step, shop.disk.order = first_is_renamed, lambda count: count - 1
    shop.disk.run_queued(1)
    assert shop.disk.order is None, "the renaming was first, and the sync came in between"
    shop.disk.run_queued()
    assert not shop.disk.exists(made)
    assert [name[:20] for name in shop.names("index")] == []


def test_an_index_that_a_worker_wrote_for_a_segment_that_was_dropped_meanwhile_goes_too(shop: Workshop) -> None:
    shop.open(retention_bytes=0, file_delete_delay_ms=0)
    shop.append()
    shop.log.roll()
    shop.append()

    def dropped(path: str) -> None:
        if path.endswith(".index"):
            shop.disk.on_step = lambda path: None
            shop.log.apply_retention()

    shop.disk.on_step = dropped
    shop.disk.run_queued()
    shop.clock.advance(1)
    shop.disk.run_queued()
    assert [name[:20] for name in shop.names(".log")] == [f"{shop.log.segments[0].base_offset:020d}"]
    assert all(name[:20] == f"{shop.log.segments[0].base_offset:020d}" for name in shop.names("index"))


def test_the_names_of_indexes_that_come_with_a_later_sync_are_synced_with_it(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync of older segments had brought all names there were, and a truncation behind them took the snapshot whose
    own name would have taken those of the indexes along: the recovery point passed a segment without indexes."""
    monkeypatch.setattr(syncing, "SEGMENTS_MAX", 1)
    shop.disk.make_directory("/data")
    shop.open(index_interval_bytes=0)
    for _ in range(2):
        shop.append()
        shop.log.roll()
    shop.append()
    shop.disk.run_queued()
    shop.reopen(clean=False)
    shop.append()
    shop.log.sync()  # of the first segment
    shop.log.roll()
    shop.append()
    shop.append()
    shop.disk.run_queued(1)  # and now of the second
    shop.log.truncate_to(5)
    shop.disk.run_queued()
    recovery_point = shop.log.recovery_point
    assert recovery_point == 4
    shop.disk = shop.disk.restarted(Loss.POWER_FAILED, Keep.ALL)
    shop.open(recovery_point=recovery_point)
    assert [str(each) for each in shop.log.mended] == []


def test_a_log_is_not_cut_while_a_worker_writes_the_indexes_of_its_segments(shop: Workshop) -> None:
    """What the worker wrote afterwards would stand behind the entries that are left."""
    shop.open(index_interval_bytes=0)
    for _ in range(10):
        shop.append()
    shop.log.roll()
    shop.log.truncate_to(5)
    shop.disk.run_queued()
    shop.append()
    assert shop.log.close(clean=True)
    assert len(shop.disk.read(f"{DIRECTORY}/{0:020d}.index")) == 8 * 5


@pytest.fixture
def real(tmp_path: Path, make: Callable[[Any], Workshop]) -> Iterator[Workshop]:
    """A log on the real disk, quick as it may be, with segments of some batches."""
    disk = RealDisk(SimpleQueue[Any]().put, slow_write_s=60)
    shop = make(disk)
    place = LogPlace(
        disk, str(tmp_path / "t-0"), TopicPartition("t", 0), bytes(16), LogSettings(segment_bytes=200), shop.clock
    )
    shop.log = PartitionLog.open(place)
    yield shop
    disk.drain()
    disk.close()


def test_the_file_of_a_new_segment_is_not_made_by_the_loop(real: Workshop) -> None:
    """Whoever appended first waited for the file system's journal, and everybody with him."""
    appended = [real.append().ticket]
    while len(real.log.segments) < 3:
        assert appended[-1].is_kept == (len(real.log.segments) == 1)
        appended.append(real.append().ticket)
    assert real.log.log_end == len(appended) > real.log.written_end
    real.disk.drain()
    assert all(ticket.is_kept for ticket in appended)
    assert real.offsets() == list(range(len(appended)))
    assert real.append().ticket.is_kept, "at once again"


def test_a_log_whose_next_segment_cannot_be_made_fails_and_acknowledges_nothing_more(real: Workshop) -> None:
    real.append()
    real.disk.drain()  # its leader epoch is a worker's
    shutil.rmtree(real.log.directory)
    while len(real.log.segments) < 2:
        ticket = real.append().ticket
    real.disk.drain()
    assert not ticket.is_kept
    assert real.refused(real.batch()).error == ErrorCode.KAFKA_STORAGE_ERROR


def test_a_log_that_is_deleted_leaves_no_segment_to_the_next_of_its_name(
    real: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    quick = RealFile.write_at

    def write_at(file: RealFile, position: int, buffers: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            assert may_go_on.wait(5)
        quick(file, position, buffers)

    monkeypatch.setattr(RealFile, "write_at", write_at)
    while len(real.log.segments) < 2:
        real.append()
    directory = real.log.directory
    real.log.close(clean=False)
    Path(directory).rename(directory + ".x-delete")
    Path(directory).mkdir()
    may_go_on.set()
    real.disk.drain()
    assert real.disk.list(directory) == []


def test_a_log_that_expires_whole_goes_once_its_new_segment_is_there(real: Workshop) -> None:
    """A crash in between would have left a log without a segment, that begins at offset 0 again."""
    real.append()
    real.clock.advance(8 * 24 * 3_600_000)
    assert real.log.apply_retention() == 0
    real.disk.drain()
    assert real.log.apply_retention() == 1
    assert (real.log.log_start, real.log.log_end) == (1, 1)


# ---- answers that wait


def test_an_append_that_fills_flush_messages_waits_for_its_flush_and_others_do_not(shop: Workshop) -> None:
    """It was acknowledged at once, its flush still to come."""
    shop.open(flush_messages=3)
    first, filling = shop.append(2).ticket, shop.append(1).ticket
    assert (first.is_kept, filling.is_kept) == (True, False)
    shop.disk.run_queued()
    assert filling.is_kept
    assert shop.append(2).ticket.is_kept


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of files that were synced."""
    paths: list[str] = []
    sync = SimulatedFile.sync

    def noted(file: SimulatedFile) -> None:
        paths.append(file.path)
        sync(file)

    monkeypatch.setattr(SimulatedFile, "sync", noted)
    return paths


def test_a_flush_under_way_is_not_repeated_for_who_wants_no_more_than_it_brings(
    shop: Workshop, synced: list[str]
) -> None:
    """The same bytes were synced again for whoever asked meanwhile, a repeated batch for instance."""
    shop.open()
    shop.append()
    shop.log.sync()
    shop.log.sync()
    shop.disk.run_queued()
    assert [path.rpartition("/")[2] for path in synced] == ["partition.metadata", f"{0:020d}.log"]
    assert shop.log.flushed_end == 1


def test_one_flush_serves_all_who_came_while_another_was_under_way(shop: Workshop, synced: list[str]) -> None:
    shop.open(flush_messages=1)
    shop.append()
    shop.disk.run_queued()
    synced.clear()
    tickets = [shop.append().ticket for _ in range(10)]
    shop.disk.run_queued()
    assert all(ticket.is_kept for ticket in tickets)
    assert len(synced) == 2, "one that the first set off, one for the nine that came meanwhile"


def test_what_was_kept_outlives_a_power_failure_and_nothing_else_was(make: Callable[[Any], Workshop]) -> None:
    shop = make(SimulatedDisk(queues_work=True))
    shop.open(flush_messages=1, segment_bytes=300)
    tickets = [shop.append().ticket for _ in range(5)]
    while not tickets[-1].is_kept:
        kept = sum(ticket.is_kept for ticket in tickets)
        other = make(shop.disk.restarted(Loss.POWER_FAILED, Keep.NOTHING))
        other.open()
        assert len(other.offsets()) >= kept
        shop.disk.run_queued(1)
    shop.disk = shop.disk.restarted(Loss.POWER_FAILED, Keep.NOTHING)
    shop.open()
    assert shop.offsets() == [0, 1, 2, 3, 4]


def test_a_queued_write_is_flushed_for_who_waits(make: Callable[[Any], Workshop]) -> None:
    """The flush found nothing written, and nobody asked for another one when it was."""
    shop = make(SimulatedDisk(queues_writes=True))
    shop.open(flush_messages=1)
    ticket = shop.append().ticket
    assert not ticket.is_kept
    shop.disk.run_queued()
    assert ticket.is_kept


def test_a_flush_covers_what_a_queued_write_left_in_a_sealed_segment(make: Callable[[Any], Workshop]) -> None:
    """It said so of the part that was written, but synced only the segment that grows."""
    shop = make(SimulatedDisk(queues_writes=True))
    shop.open(segment_bytes=300)
    shop.append()
    shop.disk.run_queued()
    shop.append(), shop.append(), shop.append()
    shop.disk.run_queued(1)
    assert (len(shop.log.segments), shop.log.written_end) == (2, 2)
    shop.log.sync()
    assert shop.log.flushed_end == 2
    shop.disk = shop.disk.restarted(Loss.POWER_FAILED, Keep.NOTHING)
    shop.open()
    assert shop.offsets() == [0, 1]


def test_a_failed_flush_is_never_acknowledged(shop: Workshop) -> None:
    shop.open(flush_messages=1)
    ticket = shop.append().ticket
    shop.disk.failing["t-0"] = "Input/output error"
    shop.disk.run_queued()
    assert not ticket.is_kept
    assert shop.log.failure is not None


def test_a_repeated_batch_is_promised_what_the_first_was(shop: Workshop) -> None:
    """A producer that asks again must not be told of what a power failure can still take, nor after a kill."""
    shop.open(flush_messages=1)
    first = shop.append(producer_id=1, producer_epoch=0, base_sequence=0)
    again = shop.append(producer_id=1, producer_epoch=0, base_sequence=0)
    assert (again.is_duplicate, first.ticket.is_kept, again.ticket.is_kept) == (True, False, False)
    shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
    shop.disk.queues_work = True
    shop.open()
    again = shop.append(producer_id=1, producer_epoch=0, base_sequence=0)
    assert (again.is_duplicate, again.ticket.is_kept) == (True, False)
    shop.disk.run_queued()
    assert again.ticket.is_kept
