"""When the machine itself was away: a host that has sold more than it owns takes a guest's processors for a while.

On such a machine every process stands still, often for 30 ms in each 100 once both cores are busy, and no broker can
answer then. So a sentinel on each core, of real-time priority, sleeps a millisecond at a time and notes when it woke
late: nothing in the guest comes before it, so whoever was late with it waited for the host. Its overslept times are
taken off what the loads took. Without the right to that priority nothing is known, and nothing is taken off.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO

PRIORITY = 50
NAP_S = 0.001
#: A sentinel that slept longer was kept from its core.
OVERSLEPT_S = 0.003
READY, REFUSED = b"ready\n", b"refused\n"
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
        """So far, in order; on whichever core, and what overlaps is one."""
        time.sleep(SEEN_BY_S)
        spans: list[Span] = []
        for index, one in enumerate(self._sentinels):
            with contextlib.suppress(BlockingIOError):
                while more := os.read(one.fileno(), 1 << 16):
                    self._said[index] += more
            for line in self._said[index].splitlines():
                begun, ended = line.split()
                spans.append((float(begun), float(ended)))
        return _united(spans)


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


def _united(spans: Sequence[Span]) -> list[Span]:
    found: list[Span] = []
    for begun, ended in sorted(spans):
        if found and begun <= found[-1][1]:
            found[-1] = found[-1][0], max(ended, found[-1][1])
        else:
            found.append((begun, ended))
    return found


def _stand_sentinel(core: int) -> None:
    os.sched_setaffinity(0, {core})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        os.write(1, REFUSED)
        return
    os.write(1, READY)
    woken = time.perf_counter()
    while True:
        time.sleep(NAP_S)
        begun, woken = woken, time.perf_counter()
        if woken - begun > OVERSLEPT_S:
            os.write(1, f"{begun + NAP_S} {woken}\n".encode())


if __name__ == "__main__":
    _stand_sentinel(int(sys.argv[1]))
