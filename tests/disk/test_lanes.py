"""What the end of a queue's threads waits for: all that is queued, or what is under way."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

import pytest

from kbroker.real import lanes
from kbroker.real.disk import RealDisk
from kbroker.real.lanes import Lane


@pytest.fixture
def is_ending(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once threads are told to end: by then their lane knows whether it drops."""
    told = threading.Event()

    class Queue(SimpleQueue[Any]):
        def put(self, item: Any, *rest: Any) -> None:
            super().put(item, *rest)
            if item is None:
                told.set()

    monkeypatch.setattr(lanes, "SimpleQueue", Queue)
    return told


@pytest.mark.parametrize(("drops", "expected"), [(False, [0, 1, 2]), (True, [0])])
def test_a_lane_ends_with_all_that_is_queued_or_with_what_is_under_way(
    is_ending: threading.Event, drops: bool, expected: list[int]
) -> None:
    lane, done, has_begun = Lane("x", 1), list[int](), threading.Event()

    def first() -> None:
        has_begun.set()
        assert is_ending.wait(5)
        done.append(0)

    lane.put(first)
    for number in (1, 2):
        lane.put(lambda number=number: done.append(number))  # type: ignore[misc]
    assert has_begun.wait(5)
    lane.close(drops=drops)
    assert done == expected


@pytest.mark.parametrize(("kind", "expected"), [("in_worker", [0, 1]), ("in_remover", [0])])
def test_a_disk_that_closes_does_what_is_queued_but_begins_no_removal(
    is_ending: threading.Event, kind: str, expected: list[int]
) -> None:
    """The next start finds what is to be removed."""
    disk, done, has_begun = RealDisk(lambda action: None, workers_max=1), list[int](), threading.Event()

    def first() -> None:
        has_begun.set()
        assert is_ending.wait(5)
        done.append(0)

    getattr(disk, kind)(first, lambda result: None)
    getattr(disk, kind)(lambda: done.append(1), lambda result: None)
    assert has_begun.wait(5)
    disk.close()
    assert done == expected
