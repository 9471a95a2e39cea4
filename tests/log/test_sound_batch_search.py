"""The search for a sound batch behind damage: what it finds, and how much it looks at whatever a client has written."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.log.recovery import find_sound_batch
from kbroker.log.segment import INT32_MAX
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.batch import HEADER_BYTES, build_batch

WINDOW_BYTES = 1 << 20
"""Of the search: what it reads at once."""


class CountedFile:
    """A file that counts the bytes that are read of it."""

    def __init__(self, data: bytes) -> None:
        self.file = MemoryDisk().open("f", create=True)
        self.file.write_at(0, [data])
        self.bytes_read = 0

    def read_at(self, position: int, length: int) -> bytes:
        data = self.file.read_at(position, length)
        self.bytes_read += len(data)
        return data


def search(data: bytes, *, expected: int = 0, base: int = 0) -> tuple[int | None, int]:
    """Where, and how many bytes were read on the way."""
    file: Any = CountedFile(data)
    return find_sound_batch(file, 0, len(data), expected, base), file.bytes_read


def batch(base_offset: int = 0, value: bytes = b"v") -> bytes:
    return bytes(build_batch([(None, value)], timestamp_ms=1, base_offset=base_offset))


@pytest.mark.parametrize("junk", [b"\2", b"\0", b"\0\0\0\0\2\0", b"\xff", batch()[:40], batch()[:-2]])
@pytest.mark.parametrize("expected", [0, (1 << 32) - 1, 1 << 40])
def test_a_sound_batch_is_found_behind_anything(junk: bytes, expected: int) -> None:
    for offset in (expected, expected + 1, expected + INT32_MAX):
        assert search(junk * 5 + batch(offset), expected=expected, base=expected)[0] == 5 * len(junk)


@pytest.mark.parametrize("offset", [4, 5 + INT32_MAX + 1, 1 << 60])
def test_a_batch_whose_offset_cannot_stand_there_is_passed_over(offset: int) -> None:
    assert search(batch(offset) + bytes(9), expected=5, base=5)[0] is None


@pytest.mark.parametrize("before", range(WINDOW_BYTES - HEADER_BYTES - 9, WINDOW_BYTES + 2, 7))
def test_a_sound_batch_is_found_across_two_windows(before: int) -> None:
    assert search(bytes(before) + batch())[0] == before


def headers_to_the_end(count: int) -> bytes:
    """Headers, one behind the other, each of a batch that has all that follows for a body."""
    head = batch()[:HEADER_BYTES]
    sizes = [HEADER_BYTES * left - 12 for left in range(count, 0, -1)]
    return b"".join(head[:8] + size.to_bytes(4, "big") + head[12:] for size in sizes)


@pytest.mark.parametrize(
    "hostile",
    [headers_to_the_end(8000), b"\0\0\0\0\2\0" * 100_000, b"\2" * 500_000],
    ids=["headers", "starts", "magic"],
)
def test_the_work_grows_with_the_bytes_whatever_a_record_holds(hostile: bytes) -> None:
    """Each header that a record held was believed: the checksums of 500 kB of them went over 2 GB, of a segment over
    more than any start has time for."""
    assert search(hostile)[1] <= 2 * WINDOW_BYTES + 6 * len(hostile)


def test_what_was_not_looked_at_counts_as_sound() -> None:
    """It is left where it is: nothing is cut that may be a promise."""
    position, _ = search(headers_to_the_end(8000))
    assert position is not None
    assert position > 0
    assert position % HEADER_BYTES == 0
