"""Finding offsets, times and epochs; whole batches, limits, leases, truncation, retention."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import pytest
from log_workshop import DIRECTORY, TOPIC_ID

from kbroker.log.open_files import FileHandle, OpenFiles
from kbroker.log.outcome import Refused
from kbroker.log.partition_log import PartitionLog
from kbroker.log.place import LogPlace
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.batch import iterate_batches, read_header
from kbroker.record.compression import Codec
from kbroker.world import FileSlice
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from log_workshop import Workshop


@pytest.mark.parametrize("offset", [-1, 4])
def test_an_offset_outside_the_log_is_out_of_range(shop: Workshop, offset: int) -> None:
    shop.append(3)
    refused = shop.log.read(offset, 100, 100)
    assert isinstance(refused, Refused)
    assert refused.error == ErrorCode.OFFSET_OUT_OF_RANGE


def test_there_is_nothing_to_read_at_the_end_or_behind_the_bound(shop: Workshop) -> None:
    shop.append(3)
    assert shop.read(3).records == b""
    assert shop.read(1, end=1).records == b""
    assert shop.read(1, end=2).records == b"", "the batch reaches the bound: it isn't given in part"


def _batches(shop: Workshop, *args: Any, **extra: Any) -> list[int]:
    return [read_header(batch).base_offset for batch in iterate_batches(shop.bytes_of(shop.read(*args, **extra)))]


@pytest.mark.parametrize("is_tail", [True, False])
def test_whole_batches_come_from_the_one_that_holds_the_offset(shop: Workshop, is_tail: bool) -> None:
    for _ in range(5):
        shop.append(2)
    size = len(shop.batch(2))
    if not is_tail:
        shop.log.roll()
    assert _batches(shop, 3) == [2, 4, 6, 8]
    assert _batches(shop, 3, 2 * size) == [2, 4]
    assert _batches(shop, 3, 3 * size - 1) == [2, 4]
    assert _batches(shop, 3, 1) == [2]
    assert _batches(shop, 3, 1, at_least_one=False) == []
    assert _batches(shop, 3, end=6) == [2, 4]
    assert _batches(shop, 3, end=7) == [2, 4]
    read = shop.read(5)
    assert (read.first_offset, read.position, read.segment_base) == (4, 2 * size, 0)
    shop.bytes_of(read)


@pytest.mark.parametrize("reopened", [False, True])
def test_every_offset_is_found_with_every_limit_however_long_the_log(shop: Workshop, reopened: bool) -> None:
    """Compared with a list of batches: beyond the remembered tail, over index entries and segments."""
    shop.open(segment_bytes=20_000, index_interval_bytes=300)
    bases, sizes = [], []
    for number in range(1500):
        count = 1 + number % 4
        bases.append(shop.log.log_end)
        sizes.append(len(shop.batch(count)))
        shop.append(count)
    if reopened:
        shop.reopen(clean=True)
    borders = {segment.base_offset for segment in shop.log.segments}
    assert len(borders) > 5
    for offset in range(0, shop.log.log_end, 61):
        for max_bytes in (0, 500, 5000):
            found = _batches(shop, offset, max_bytes)
            first = bisect_right(bases, offset) - 1
            assert found == bases[first : first + len(found)]
            used = sum(sizes[first : first + len(found)])
            assert used <= max_bytes or len(found) == 1
            following = first + len(found)
            is_at_border = following == len(bases) or bases[following] in borders
            assert is_at_border or used + sizes[following] > max_bytes


def test_who_reads_on_where_it_stopped_costs_one_look_into_the_log(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place used to be searched through the index and two headers each time; now only its next end is."""
    for _ in range(30):
        shop.append(2)
    shop.log.roll()
    size, looks = len(shop.batch(2)), []
    read = FileHandle.read
    monkeypatch.setattr(
        FileHandle,
        "read",
        lambda handle, *where: (
            (looks.append(handle.path) if handle.path.endswith(".log") else None) or read(handle, *where)
        ),
    )
    counts = []
    for offset in (0, 10, 20, 30, 20):
        looks.clear()
        assert _batches(shop, offset, 5 * size) == list(range(offset, offset + 10, 2))
        counts.append(len(looks))
    assert counts[1:] == [1, 1, 1, counts[0]], "only the last one goes back"


