"""Which segments retention lets go, in Kafka's edge cases, and that nobody waits while their files go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from log_workshop import DIRECTORY, TOPIC_ID, Workshop

from kbroker.log.dormant import find_asleep, measure_sleeping
from kbroker.log.outcome import Appended
from kbroker.log.place import LogPlace
from kbroker.log.segment import Segment
from kbroker.names import TopicPartition
from kbroker.real.memory_disk import MemoryDisk
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock


def in_segments(shop: Workshop, count: int, **settings: Any) -> int:
    """A log of `count` segments of one batch each, the last one growing; the bytes of one."""
    size = len(shop.batch(1))
    shop.open(segment_bytes=size, **settings)
    for _ in range(count):
        shop.append(1)
    assert len(shop.log.segments) == count
    return size


def bases(shop: Workshop) -> list[int]:
    return [segment.base_offset for segment in shop.log.segments]


@pytest.mark.parametrize(
    ("age_ms", "dropped"), [(999, 0), (1000, 0), (1001, 3)]
)  # "older than", not "as old as"; the growing segment goes too
def test_a_segment_goes_when_its_newest_record_is_older_than_retention_ms(
    shop: Workshop, age_ms: int, dropped: int
) -> None:
    in_segments(shop, 3, retention_ms=1000)
    shop.clock.advance(age_ms)
    assert shop.log.apply_retention() == dropped
    assert (shop.log.log_start, shop.log.log_end) == ((3, 3) if dropped else (0, 3))


def test_a_record_from_the_future_keeps_its_segment_and_those_behind_it(shop: Workshop) -> None:
    in_segments(shop, 1, retention_ms=1000)
    shop.append(1, timestamp_ms=shop.clock.wall_ms() + 3_000_000)
    shop.append(1)
    shop.clock.advance(2_000_000)
    assert shop.log.apply_retention() == 1
    assert bases(shop) == [1, 2]


@pytest.fixture
def dated() -> Workshop:
    """A log on a disk that goes by the log's clock."""
    clock = VirtualClock()
    workshop = Workshop(MemoryDisk(clock.wall_ms))
    workshop.clock = clock
    workshop.open(retention_ms=1000)
    return workshop


def test_segments_without_timestamps_are_as_old_as_their_files(dated: Workshop) -> None:
    dated.append(1, timestamp_ms=-1)
    assert dated.log.apply_retention() == 0
    dated.clock.advance(700)
    dated.append(1, timestamp_ms=-1)
    dated.clock.advance(1000)
    assert dated.log.apply_retention() == 0
    dated.clock.advance(1)
    assert dated.log.apply_retention() == 1


@pytest.mark.parametrize("clean", [True, False])
def test_records_without_times_do_not_become_younger_by_a_restart(dated: Workshop, clean: bool) -> None:
    """Their age was counted from when the log was opened; Kafka goes by when the file was written last."""
    dated.append(1, timestamp_ms=-1)
    dated.log.roll()
    dated.append(1, timestamp_ms=dated.clock.wall_ms() + 5000)
    dated.clock.advance(900)
    dated.reopen(clean=clean)
    assert dated.log.apply_retention() == 0
    dated.clock.advance(101)
    dated.reopen(clean=clean)
    assert dated.log.apply_retention() == 1


def test_a_log_that_sleeps_is_as_old_as_its_file(dated: Workshop) -> None:
    dated.append(1, timestamp_ms=-1)
    assert dated.log.close(clean=True)
    dated.clock.advance(1000)
    place = LogPlace(dated.disk, DIRECTORY, TopicPartition("t", 0), TOPIC_ID, dated.settings, dated.clock)
    asleep = find_asleep(place, recovery_point=1, log_start=0)
    assert asleep is not None
    measure_sleeping(dated.disk, [asleep], lambda: None)
    assert asleep.apply_retention() == 0
    assert asleep.is_asleep
    dated.clock.advance(1)
    assert asleep.apply_retention() == 1


@pytest.mark.parametrize(("kept", "dropped"), [(0, 5), (1, 4), (3, 2), (4, 1), (5, 0), (6, 0)])
@pytest.mark.parametrize("short", [0, 1])
def test_retention_by_bytes_leaves_at_least_that_many(shop: Workshop, kept: int, dropped: int, short: int) -> None:
    """Exactly retention.bytes may be left; one byte less would be too few."""
    size = in_segments(shop, 5, retention_ms=-1)
    more = {**_settings(shop), "retention_bytes": kept * size + short}
    shop.open(**more)
    assert shop.log.apply_retention() == max(0, dropped - short)


def _settings(shop: Workshop) -> dict[str, Any]:
    return {"segment_bytes": shop.settings.segment_bytes, "retention_ms": -1}


def test_nothing_beyond_the_high_watermark_goes(shop: Workshop) -> None:
    in_segments(shop, 4, retention_ms=1000)
    shop.clock.advance(2000)
    assert shop.log.apply_retention(deletable_end=2) == 2
    assert bases(shop) == [2, 3]


