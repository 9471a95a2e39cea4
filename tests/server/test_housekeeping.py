"""What a broker does by the clock, on a clock that the test moves."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.config import BrokerConfig
from kbroker.log import directories as directories_module
from kbroker.log import directory as directory_module
from kbroker.log.directories import LogDirectories
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.entropy import RealEntropy
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.batch import build_batch
from kbroker.server.hosting import Hosting
from kbroker.server.housekeeping import PARTITIONS_PER_TURN, Housekeeping
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock


@pytest.mark.parametrize(("settings", "checked_ms"), [({}, 1000), ({"log.flush.scheduler.interval.ms": 150}, 150)])
def test_what_waited_for_flush_ms_is_flushed(settings: dict[str, Any], checked_ms: int) -> None:
    """Nobody looked: flush.ms and log.flush.interval.ms did nothing."""
    clock = VirtualClock()
    config = BrokerConfig.of(settings)
    directories = LogDirectories.open(MemoryDisk(), ["/data"], clock, RealEntropy(), node_id=config.node_id)
    chores = Housekeeping(config, clock, directories, Hosting(config, directories))
    late = directories.open_log(TopicPartition("late", 0), bytes(16), LogSettings(flush_ms=100))
    never = directories.open_log(TopicPartition("never", 0), bytes(16), LogSettings())
    for log in (late, never):
        log.append_as_leader(build_batch([(b"k", b"v")], timestamp_ms=clock.wall_ms()), 0)
    clock.advance(checked_ms - 1)
    assert (late.flushed_end, never.flushed_end) == (0, 0)
    clock.advance(1)
    assert (late.flushed_end, never.flushed_end) == (1, 0)
    chores.stop()
    late.append_as_leader(build_batch([(b"k", b"v")], timestamp_ms=clock.wall_ms()), 0)
    clock.advance(10 * checked_ms)
    assert late.flushed_end == 1


def test_many_that_are_overdue_are_synced_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """All syncs began in one turn: 10,000 logs kept the loop for six seconds, and held as many descriptors."""
    monkeypatch.setattr(directory_module, "SYNCS_MAX", 3)
    clock, disk, config = VirtualClock(), SimulatedDisk(queues_work=True), BrokerConfig.of({})
    directories = LogDirectories.open(disk, ["/data"], clock, RealEntropy(), node_id=config.node_id)
    logs = [
        directories.open_log(TopicPartition("t", number), bytes(16), LogSettings(flush_ms=0)) for number in range(8)
    ]
    for log in logs:
        log.append_as_leader(build_batch([(b"k", b"v")], timestamp_ms=clock.wall_ms()), 0)
    disk.run_queued()
    chores = Housekeeping(config, clock, directories, Hosting(config, directories))
    clock.advance(1000)
    assert [log.is_syncing for log in logs] == [True] * 3 + [False] * 5
    clock.advance(10_000)
    assert sum(log.is_syncing for log in logs) == 3, "a round at a time"
    most = 0
    while disk.run_queued(1):
        clock.advance(1)
        most = max(most, sum(log.is_syncing for log in logs))
    assert most == 3
    assert [log.flushed_end for log in logs] == [1] * 8
    chores.stop()


def test_a_log_that_is_always_synced_holds_up_no_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Busy logs in produce.sync were waited for until they were idle: nobody else's flush.ms was kept meanwhile."""
    monkeypatch.setattr(directory_module, "SYNCS_MAX", 1)
    clock, disk = VirtualClock(), SimulatedDisk(queues_work=True)
    config = BrokerConfig.of({})
    directories = LogDirectories.open(disk, ["/data"], clock, RealEntropy(), node_id=config.node_id)
    busy, rare = (directories.open_log(TopicPartition(name, 0), bytes(16), LogSettings(flush_ms=1000)) for name in "ab")
    for log in (busy, rare):
        log.append_as_leader(build_batch([(None, b"v")], timestamp_ms=clock.wall_ms()), 1)
    clock.advance(2000)
    round_ = directories.sync_overdue()
    next(round_)
    assert (busy.is_syncing, rare.is_syncing) == (True, False)
    for _ in range(3):
        busy.append_as_leader(build_batch([(None, b"v")], timestamp_ms=clock.wall_ms()), 1)
        busy.sync()
        disk.run_queued(1)
        next(round_, None)
    assert busy.is_syncing
    assert rare.is_syncing


def test_many_that_have_nothing_to_sync_are_looked_at_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_module, "LOGS_PER_STEP", 2)
    clock, config = VirtualClock(), BrokerConfig.of({})
    directories = LogDirectories.open(MemoryDisk(), ["/data"], clock, RealEntropy(), node_id=config.node_id)
    for number in range(4):
        directories.open_log(TopicPartition("t", number), bytes(16), LogSettings())
    assert len(list(directories.sync_overdue())) == 2


class Looked:
    """A partition that counts how often its log was looked at."""

    def __init__(self) -> None:
        self.log, self.high_watermark, self.is_gone, self.is_asleep = self, 0, False, False
        self.looks = 0

    def apply_retention(self, high_watermark: int) -> int:
        self.looks += 1
        return 0

    def expire_producers(self) -> int:
        self.looks += 1
        return 0


