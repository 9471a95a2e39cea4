"""What a broker's process costs, from /proc (Linux): CPU seconds and memory, its children included."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def cpu_seconds(pid: int) -> float:
    """User plus system time of a process, of its living children, and of those it has waited for; 10 ms steps."""
    return sum(_cpu_ticks(one) for one in _tree(pid)) / _TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Resident memory now, MB of 10^6 bytes."""
    return sum(_status_kib(one, "VmRSS") for one in _tree(pid)) * 1024 / 1e6


def peak_mb(pid: int) -> float:
    """Largest resident memory so far (VmHWM), MB of 10^6 bytes; the sum of each process's own peak."""
    return sum(_status_kib(one, "VmHWM") for one in _tree(pid)) * 1024 / 1e6


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in (_PROC / str(pid) / "task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _tree(int(child))


def _cpu_ticks(pid: int) -> int:
    # The command in parentheses may hold spaces; the fields after it start with the state, which is field 3.
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[number - 3]) for number in (14, 15, 16, 17))


def _status_kib(pid: int, key: str) -> int:
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    return 0
