"""Cutting a log, at a start or for a leader with another history: nothing that was cut is back after a crash."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from log_workshop import DIRECTORY, Workshop

from kbroker.log.recovery import check_undamaged
from kbroker.record.batch import build_batch
from kbroker.record.compression import CorruptRecords
from kbroker.testing.simulated_disk import Crashed, Keep, Loss, SimulatedDisk

Make = Callable[[Any], Workshop]
LOSSES = [(Loss.PROCESS_DIED, Keep.NOTHING), (Loss.POWER_FAILED, Keep.ALL), (Loss.POWER_FAILED, Keep.NOTHING)]
"""Of a power failure with Keep.ALL only names are lost."""


def of_three_segments(make: Make, **disk: Any) -> Workshop:
    """Two records in each, all of it on the medium."""
    shop = make(SimulatedDisk(**disk))
    shop.disk.make_directory("/data")
    shop.open()
    for number in range(6):
        if number and number % 2 == 0:
            shop.log.roll()
        shop.append()
    shop.log.sync()
    return shop


def damaged(make: Make, **disk: Any) -> Workshop:
    """The second batch of three segments has a wrong byte."""
    shop = of_three_segments(make, **disk)
    file = shop.log.segments[0].handle.file()
    position = file.size() - 1
    file.write_at(position, [b"\xff"])
    file.sync()
    return shop


def crashed_at(shop: Workshop, step: int, work: Callable[[], object]) -> bool:
    """Did `work` take more steps than that? Then it ended there."""
    shop.disk.crash_at = shop.disk.steps + step
    try:
        work()
    except Crashed:
        return True
    shop.disk.crash_at = None
    return False


# ---- at a start


@pytest.mark.parametrize(("loss", "keep"), LOSSES)
def test_a_start_that_cuts_a_log_may_crash_at_any_step(make: Make, loss: Loss, keep: Keep) -> None:
    """The damage was cut first: the next start did not see it, and went on with what lay behind it."""
    step, is_cut = 0, False
    while not is_cut:
        step += 1
        shop = damaged(make)
        is_cut = not crashed_at(shop, step, shop.open)
        shop.disk = shop.disk.restarted(loss, keep)
        shop.open()
        assert shop.offsets() == [0], f"step {step}"
        assert shop.log.log_end == 1, f"step {step}"
        assert not any("of no segment" in str(each) for each in shop.log.mended), f"step {step}: a crash is no damage"
    assert step > 5


class OldBehindNew:
    """What a power failure leaves: of a file the largest size that it had, two pages as written, the rest as synced."""

    def __init__(self) -> None:
        self.asked = 99

    def __call__(self, count: int) -> int:
        if count == 4:  # what is left of a file: 3 is a mixture
            self.asked = 0
            return 3
        self.asked += 1
        if self.asked == 1:  # its size
            return count - 1
        return int(self.asked <= 3)


def test_what_a_start_cut_is_not_back_behind_what_came_there_next(make: Make) -> None:
    """Of a file that was cut and written again, a power failure left an old batch behind the new one."""
    size = len(make(SimulatedDisk()).batch())
    shop = make(SimulatedDisk(page_bytes=size))
    shop.disk.make_directory("/data")
    shop.open()
    for _ in range(3):
        shop.append()
    shop.log.segments[0].handle.file().write_at(2 * size - 1, [b"\xff"])
    shop.log.sync()
    shop.open()
    assert shop.offsets() == [0]
    shop.append()
    shop.disk = shop.disk.restarted(Loss.POWER_FAILED, below=OldBehindNew())
    shop.open()
    assert shop.offsets() == [0, 1]


def test_zeros_in_a_sound_batch_do_not_pass_for_a_torn_one_before_it(make: Make) -> None:
    """A sector of zeros anywhere behind the damage did: the metadata log was cut there, and lost what was promised."""
    shop = make(SimulatedDisk())
    shop.open()
    for value in (b"\1" * 600, bytes(2000)):
        shop.log.append_as_leader(build_batch([(None, value)], timestamp_ms=1), 0)
    shop.log.segments[0].handle.file().write_at(100, [b"\2"])
    with pytest.raises(CorruptRecords, match="sound ones follow"):
        check_undamaged(shop.disk, DIRECTORY)


# ---- by truncation


@pytest.mark.parametrize(("loss", "keep"), LOSSES)
def test_a_truncation_may_crash_at_any_step_and_leaves_no_hole(make: Make, loss: Loss, keep: Keep) -> None:
    """The oldest segments went first, and no name for good: those behind were back, without those before them."""
    step, is_over = 0, False
    while not is_over:
        step += 1
        shop = of_three_segments(make)
        is_over = not crashed_at(shop, step, partial(shop.log.truncate_to, 1))
        shop.disk = shop.disk.restarted(loss, keep)
        shop.open()
        assert shop.offsets() == list(range(shop.log.log_end)), f"step {step}"
        assert 1 <= shop.log.log_end <= (1 if is_over else 6), f"step {step}"
    assert step > 5


@pytest.mark.parametrize(("loss", "keep"), LOSSES)
def test_a_log_that_is_truncated_to_its_start_begins_there_after_a_crash(make: Make, loss: Loss, keep: Keep) -> None:
    """Its only segment was made anew: in between nothing said where the log begins, and offsets were given again."""
    step, is_over = 0, False
    while not is_over:
        step += 1
        shop = of_three_segments(make)
        shop.log.delete_before(4)
        shop.disk.sync_directory(DIRECTORY)
        assert shop.log.segments[0].base_offset == 4
        is_over = not crashed_at(shop, step, partial(shop.log.truncate_to, 4))
        shop.disk = shop.disk.restarted(loss, keep)
        shop.open()
        assert shop.log.log_start == 4, f"step {step}"


def test_a_log_that_begins_elsewhere_begins_there_after_a_power_failure(make: Make) -> None:
    """The old segments were gone for good, the name of the new one was not."""
    shop = of_three_segments(make)
    shop.disk.queues_work = True
    shop.log.truncate_fully_and_start_at(100)
    shop.disk = shop.disk.restarted(Loss.POWER_FAILED)
    shop.open()
    assert (shop.log.log_start, shop.log.log_end) == (100, 100)


def test_a_log_that_begins_elsewhere_is_not_trusted_for_what_it_was(make: Make) -> None:
    """The recovery point of the old batches vouched for new ones with the same offsets."""
    shop = of_three_segments(make)
    points: list[int] = []
    shop.log.on_truncation = points.append
    shop.log.truncate_fully_and_start_at(2)
    assert max(points) <= 2


def test_a_producer_whose_batches_all_left_the_log_is_unknown(make: Make) -> None:
    """A snapshot from before the first segment told it to go on where it was; Kafka knows of nobody then."""
    shop = make(SimulatedDisk())
    shop.open()
    shop.append(producer_id=7, producer_epoch=0, base_sequence=0)
    shop.reopen(clean=True)
    shop.log.truncate_fully_and_start_at(100)
    assert list(shop.log.producers) == []
    shop.append(producer_id=7, producer_epoch=0, base_sequence=50)


# ---- snapshots of producers


def test_a_snapshot_of_what_was_cut_is_not_back_when_others_have_its_offsets(make: Make) -> None:
    """Its removal was undone by a power failure, and a batch that was sent again passed for a duplicate."""
    shop = make(SimulatedDisk())
    shop.disk.make_directory("/data")
    shop.open()
    for sequence in range(3):
        shop.append(producer_id=7, producer_epoch=0, base_sequence=sequence)
    assert shop.log.close(clean=True)
    log = shop.disk.open(f"{DIRECTORY}/{0:020d}.log")
    log.truncate(2 * len(shop.batch()))
    log.sync()
    shop.open(clean=False)
    assert shop.log.log_end == 2
    shop.append()
    shop.disk = shop.disk.restarted(Loss.POWER_FAILED, Keep.ALL)
    shop.open(clean=False)
    assert shop.log.log_end == 3
    assert not shop.append(producer_id=7, producer_epoch=0, base_sequence=2).is_duplicate


def test_a_snapshot_waits_for_the_batches_that_it_speaks_of(make: Make) -> None:
    """It was written before a queued write: killed in between, the log lacked a batch that it took for stored."""
    shop = make(SimulatedDisk(queues_writes=True))
    shop.open()
    shop.append()
    shop.disk.run_queued()
    shop.append(producer_id=7, producer_epoch=0, base_sequence=0)
    shop.log.roll()
    shop.log.sync()
    shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
    shop.open()
    assert shop.offsets() == [0]
    assert not shop.append(producer_id=7, producer_epoch=0, base_sequence=0).is_duplicate
