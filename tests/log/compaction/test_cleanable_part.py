"""Which segments a round takes, and which of them become one."""

from __future__ import annotations

from typing import Any

import pytest
from cleaning_shop import COMPACT, CleaningShop

from kbroker.log.compaction.cleanable import GROUP_SEGMENTS_MAX, grouped
from kbroker.log.compaction.rounds import cleanable_part
from kbroker.log.open_files import OpenFiles
from kbroker.log.outcome import Origin
from kbroker.log.segment import INT32_MAX, Segment
from kbroker.log.settings import LogSettings
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.markers import build_marker


def segments(*sizes: int, span: int = 10) -> list[Segment]:
    found = []
    for index, size in enumerate(sizes):
        segment = Segment(OpenFiles(MemoryDisk()), "/d", index * span, 0)
        segment.size = size
        found.append(segment)
    return found


@pytest.mark.parametrize(
    ("sizes", "span", "lengths"),
    [
        ((40, 60, 1), 10, [2, 1]),  # 100 bytes fit, 101 don't
        ((101, 1, 1), 10, [1, 2]),  # one that is too large stays alone
        ((0, 0, 0, 100), 10, [4]),  # empty ones cost nothing
        ((1,) * (GROUP_SEGMENTS_MAX + 1), 10, [GROUP_SEGMENTS_MAX, 1]),
        ((1, 1, 1), INT32_MAX // 2 + 1, [2, 1]),  # offsets of an index entry are relative, and have 31 bits
        ((1, 0, 1), INT32_MAX // 2 + 1, [2, 1]),
    ],
)
def test_neighbours_become_one_while_they_fit(sizes: tuple[int, ...], span: int, lengths: list[int]) -> None:
    found = grouped(segments(*sizes, span=span), LogSettings(segment_bytes=100), len(sizes) * span)
    assert [len(group) for group in found] == lengths
    assert [segment.base_offset for group in found for segment in group] == [n * span for n in range(len(sizes))]


def test_neighbours_whose_indexes_would_not_fit_stay_apart() -> None:
    found = segments(1, 1, 1)
    for segment in found:
        for entry in range(3):
            segment.offsets.append(entry, entry)
    settings = LogSettings(segment_bytes=100, segment_index_bytes=6 * 8)
    assert [len(group) for group in grouped(found, settings, 30)] == [2, 1]


def part(shop: CleaningShop, high_watermark: int) -> tuple[int, int]:
    found = cleanable_part(shop.log, high_watermark, shop.clock.wall_ms())
    return found.first_dirty, found.end


def test_the_segment_of_the_first_unstable_offset_is_not_touched(shop: CleaningShop) -> None:
    for _ in range(3):
        shop.put(("a", "1"), ("a", "2"))
        shop.roll()
    assert [part(shop, end) for end in (0, 1, 2, 3, 4, 6)] == [(0, 0), (0, 0), (0, 2), (0, 2), (0, 4), (0, 6)]


@pytest.mark.parametrize(("noted", "first_dirty"), [(None, 1), (0, 1), (2, 2), (4, 4), (5, 1)])
def test_an_offset_that_the_log_does_not_have_counts_for_nothing(
    shop: CleaningShop, noted: int | None, first_dirty: int
) -> None:
    for _ in range(2):
        shop.put(("a", "1"), ("a", "2"))
        shop.roll()
    shop.log.delete_before(1)
    shop.log.cleaning.first_dirty = noted
    assert part(shop, 4)[0] == first_dirty


def marker(shop: CleaningShop, producer_id: int, **kind: Any) -> None:
    batch = build_marker(producer_id, 0, coordinator_epoch=0, timestamp_ms=shop.clock.wall_ms(), **kind)
    shop.log.append_as_leader(batch, 0, origin=Origin.COORDINATOR)


def test_aborted_transactions_are_still_known_when_their_segments_became_one(shop: CleaningShop) -> None:
    shop.settings = shop.log.settings = LogSettings(cleanup_policy=COMPACT)
    for producer_id in (7, 8):
        transaction = {"producer_id": producer_id, "producer_epoch": 0, "base_sequence": 0, "transactional": True}
        shop.put(("a", "1"), **transaction)
        shop.put(("b", "1"))
        shop.put(("b", "2"))
        marker(shop, producer_id, is_abort=True)
        shop.roll()
    before = shop.log.aborted_transactions(0, 8)
    assert [(each.producer_id, each.first_offset, each.last_offset) for each in before] == [(7, 0, 3), (8, 4, 7)]
    shop.clean()
    assert [segment.base_offset for segment in shop.log.segments] == [0, 8]
    assert [key for _, key, value in shop.left() if value == "1"] == ["a", "a"]
    assert shop.log.aborted_transactions(0, 8) == before
    shop.reopen(clean=True)
    assert shop.log.aborted_transactions(0, 8) == before
    shop.reopen(clean=False)
    assert shop.log.aborted_transactions(0, 8) == before


def test_an_open_transaction_bounds_the_round(shop: CleaningShop) -> None:
    shop.put(("a", "1"))
    shop.roll()
    shop.put(("a", "2"), producer_id=7, producer_epoch=0, base_sequence=0, transactional=True)
    shop.roll()
    shop.put(("a", "3"))
    shop.roll()
    assert part(shop, 3) == (0, 1)
    marker(shop, 7, is_abort=False)
    shop.roll()
    assert part(shop, 4) == (0, 4)
