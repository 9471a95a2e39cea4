"""Appends that wait for a worker: their order, their bounds, and what becomes of them when the world changes."""

from __future__ import annotations

import struct
from collections import deque
from typing import Any

import pytest

from kbroker.log.outcome import Appended, Refused
from kbroker.log.partition_log import PartitionLog
from kbroker.log.place import LogPlace
from kbroker.log.settings import LogSettings
from kbroker.metadata.image import PartitionImage
from kbroker.names import TopicPartition
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.batch import build_batch, iterate_batches, iterate_records, read_header, restamp_checksum
from kbroker.replica import preparing
from kbroker.replica.partition import Partition
from kbroker.replica.partitions import Partitions
from kbroker.replica.preparing import Conversion, Deferred
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.world import DiskFailure
from protocol_specs.errors import ErrorCode

NODE = 1
UNOPENED = LogSettings()
REPACKED = LogSettings(compression_type="gzip", compression_gzip_level=9)


class SlowDisk(MemoryDisk):
    """A memory disk whose workers do one thing at a time, when they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.work: deque[tuple[Any, Any]] = deque()

    def in_worker(self, work: Any, done: Any) -> None:
        self.work.append((work, done))

    def finish(self, count: int = 1) -> None:
        for _ in range(count):
            work, done = self.work.popleft()
            done(work())


class Bench:
    """Partitions of one broker."""

    def __init__(self) -> None:
        self.disk = SlowDisk()
        self.clock = VirtualClock()
        self.partitions = Partitions()

    def partition(self, index: int = 0, settings: LogSettings = REPACKED) -> Partition:
        where = TopicPartition("t", index)
        log = PartitionLog.open(LogPlace(self.disk, f"/data/{where}", where, bytes(16), settings, self.clock))
        partition = Partition("t", bytes(16), index, NODE, log)
        log.on_progress = partition.progressed
        image = PartitionImage((NODE,), (NODE,), NODE, 0, 0)
        partition.follow_metadata(image, 1)
        log.epochs.saving()  # as if in its file: to bring it there is work for another test
        self.partitions.add(partition)
        return partition

    def batch(self, value: bytes = b"v", **extra: Any) -> memoryview:
        return memoryview(build_batch([(b"k", value)], timestamp_ms=self.clock.wall_ms(), **extra))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def values(partition: Partition) -> list[bytes | None]:
    read = partition.log.read(0, 1 << 20, 1 << 60)
    assert not isinstance(read, Refused)
    data = b"" if isinstance(read.records, bytes) else bytes(read.records.file.view(0, read.records.length) or b"")
    return [record.value for batch in iterate_batches(data) for record in iterate_records(batch)]


def deferred(outcome: Any) -> Deferred:
    assert isinstance(outcome, Deferred)
    assert not outcome.is_over
    return outcome


def refused(outcome: Any) -> ErrorCode:
    assert isinstance(outcome, Refused)
    return outcome.error


def test_what_needs_no_opening_is_appended_at_once_where_nothing_waits(bench: Bench) -> None:
    partition = bench.partition(settings=UNOPENED)
    assert isinstance(partition.append_from_client(bench.batch(), 1), Appended)
    assert not bench.disk.work


def test_a_body_is_opened_in_a_worker_and_committed_when_it_is_done(bench: Bench) -> None:
    partition, told = bench.partition(), []
    partition.watches.add("somebody", lambda: told.append(partition.high_watermark))
    outcome = deferred(partition.append_from_client(bench.batch(b"v" * 9_000), -1))
    assert (partition.log.log_end, told) == (0, [])
    bench.disk.finish()
    assert isinstance(outcome.outcome, Appended)
    assert (outcome.outcome.base_offset, partition.high_watermark, told) == (0, 1, [1])
    assert values(partition) == [b"v" * 9_000]


def test_whatever_comes_later_waits_behind_even_if_it_needs_nothing(bench: Bench) -> None:
    partition = bench.partition()
    outcomes = [
        deferred(partition.append_from_client(bench.batch(b"%d" % number, codec=codec), 1))
        for number, codec in enumerate([0, 1, 1, 0, 1])
    ]
    assert len(bench.disk.work) == 1
    bench.disk.finish()
    assert [outcome.is_over for outcome in outcomes] == [True, True, True, False, False]
    bench.disk.finish()
    assert values(partition) == [b"0", b"1", b"2", b"3", b"4"]
    assert not bench.disk.work
    assert isinstance(partition.append_from_client(bench.batch(codec=1), 1), Appended)


def test_producers_are_judged_in_the_order_of_their_batches(bench: Bench) -> None:
    partition = bench.partition()
    batches = [bench.batch(producer_id=7, producer_epoch=0, base_sequence=sequence) for sequence in (0, 0, 1, 3, 2)]
    outcomes = [deferred(partition.append_from_client(batch, 1)) for batch in batches]
    bench.disk.finish(5)
    results = [outcome.outcome for outcome in outcomes]
    assert [(r.base_offset, r.is_duplicate) for r in results if isinstance(r, Appended)] == [
        (0, False),
        (0, True),
        (1, False),
        (2, False),
    ]
    assert refused(results[3]) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_body_that_is_refused_leaves_those_behind_it_alone(bench: Bench) -> None:
    partition = bench.partition()
    broken = bytearray(bench.batch(bytes(range(200)), codec=4))
    broken[70:90] = bytes(20)
    restamp_checksum(broken, len(broken))
    first = deferred(partition.append_from_client(memoryview(broken), 1))
    second = deferred(partition.append_from_client(bench.batch(b"fine"), 1))
    bench.disk.finish(2)
    assert refused(first.outcome) == ErrorCode.INVALID_RECORD
    assert isinstance(second.outcome, Appended)
    assert values(partition) == [b"fine"]


def test_a_partition_that_is_deleted_meanwhile_answers_and_writes_nothing(bench: Bench) -> None:
    partition, told = bench.partition(), []
    outcomes = [deferred(partition.append_from_client(bench.batch(), 1)) for _ in range(3)]
    partition.watches.add("somebody", lambda: told.append([refused(outcome.outcome) for outcome in outcomes]))
    bench.partitions.remove(partition)
    assert told == [[ErrorCode.NOT_LEADER_OR_FOLLOWER] * 3]
    bench.disk.finish()
    assert (partition.log.log_end, len(bench.disk.work)) == (0, 0)


def test_a_log_that_failed_meanwhile_is_a_storage_error_for_all_that_waits(bench: Bench) -> None:
    partition = bench.partition()
    outcomes = [deferred(partition.append_from_client(bench.batch(), 1)) for _ in range(2)]
    partition.log.fail(DiskFailure("/data", "Input/output error"))
    bench.disk.finish()
    assert [refused(outcome.outcome) for outcome in outcomes] == [ErrorCode.KAFKA_STORAGE_ERROR] * 2
    assert not bench.disk.work


def test_leadership_that_went_meanwhile_is_told_at_commit(bench: Bench) -> None:
    partition = bench.partition()
    outcome = deferred(partition.append_from_client(bench.batch(), 1))
    partition.leader = 2
    bench.disk.finish()
    assert refused(outcome.outcome) == ErrorCode.NOT_LEADER_OR_FOLLOWER


def test_two_bodies_are_open_at_a_time_and_the_partitions_take_turns(bench: Bench) -> None:
    many = [bench.partition(index) for index in range(4)]
    outcomes = [deferred(partition.append_from_client(bench.batch(), 1)) for partition in many for _ in range(2)]
    turns = []
    while bench.disk.work:
        assert len(bench.disk.work) <= preparing.WORKERS_MAX
        bench.disk.finish()
        turns.append([partition.log.log_end for partition in many])
    assert all(outcome.is_over for outcome in outcomes)
    assert turns[3] == [1, 1, 1, 1]
    assert turns[-1] == [2, 2, 2, 2]


def test_partitions_that_go_while_they_wait_for_their_turn_hold_nothing_up(bench: Bench) -> None:
    many = [bench.partition(index) for index in range(5)]
    outcomes = [deferred(partition.append_from_client(bench.batch(), 1)) for partition in many]
    for partition in many[:4]:
        bench.partitions.remove(partition)
    bench.disk.finish(len(bench.disk.work))
    bench.disk.finish(len(bench.disk.work))
    assert isinstance(outcomes[4].outcome, Appended)
    lane = many[4].queue.lane
    assert (lane.appends, lane.bytes) == (0, 0)


def test_a_topic_of_many_partitions_may_go_while_all_of_them_wait_for_their_turn(bench: Bench) -> None:
    """Each that was gone used to let the next one in by a call inside its own: a RecursionError at some 500."""
    many = [bench.partition(index) for index in range(1_002)]
    outcomes = [deferred(partition.append_from_client(bench.batch(), 1)) for partition in many]
    for partition in many[2:-1]:
        bench.partitions.remove(partition)
    bench.disk.finish(3)
    assert isinstance(outcomes[-1].outcome, Appended)


@pytest.mark.parametrize(("size", "turn"), [(10, 32), (600_000, 2)])
def test_what_waited_is_appended_in_turns(bench: Bench, size: int, turn: int) -> None:
    """A thousand appends behind one body that was opened were written in one go: nobody else was heard for 30 ms."""
    partition = bench.partition(settings=UNOPENED)
    far_ms = bench.clock.wall_ms() + (1 << 50)
    slow = memoryview(build_batch([(b"k", b"v")] * 40, timestamp_ms=far_ms))
    first = deferred(partition.append_from_client(slow, 1))
    count = 2 * turn + 1
    waiting = [deferred(partition.append_from_client(bench.batch(b"v" * size), 1)) for _ in range(count)]
    bench.disk.finish()
    assert first.is_over
    settled = []
    while bench.disk.work:
        settled.append(sum(each.is_over for each in waiting))
        bench.disk.finish()
    assert settled == [turn, 2 * turn]
    assert [each.outcome.base_offset for each in waiting if isinstance(each.outcome, Appended)] == list(range(count))


def test_a_partition_may_go_between_two_turns(bench: Bench) -> None:
    partition = bench.partition(settings=UNOPENED)
    slow = memoryview(build_batch([(b"k", b"v")] * 40, timestamp_ms=bench.clock.wall_ms() + (1 << 50)))
    deferred(partition.append_from_client(slow, 1))
    waiting = [deferred(partition.append_from_client(bench.batch(), 1)) for _ in range(40)]
    bench.disk.finish()
    bench.partitions.remove(partition)
    bench.disk.finish()
    assert [isinstance(each.outcome, Appended) for each in waiting] == [True] * 32 + [False] * 8
    assert refused(waiting[-1].outcome) == ErrorCode.NOT_LEADER_OR_FOLLOWER


@pytest.mark.parametrize(("bound", "value"), [("PARTITION_APPENDS_MAX", 3), ("PARTITION_BYTES_MAX", 3_500)])
def test_a_partition_lets_so_much_wait_and_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(preparing, bound, value)
    partition = bench.partition()
    waiting = [deferred(partition.append_from_client(bench.batch(b"v" * 1_000), 1)) for _ in range(3)]
    assert refused(partition.append_from_client(bench.batch(b"v" * 1_000), 1)) == ErrorCode.REQUEST_TIMED_OUT
    assert isinstance(bench.partition(1).append_from_client(bench.batch(), 1), Deferred)
    bench.disk.finish(4)
    assert all(isinstance(outcome.outcome, Appended) for outcome in waiting)
    deferred(partition.append_from_client(bench.batch(b"v" * 5_000), 1))


@pytest.mark.parametrize(("bound", "value"), [("BROKER_APPENDS_MAX", 3), ("BROKER_BYTES_MAX", 3_500)])
def test_a_broker_lets_so_much_wait_and_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(preparing, bound, value)
    many = [bench.partition(index) for index in range(4)]
    for partition in many[:3]:
        deferred(partition.append_from_client(bench.batch(b"v" * 1_000), 1))
    assert refused(many[3].append_from_client(bench.batch(b"v" * 1_000), 1)) == ErrorCode.REQUEST_TIMED_OUT


@pytest.mark.parametrize(
    "settings",
    [{"cleanup_policy": frozenset({"compact"})}, {"record_validation": "full"}, {"compression_type": "zstd"}],
)
def test_a_small_plain_body_is_opened_where_it_is_when_nothing_waits(bench: Bench, settings: dict[str, Any]) -> None:
    partition = bench.partition(settings=LogSettings(**settings))
    assert isinstance(partition.append_from_client(bench.batch(), 1), Appended)
    deferred(partition.append_from_client(bench.batch(codec=1), 1))
    deferred(partition.append_from_client(bench.batch(), 1))
    bench.disk.finish()
    many = build_batch([(b"k", b"v")] * 33, timestamp_ms=bench.clock.wall_ms())
    for large in (bench.batch(b"v" * 5_000), memoryview(many)):
        while bench.disk.work:
            bench.disk.finish()
        deferred(partition.append_from_client(large, 1))


def test_a_level_that_may_be_slow_is_a_workers(bench: Bench) -> None:
    partition = bench.partition(settings=LogSettings(compression_type="zstd", compression_zstd_level=22))
    deferred(partition.append_from_client(bench.batch(), 1))


def test_a_conversion_is_a_batch_like_any_other_then(bench: Bench) -> None:
    partition = bench.partition()
    raw = memoryview(b"messages of old")
    converted = deferred(partition.append_from_client(raw, 1, conversion=Conversion(bench.batch)))
    empty = deferred(partition.append_from_client(raw, 1, conversion=Conversion(lambda: None)))
    wrong = deferred(
        partition.append_from_client(
            raw, 1, conversion=Conversion(lambda: Refused(ErrorCode.CORRUPT_MESSAGE, "not a message"))
        )
    )
    bench.disk.finish()
    assert not converted.is_over
    bench.disk.finish(3)
    assert isinstance(converted.outcome, Appended)
    assert (empty.is_over, empty.outcome) == (True, None)
    assert refused(wrong.outcome) == ErrorCode.CORRUPT_MESSAGE


def test_what_waits_keeps_the_bytes_that_it_came_in(bench: Bench) -> None:
    partition = bench.partition()
    frame = bytearray(bench.batch(b"v" * 100))
    deferred(partition.append_from_client(memoryview(frame), 1))
    with pytest.raises(BufferError):
        frame.pop()
    bench.disk.finish()
    header = read_header(struct.pack(">q", 0) + bytes(frame[8:]))
    assert (header.base_offset, header.codec) == (0, 0)
    frame.pop()
