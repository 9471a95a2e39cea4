"""What is taken off a load's time is what the machine was away."""

from __future__ import annotations

import pytest

from tests.bench import machine


@pytest.mark.parametrize(
    ("span", "present_s"),
    [
        ((0.0, 10.0), 6.0),
        ((0.0, 1.0), 1.0),  # before
        ((1.5, 2.5), 0.5),  # into one
        ((2.5, 3.5), 0.0),  # within one
        ((3.0, 9.0), 3.0),  # out of one, over others
    ],
)
def test_only_what_overlaps_is_taken_off(span: machine.Span, present_s: float):
    assert machine.present_s(span, [(2.0, 4.0), (5.0, 6.0), (8.0, 9.0)]) == pytest.approx(present_s)


def test_only_what_all_cores_missed_at_once_counts():
    assert machine.common([(1.0, 3.0), (5.0, 6.0), (8.0, 9.0)], [(2.0, 5.5), (8.5, 8.6)]) == [
        *((2.0, 3.0), (5.0, 5.5), (8.5, 8.6))
    ]


def test_sentinels_stand_or_say_that_they_may_not():
    with machine.watched() as watch:
        assert isinstance(watch.absences(), list)
        assert watch.is_watched in (True, False)
