"""A log of many segments is searched as one of few, and its searches follow whatever becomes of the segments."""

from __future__ import annotations

import random

from log_workshop import Workshop

from kbroker.log import segment as segment_module
from kbroker.record.batch import NO_TIMESTAMP


def fill(shop: Workshop, seed: int, segments: int = 30) -> None:
    """Segments of a few batches whose times go up and down."""
    draw = random.Random(seed)
    for _ in range(segments):
        for _ in range(draw.randint(1, 4)):
            shop.append(timestamp_ms=draw.choice([NO_TIMESTAMP, draw.randrange(1000)]))
        shop.log.roll()


def scanned(shop: Workshop, timestamp: int) -> int | None:
    records = shop.records(shop.log.log_start)
    return next((record.offset for record in records if record.timestamp >= timestamp), None)


def check(shop: Workshop) -> None:
    for timestamp in range(0, 1000, 37):
        found = shop.log.offset_for_timestamp(timestamp)
        assert (found[0] if isinstance(found, tuple) else found) == scanned(shop, timestamp), timestamp


def test_a_search_by_time_finds_what_a_scan_finds_whatever_order_times_come_in(shop: Workshop) -> None:
    for seed in range(3):
        fill(shop, seed)
        check(shop)


def test_a_search_by_time_follows_segments_that_leave_and_come(shop: Workshop) -> None:
    fill(shop, 1)
    check(shop)
    shop.log.delete_before(shop.log.log_end // 2)
    check(shop)
    fill(shop, 2, 5)
    check(shop)


def test_a_segment_that_was_cut_and_sealed_again_is_known_by_its_new_times(shop: Workshop) -> None:
    """What a search remembers of sealed segments must not outlive a cut."""
    for timestamps in ([10], [20, 30]):
        for timestamp in timestamps:
            shop.append(timestamp_ms=timestamp)
        shop.log.roll()
    check(shop)
    shop.log.truncate_to(2)
    shop.append(timestamp_ms=900)
    shop.log.roll()
    check(shop)


def test_the_largest_time_of_all_segments_is_found(shop: Workshop) -> None:
    fill(shop, 3)
    largest = max(record.timestamp for record in shop.records())
    found = shop.log.max_timestamp()
    assert isinstance(found, tuple)
    assert found[1] == largest


def test_a_search_in_a_sealed_index_finds_what_one_in_memory_finds(shop: Workshop) -> None:
    """Also in indexes of more entries than are read at once."""
    shop.open(index_interval_bytes=0)
    for _ in range(1300):
        shop.append(timestamp_ms=shop.clock.wall_ms())
        shop.clock.advance(3)
    growing = shop.log.segments[0]
    wanted = [(growing.offsets, key) for key in range(-1, 1301)]
    wanted += [(growing.times, shop.clock.wall_ms() - 3 * key) for key in range(-1, 1301)]
    before = [(index.floor(key), index.floor_by_value(key)) for index, key in wanted]
    shop.log.roll()
    assert [(index.floor(key), index.floor_by_value(key)) for index, key in wanted] == before


def test_a_walk_over_headers_goes_on_behind_its_first_window(shop: Workshop) -> None:
    shop.open(index_interval_bytes=1 << 20)
    last = [shop.append(count=3).last_offset for _ in range(400)][-1]
    shop.log.roll()
    sealed = shop.log.segments[0]
    assert sealed.size > 2 * segment_module._WINDOW_BYTES
    assert [header.last_offset for _, header in sealed.headers(0)] == list(range(2, last + 1, 3))
