"""Watches: everybody who waits is poked, in order, however the set changes meanwhile."""

from kbroker.replica.watches import Watches


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
