"""A medium that changed what it held: the log says so, and neither waits for ever nor answers with other bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from log_workshop import DIRECTORY

from kbroker.log.outcome import LogRead, Refused
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from log_workshop import Workshop

FIELDS = {
    "base offset": (0, ">q", (-1, 1 << 40)),
    "batch length": (8, ">i", (-12, 0, 48, 1 << 30, -(1 << 31) + 5)),
    "magic": (16, ">b", (0, 1, -1)),
    "last offset delta": (23, ">i", (-1, -(1 << 31))),
}
"""Header fields that walking relies on: position, format, values that no append writes."""
ROTTEN = [
    pytest.param(position, struct.pack(code, value), id=f"{name} {value}")
    for name, (position, code, values) in FIELDS.items()
    for value in values
]


def _rot(shop: Workshop, base: int, position: int, data: bytes) -> None:
    shop.disk.open(f"{DIRECTORY}/{base:020d}.log").write_at(position, [data])


@pytest.mark.parametrize(("position", "data"), ROTTEN)
def test_a_read_through_a_damaged_header_is_refused(shop: Workshop, position: int, data: bytes) -> None:
    """A batch length of -12 used to hang the broker, a large one to answer with another offset's batch."""
    shop.open(segment_bytes=500)
    for _ in range(12):
        shop.append(1)
    shop.reopen(clean=True)
    _rot(shop, 0, position, data)
    refused = shop.log.read(2, 1000, 1 << 60)
    assert isinstance(refused, Refused)
    assert refused.error == ErrorCode.CORRUPT_MESSAGE
    assert "the batch at byte 0 is damaged" in refused.reason
    assert shop.log.failure is None, "the log went offline, and its directory with it"
    assert isinstance(shop.log.read(shop.log.log_end - 1, 1000, 1 << 60), LogRead)
    shop.append(1)


@pytest.mark.parametrize(("position", "data"), ROTTEN)
def test_a_search_by_time_through_a_damaged_header_is_refused(shop: Workshop, position: int, data: bytes) -> None:
    shop.open(segment_bytes=500)
    for _ in range(12):
        shop.append(1)
    _rot(shop, 0, position, data)
    refused = shop.log.offset_for_timestamp(shop.clock.wall_ms())
    assert isinstance(refused, Refused)
    assert refused.error == ErrorCode.CORRUPT_MESSAGE
    assert shop.log.failure is None


@pytest.mark.parametrize(("position", "data"), ROTTEN)
def test_a_log_whose_last_segment_is_damaged_after_a_clean_stop_serves_the_rest(
    shop: Workshop, position: int, data: bytes
) -> None:
    """It used to hang, to end in a struct.error, then to fail the log. New batches come to a segment of their own."""
    for _ in range(5):
        shop.append(1)
    assert shop.log.close(clean=True)
    before = shop.disk.read(f"{DIRECTORY}/{0:020d}.log")
    _rot(shop, 0, position, data)
    shop.open(clean=True)
    _check_kept(shop, before, 5)
    shop.log.close(clean=False)
    shop.open(clean=False, recovery_point=5)
    _check_kept(shop, before, 6)


def _check_kept(shop: Workshop, before: bytes, end: int) -> None:
    """The first batch of a segment is damaged, no byte is gone, and the log goes on at `end`."""
    refused = shop.log.read(0, 1000, 1 << 60)
    assert isinstance(refused, Refused)
    assert refused.error == ErrorCode.CORRUPT_MESSAGE
    assert shop.append(1).base_offset == end
    assert shop.offsets(5) == list(range(5, end + 1))
    assert len(shop.disk.read(f"{DIRECTORY}/{0:020d}.log")) == len(before), "nothing is cut"


@pytest.mark.parametrize("garbage", [bytes(20), bytes(200), b"\xa5" * 200])
def test_bytes_behind_the_last_batch_are_cut_at_a_clean_start(shop: Workshop, garbage: bytes) -> None:
    """The next batch used to land behind them, where no reader came; then they failed the log."""
    shop.append(1)
    size = shop.log.size_bytes
    assert shop.log.close(clean=True)
    _rot(shop, 0, size, garbage)
    shop.open(clean=True)
    assert [str(each) for each in shop.log.mended] == [
        f"{0:020d}.log has {len(garbage)} bytes behind its last batch that are none: cut"
    ]
    assert shop.append(1).base_offset == 1
    assert shop.offsets() == [0, 1]
    assert shop.reopen(clean=True).mended == []


def test_other_segments_of_a_damaged_log_are_read_until_the_damage_is_met(shop: Workshop) -> None:
    shop.open(segment_bytes=500)
    for _ in range(12):
        shop.append(1)
    _rot(shop, 0, 8, struct.pack(">i", -12))
    assert isinstance(shop.log.read(11, 1000, 1 << 60), LogRead)


