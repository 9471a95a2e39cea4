"""Cutting a log, at a start or for a leader with another history: nothing that was cut is back after a crash."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from log_workshop import DIRECTORY, Workshop

from kbroker.log.cutting import NOTE_FILE
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
        shop.clock.advance(1)
    shop.log.sync()
    return shop


def damaged(make: Make, **disk: Any) -> Workshop:
    """The second batch of three segments has a wrong byte."""
    shop = of_three_segments(make, **disk)
    damage_first_segment(shop)
    return shop


def damage_first_segment(shop: Workshop) -> None:
    file = shop.log.segments[0].handle.file()
    file.write_at(2 * len(shop.batch()) - 1, [b"\xff"])
    file.sync()


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


# ---- by a process that is killed at it, and the power fails later


def truncated(shop: Workshop) -> None:
    shop.log.truncate_to(1)


def begun_elsewhere(shop: Workshop) -> None:
    shop.log.truncate_fully_and_start_at(4)


def truncated_under_a_reader(shop: Workshop) -> None:
    shop.read(0)
    shop.log.truncate_to(1)


def cut_by_a_start(shop: Workshop) -> None:
    damage_first_segment(shop)
    shop.open()


CUTS = [truncated, begun_elsewhere, truncated_under_a_reader, cut_by_a_start]


def batches_of(shop: Workshop) -> list[tuple[int, int]]:
    """Offset and time of each record; no two of a shop have the same time."""
    return [(record.offset, record.timestamp) for record in shop.records(shop.log.log_start)]


@pytest.mark.parametrize("keep", [Keep.NOTHING, Keep.ALL])
@pytest.mark.parametrize("cut", CUTS)
def test_what_was_gone_after_a_kill_is_not_back_after_a_power_failure(
    make: Make, cut: Callable[[Workshop], None], keep: Keep
) -> None:
    """Killed before it had synced the directory, it left a short log to the start after it, which went on from there;
    then old segments were back, beside the new batches and with the same offsets."""
    step, is_over = 0, False
    while not is_over:
        step += 1
        shop = of_three_segments(make)
        is_over = not crashed_at(shop, step, partial(cut, shop))
        shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
        shop.open()
        shop.append()
        known = batches_of(shop)
        shop.disk = shop.disk.restarted(Loss.POWER_FAILED, keep)
        shop.open()
        assert batches_of(shop) == known[: len(batches_of(shop))], f"step {step}"
        assert shop.log.log_end <= known[-1][0] + 1, f"step {step}"
        assert NOTE_FILE not in shop.names()
    assert step > 2


def test_a_note_that_is_there_without_any_segment_is_taken_away(make: Make) -> None:
    shop = make(SimulatedDisk())
    shop.disk.make_directory(DIRECTORY)
    shop.disk.open(f"{DIRECTORY}/{NOTE_FILE}", create=True)
    assert shop.open().log_end == 0
    assert NOTE_FILE not in shop.names()


@pytest.mark.parametrize("cut", [truncated, cut_by_a_start])
def test_bytes_that_were_cut_before_a_kill_are_not_back_behind_what_came_there_next(
    make: Make, cut: Callable[[Workshop], None]
) -> None:
    """Killed between cutting the file and syncing it, it left a whole one to the start after it; what that wrote there
    had old batches behind it after a power failure."""
    size = len(make(SimulatedDisk()).batch())
    step, is_over = 0, False
    while not is_over:
        step += 1
        shop = make(SimulatedDisk(page_bytes=size))
        shop.disk.make_directory("/data")
        shop.open()
        for _ in range(3):
            shop.append()
            shop.clock.advance(1)
        shop.log.sync()
        is_over = not crashed_at(shop, step, partial(cut, shop))
        shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
        shop.open()
        if shop.log.log_end == 1:
            shop.append()
        known = batches_of(shop)
        shop.disk = shop.disk.restarted(Loss.POWER_FAILED, below=OldBehindNew())
        shop.open()
        assert batches_of(shop) == known[: len(batches_of(shop))], f"step {step}"
    assert step > 2


def test_what_a_swap_replaced_is_not_back_behind_a_truncation(make: Make) -> None:
    """A start had finished the swap, and nobody had synced the names; a truncation inside the cleaned segment removed
    none, and so did not either: the swap was finished again, up to the new end, and old segments stayed behind it."""
    shop = of_three_segments(make)
    whole = b"".join(shop.disk.read(f"{DIRECTORY}/{name}") for name in shop.names(".log"))
    file = shop.disk.open(f"{DIRECTORY}/{0:020d}.log.swap", create=True)
    file.write_at(0, [whole])
    file.sync()
    for name in shop.names(".snapshot"):  # whose removal is synced
        shop.disk.remove(f"{DIRECTORY}/{name}")
    shop.disk.sync_directory(DIRECTORY)
    shop.disk.queues_work = True
    shop.open()
    assert len(shop.log.segments) == 1
    shop.log.truncate_to(3)
    shop.disk = shop.disk.restarted(Loss.POWER_FAILED)
    shop.open()
    assert shop.offsets() == [0, 1, 2]


@pytest.mark.parametrize("emptied", [0, 2])
@pytest.mark.parametrize("clean", [False, True])
def test_a_log_that_is_truncated_behind_a_hole_ends_there_at_the_next_start(
    make: Make, emptied: int, clean: bool
) -> None:
    """A power failure had taken a segment's batches, and left those behind them. The truncation took these: the log
    then ended where its last batch was left, gave offsets anew, and said that flushed records were lost."""
    shop = of_three_segments(make)
    shop.disk.open(f"{DIRECTORY}/{emptied:020d}.log").truncate(0)
    shop.open()
    points = [shop.log.recovery_point]
    shop.log.on_truncation = points.append
    left, end = list(range(emptied)), emptied + 2
    assert shop.offsets() == [*left, *range(end, 6)]
    shop.log.truncate_to(end)
    assert points[-1] <= emptied
    assert shop.log.log_end == end
    shop.reopen(clean=clean, recovery_point=shop.log.recovery_point)
    assert (shop.log.log_end, shop.log.mended) == (end, [])
    assert shop.append().base_offset == end
    assert shop.offsets() == [*left, end]


def test_a_recovery_point_is_never_before_the_first_offset(make: Make) -> None:
    """It was one before the base of a first segment that a power failure had emptied."""
    shop = of_three_segments(make, queues_work=True)
    shop.disk.open(f"{DIRECTORY}/{0:020d}.log").truncate(0)
    assert shop.open().recovery_point == 0


# ---- segments that begin before the end of the one before them


def grown_beside_old_segments(make: Make) -> Workshop:
    """A log of one segment that reaches offset 5, and the other two of an older one, which begin at 2 and 4."""
    shop = of_three_segments(make)
    shop.open()
    old = {name: shop.disk.read(f"{DIRECTORY}/{name}") for name in shop.names() if f"{0:020d}" not in name}
    shop.log.truncate_to(2)
    for _ in range(3):
        shop.append()
        shop.clock.advance(1)
    shop.log.sync()
    for name, data in old.items():
        shop.disk.open(f"{DIRECTORY}/{name}", create=True).write_at(0, [data])
    return shop


def test_old_segments_beside_a_log_that_grew_past_them_are_removed(make: Make) -> None:
    """As a broker leaves them that was killed at a truncation and lost its power later, without a note of it. The log
    ended at the base of the old one then, before batches that were served and that its own segment still has."""
    shop = grown_beside_old_segments(make)
    known = batches_of(shop)
    shop.open()
    assert batches_of(shop) == known
    assert shop.names(".log") == [f"{0:020d}.log"]
    assert [str(each) for each in shop.log.mended] == [
        f"{2:020d}.log begins before the end of the segment before it, which is offset 5: removed with what follows"
    ]
    shop.append()
    known = batches_of(shop)
    shop.open()
    assert (batches_of(shop), shop.log.mended) == (known, [])


def test_an_old_segment_is_not_back_once_it_was_removed(make: Make) -> None:
    shop = grown_beside_old_segments(make)
    shop.disk.sync_directory(DIRECTORY)
    shop.disk.queues_work = True
    shop.open()
    shop.disk = shop.disk.restarted(Loss.POWER_FAILED, Keep.ALL)
    assert shop.names(".log") == [f"{0:020d}.log"]


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


def test_a_start_that_is_killed_while_it_removes_a_snapshot_leaves_that_to_the_next(make: Make) -> None:
    """Killed before it had synced the directory, it left no snapshot to the start after it: that one had nothing to
    remove, and went on."""
    step, is_over = 0, False
    while not is_over:
        step += 1
        shop = make(SimulatedDisk())
        shop.disk.make_directory("/data")
        shop.open()
        for sequence in range(3):
            shop.append(producer_id=7, producer_epoch=0, base_sequence=sequence)
        assert shop.log.close(clean=True)
        log = shop.disk.open(f"{DIRECTORY}/{0:020d}.log")
        log.truncate(2 * len(shop.batch()))
        log.sync()
        is_over = not crashed_at(shop, step, shop.open)
        shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
        shop.open()
        shop.append()
        shop.disk = shop.disk.restarted(Loss.POWER_FAILED, Keep.ALL)
        shop.open()
        assert not shop.append(producer_id=7, producer_epoch=0, base_sequence=2).is_duplicate, f"step {step}"
    assert step > 2


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