@pytest.mark.parametrize("policy", ["compact", "delete"])
def test_a_growing_segment_before_the_log_start_stays_until_another_grows(shop: Workshop, policy: str) -> None:
    """It was rolled and dropped at once; Kafka drops it with the next one that begins behind it."""
    size = in_segments(shop, 3)
    shop.open(cleanup_policy=frozenset({policy}), segment_bytes=size)
    shop.log.delete_before(3)
    assert (shop.log.apply_retention(), bases(shop)) == (0, [2])
    shop.append(1)
    assert (shop.log.apply_retention(), bases(shop)) == (1, [3])


def test_an_empty_segment_among_others_does_not_keep_those_behind_it(shop: Workshop) -> None:
    """Retention stopped there for good."""
    in_segments(shop, 2, retention_ms=1000)
    gap = Segment(shop.log._files, DIRECTORY, 0, shop.clock.wall_ms())
    gap.next_offset = shop.log.segments[0].base_offset
    shop.log._segments.reset([gap, *shop.log.segments])
    shop.clock.advance(1001)
    assert shop.log.apply_retention() == 3


def test_the_files_of_dropped_segments_are_renamed_by_a_worker(make: Callable[[Any], Workshop]) -> None:
    """A thousand of them were renamed between two requests."""
    shop = make(SimulatedDisk())
    in_segments(shop, 5, retention_ms=1000)
    shop.disk.queues_work = True
    steps = shop.disk.steps
    shop.log.delete_before(3)
    assert shop.disk.steps == steps
    assert bases(shop) == [3, 4]
    assert shop.names(".deleted") == []
    shop.disk.run_queued()
    assert [name[:20] for name in shop.names(".log.deleted")] == [f"{base:020d}" for base in range(3)]
    shop.clock.advance(shop.settings.file_delete_delay_ms)
    shop.disk.run_queued()
    assert shop.names(".deleted") == []
    assert [name[:20] for name in shop.names(".log")] == [f"{base:020d}" for base in (3, 4)]
    assert min(shop.names(".snapshot"))[:20] == f"{3:020d}"


def test_a_worker_that_comes_late_leaves_the_directory_of_a_closed_log_alone(make: Callable[[Any], Workshop]) -> None:
    shop = make(SimulatedDisk())
    in_segments(shop, 3)
    shop.disk.queues_work = True
    shop.log.delete_before(2)
    shop.log.close(clean=False)
    shop.disk.run_queued()
    assert shop.names(".deleted") == []
    shop.clock.advance(shop.settings.file_delete_delay_ms)
    shop.disk.run_queued()
    assert len(shop.names(".log")) == 3


def test_files_that_cannot_be_renamed_fail_the_log(make: Callable[[Any], Workshop]) -> None:
    shop = make(SimulatedDisk())
    in_segments(shop, 3)
    shop.disk.failing[f"{0:020d}"] = "Input/output error"
    shop.log.delete_before(2)
    assert shop.log.failure is not None


def test_a_log_emptied_to_start_where_a_dropped_segment_began_keeps_its_new_file(
    make: Callable[[Any], Workshop],
) -> None:
    shop = make(SimulatedDisk())
    in_segments(shop, 3)
    shop.disk.queues_work = True
    shop.log.delete_before(2)
    shop.log.truncate_fully_and_start_at(1)
    shop.append(1)
    shop.disk.run_queued()
    shop.clock.advance(shop.settings.file_delete_delay_ms)
    shop.disk.run_queued()
    assert shop.offsets(1) == [1]
    assert shop.names(".log") == [f"{1:020d}.log"]


# ---- rolling


def test_a_batch_without_time_behind_one_with_time_does_not_roll(shop: Workshop) -> None:
    """The age of the file decided then; Kafka rolls by records' times as soon as the first batch has one."""
    shop.open(segment_ms=1000)
    shop.append(1)
    shop.clock.advance(5000)
    shop.append(1, timestamp_ms=-1)
    assert bases(shop) == [0]
    shop.append(1)
    assert bases(shop) == [0, 2]


def test_a_follower_that_rolls_at_a_gap_names_the_segment_by_the_batch_behind_it(shop: Workshop) -> None:
    """It was named by the end of the log before it, and offsets far behind a gap did not fit into its index."""
    far = (1 << 31) + 10
    first, second = shop.batch(1), shop.batch(1, base_offset=far)
    assert isinstance(shop.log.append_as_follower(bytes(first) + bytes(second)), Appended)
    assert (bases(shop), shop.offsets()) == ([0, far], [0, far])
    shop.append(1)
    assert (bases(shop), shop.log.log_end) == ([0, far], far + 2)
    shop.reopen(clean=False)
    assert shop.offsets() == [0, far, far + 1]


def test_an_empty_log_is_passed_over_without_a_look_at_its_file(shop: Workshop) -> None:
    """Its age was asked of the file, which stayed open: one descriptor for each log that was never used."""
    shop.open(retention_ms=1000)
    shop.clock.advance(5000)
    assert shop.log.apply_retention() == 0
    assert not shop.log.segments[0].handle.is_open
