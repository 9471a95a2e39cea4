"""Files that are gone, or lost all that they held, while the log stood still: what a start can tell by the others."""

from __future__ import annotations

import pytest
from log_workshop import DIRECTORY, PATH, TOPIC_ID, Workshop, open_directory

from kbroker.log.checkpoints import parse_offsets
from kbroker.log.directory import LogDirectory
from kbroker.log.outcome import Appended
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.batch import build_batch

WHERE = TopicPartition("t", 0)

WIDE = 1 << 20
"""Bytes between two entries of an index: none but those of a stop."""


def of_five_segments(shop: Workshop, interval_bytes: int = 0) -> None:
    """Three records in each, at times of their own; stopped cleanly."""
    shop.open(index_interval_bytes=interval_bytes)
    for number in range(15):
        if number and number % 3 == 0:
            shop.log.roll()
        shop.append()
        shop.clock.advance(1)
    assert shop.log.close(clean=True)


def lose(shop: Workshop, *names: str) -> None:
    for name in names:
        shop.disk.remove(f"{DIRECTORY}/{name}")


def said(shop: Workshop) -> list[tuple[str, bool]]:
    return [(str(each), each.is_loss) for each in shop.log.mended]


@pytest.mark.parametrize("clean", [False, True])
def test_offsets_that_went_with_a_segment_are_named(shop: Workshop, clean: bool) -> None:
    """The start warned of an index without a segment, and of no record."""
    of_five_segments(shop)
    lose(shop, f"{3:020d}.log", f"{9:020d}.log", f"{9:020d}.index")
    shop.open(clean=clean, recovery_point=15)
    missing = "is missing, and with it offsets"
    assert said(shop)[:2] == [
        (f"{9:020d}.log {missing} 9 to 11: what comes behind them is served", True),
        (f"{3:020d}.log {missing} 3 to 5: what comes behind them is served", True),
    ]
    assert {sentence.partition(" ")[2] for sentence, _ in said(shop)[2:]} == {"is of no segment: removed"}
    assert shop.offsets() == [0, 1, 2, 6, 7, 8, 12, 13, 14]
    shop.reopen(clean=clean, recovery_point=15)
    assert said(shop) == []


def test_of_records_that_were_deleted_a_start_misses_none(shop: Workshop) -> None:
    """One that had been interrupted while it removed them from the back was followed by one that told of a loss."""
    of_five_segments(shop)
    lose(shop, *(f"{base:020d}.{suffix}" for base in (6, 9, 12) for suffix in ("log", "index", "timeindex")))
    shop.open(recovery_point=11, log_start=15)
    assert (shop.log.log_start, shop.log.log_end) == (15, 15)
    assert [sentence for sentence, is_loss in said(shop) if is_loss] == []


def test_neighbours_that_went_together_are_named_together(shop: Workshop) -> None:
    of_five_segments(shop)
    lose(shop, f"{3:020d}.log", f"{6:020d}.log")
    shop.open(clean=True)
    assert [sentence for sentence, is_loss in said(shop) if is_loss] == [
        f"{3:020d}.log is missing, and with it offsets 3 to 8: what comes behind them is served"
    ]


def test_an_index_whose_offsets_another_segment_has_tells_of_no_loss(shop: Workshop) -> None:
    of_five_segments(shop)
    shop.disk.open(f"{DIRECTORY}/{4:020d}.index", create=True)
    shop.open(clean=True)
    assert said(shop) == [(f"{4:020d}.index is of no segment: removed", False)]


def test_offsets_that_are_missing_without_a_trace_are_no_loss(shop: Workshop) -> None:
    """A log that is compacted, or was once, has such gaps between its segments."""
    of_five_segments(shop)
    lose(shop, *(name for name in shop.names() if name.startswith(f"{3:020d}")))
    shop.open()
    assert said(shop) == []
    assert shop.offsets() == [0, 1, 2, *range(6, 15)]


def emptied(shop: Workshop, name: str) -> None:
    file = shop.disk.open(f"{DIRECTORY}/{name}")
    assert file.size() > 0
    file.truncate(0)


@pytest.mark.parametrize("interval_bytes", [0, WIDE])
@pytest.mark.parametrize("base", [3, 12])
def test_a_time_index_that_lost_all_entries_is_made_anew(shop: Workshop, interval_bytes: int, base: int) -> None:
    """Searches by time passed its segment over, and retention took it for as old as its file."""
    of_five_segments(shop, interval_bytes)
    emptied(shop, f"{base:020d}.timeindex")
    shop.open(clean=True)
    times = [record.timestamp for record in shop.records()]
    assert said(shop) == [(f"{base:020d}.timeindex is damaged: made anew from the batches", False)]
    assert shop.log.offset_for_timestamp(times[base]) == (base, times[base], 0)
    assert [segment.max_timestamp for segment in shop.log.segments] == times[2::3]


