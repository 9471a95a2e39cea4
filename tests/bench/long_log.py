"""A log of many segments: does finding something in it, or adding to it, cost more the longer it is?

In this process, on the real disk, without sockets. Searches are of warm files and go to random places; what a search by
time adds by opening the batch that it found is measured apart. The last numbers are the memory of 1,000 segments after
a clean start, and how fast the first and the last part of a long log is appended.
"""

from __future__ import annotations

import random
import shutil
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from kbroker.log import time_search
from kbroker.log.partition_log import PartitionLog
from kbroker.log.place import LogPlace
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.clock import RealClock
from kbroker.real.disk import RealDisk
from tests.bench.packets import batch_of

MB: Final = 1_000_000
GB: Final = 1_000 * MB
SEGMENTS, QUICK_SEGMENTS = 1000, 100
LONG_BYTES, QUICK_LONG_BYTES = 20 * GB, 2 * GB
FREE_BYTES_MIN: Final = 2
"""So many times the long log must be free on the disk; otherwise it is made shorter."""
PARTS: Final = 20
SEARCHES: Final = 2000
BATCH_BYTES: Final = 16_000
SEGMENT_BYTES: Final = 1 << 20


def run(*, is_quick: bool) -> dict[str, Any]:
    """Measure everything; microseconds, MB and MB/s."""
    found: dict[str, Any] = {"segments": QUICK_SEGMENTS if is_quick else SEGMENTS}
    with tempfile.TemporaryDirectory(prefix="bench-log-") as folder:
        workshop = _Workshop(Path(folder), LogSettings(segment_bytes=SEGMENT_BYTES))
        found |= _searches(workshop, found["segments"])
        workshop.end()
    found |= _long_append(QUICK_LONG_BYTES if is_quick else LONG_BYTES)
    return found


class _Workshop:
    """One log on the real disk; completions wait until drain()."""

    def __init__(self, folder: Path, settings: LogSettings) -> None:
        self.directory = str(folder / "t-0")
        self.settings = settings
        self.disk = RealDisk(lambda action: None)
        self.log = self.opened(clean=False)

    def opened(self, *, clean: bool) -> PartitionLog:
        name, clock = TopicPartition("t", 0), RealClock()
        return PartitionLog.open(
            LogPlace(self.disk, self.directory, name, bytes(16), self.settings, clock), clean=clean
        )

    def end(self) -> None:
        self.log.close(clean=True)
        self.disk.drain()
        self.disk.close()


def _searches(workshop: _Workshop, segments: int) -> dict[str, float]:
    log, times = workshop.log, [1_000_000_000]
    while len(log.segments) < segments:
        batch = bytearray(batch_of(BATCH_BYTES, bytes(100), times[-1]).data)
        log.append_as_leader(memoryview(batch), 1)
        times.append(times[-1] + 1000)
        workshop.disk.drain()
    log.close(clean=True)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    workshop.log = log = workshop.opened(clean=True)
    memory = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    draw = random.Random(7)
    offsets = [draw.randrange(log.log_end) for _ in range(SEARCHES)]
    found = {"mb_per_1000_segments": memory / 1e6 / segments * 1000}
    for _ in range(2):  # once to warm up, and to open the files
        found["offset_us"] = _median_us(lambda offset: _read(log, offset), offsets)
        found["time_us"] = _median_us(lambda at: _find_unopened(log, at), draw.sample(times[:-1], len(times) // 2))
    with_opening = _median_us(log.offset_for_timestamp, draw.sample(times[:-1], len(times) // 2))
    return {**found, "opening_us": with_opening - found["time_us"]}


def _read(log: PartitionLog, offset: int) -> None:
    read: Any = log.read(offset, 1, log.log_end)
    read.records.release()


def _find_unopened(log: PartitionLog, timestamp: int) -> None:
    """A search by time that takes the batch it finds for its answer."""
    opened, time_search.OPENED_BATCHES_MAX = time_search.OPENED_BATCHES_MAX, 0  # type: ignore[misc]
    log.offset_for_timestamp(timestamp)
    time_search.OPENED_BATCHES_MAX = opened  # type: ignore[misc]


def _median_us(search: Callable[[int], object], arguments: list[int]) -> float:
    taken = []
    for argument in arguments:
        begun = time.perf_counter()
        search(argument)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1e6


def _long_append(size: int) -> dict[str, float]:
    """MB/s and CPU seconds per GB of the first, the middle and the last twentieth of a log."""
    with tempfile.TemporaryDirectory(prefix="bench-log-") as folder:
        size = min(size, shutil.disk_usage(folder).free // FREE_BYTES_MIN)
        workshop = _Workshop(Path(folder), LogSettings(segment_bytes=max(SEGMENT_BYTES, size // 1000)))
        batch = batch_of(MB, bytes(1024), 1_000_000_000).data
        parts = []
        for _ in range(PARTS):
            begun, cpu = time.perf_counter(), time.thread_time()
            for _ in range(size // PARTS // len(batch)):
                workshop.log.append_as_leader(memoryview(bytearray(batch)), 1)
            parts.append((time.perf_counter() - begun, time.thread_time() - cpu))
            workshop.disk.drain()
            workshop.log.sync()
            workshop.disk.drain()
        segments = len(workshop.log.segments)
        workshop.end()
    each = size / PARTS
    found: dict[str, float] = {"long_gb": size / 1e9, "long_segments": segments}
    for name, (wall, cpu) in {"first": parts[1], "middle": parts[PARTS // 2], "last": parts[-1]}.items():
        found |= {f"{name}_mb_per_s": each / wall / 1e6, f"{name}_cpu_s_per_gb": cpu / each * 1e9}
    return found


def as_text(found: dict[str, Any]) -> str:
    """For a terminal."""
    return "\n".join(f"long-log  {name:24} {value:10,.2f}" for name, value in found.items())
