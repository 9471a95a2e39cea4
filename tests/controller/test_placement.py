"""Where new partitions go."""

from collections import Counter

import pytest
from cluster import Dealt, broker

from kbroker.controller.placement import circle, place


def brokers(*nodes: int, fenced: tuple[int, ...] = (), racks: dict[int, str] | None = None):
    return {node: broker(node, fenced=node in fenced, rack=(racks or {}).get(node)) for node in nodes}


def test_leaders_are_dealt_out_evenly() -> None:
    placed = place(brokers(1, 2, 3), 9, 2, Dealt())
    assert Counter(replicas[0] for replicas in placed) == {1: 3, 2: 3, 3: 3}


def test_the_followers_of_one_leader_vary() -> None:
    placed = place(brokers(1, 2, 3, 4), 12, 2, Dealt())
    assert {replicas[1] for replicas in placed if replicas[0] == 1} == {2, 3, 4}


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_a_partition_has_distinct_replicas(factor: int) -> None:
    for replicas in place(brokers(1, 2, 3, 4), 16, factor, Dealt()):
        assert len(set(replicas)) == len(replicas) == factor


def test_fenced_brokers_are_used_only_when_the_others_do_not_suffice() -> None:
    known = brokers(1, 2, 3, fenced=(1,))
    assert not any(1 in replicas for replicas in place(known, 6, 2, Dealt()))
    for replicas in place(known, 6, 3, Dealt()):
        assert replicas[-1] == 1


def test_racks_alternate() -> None:
    known = brokers(1, 2, 3, 4, racks={1: "a", 2: "a", 3: "b", 4: "b"})
    assert circle(known.values()) == [1, 3, 2, 4]


def test_two_replicas_lie_in_two_racks() -> None:
    known = brokers(1, 2, 3, 4, racks={1: "a", 2: "a", 3: "b", 4: "b"})
    for replicas in place(known, 4, 2, Dealt()):
        assert len({known[node].rack for node in replicas}) == 2
