"""A directory stopped at every step of a day's work: restarts, deletions, names used again, retention, checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from log_workshop import open_directory

from kbroker.log.directory import LogDirectory
from kbroker.log.outcome import Appended
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.record.batch import build_batch, iterate_batches, iterate_records
from kbroker.testing.simulated_disk import Crashed, Keep, Loss, SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.world import FileSlice

WHERE = TopicPartition("t", 0)
SETTINGS = LogSettings(segment_bytes=250, index_interval_bytes=50, retention_bytes=300, file_delete_delay_ms=100)


@dataclass
class Promised:
    """What the topic whose turn it is was told: its id, its start and ends, the value of each record."""

    topic_id: bytes = bytes(16)
    log_start: int = 0
    written: int = 0
    flushed: int = 0
    values: list[bytes] = field(default_factory=list)


class Day:
    """The work of some starts and stops on one disk; nothing of it depends on anything but the disk."""

    def __init__(self, *, queues_work: bool) -> None:
        self.disk = SimulatedDisk(queues_work=queues_work)
        self.disk.make_directory("/data")
        self.disk.sync_directory("/data")
        self.clock = VirtualClock()
        self.promised = Promised()
        self.directory: LogDirectory
        self.log: Any = None

    def start(self) -> None:
        self.directory = open_directory(self.disk, self.clock)

    def open_log(self) -> None:
        self.log = self.directory.open_log(WHERE, self.promised.topic_id, SETTINGS)

    def create(self, number: int) -> None:
        self.promised = Promised(bytes([number]) * 16)
        self.open_log()

    def append(self, count: int) -> None:
        promised = self.promised
        for _ in range(count):
            value = promised.topic_id[:1] + b"%09d" % len(promised.values)
            promised.values.append(value)
            batch = build_batch([(None, value)], timestamp_ms=self.clock.wall_ms())
            assert isinstance(self.log.append_as_leader(batch, 0), Appended)
            promised.written += 1

    def sync(self) -> None:
        self.log.sync()
        self.disk.run_queued()
        self.promised.flushed = self.log.flushed_end

    def checkpoint(self) -> None:
        self.directory.checkpoint()
        self.disk.run_queued()

    def shrink(self, offset: int) -> None:
        self.promised.log_start = max(offset, self.promised.log_start)
        self.log.delete_before(offset)

    def retain(self) -> None:
        # Retention may go as far as the log's bytes say; how far is known only afterwards.
        self.promised.log_start = max(self.promised.log_start, self.log.log_end - 3)
        self.log.apply_retention()

    def stop(self) -> None:
        self.disk.run_queued()
        assert self.directory.close(clean=True)
        self.promised.flushed = self.log.log_end

    def live(self) -> None:
        """All of it."""
        self.start()
        self.create(1)
        self.append(5)
        self.sync()
        self.append(3)
        self.shrink(2)
        self.checkpoint()
        self.retain()
        self.append(9)
        self.retain()
        self.clock.advance(100)
        self.append(1)
        self.stop()
        self.start()
        self.open_log()
        self.append(3)
        self.retain()
        self.checkpoint()
        self.clock.advance(100)
        self.directory.delete_log(self.log)
        self.create(2)
        self.append(6)
        self.sync()
        self.clock.advance(100)
        self.append(1)
        self.stop()
        self.start()
        self.open_log()
        self.append(2)
        self.stop()


def _steps(*, queues_work: bool) -> int:
    day = Day(queues_work=queues_work)
    first = day.disk.steps
    day.live()
    return day.disk.steps - first


def _crashed_at(step: int, *, queues_work: bool) -> Day:
    day = Day(queues_work=queues_work)
    day.disk.crash_at = day.disk.steps + step
    with pytest.raises(Crashed):
        day.live()
    return day


def _values(log: Any) -> dict[int, bytes]:
    """What a reader from the start finds, by offset."""
    values = {}
    offset = log.log_start
    while isinstance(slice_ := log.read(offset, 1 << 20, 1 << 60).records, FileSlice):
        for batch in iterate_batches(slice_.file.read_at(slice_.position, slice_.length)):
            for record in iterate_records(batch):
                assert record.offset >= offset, "rising"
                values[record.offset] = bytes(record.value)
                offset = record.offset + 1
        slice_.release()
    return values


def _check(day: Day, disk: SimulatedDisk, promised_end: int) -> None:
    """The topic has all it was promised, nothing of its predecessor, and takes more.

    Behind what was flushed a power failure may leave a hole, as in Kafka: a segment lost and the name of the next kept.
    """
    promised, day.disk = day.promised, disk
    day.start()
    if not promised.values:
        return
    day.open_log()
    log = day.log
    start, end = log.log_start, log.log_end
    assert promised_end <= end <= len(promised.values)
    assert start <= promised.log_start
    kept = _values(log)
    assert set(range(start, promised_end)) <= set(kept) <= set(range(start, end))
    assert all(value == promised.values[offset] for offset, value in kept.items())
    del promised.values[end:]
    day.append(1)
    kept[end] = promised.values[end]
    assert _values(log) == kept
    day.stop()
    day.start()
    day.open_log()
    assert _values(day.log) == kept


@pytest.mark.parametrize("queues_work", [False, True])
def test_a_directory_whose_process_is_killed_at_any_step_keeps_what_was_acknowledged(queues_work: bool) -> None:
    steps = _steps(queues_work=queues_work)
    assert steps > 100
    for step in range(1, steps):
        day = _crashed_at(step, queues_work=queues_work)
        _check(day, day.disk.restarted(Loss.PROCESS_DIED), day.promised.written)


@pytest.mark.parametrize("queues_work", [False, True])
@pytest.mark.parametrize("keep", list(Keep))
def test_a_directory_whose_power_fails_at_any_step_keeps_what_was_flushed(keep: Keep, queues_work: bool) -> None:
    for step in range(1, _steps(queues_work=queues_work)):
        day = _crashed_at(step, queues_work=queues_work)
        _check(day, day.disk.restarted(Loss.POWER_FAILED, keep), day.promised.flushed)
