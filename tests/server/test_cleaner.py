"""The log cleaner, on a clock that the test moves."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import pytest

from kbroker.config import BrokerConfig
from kbroker.log.directories import LogDirectories
from kbroker.log.outcome import Origin
from kbroker.log.partition_log import PartitionLog
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.entropy import RealEntropy
from kbroker.record.batch import build_batch, iterate_batches, iterate_records
from kbroker.server import cleaner
from kbroker.server.cleaner import LogCleaner
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock

BACKOFF_MS = 100
COMPACT = frozenset({"compact"})


@dataclass
class Held:
    """A partition, as far as the cleaner looks at it."""

    log: PartitionLog

    @property
    def high_watermark(self) -> int:
        return self.log.written_end


class Yard:
    """Some logs and their cleaner."""

    def __init__(self, disk: SimulatedDisk | None = None, **config: Any) -> None:
        self.disk = disk or SimulatedDisk()
        self.clock = VirtualClock()
        self.config = BrokerConfig.of(
            {"log.cleaner.backoff.ms": BACKOFF_MS, **{name.replace("_", "."): v for name, v in config.items()}}
        )
        self.directories = LogDirectories.open(self.disk, ["/data"], self.clock, RealEntropy(), node_id=1)
        self.held: list[Any] = []
        self.cleaner: LogCleaner

    def log(self, name: str, **settings: Any) -> PartitionLog:
        settings.setdefault("cleanup_policy", COMPACT)
        where = TopicPartition(name, 0)
        log = self.directories.open_log(where, bytes(15) + b"t", LogSettings(**settings))
        self.held.append(Held(log))
        return log

    def begin(self) -> None:
        self.cleaner = LogCleaner(self.config, self.clock, self.disk, self.directories, self.held)

    def wait(self, duration_ms: int = 5000) -> None:
        self.clock.advance(duration_ms)

    def checkpoint(self) -> str:
        return self.disk.read("/data/cleaner-offset-checkpoint").decode()


def put(log: PartitionLog, *keys: str, rolls: bool = True) -> None:
    for number, key in enumerate(keys):
        batch = build_batch([(key.encode(), b"%d" % number)], timestamp_ms=log._clock.wall_ms())
        log.append_as_leader(batch, 0, origin=Origin.COORDINATOR)
    if rolls:
        log.roll()


def offsets(log: PartitionLog) -> list[int]:
    found: list[int] = []
    offset = log.log_start
    while True:
        read: Any = log.read(offset, 1 << 20, log.written_end)
        if not len(read.records):
            return found
        data = read.records.file.read_at(read.records.position, read.records.length)
        read.records.release()
        for batch in iterate_batches(data):
            found += [record.offset for record in iterate_records(batch)]
            offset = int.from_bytes(batch[:8], "big") + int.from_bytes(batch[23:27], "big") + 1


def test_a_dirty_log_is_cleaned_after_the_backoff_and_its_offset_written_down() -> None:
    yard = Yard()
    log = yard.log("t")
    yard.begin()
    put(log, "a", "b", "a")
    yard.wait(BACKOFF_MS - 1)
    assert offsets(log) == [0, 1, 2]
    yard.wait(50)
    assert offsets(log) == [1, 2]
    assert yard.checkpoint() == "0\n1\nt 0 3\n"


def test_a_log_that_is_not_dirty_enough_waits() -> None:
    yard = Yard()
    log = yard.log("t", min_cleanable_dirty_ratio=0.5)
    yard.begin()
    put(log, *"abcdef")
    yard.wait()
    put(log, *"aaaaa")
    yard.wait()
    assert len(offsets(log)) == 11
    put(log, *"aaaa")
    yard.wait()
    assert len(offsets(log)) == 6


def test_max_compaction_lag_makes_a_log_due_that_is_not_dirty_enough() -> None:
    yard = Yard()
    log = yard.log("t", min_cleanable_dirty_ratio=0.9, max_compaction_lag_ms=60_000)
    yard.begin()
    put(log, *"abcdef")
    yard.wait(1000)
    put(log, "a")
    yard.wait(50_000)
    assert len(offsets(log)) == 7
    yard.wait(20_000)
    assert len(offsets(log)) == 6


def test_min_compaction_lag_keeps_young_segments() -> None:
    yard = Yard()
    log = yard.log("t", min_compaction_lag_ms=10_000)
    yard.begin()
    put(log, "a", "a")
    yard.wait(6000)
    put(log, "a", "a")
    assert len(offsets(log)) == 4
    yard.wait(5000)
    assert offsets(log) == [1, 2, 3]
    yard.wait(10_000)
    assert offsets(log) == [3]


def test_the_filthiest_log_comes_first(caplog: pytest.LogCaptureFixture) -> None:
    yard = Yard()
    half, whole, most = (yard.log(name, min_cleanable_dirty_ratio=0.1) for name in ("half", "whole", "most"))
    yard.begin()
    for log in (half, whole, most):
        put(log, "a", "a")
    half.cleaning.first_dirty = most.cleaning.first_dirty = 2
    put(half, "a")
    put(most, *"aaaa")
    with caplog.at_level(logging.INFO, "kbroker.cleaner"):
        yard.wait()
    assert [getattr(record, "partition", "") for record in caplog.records] == ["whole-0", "most-0", "half-0"]


def test_nothing_beyond_the_high_watermark_is_cleaned() -> None:
    yard = Yard()
    log = yard.log("t")
    yard.begin()
    put(log, "a", "a")
    put(log, "a", "a")
    part = type("Partly", (), {"log": log, "high_watermark": 3})
    yard.held[:] = [part]
    yard.wait()
    assert offsets(log) == [1, 2, 3]


def test_a_log_that_is_not_compacted_is_left_alone_and_so_is_every_log_without_a_cleaner() -> None:
    for config in ({}, {"log_cleaner_enable": "false"}, {"log_cleaner_threads": "0"}):
        yard = Yard(**config)
        log = yard.log("t", cleanup_policy=frozenset({"delete"} if not config else {"compact"}))
        yard.begin()
        put(log, "a", "a")
        yard.wait(60_000)
        assert offsets(log) == [0, 1]


def test_a_restart_goes_on_where_the_last_cleaning_ended() -> None:
    yard = Yard()
    log = yard.log("t")
    yard.begin()
    put(log, "a", "a", "b")
    yard.wait()
    yard.cleaner.stop()
    yard.directories.close(clean=True)
    again = Yard(yard.disk)
    log = again.log("t", min_cleanable_dirty_ratio=1.0)
    again.begin()
    put(log, "a")
    again.wait()
    assert log.cleaning.first_dirty == 3


def test_a_new_log_of_an_old_name_is_dirty_from_its_start() -> None:
    """What the cleaner took for clean kept deleted keys: their tombstones went, and what they hid was seen again."""
    yard = Yard()
    log = yard.log("t")
    yard.begin()
    put(log, "a", "a", "b")
    yard.wait()
    assert "t 0 3" in yard.checkpoint()
    yard.held.clear()
    yard.directories.delete_log(log)
    log = yard.log("t")
    put(log, "a", "a", "b", "b", "b")
    assert "t 0" not in yard.checkpoint()
    yard.wait()
    assert offsets(log) == [1, 4]


def test_a_log_that_was_cut_is_dirty_from_there() -> None:
    yard = Yard()
    log = yard.log("t", min_cleanable_dirty_ratio=0.1)
    yard.begin()
    put(log, "a", "b", "c")
    yard.wait()
    log.truncate_to(1)
    put(log, "b", "b", "b")
    yard.wait()
    assert offsets(log) == [0, 3]
    assert "t 0 4" in yard.checkpoint()


def test_damage_takes_only_that_log_out_of_cleaning_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    yard = Yard()
    bad, good = yard.log("bad"), yard.log("good")
    yard.begin()
    put(bad, "a", "a")
    put(good, "a", "a")
    yard.disk.open(f"/data/bad-0/{0:020d}.log").write_at(63, [b"\xff"])
    yard.wait(10_000)
    assert offsets(good) == [1]
    assert bad.failure is None
    assert bad.cleaning.uncleanable
    assert [record.getMessage() for record in caplog.records] == ["a log cannot be cleaned and is left alone"]


def test_a_disk_that_refuses_takes_the_directory_offline() -> None:
    yard = Yard()
    log = yard.log("t")
    failures: list[Any] = []
    log.on_failure = failures.append
    yard.begin()
    put(log, "a", "a")
    yard.disk.failing[".cleaned"] = "No space left on device"
    yard.wait()
    assert [failure.reason for failure in failures] == ["No space left on device"]


@pytest.mark.parametrize("how", ["closed", "cut", "stopped"])
def test_a_round_ends_when_its_log_goes_or_the_broker_stops(how: str) -> None:
    yard = Yard(log_cleaner_io_buffer_size="200")
    log = yard.log("t")
    yard.begin()
    put(log, *"ab" * 500)
    while not any(name.endswith(".cleaned") for name in yard.disk.list("/data/t-0")):
        yard.wait(1)
    if how == "closed":
        log.close(clean=False)
    elif how == "cut":
        log.truncate_to(3)
    else:
        yard.cleaner.stop()
    yard.wait(BACKOFF_MS - 50)
    assert not any(name.endswith((".cleaned", ".swap")) for name in yard.disk.list("/data/t-0"))
    assert not log.cleaning.is_under_way
    if how != "closed":
        assert len(offsets(log)) == (3 if how == "cut" else 1000)


def test_reading_and_writing_are_throttled() -> None:
    taken = []
    for rate in ("1e9", "20000"):
        yard = Yard(log_cleaner_io_max_bytes_per_second=rate)
        log = yard.log("t")
        yard.begin()
        put(log, *"ab" * 500)
        size = log.size_bytes
        waited = 0
        while len(offsets(log)) > 2:
            yard.wait(100)
            waited += 100
        taken.append(waited)
    # All is read twice, and next to nothing written.
    assert taken[0] <= 300
    assert taken[1] >= 2 * size * 1000 / 20000


def test_what_delete_records_freed_goes_from_a_log_that_is_only_compacted() -> None:
    yard = Yard()
    log = yard.log("t", segment_bytes=80)
    yard.begin()
    put(log, *"abcdef")
    log.cleaning.is_under_way = True
    log.delete_before(4)
    log.cleaning.is_under_way = False
    assert log.segments[0].base_offset == 0
    yard.wait(BACKOFF_MS)
    assert log.segments[0].base_offset == 4


def test_a_worker_may_be_slow() -> None:
    yard = Yard(SimulatedDisk(queues_work=True))
    log = yard.log("t")
    yard.disk.run_queued()
    yard.begin()
    put(log, "a", "b", "a")
    for _ in range(50):
        yard.wait(10)
        yard.disk.run_queued(1)
    assert offsets(log) == [1, 2]
    yard.disk.run_queued()
    assert yard.checkpoint() == "0\n1\nt 0 3\n"


def test_a_log_of_one_segment_is_not_woken() -> None:
    """Every look woke all compacted logs that slept since the last clean stop."""
    before = Yard()
    put(before.log("t"), "a", "b", "a", rolls=False)
    assert before.directories.close(clean=True)
    after = Yard(before.disk)
    log = after.log("t")
    assert log.is_asleep
    after.begin()
    after.wait(10 * BACKOFF_MS)
    assert log.is_asleep


def stopped_cleanly(*names: str, is_cleaned: bool = False) -> Yard:
    """A yard whose compacted logs of three segments sleep since a clean stop."""
    before = Yard()
    logs = [before.log(name) for name in names]
    if is_cleaned:
        before.begin()
    for log in logs:
        put(log, "a", "a")
        put(log, "a", "b")
    before.wait(70_000)  # until files that were replaced are gone
    if is_cleaned:
        before.cleaner.stop()
    assert before.directories.close(clean=True)
    after = Yard(before.disk)
    for name in names:
        assert after.log(name).is_asleep
    return after


def test_the_first_look_after_a_clean_stop_wakes_one_log_in_a_turn() -> None:
    """It woke every compacted log in one turn: 1,000 logs of five segments kept the loop for 1.6 s."""
    yard = stopped_cleanly(*"abcde")
    awake = []
    yard.begin()
    yard.wait(BACKOFF_MS)
    for _ in range(5):
        awake.append(sum(not held.log.is_asleep for held in yard.held))
        yard.wait(1)
    assert awake == [1, 2, 3, 4, 5]
    yard.wait(1000)
    assert [offsets(held.log) for held in yard.held] == [[2, 3]] * 5


def test_a_log_that_is_clean_is_not_woken() -> None:
    """Every look after a clean stop woke what the cleaner had cleaned before."""
    yard = stopped_cleanly("t", is_cleaned=True)
    assert "t 0 4" in yard.checkpoint()
    yard.begin()
    yard.wait(10 * BACKOFF_MS)
    assert yard.held[0].log.is_asleep


def test_many_partitions_are_looked_at_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """All were looked at in one turn, and again after each round."""
    monkeypatch.setattr(cleaner, "LOOK_UNITS", 3)
    yard = Yard()
    logs = [yard.log(str(number)) for number in range(6)]
    looked: list[PartitionLog] = []

    class Counted(Held):
        @property
        def high_watermark(self) -> int:
            if self.log not in looked:
                looked.append(self.log)
            return super().high_watermark

    yard.held[:] = [Counted(log) for log in logs]
    for log in logs:
        put(log, "a", "a")
    yard.begin()
    yard.wait(BACKOFF_MS)
    steps = [len(looked)]
    while len(looked) < 6:
        yard.wait(1)
        steps.append(len(looked))
    assert steps == [1, 2, 3, 4, 5, 6]
    yard.wait()
    assert [offsets(log) for log in logs] == [[1]] * 6


def test_each_log_that_loses_segments_to_retention_is_a_step_of_a_look() -> None:
    """Retention was counted as half a microsecond: where it was due for 1,000 logs, one turn of 148 ms."""
    yard = Yard()
    logs = [yard.log(str(number), cleanup_policy=frozenset({"compact", "delete"})) for number in range(5)]
    for log in logs:
        put(log, "a", "b")
    yard.begin()
    for log in logs:
        log.settings = replace(log.settings, retention_bytes=0)
    yard.wait(BACKOFF_MS)
    shrunk = [sum(log.log_start > 0 for log in logs)]
    for _ in range(4):
        yard.wait(1)
        shrunk.append(sum(log.log_start > 0 for log in logs))
    assert shrunk == [1, 2, 3, 4, 5]


def test_a_log_that_goes_while_others_are_looked_at_is_not_cleaned() -> None:
    yard = stopped_cleanly("going", "staying")
    going, staying = (held.log for held in yard.held)
    yard.begin()
    yard.wait(BACKOFF_MS)
    assert (going.is_asleep, staying.is_asleep) == (False, True)
    yard.directories.delete_log(going)
    yard.wait(10)
    assert offsets(staying) == [2, 3]


def test_retention_has_its_turn_after_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that filled as fast as it was cleaned was under way whenever retention looked, and nothing of it went."""
    yard = Yard()
    log = yard.log("t", cleanup_policy=frozenset({"compact", "delete"}), retention_bytes=300)
    yard.begin()
    for key in "abcd":
        put(log, key)
    yard.wait(BACKOFF_MS - 1)
    steps: list[Any] = []
    monkeypatch.setattr(yard.disk, "in_background", lambda work, done: steps.append(lambda: done(work())))
    yard.wait(1)
    for key in "efghij":
        put(log, key)
    while log.cleaning.is_under_way:
        assert log.apply_retention(log.written_end) == 0
        assert log.segments[0].base_offset == 0
        if steps:
            steps.pop()()
        else:
            yard.wait(1)
    assert log.segments[0].base_offset > 0


def test_no_sync_waits_behind_a_step_and_nothing_else_waits_behind_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps went through the workers, and each had to wait until the syncs before it were over."""
    yard = Yard()
    log = yard.log("t")
    yard.begin()
    put(log, "a", "b", "a")
    steps: list[Any] = []
    monkeypatch.setattr(yard.disk, "in_background", lambda work, done: steps.append(lambda: done(work())))
    yard.wait(BACKOFF_MS)
    while offsets(log) != [1, 2]:
        assert len(steps) == 1, "one step at a time: others have their turn in between"
        steps.pop()()
        yard.wait(1)