class Hosts:
    """A Hosting of so many partitions."""

    def __init__(self, count: int) -> None:
        self.partitions = [Looked() for _ in range(count)]

    @property
    def looks(self) -> list[int]:
        return [partition.looks for partition in self.partitions]


@pytest.mark.parametrize("chore", ["apply_retention", "expire_producers"])
def test_many_partitions_are_looked_at_in_turns(chore: str) -> None:
    """All were looked at in one go: nobody was served while ten thousand sleeping logs were woken for it."""
    clock, hosts = VirtualClock(), Hosts(3 * PARTITIONS_PER_TURN)
    config = BrokerConfig.of({})
    directories = LogDirectories.open(MemoryDisk(), ["/data"], clock, RealEntropy(), node_id=config.node_id)
    chores: Any = Housekeeping(config, clock, directories, hosts)  # type: ignore[arg-type]
    getattr(chores, chore)()
    assert sum(hosts.looks) == PARTITIONS_PER_TURN
    hosts.partitions[-1].is_gone = True
    clock.advance(10)
    assert hosts.looks == [1] * (3 * PARTITIONS_PER_TURN - 1) + [0]
    getattr(chores, chore)()
    chores.stop()
    clock.advance(10)
    assert sum(hosts.looks) == 4 * PARTITIONS_PER_TURN - 1


@pytest.mark.parametrize(
    ("chore", "name"),
    [
        ("checkpoint_recovery_points", "recovery-point-offset-checkpoint"),
        ("checkpoint_log_starts", "log-start-offset-checkpoint"),
        ("checkpoint_high_watermarks", "replication-offset-checkpoint"),
    ],
)
def test_the_offsets_of_many_logs_are_noted_in_turns(chore: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand awake logs kept the loop for 24 to 41 ms, at each of three checkpoints."""
    monkeypatch.setattr(directory_module, "LOGS_PER_STEP", 2)
    monkeypatch.setattr(directories_module, "LOGS_PER_STEP", 2)
    clock, disk, config = VirtualClock(), MemoryDisk(), BrokerConfig.of({})
    directories = LogDirectories.open(disk, ["/data"], clock, RealEntropy(), node_id=config.node_id)
    hosts = Hosts(0)
    chores: Any = Housekeeping(config, clock, directories, hosts)  # type: ignore[arg-type]
    for number in range(7):
        log = directories.open_log(TopicPartition("t", number), bytes(15) + b"t", LogSettings())
        for _ in range(2):
            log.append_as_leader(build_batch([(b"k", b"v")], timestamp_ms=clock.wall_ms()), 0)
        log.sync()
        log.delete_before(1)
        partition: Any = Looked()
        partition.log, partition.high_watermark = log, 2
        hosts.partitions.append(partition)
    getattr(chores, chore)()
    noted = directories.metadata._checkpoints[name]
    assert len(noted) == 2
    assert not disk.exists(f"/data/{name}")
    clock.advance(10)
    chores.stop()
    # The growing segment's indexes are on no medium yet: the recovery point stays before its last record.
    offset = 2 if chore == "checkpoint_high_watermarks" else 1
    expected = "".join(f"t {number} {offset}\n" for number in range(7))
    assert disk.read(f"/data/{name}").decode() == f"0\n7\n{expected}"


def test_a_round_that_takes_longer_than_its_interval_reaches_every_partition() -> None:
    """Each round began with the first partition: with a short log.retention.check.interval.ms the last were never
    looked at."""
    clock, hosts = VirtualClock(), Hosts(5 * PARTITIONS_PER_TURN)
    config = BrokerConfig.of({"log.retention.check.interval.ms": 2})
    directories = LogDirectories.open(MemoryDisk(), ["/data"], clock, RealEntropy(), node_id=config.node_id)
    chores: Any = Housekeeping(config, clock, directories, hosts)  # type: ignore[arg-type]
    clock.advance(100)
    chores.stop()
    assert min(hosts.looks) > 1
    assert max(hosts.looks) - min(hosts.looks) <= 1


def test_retention_lets_sleeping_logs_sleep_but_for_those_that_lose_something() -> None:
    """The first round woke every log: twenty at a time held the loop for 9 ms."""
    clock, disk, config = VirtualClock(), MemoryDisk(), BrokerConfig.of({})
    settings = [LogSettings(retention_bytes=0 if number == 2 else -1) for number in range(5)]

    def opened() -> tuple[LogDirectories, Hosts]:
        directories = LogDirectories.open(disk, ["/data"], clock, RealEntropy(), node_id=config.node_id)
        hosts = Hosts(0)
        for number, each in enumerate(settings):
            partition: Any = Looked()
            partition.log = directories.open_log(TopicPartition("t", number), bytes(15) + b"t", each)
            partition.high_watermark = 1
            hosts.partitions.append(partition)
        return directories, hosts

    before, hosts = opened()
    for partition in hosts.partitions:
        log: Any = partition.log
        log.append_as_leader(build_batch([(b"k", b"v")], timestamp_ms=clock.wall_ms()), 0)
    assert before.close(clean=True)
    directories, hosts = opened()
    chores: Any = Housekeeping(config, clock, directories, hosts)  # type: ignore[arg-type]
    chores.apply_retention()
    clock.advance(10)
    chores.stop()
    assert [partition.log.is_asleep for partition in hosts.partitions] == [True, True, False, True, True]
