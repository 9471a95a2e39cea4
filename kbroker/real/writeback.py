"""Is the kernel about to write back what was written? From then on any write may be made to wait, and for long.

Whoever writes waits for pages that are under way to the medium and for the file system's journal: seldom, but for up to
half a second. It begins when the dirty pages of the whole machine pass the kernel's background threshold.
Source: Linux, mm/page-writeback.c; /proc/vmstat counts in pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

VMSTAT: Final = "/proc/vmstat"

LOOK_S: Final = 0.02
"""How seldom it is looked, at some 20 us: a disk that takes 1 GB/s is 20 MB further then."""

SHARE: Final = 0.8
"""Of the threshold, from which on a look says yes."""


class Writeback:
    """Asked by one thread. A system that can't say is never about to."""

    __slots__ = ("_is_near", "_look_at", "_read")

    def __init__(self, read: Callable[[], bytes] | None = None) -> None:
        """`read` gives what /proc/vmstat says, nothing where there is none."""
        self._read = _vmstat if read is None else read
        self._look_at = 0.0
        self._is_near = False

    def is_near(self, now: float) -> bool:
        """At `now` (monotonic, in seconds), or shortly before?"""
        if now >= self._look_at:
            self._look_at = now + LOOK_S
            text = self._read()
            threshold = _count(text, b"nr_dirty_background_threshold ")
            dirty = _count(text, b"nr_dirty ") + _count(text, b"nr_writeback ")
            self._is_near = 0 < SHARE * threshold <= dirty
        return self._is_near


def _count(text: bytes, name: bytes) -> int:
    """The number behind the name, 0 without it."""
    at = text.find(b"\n" + name) + 1
    return int(text[at + len(name) : text.index(b"\n", at)]) if at else 0


def _vmstat() -> bytes:
    try:
        with open(VMSTAT, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""