def _filled(shop: Workshop) -> list[str]:
    """Twelve segments or so, cleanly closed and without their indexes; the names of their files."""
    shop.open(segment_bytes=500)
    for _ in range(60):
        shop.append(1)
    assert shop.log.close(clean=True)
    for name in (*shop.names(".index"), *shop.names(".timeindex")):
        shop.disk.remove(f"{DIRECTORY}/{name}")
    return list(shop.names(".log"))


@pytest.mark.parametrize("at", [70, 16])
@pytest.mark.parametrize(("clean", "recovery_point"), [(True, 0), (True, 60), (False, 60)])
def test_damage_below_the_recovery_point_costs_no_other_byte(
    shop: Workshop, clean: bool, recovery_point: int, at: int
) -> None:
    """With an index missing too, the damaged segment used to be cut and all later ones removed; then the log failed."""
    names = _filled(shop)
    _rot(shop, 0, at, b"\xff\xff")
    before = [shop.disk.read(f"{DIRECTORY}/{name}") for name in names]
    log = shop.open(clean=clean, recovery_point=recovery_point)
    assert [shop.disk.read(f"{DIRECTORY}/{name}") for name in shop.names(".log")] == before
    assert f"{names[0]} is damaged at byte 0" in str(log.mended[0])
    assert [each.is_loss for each in log.mended] == [True] + [False] * (len(log.mended) - 1)
    second = log.segments[1].base_offset
    assert shop.offsets(second) == list(range(second, 60))
    assert shop.append(1).base_offset == 60


def test_damage_beyond_the_recovery_point_cuts_the_log_there(shop: Workshop) -> None:
    names = _filled(shop)
    _rot(shop, 0, 70, b"\xff\xff")
    assert len(names) > 10
    assert shop.open(clean=False).log_end == 0
    assert shop.names(".log") == names[:1]


@pytest.mark.parametrize("position", [-1, 0, 7, 300, 1 << 20])
@pytest.mark.parametrize("key", [0, 1, 2])
def test_an_index_that_leads_astray_hides_no_batch(shop: Workshop, key: int, position: int) -> None:
    """Reads used to be sent past sound batches, or to be refused where the index led into one."""
    shop.open(segment_bytes=500, index_interval_bytes=1)
    for _ in range(12):
        shop.append(1)
    assert shop.log.close(clean=True)
    shop.disk.open(f"{DIRECTORY}/{0:020d}.index").write_at(8, [struct.pack(">ii", key, position)])
    shop.open(clean=True, segment_bytes=500, index_interval_bytes=1)
    assert [shop.read(offset).first_offset for offset in range(12)] == list(range(12))
    assert shop.offsets() == list(range(12))


def test_recovery_says_what_it_cuts_of_the_records_that_were_flushed(shop: Workshop) -> None:
    """It reads the segment that holds the recovery point from its begin, as Kafka does; it used to cut in silence."""
    size = len(shop.batch(1))
    for _ in range(6):
        shop.append(1)
    _rot(shop, 0, size + 70, b"\xff\xff")
    shop.reopen(clean=False, recovery_point=4)
    assert [str(each) for each in shop.log.mended] == [
        f"{0:020d}.log is damaged at byte {size}, so that it ends at offset 1, not at 4 as when it was flushed: "
        f"{5 * size} bytes are cut, it is served up to offset 1"
    ]
    assert shop.log.mended[0].is_loss
    assert shop.log.cut == (0, 0), "said already"
    assert shop.append(1).base_offset == 1
    assert shop.reopen(clean=False, recovery_point=1).mended == []


def test_a_changed_record_at_the_very_end_is_kept_and_followed_by_a_new_segment(shop: Workshop) -> None:
    """Kafka appends behind it, and after a kill recovery cuts what was acknowledged since."""
    size = len(shop.batch(1))
    for _ in range(3):
        shop.append(1)
    assert shop.log.close(clean=True)
    _rot(shop, 0, 3 * size - 5, b"\xff")
    shop.open(clean=True)
    assert f"is damaged at byte {2 * size}" in str(shop.log.mended[0])
    assert shop.append(1).base_offset == 3
    shop.reopen(clean=False, recovery_point=3)
    assert shop.log.mended == []
    assert (shop.log.log_end, shop.read(2).first_offset, shop.read(3).first_offset) == (4, 2, 3)


@pytest.mark.parametrize("zeros", [512, 700])
def test_an_end_that_never_reached_the_medium_is_cut_after_a_clean_stop_too(shop: Workshop, zeros: int) -> None:
    """It failed the log where a header was among it, and else the log went on behind it."""
    shop.append(1)
    size = shop.log.size_bytes
    shop.append(60)
    end = shop.log.size_bytes
    assert end - size > zeros + 512
    assert shop.log.close(clean=True)
    _rot(shop, 0, (end - zeros) // 512 * 512, bytes(end - (end - zeros) // 512 * 512))
    shop.open(clean=True)
    assert "ends at offset 1, not at 61 as when it was stopped" in str(shop.log.mended[0])
    assert shop.log.size_bytes == size
    assert shop.append(1).base_offset == 1
    assert shop.reopen(clean=True).mended == []