def test_an_offset_index_that_lost_all_entries_is_made_anew(shop: Workshop) -> None:
    """Each search in its segment walked from the beginning, at every start again."""
    shop.open()
    for _ in range(3):
        shop.log.append_as_leader(build_batch([(None, bytes(400_000))], timestamp_ms=1), 0)
    shop.log.roll()
    assert shop.log.close(clean=True)
    emptied(shop, f"{0:020d}.index")
    shop.open(clean=True)
    assert said(shop) == [(f"{0:020d}.index is damaged: made anew from the batches", False)]
    assert [key for key, _ in shop.log.segments[0].offsets.entries()] == [1, 2]


def test_a_large_batch_alone_needs_no_entry(shop: Workshop) -> None:
    shop.open(max_message_bytes=1 << 23)
    shop.log.append_as_leader(build_batch([(None, bytes(2_000_000))], timestamp_ms=1), 0)
    assert shop.log.close(clean=True)
    shop.open(clean=True)
    assert said(shop) == []


def test_a_segment_that_was_closed_twice_may_have_times_and_no_offsets(shop: Workshop) -> None:
    shop.open(index_interval_bytes=WIDE)
    for _ in range(3):
        shop.append()
        shop.clock.advance(1)
        shop.reopen(clean=True)
    assert len(shop.log.segments[0].times) == 3
    assert said(shop) == []


@pytest.mark.parametrize("timestamp_ms", [-1, 5])
def test_indexes_that_never_had_an_entry_are_left_alone(shop: Workshop, timestamp_ms: int) -> None:
    shop.open(index_interval_bytes=WIDE)
    for _ in range(3):
        shop.append(timestamp_ms=timestamp_ms)
        shop.log.roll()
    assert shop.log.close(clean=True)
    assert {len(shop.disk.read(f"{DIRECTORY}/{name}")) for name in shop.names(".index")} == {0}
    shop.open(clean=True)
    assert said(shop) == []


RECOVERY_POINTS = f"{PATH}/recovery-point-offset-checkpoint"


def in_a_directory(disk: MemoryDisk) -> LogDirectory:
    """Three segments of five batches, each of 69 bytes or so; the first has a flipped bit in its second batch."""
    directory = open_directory(disk)
    log = directory.open_log(WHERE, TOPIC_ID, LogSettings())
    for number in range(15):
        if number in (5, 10):
            log.roll()
        assert isinstance(log.append_as_leader(build_batch([(None, b"v")], timestamp_ms=1), 0), Appended)
    directory.close(clean=True)
    disk.open(f"{DIRECTORY}/{0:020d}.log").write_at(100, [b"!"])
    return open_directory(disk)


@pytest.mark.parametrize("data", [None, b"", b"0\n7\n"])
def test_where_the_recovery_points_are_lost_the_marker_of_the_clean_stop_vouches_for_the_logs(
    data: bytes | None,
) -> None:
    """All logs were read anew, and ended where a bit had flipped long ago, whatever had been flushed behind it."""
    disk = MemoryDisk()
    in_a_directory(disk).close(clean=True)
    disk.remove(RECOVERY_POINTS)
    if data is not None:
        disk.replace(RECOVERY_POINTS, data)
    directory = open_directory(disk)
    assert directory.left_whole(-1) == set(), "nobody knows which ones were written out"
    log = directory.open_log(WHERE, TOPIC_ID, LogSettings())
    assert (log.log_end, log.recovery_point, log.cut) == (15, 15, (0, 0))
    fresh = directory.open_log(TopicPartition("new", 0), TOPIC_ID, LogSettings())
    assert (fresh.log_end, fresh.recovery_point) == (0, 0)
    assert directory.close(clean=True)
    assert parse_offsets(disk.read(RECOVERY_POINTS)) == {WHERE: 15, TopicPartition("new", 0): 0}


def test_a_log_without_a_recovery_point_in_a_file_that_is_there_is_recovered() -> None:
    """So a clean stop says which logs it could not write out."""
    disk = MemoryDisk()
    in_a_directory(disk).close(clean=True)
    disk.replace(RECOVERY_POINTS, b"0\n0\n")
    log = open_directory(disk).open_log(WHERE, TOPIC_ID, LogSettings())
    assert (log.log_end, log.cut[1]) == (1, 2)


def test_after_a_kill_lost_recovery_points_have_every_log_recovered() -> None:
    disk = MemoryDisk()
    in_a_directory(disk).begin()
    disk._locks.clear()
    disk.remove(RECOVERY_POINTS)
    log = open_directory(disk).open_log(WHERE, TOPIC_ID, LogSettings())
    assert (log.log_end, log.cut[1]) == (1, 2)
