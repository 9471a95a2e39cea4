"""Batches appended in runs lie in the log as if each had come alone."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from log_workshop import DIRECTORY, Workshop

from kbroker.log.outcome import Appended, Refused
from kbroker.log.producer_state import ProducerState
from kbroker.log.run import AppendedRun
from kbroker.log.segment import Segment
from kbroker.log.stamping import stamped
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.batch import Codec, restamp_checksum
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.world import DiskFailure
from protocol_specs.errors import ErrorCode


def appended(shop: Workshop, batches: list[bytearray]) -> list[Any]:
    """In runs, as long as that goes, and one by one where it doesn't: (base offset, time) or the error of each."""
    outcomes: list[Any] = []
    while batches:
        run = shop.log.append_run([memoryview(batch) for batch in batches], 0)
        if run is not None:
            outcomes += [(base, run.log_append_time_ms) for base in run.base_offsets]
            batches = batches[len(run.base_offsets) :]
            continue
        outcomes += singly(shop, batches[:1])
        batches = batches[1:]
    return outcomes


def singly(shop: Workshop, batches: list[bytearray]) -> list[Any]:
    outcomes: list[Any] = []
    for batch in batches:
        outcome = shop.log.append_as_leader(memoryview(batch), 0)
        is_taken = isinstance(outcome, Appended)
        outcomes.append((outcome.base_offset, outcome.log_append_time_ms) if is_taken else outcome[:2])
    return outcomes


def broken(batch: bytearray) -> bytearray:
    batch[-1] ^= 1
    return batch


def in_transaction(batch: bytearray) -> bytearray:
    batch[22] |= 0x10
    restamp_checksum(batch, len(batch))
    return batch


def batches_of(seed: int, shop: Workshop) -> list[bytearray]:
    """What several clients might send, right and wrong."""
    dice = random.Random(seed)
    sequences = {7: 0, 8: 0}
    made: list[bytearray] = []
    for _ in range(120):
        kind, count = dice.random(), dice.choice([1, 1, 1, 3, 40])
        if kind < 0.5:
            made.append(shop.batch(count, codec=dice.choice([Codec.NONE, Codec.NONE, Codec.LZ4])))
        elif kind < 0.8:
            producer = dice.choice([7, 8])
            made.append(shop.batch(count, producer_id=producer, producer_epoch=0, base_sequence=sequences[producer]))
            sequences[producer] += count
        elif kind < 0.85 and made:
            again = bytearray(dice.choice(made))
            struct.pack_into(">q", again, 0, 0)
            made.append(again)
        elif kind < 0.9:
            made.append(shop.batch(producer_id=7, producer_epoch=0, base_sequence=sequences[7] + 5))
        else:
            wrong: Callable[[bytearray], bytearray] = dice.choice([broken, in_transaction, lambda batch: batch + batch])
            made.append(wrong(shop.batch(count)))
    return made


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"segment_bytes": 3000, "index_interval_bytes": 100},
        {"message_timestamp_type": "LogAppendTime"},
        {"segment_index_bytes": 48, "index_interval_bytes": 0},
        {"max_message_bytes": 500},
        {"flush_messages": 4},
        {"compression_type": "lz4"},
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_runs_and_single_appends_leave_the_same_files_and_answers(settings: dict[str, Any], seed: int) -> None:
    one, other = Workshop(MemoryDisk()), Workshop(MemoryDisk())
    for shop in (one, other):
        shop.open(**settings)
        shop.append()
    batches = batches_of(seed, one)
    outcomes = appended(one, [bytearray(batch) for batch in batches])
    assert outcomes == singly(other, [bytearray(batch) for batch in batches])
    assert one.records() == other.records()
    ends = [(shop.log.log_end, shop.log.written_end, shop.log.size_bytes) for shop in (one, other)]
    assert ends[0] == ends[1]
    for shop in (one, other):
        assert shop.log.close(clean=True)
    files = [
        {name: shop.disk.read(f"{DIRECTORY}/{name}") for name in shop.names() if name != "partition.metadata"}
        for shop in (one, other)
    ]
    assert files[0] == files[1]


def run_of(shop: Workshop, count: int) -> AppendedRun | None:
    return shop.log.append_run([memoryview(shop.batch()) for _ in range(count)], 0)


def test_a_run_is_one_write() -> None:
    shop = Workshop(SimulatedDisk())
    shop.open()
    shop.append()
    before = shop.disk.steps
    run = run_of(shop, 20)
    assert run is not None
    assert run.base_offsets == list(range(1, 21))
    assert shop.disk.steps == before + 1
    assert shop.offsets() == list(range(21))


def test_the_first_batch_of_an_opening_or_an_epoch_comes_alone(shop: Workshop) -> None:
    """It brings the epoch into its file."""
    assert run_of(shop, 2) is None
    shop.append()
    assert run_of(shop, 2) is not None
    assert shop.log.append_run([memoryview(shop.batch())], 1) is None
    assert shop.log.log_end == 3


def test_a_run_ends_before_what_needs_a_segment_of_its_own() -> None:
    shop = Workshop(MemoryDisk())
    shop.open(segment_bytes=3 * len(shop.batch()))
    shop.append()
    run = run_of(shop, 5)
    assert run is not None
    assert run.base_offsets == [1, 2]
    assert run_of(shop, 3) is None
    assert shop.log.segments_count == 1


