"""A round of cleaning that is stopped at every step, by the end of the process and by a power failure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from random import Random

import pytest
from cleaning_shop import COMPACT, CleaningShop

from kbroker.log.compaction.swap import abandon_swap
from kbroker.testing.simulated_disk import Crashed, Keep, Loss, SimulatedDisk

Left = list[tuple[int, str | None, str | None]]
LOSSES: list[tuple[Loss, Keep, int | None]] = [
    (Loss.PROCESS_DIED, Keep.NOTHING, None),
    *((Loss.POWER_FAILED, keep, None) for keep in Keep),
    *((Loss.POWER_FAILED, Keep.NOTHING, seed) for seed in range(1)),
]
SETTINGS = {"cleanup_policy": COMPACT, "delete_retention_ms": 1000, "file_delete_delay_ms": 10, "segment_bytes": 500}


def filled(disk: SimulatedDisk) -> CleaningShop:
    """A log of many segments, with keys that come again, tombstones whose time is up, and two producers."""
    shop = CleaningShop(disk)
    shop.disk.make_directory("/data")
    shop.open(**SETTINGS, index_interval_bytes=60)
    shop.put(("gone", "1"), ("a", "0"))
    shop.put(("gone", None), ("b", "0"), producer_id=5, producer_epoch=0, base_sequence=0)
    shop.roll()
    shop.clean()
    shop.clock.advance(2000)
    for value in range(20):
        extra = {"producer_id": 6, "producer_epoch": 1, "base_sequence": value // 3} if value % 3 == 0 else {}
        shop.put((f"k{value % 7}", f"{value}"), codec=value % 3 + 1 if value % 4 == 0 else 0, **extra)
    shop.roll()
    shop.put(("x", "0"), ("x", "1"))
    shop.roll()
    shop.put(("a", "1"))  # nothing of this segment stays, and it is the last of its group
    shop.roll()
    shop.put(("a", "5" * 400))
    shop.roll()
    shop.put(("a", "6"))
    shop.log.sync()
    return shop


def clean(shop: CleaningShop, seen: Callable[[], None] = lambda: None) -> None:
    """A round, step by step; `seen` whenever a swap may have happened."""
    works = shop.works(io_buffer_size=600)
    steps = next(works)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            try:
                steps = works.send(done.value)
            except StopIteration:
                break
            seen()
    shop.clock.advance(10)
    seen()


def producers(shop: CleaningShop) -> list[tuple[int, int, int]]:
    return sorted((p.producer_id, p.epoch, p.batches[-1].last_sequence) for p in shop.log.producers)


class Script:
    """The round without a crash: how many steps it takes, and what the log holds on the way."""

    def __init__(self) -> None:
        shop = filled(SimulatedDisk())
        disk: SimulatedDisk = shop.disk
        self.start = disk.steps
        self.states: list[Left] = [shop.left()]
        clean(shop, lambda: self.states.append(shop.left()))
        self.steps = disk.steps - self.start
        self.final = shop.left()
        self.producers = producers(shop)


@cache
def script() -> Script:
    return Script()


def test_the_script_has_several_swaps_and_many_steps() -> None:
    distinct = {tuple(state) for state in script().states}
    assert len(distinct) >= 4
    assert script().steps > 60
    newest = {key: (offset, value) for offset, key, value in script().states[0]}
    assert {key: (offset, value) for offset, key, value in script().final} == {
        key: kept for key, kept in newest.items() if key != "gone"
    }


@pytest.mark.parametrize(("loss", "keep", "seed"), LOSSES)
def test_a_crash_at_any_step_leaves_the_log_of_before_or_after_a_swap(loss: Loss, keep: Keep, seed: int | None) -> None:
    for step in range(1, script().steps + 1):
        disk = SimulatedDisk()
        shop = filled(disk)
        point = shop.log.recovery_point if step % 2 else 0
        disk.crash_at = disk.steps + step
        with pytest.raises(Crashed):
            clean(shop)
        below = Random(seed * 1000 + step).randrange if seed is not None else None
        restarted(shop, disk, loss, keep, below, point)
        assert shop.left() in script().states, f"step {step}"
        assert producers(shop) == script().producers, f"step {step}"
        assert not shop.names(".swap")
        assert not shop.names(".cleaned")
        for offset, _, _ in shop.left():
            read = shop.read(offset)
            assert read.first_offset <= offset
            shop.bytes_of(read)
        shop.clean()
        assert shop.left() == script().final, f"step {step}"


def restarted(
    shop: CleaningShop,
    disk: SimulatedDisk,
    loss: Loss,
    keep: Keep,
    below: Callable[[int], int] | None,
    recovery_point: int,
) -> None:
    shop.disk = disk.restarted(loss, keep, below=below)
    shop.open(clean=False, recovery_point=recovery_point, log_start=0)


@pytest.mark.parametrize("loss", list(Loss))
def test_a_start_that_finishes_a_swap_may_crash_too(loss: Loss) -> None:
    seen = set()
    for step in range(1, script().steps + 1):
        disk = SimulatedDisk()
        shop = filled(disk)
        disk.crash_at = disk.steps + step
        with pytest.raises(Crashed):
            clean(shop)
        names = tuple(shop.names())
        if not shop.names(".swap") or names in seen:
            continue
        seen.add(names)
        for second in range(1, 12):
            again = disk.restarted(loss, Keep.NOTHING)
            shop.disk = again
            again.crash_at = second
            try:
                shop.open(clean=False)
            except Crashed:
                shop.disk = again.restarted(loss, Keep.NOTHING)
                shop.open(clean=False)
            assert shop.left() in script().states, f"steps {step}, {second}"
    assert len(seen) >= 10


def test_a_swap_that_a_start_finished_is_not_undone_by_a_power_failure() -> None:
    """The names .swap of a process that died had not reached the medium: what was cleaned was served, and then the old
    segments were back."""
    disk = SimulatedDisk()
    shop = filled(disk)
    works = shop.works()
    steps = next(works)
    while not shop.names(".log.swap"):
        try:
            next(steps)
        except StopIteration as done:
            steps = works.send(done.value)
    end = shop.log.flushed_end
    restarted(shop, disk, Loss.PROCESS_DIED, Keep.NOTHING, None, end)
    served = shop.left()
    assert served != script().states[0]
    restarted(shop, shop.disk, Loss.POWER_FAILED, Keep.NOTHING, None, end)
    assert shop.left() == served


def test_a_sync_that_a_start_began_leaves_the_indexes_of_cleaned_segments_alone() -> None:
    """When the sync was over the segment had been replaced, and it removed what it took for left-over indexes."""
    shop = filled(SimulatedDisk())
    restarted(shop, shop.disk, Loss.PROCESS_DIED, Keep.NOTHING, None, 0)
    shop.disk.queues_work = True
    shop.log.sync()
    shop.clean()
    indexes = shop.names("index")
    shop.disk.run_queued()
    assert [name for name in indexes if name not in shop.names("index")] == []


def test_an_index_outlives_a_crash_of_the_start_that_finishes_its_swap() -> None:
    """It had its name before the log had: the next start took it for one that the swap replaced."""
    disk = SimulatedDisk()
    shop = filled(disk)
    works = shop.works()
    steps = next(works)
    while not shop.names(".log.swap"):
        try:
            next(steps)
        except StopIteration as done:
            steps = works.send(done.value)
    end = shop.log.log_end
    for step in range(1, 12):
        shop.disk = disk.restarted(Loss.PROCESS_DIED)
        shop.disk.crash_at = step
        try:
            shop.open(recovery_point=end)
        except Crashed:
            shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
            shop.open(recovery_point=end)
        assert [str(each) for each in shop.log.mended if "missing" in str(each)] == [], step
    assert shop.disk.crash_at > shop.disk.steps, "the start got through"


def test_an_index_outlives_a_crash_of_the_cut_that_takes_a_swap_back() -> None:
    """A start finished the swap without the index that had gone already, and warned of it."""
    shop = filled(SimulatedDisk())
    works = shop.works()
    steps = next(works)
    while not shop.names(".log.swap"):
        try:
            next(steps)
        except StopIteration as done:
            steps = works.send(done.value)
    disk, directory, base = shop.disk, shop.log.directory, int(shop.names(".log.swap")[0][:20])
    left = []
    for step in range(1, 12):
        shop.disk = disk.restarted(Loss.PROCESS_DIED)
        shop.disk.crash_at = step
        with suppress(Crashed):
            abandon_swap(shop.disk, directory, base)
        shop.disk = shop.disk.restarted(Loss.PROCESS_DIED)
        shop.open(recovery_point=shop.log.log_end)
        assert [str(each) for each in shop.log.mended if "missing" in str(each)] == [], step
        left.append(len(shop.left()))
    assert left[0] < left[1] == left[-1], "finished before the first step, undone from then on"


def test_what_a_swap_takes_away_is_kept_by_what_has_reached_the_medium() -> None:
    """A flushed record went for a newer one of its key that was only written: a power failure took that, too."""
    shop = CleaningShop(SimulatedDisk(queues_work=True))
    shop.disk.make_directory("/data")
    shop.open(**SETTINGS)
    shop.put(("a", "1" * 300), ("b", "1"))
    shop.roll()
    shop.disk.run_queued()
    assert shop.log.flushed_end == 2
    shop.put(("a", "2" * 300))
    shop.roll()
    survived = []

    def crash() -> None:
        other = CleaningShop(shop.disk.restarted(Loss.POWER_FAILED, Keep.NOTHING))
        other.open(**SETTINGS)
        survived.append([key for _, key, _ in other.left()])

    clean(shop, crash)
    assert len(shop.log.segments) == 3, "two swaps"
    assert all("a" in keys for keys in survived), survived
