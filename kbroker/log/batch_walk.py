"""From batch to batch through a file that nobody writes: at a start, in a check, by the cleaner.

Readers of a log that is in use walk its headers alone, and know its end: see Segment.headers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from kbroker.log.nobody import nobody_told
from kbroker.record.batch import HEADER_BYTES, MAGIC, BatchHeader, read_header
from kbroker.world import File

WINDOW_BYTES: Final = 1 << 20
"""Read at once."""


def batches(
    file: File,
    size: int,
    position: int = 0,
    *,
    window_bytes: int = WINDOW_BYTES,
    on_read: Callable[[int], None] = nobody_told,
) -> Iterator[tuple[int, BatchHeader, memoryview]]:
    """(position, header, bytes) of each batch that the file is long enough for; nothing of it is judged yet.

    It ends where a length leads nowhere. `on_read` is told how many bytes each read asks for. May raise DiskFailure.
    """
    window, start = memoryview(b""), 0
    while position + HEADER_BYTES <= size:
        if position + HEADER_BYTES > start + len(window):
            length = min(max(window_bytes, HEADER_BYTES), size - position)
            window, start = _read(file, position, length, on_read), position
        header = read_header(window, position - start)
        if header.magic != MAGIC or header.size < HEADER_BYTES or position + header.size > size:
            return
        if position + header.size > start + len(window):
            length = min(max(window_bytes, header.size), size - position)
            window, start = _read(file, position, length, on_read), position
        yield position, header, window[position - start : position - start + header.size]
        position += header.size


def _read(file: File, position: int, length: int, on_read: Callable[[int], None]) -> memoryview:
    on_read(length)
    return memoryview(file.read_at(position, length))