def test_a_place_that_was_cut_away_is_searched_again(shop: Workshop) -> None:
    for count in (2, 2, 2, 2):
        shop.append(count)
    size = len(shop.batch(2))
    shop.log.roll()
    assert _batches(shop, 0, 2 * size) == [0, 2]
    shop.log.truncate_to(4)
    shop.append(1)
    shop.append(3)
    shop.log.roll()
    assert _batches(shop, 4) == [4, 5]
    assert _batches(shop, 0, 2 * size) == [0, 2]
    shop.log.truncate_to(2)
    for _ in range(3):
        shop.append(1)
    shop.log.roll()
    assert _batches(shop, 4) == [4]


def test_a_gap_that_compaction_left_is_stepped_over(shop: Workshop) -> None:
    for base in (0, 10, 30):
        shop.log.append_as_follower(shop.batch(2, base_offset=base))
    assert shop.read(5).first_offset == 10
    shop.log.roll()
    shop.log.append_as_follower(shop.batch(1, base_offset=50))
    assert [shop.read(offset).first_offset for offset in (0, 1, 2, 11, 12, 31, 32, 49, 50)] == [
        0, 0, 10, 10, 30, 30, 50, 50, 50
    ]  # fmt: skip


# ---- leases


def test_a_leased_slice_outlives_truncation_deletion_and_new_data(shop: Workshop) -> None:
    for _ in range(6):
        shop.append(2)
    read = shop.read(4)
    assert isinstance(read.records, FileSlice)
    lease = read.records
    before = lease.file.read_at(lease.position, lease.length)
    shop.log.truncate_to(6)
    shop.append(5)
    assert lease.file.read_at(lease.position, lease.length) == before
    assert shop.offsets() == list(range(11))
    shop.log.truncate_fully_and_start_at(100)
    assert lease.file.read_at(lease.position, lease.length) == before
    lease.release()


def test_open_files_are_bounded_and_leased_ones_stay(shop: Workshop) -> None:
    shop.disk = MemoryDisk()
    files = OpenFiles(shop.disk, limit=4)
    settings = LogSettings(segment_bytes=150)
    shop.log = PartitionLog.open(
        LogPlace(shop.disk, DIRECTORY, TopicPartition("t", 0), TOPIC_ID, settings, shop.clock, files=files)
    )
    for _ in range(20):
        shop.append(1)
    assert len(shop.log.segments) > 8
    leased = [shop.read(offset).records for offset in (0, 2, 4, 6, 8, 10)]
    assert len(files) == 6, "leased files may exceed the limit; nothing else may"
    for lease in leased:
        assert isinstance(lease, FileSlice)
        lease.release()
    assert shop.offsets() == list(range(20))
    shop.read(19)
    assert len(files) <= 6


# ---- time


def _timed(shop: Workshop, *times: int, **extra: Any) -> None:
    from kbroker.record.batch import build_batch

    batch = build_batch([(b"k", b"v", (), time) for time in times], timestamp_ms=times[0], **extra)
    shop.log.append_as_leader(batch, 3)


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP])
def test_the_first_record_at_a_time_or_later_is_found(shop: Workshop, codec: Codec) -> None:
    shop.open(segment_bytes=400, index_interval_bytes=50)
    _timed(shop, 100, 200, 150, codec=codec)
    _timed(shop, 120, 130, codec=codec)
    for time in range(300, 1300, 100):
        _timed(shop, time, time + 50, codec=codec)
    assert len(shop.log.segments) > 1
    for wanted, offset, time in (
        (0, 0, 100),
        (101, 1, 200),
        (200, 1, 200),
        (201, 5, 300),
        (351, 7, 400),
        (1250, 24, 1250),
    ):
        assert shop.log.offset_for_timestamp(wanted) == (offset, time, 3)
    assert shop.log.offset_for_timestamp(1251) is None
    assert shop.log.max_timestamp() == (24, 1250, 3)
    shop.reopen(clean=True)
    assert shop.log.offset_for_timestamp(351) == (7, 400, 3)
    assert shop.log.max_timestamp() == (24, 1250, 3)


def test_records_before_the_log_start_are_not_found_by_time(shop: Workshop) -> None:
    _timed(shop, 100, 200)
    _timed(shop, 300)
    shop.log.delete_before(1)
    assert shop.log.offset_for_timestamp(50) == (1, 200, 3)


def test_an_empty_log_has_no_times(shop: Workshop) -> None:
    assert shop.log.offset_for_timestamp(0) is None
    assert shop.log.max_timestamp() is None


# ---- epochs and truncation


