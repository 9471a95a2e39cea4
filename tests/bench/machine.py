"""When the machine itself was away: a host that has sold more than it owns takes a guest's processors for a while.

On such a machine every process stands still, often for 30 ms in each 100 once both cores are busy, and no broker can
answer then. So a sentinel on each core, of real-time priority, sleeps a millisecond at a time and notes when it woke
late. It may have waited for a long call in the kernel, too, which is somebody's own doing: so no more of it counts than
the kernel has booked as stolen (in ticks of 10 ms), and only what all cores missed at once. That is taken off what the
loads took. Without the right to that priority nothing is known, and nothing is taken off.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import reduce
from pathlib import Path
from typing import IO

PRIORITY = 50
NAP_S = 0.001
#: A sentinel that slept longer was kept from its core.
OVERSLEPT_S = 0.003
READY, REFUSED = b"ready\n", b"refused\n"
NAPS_PER_LOOK = 10
"""So old may be what is known to have been stolen."""

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
STAT, STOLEN_TICKS = Path("/proc/stat"), 7
SEEN_BY_S = 0.02
"""By then the sentinels have told of an absence that has just ended."""

Span = tuple[float, float]
"""Begin and end, as time.perf_counter() gives them in every process of the machine (Linux)."""


class Machine:
    """What the sentinels say; `is_watched` is False where the system allows no sentinels."""

    def __init__(self, sentinels: Sequence[IO[bytes]]) -> None:
        """What they say, unbuffered; they have begun."""
        self._sentinels = sentinels
        self._said = [b""] * len(sentinels)
        self.is_watched = [one.readline() for one in sentinels] == [READY] * len(sentinels)
        for one in sentinels:
            os.set_blocking(one.fileno(), False)

    def absences(self) -> list[Span]:
        """So far, in order; of all cores at once."""
        time.sleep(SEEN_BY_S)
        cores: list[list[Span]] = []
        for index, one in enumerate(self._sentinels):
            with contextlib.suppress(BlockingIOError):
                while more := os.read(one.fileno(), 1 << 16):
                    self._said[index] += more
            lines = (line.split() for line in self._said[index].splitlines())
            cores.append([(float(begun), float(ended)) for begun, ended in lines])
        return reduce(common, cores) if self.is_watched else []


def present_s(span: Span, absences: Sequence[Span]) -> float:
    """Seconds of a span in which the machine was there."""
    begun, ended = span
    return ended - begun - sum(max(0.0, min(ended, until) - max(begun, since)) for since, until in absences)


@contextmanager
def watched() -> Iterator[Machine]:
    """Sentinels on the cores that this process may use, until the end of the block."""
    with ExitStack() as stack:
        sentinels = []
        for core in sorted(os.sched_getaffinity(0)):
            command = [sys.executable, "-m", "tests.bench.machine", str(core)]
            one = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0))
            stack.callback(one.kill)
            assert one.stdout is not None
            sentinels.append(one.stdout)
        yield Machine(sentinels)


def common(one: Sequence[Span], other: Sequence[Span]) -> list[Span]:
    """What spans in order have in common with others."""
    pairs = ((max(a[0], b[0]), min(a[1], b[1])) for a in one for b in other if a[0] < b[1] and b[0] < a[1])
    return sorted(pairs)


def _stand_sentinel(core: int) -> None:
    os.sched_setaffinity(0, {core})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        os.write(1, REFUSED)
        return
    os.write(1, READY)
    woken, stolen_s = time.perf_counter(), _stolen_s(core)
    for nap in itertools.count():
        time.sleep(NAP_S)
        begun, woken = woken, time.perf_counter()
        overslept_s = woken - begun - NAP_S
        if overslept_s > OVERSLEPT_S or not nap % NAPS_PER_LOOK:
            before_s, stolen_s = stolen_s, _stolen_s(core)
            # Booked in whole ticks: what is left of the last one shows next time.
            absent_s = min(overslept_s, stolen_s - before_s + TICK_S) if stolen_s > before_s else 0.0
            if absent_s > OVERSLEPT_S:
                os.write(1, f"{woken - absent_s} {woken}\n".encode())


def _stolen_s(core: int) -> float:
    """What the kernel has booked as stolen from a core since the system started."""
    for line in STAT.read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            return int(ticks[STOLEN_TICKS]) * TICK_S
    return 0.0


if __name__ == "__main__":
    _stand_sentinel(int(sys.argv[1]))
