"""Watches: everybody who waits is poked, in order, however the set changes meanwhile; rows are looked at in front."""

import random

import pytest

from kbroker.replica.watches import GIVEN_UP_MIN, TOLD_PER_TURN, Watches
from kbroker.testing.virtual_clock import VirtualClock


class Row:
    """Those who wait for `reached`, in one row of watches; how often one was looked at, and who was told."""

    def __init__(self):
        self.watches, self.reached, self.looks, self.told = Watches(), 0, 0, []
        self.clock = VirtualClock()

    def wait(self, end, tell=None):
        return self.watches.wait(
            self.clock, "row", end, lambda: self._is_over(end), tell or (lambda: self.told.append(end))
        )

    def _is_over(self, end):
        self.looks += 1
        return self.reached >= end

    def reach(self, end):
        self.reached = end
        self.watches.fire()
        self.clock.advance(0)


def test_watches_are_poked_in_the_order_of_their_coming():
    watches, poked = Watches(), []
    for owner in "abc":
        watches.add(owner, lambda owner=owner: poked.append(owner))
    watches.fire()
    assert poked == ["a", "b", "c"]


def test_a_watch_that_another_one_removed_is_not_poked():
    watches, poked = Watches(), []
    watches.add("a", lambda: watches.remove("b"))
    watches.add("b", lambda: poked.append("b"))
    watches.fire()
    assert poked == []
    assert len(watches) == 1


def test_a_watch_added_during_a_round_waits_for_the_next():
    watches, poked = Watches(), []
    watches.add("a", lambda: watches.add("b", lambda: poked.append("b")))
    watches.fire()
    assert poked == []
    watches.fire()
    assert poked == ["b"]


@pytest.fixture
def row():
    return Row()


def test_a_row_is_told_in_the_order_of_its_ends_however_they_came(row):
    ends = list(range(1, 101))
    random.Random(1).shuffle(ends)
    for end in ends:
        row.wait(end)
    row.reach(60)
    assert row.told == list(range(1, 61))
    row.reach(100)
    assert row.told == list(range(1, 101))
    assert len(row.watches) == 0


def test_progress_looks_at_the_front_of_a_row_only(row):
    """Each progress used to look at everybody: a thousand waiting produces took a million looks."""
    for end in range(1, 1_001):
        row.wait(end)
    for end in range(1, 1_001):
        row.reach(end)
    assert len(row.told) == 1_000
    assert row.looks == 1_999, "each of them once, and once more who is in front then"


def test_who_gave_up_is_not_told_and_holds_nobody_up(row):
    first, second = row.wait(1), row.wait(2)
    row.wait(3)
    first.give_up()
    first.give_up()
    assert len(row.watches) == 2
    row.reach(3)
    second.give_up()  # too late
    assert row.told == [2, 3]
    assert len(row.watches) == 0


def test_those_who_gave_up_are_not_kept(row):
    """A connection that ends may take thousands with it, and the partition may never progress again."""
    waiting = [row.wait(end) for end in range(1_000)]
    for one in waiting[:990]:
        one.give_up()
    (heap,) = [each._heap for each in row.watches._rows.values()]
    assert len(heap) <= 10 + GIVEN_UP_MIN + 1
    row.reach(1_000)
    assert row.told == list(range(990, 1_000))


def test_who_is_told_may_wait_again_and_give_others_up(row):
    third = row.wait(3)
    row.wait(1, lambda: (third.give_up(), row.wait(2), row.wait(5)))
    row.reach(2)
    assert row.told == [2]
    row.reach(5)
    assert row.told == [2, 5]


def test_rows_of_one_partition_do_not_wait_for_each_other():
    watches, reached, told = Watches(), {"written": 9, "flushed": 0}, []
    for name in reached:
        for end in (5, 6):
            watches.wait(
                VirtualClock(),
                name,
                end,
                lambda name=name, end=end: reached[name] >= end,
                lambda of=(name, end): told.append(of),
            )
    watches.fire()
    assert told == [("written", 5), ("written", 6)]
    reached["flushed"] = 5
    watches.fire()
    assert told[2:] == [("flushed", 5)]
    assert len(watches) == 1


def test_many_are_told_in_turns(row):
    """An fsync that 5,000 requests waited for kept the loop for 64 ms, and all their connections woke in one turn."""
    for end in range(1, 101):
        row.wait(end)
    row.reached = 100
    row.watches.fire()
    row.watches.fire()
    assert len(row.told) == TOLD_PER_TURN
    assert row.clock.advance(0) == 3, "turns"
    assert row.told == list(range(1, 101))


def test_who_comes_between_two_turns_is_told_by_the_next(row):
    for end in range(1, TOLD_PER_TURN + 3):
        row.wait(end)
    row.reached = 100
    row.watches.fire()
    assert len(row.told) == TOLD_PER_TURN
    row.wait(0)
    row.reach(100)
    assert row.told[TOLD_PER_TURN:] == [0, TOLD_PER_TURN + 1, TOLD_PER_TURN + 2]
    row.wait(200)
    row.reach(200)
    assert row.told[-1] == 200
