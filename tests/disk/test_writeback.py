"""Writes leave the loop before the kernel makes whoever writes wait."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from kbroker.real import disk as disk_module
from kbroker.real.disk import RealDisk
from kbroker.real.writeback import LOOK_S, Writeback

VMSTAT = b"nr_free_pages 9\nnr_dirty %d\nnr_writeback %d\nnr_dirty_threshold 2000\nnr_dirty_background_threshold 1000\n"


@pytest.mark.parametrize(
    ("dirty", "written_back", "is_near"), [(0, 0, False), (799, 0, False), (800, 0, True), (500, 300, True)]
)
def test_it_is_near_at_four_fifths_of_the_background_threshold(dirty: int, written_back: int, is_near: bool) -> None:
    assert Writeback(lambda: VMSTAT % (dirty, written_back)).is_near(1.0) is is_near


@pytest.mark.parametrize("text", [b"", b"nr_free_pages 9\n", b"nr_free_pages 9\nnr_dirty 7\n"])
def test_a_system_that_cannot_say_is_never_near(text: bytes) -> None:
    assert Writeback(lambda: text).is_near(1.0) is False


def test_it_is_looked_at_seldom() -> None:
    looks: list[bytes] = []
    writeback = Writeback(lambda: looks.append(b"") or VMSTAT % (900, 0))  # type: ignore[func-returns-value]
    assert [writeback.is_near(1.0 + part * LOOK_S / 4) for part in range(5)] == [True] * 5
    assert len(looks) == 2


def test_writes_are_a_threads_while_the_kernel_writes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first write that stalled used to be the loop's: 1 MB took 0.4 and 0.6 s of everybody's time."""
    now, dirty = [1000.0], [0]
    monkeypatch.setattr(disk_module.time, "monotonic", lambda: now[0])
    disk = RealDisk(SimpleQueue[Any]().put, writeback=Writeback(lambda: VMSTAT % (dirty[0], 0)))
    file = disk.open(str(tmp_path / "a"), create=True)
    lines = []
    for dirty[0] in (0, 900, 900, 100):
        lines.append(disk.write(file, 0, [b"records"], lambda failure: None))
        disk.drain()
        now[0] += LOOK_S
    disk.close()
    assert [line is None for line in lines] == [True, False, False, True]