@pytest.mark.parametrize("client_time", [5, -1, 1 << 60])
def test_a_segment_of_log_append_time_rolls_by_the_logs_time(client_time: int) -> None:
    """The client's was asked: with old ones no run ever rolled, with one from far ahead nothing was a run any more."""
    shop = Workshop(MemoryDisk())
    shop.open(message_timestamp_type="LogAppendTime", segment_ms=1000)
    shop.append()
    counts = []
    for advance_ms in (1000, 1, 1000, 1):
        shop.clock.advance(advance_ms)
        if shop.log.append_run([memoryview(shop.batch(timestamp_ms=client_time))], 0) is None:
            shop.append(timestamp_ms=client_time)
        counts.append(shop.log.segments_count)
    assert counts == [1, 2, 2, 3]
    assert shop.log.append_run([memoryview(shop.batch(timestamp_ms=client_time))], 0) is not None


def test_a_queued_run_is_readable_and_kept_when_all_of_it_is_written() -> None:
    shop = Workshop(SimulatedDisk(queues_writes=True))
    shop.open()
    shop.append()
    run = run_of(shop, 3)
    assert run is not None
    assert not run.ticket.is_kept
    shop.disk.run_queued(1)
    assert (shop.log.log_end, shop.log.written_end, shop.offsets()) == (4, 1, [0])
    shop.disk.run_queued()
    assert run.ticket.is_kept
    assert shop.offsets() == [0, 1, 2, 3]


@pytest.mark.parametrize("queues", [False, True])
def test_a_run_that_cannot_be_written_fails_the_log_and_none_of_it_is_read(queues: bool) -> None:
    shop = Workshop(SimulatedDisk(queues_writes=queues))
    shop.open()
    shop.append()
    shop.disk.run_queued()
    shop.disk.failing[".log"] = "No space left on device"
    run = run_of(shop, 3)
    shop.disk.run_queued()
    assert run is None if not queues else not run.ticket.is_kept
    assert shop.log.written_end == 1
    assert shop.log.failure is not None
    assert run_of(shop, 1) is None
    outcome = shop.log.append_as_leader(shop.batch(), 0)
    assert isinstance(outcome, Refused)
    assert outcome.error == ErrorCode.KAFKA_STORAGE_ERROR


def _wrong_at(count: int, work: Callable[..., Any]) -> Callable[..., Any]:
    """As `work`, but the call of that number meets an error of ours."""
    calls = itertools.count(1)

    def called(*arguments: Any) -> Any:
        if next(calls) == count:
            raise ZeroDivisionError
        return work(*arguments)

    return called


OURS = [
    ("kbroker.log.segment.Segment.note_batch", Segment.note_batch),
    ("kbroker.log.producer_state.ProducerState.update", ProducerState.update),
]


@pytest.mark.parametrize(("where", "work"), [("kbroker.log.run.stamped", stamped), *OURS])
def test_an_error_of_ours_in_a_run_leaves_no_hole(
    monkeypatch: pytest.MonkeyPatch, where: str, work: Callable[..., Any]
) -> None:
    """The batches before it were accounted for and never written: the next one was written behind a hole, acknowledged,
    and lost at the next start."""
    shop = Workshop(SimulatedDisk())
    shop.open()
    shop.append(producer_id=1, producer_epoch=0, base_sequence=0)
    batches = [memoryview(shop.batch(producer_id=1, producer_epoch=0, base_sequence=n)) for n in (1, 2, 3)]
    monkeypatch.setattr(where, _wrong_at(2, work))
    with pytest.raises(ZeroDivisionError):
        shop.log.append_run(batches, 0)
    assert_failed_alone_and_whole(shop)


@pytest.mark.parametrize(("where", "work"), OURS)
def test_an_error_of_ours_in_an_append_gives_no_offset_twice(
    monkeypatch: pytest.MonkeyPatch, where: str, work: Callable[..., Any]
) -> None:
    """The batch was written and not accounted for, or partly: the next one was acknowledged with the same offset."""
    shop = Workshop(SimulatedDisk())
    shop.open()
    shop.append()
    monkeypatch.setattr(where, _wrong_at(1, work))
    with pytest.raises(ZeroDivisionError):
        shop.log.append_as_leader(shop.batch(producer_id=1, producer_epoch=0, base_sequence=0), 0)
    assert_failed_alone_and_whole(shop)


def assert_failed_alone_and_whole(shop: Workshop) -> None:
    """It takes nothing more, its directory knows of no failure, and the next start goes on with what is written."""
    failures: list[DiskFailure] = []
    shop.log.on_failure = failures.append
    outcome = shop.log.append_as_leader(shop.batch(), 0)
    assert isinstance(outcome, Refused)
    assert outcome.error == ErrorCode.KAFKA_STORAGE_ERROR
    assert run_of(shop, 1) is None
    assert failures == []
    end = shop.open().log_end
    assert shop.log.cut == (0, 0)
    assert shop.append().base_offset == end
    assert shop.offsets() == list(range(end + 1))


def test_what_must_be_opened_is_not_read_for_a_run_first(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its checksum used to be computed twice: 50 us for 1 MB."""
    shop.open(cleanup_policy=frozenset({"compact"}))
    shop.append()
    looked_at: list[int] = []
    monkeypatch.setattr("kbroker.log.validation.crc32c", lambda data: looked_at.append(len(data)))
    assert run_of(shop, 1) is None
    assert looked_at == []