def test_epochs_end_where_the_next_begins(shop: Workshop) -> None:
    for epoch in (2, 2, 5, 9):
        shop.append(2, epoch=epoch)
    ends = {epoch: shop.log.end_offset_for_epoch(epoch) for epoch in (-1, 1, 2, 4, 5, 8, 9, 10)}
    assert ends == {-1: (-1, -1), 1: (1, 0), 2: (2, 4), 4: (2, 4), 5: (5, 6), 8: (5, 6), 9: (9, 8), 10: (-1, -1)}
    assert shop.log.epoch_at(5) == 5


def test_truncation_takes_batches_epochs_and_producers_back(shop: Workshop) -> None:
    shop.open(segment_bytes=300, index_interval_bytes=0)
    for number in range(10):
        shop.append(2, epoch=number, producer_id=1, producer_epoch=0, base_sequence=2 * number)
    shop.log.truncate_to(7)
    assert (shop.log.log_end, shop.log.written_end, shop.offsets()) == (7, 7, [0, 1, 2, 3, 4, 5])
    assert shop.log.epochs.latest == 3
    appended = shop.append(2, epoch=9, producer_id=1, producer_epoch=0, base_sequence=6)
    assert (appended.base_offset, appended.is_duplicate) == (7, False)
    shop.reopen(clean=False)
    assert shop.offsets() == [0, 1, 2, 3, 4, 5, 7, 8]
    shop.log.truncate_to(0)
    assert (shop.log.log_end, shop.log.log_start, shop.offsets()) == (0, 0, [])


# ---- the front


def test_the_log_start_moves_and_whole_segments_go(shop: Workshop) -> None:
    shop.open(segment_bytes=300)
    for number in range(10):
        shop.append(2, epoch=number)
    assert shop.log.delete_before(9) == 9
    assert shop.log.segments[0].base_offset <= 9 < shop.log.segments[1].base_offset
    refused = shop.log.read(8, 100, 100)
    assert isinstance(refused, Refused)
    assert shop.offsets(9)[0] == 8, "the batch that holds the offset comes whole"
    assert shop.log.epochs.entries()[0] == (4, 9)
    assert shop.log.delete_before(5) == 9
    assert shop.log.delete_before(99) == 20
    assert len(shop.names(".deleted")) > 0
    shop.clock.advance(shop.settings.file_delete_delay_ms)
    assert shop.names(".deleted") == []


def test_retention_goes_by_the_newest_records_time_and_spares_the_high_watermark(shop: Workshop) -> None:
    shop.open(segment_bytes=150, retention_ms=1000)
    for _ in range(6):
        shop.append(1)
        shop.clock.advance(300)
    assert shop.log.apply_retention(deletable_end=0) == 0
    assert shop.log.apply_retention() == 3
    assert shop.log.log_start == 3
    shop.clock.advance(5000)
    assert shop.log.apply_retention() == 3
    assert (shop.log.log_start, shop.log.log_end, len(shop.log.segments)) == (6, 6, 1)
    assert shop.log.apply_retention() == 0
    assert shop.append(1).base_offset == 6


def test_retention_by_bytes_keeps_at_least_that_many(shop: Workshop) -> None:
    size = len(shop.batch(1))
    shop.open(segment_bytes=2 * size, retention_bytes=5 * size, retention_ms=-1)
    for _ in range(10):
        shop.append(1)
    assert shop.log.apply_retention() == 2
    assert shop.log.size_bytes == 6 * size
    shop.log.settings = LogSettings(retention_bytes=0, cleanup_policy=frozenset({"compact"}))
    assert shop.log.apply_retention() == 0


# ---- rolling


@pytest.mark.parametrize(
    "settings",
    [{"segment_bytes": 250}, {"segment_ms": 999}, {"segment_index_bytes": 24, "index_interval_bytes": 0}],
    ids=["bytes", "time", "index"],
)
def test_a_segment_is_rolled_by(shop: Workshop, settings: dict[str, Any]) -> None:
    shop.open(**settings)
    for _ in range(12):
        shop.append(1)
        shop.clock.advance(500)
    assert 3 <= len(shop.log.segments) <= 12
    assert shop.offsets() == list(range(12))


def test_a_segment_is_rolled_before_a_relative_offset_overflows(shop: Workshop) -> None:
    shop.append(1)
    shop.log.append_as_follower(shop.batch(1, base_offset=(1 << 31) - 1))
    shop.log.append_as_follower(shop.batch(1, base_offset=1 << 31))
    assert [segment.base_offset for segment in shop.log.segments] == [0, 1 << 31]


def test_rolling_an_empty_segment_does_nothing(shop: Workshop) -> None:
    shop.log.roll()
    assert len(shop.log.segments) == 1
