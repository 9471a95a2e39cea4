"""The table says what the samples say."""

from __future__ import annotations

import pytest

from tests.bench import report
from tests.bench.lines import Goal, Line

LINE = Line("one", "", "load", {"mb_per_s": Goal("ratio", at_least=1.2)})


def row_of(ours: list[float], theirs: list[float], line: Line = LINE) -> report.Row:
    samples = {"one": {"us": [{"mb_per_s": value} for value in ours], "kafka": [{"mb_per_s": v} for v in theirs]}}
    (row,) = report.rows([line], samples, "us", "kafka")
    return row


def test_the_ratio_is_taken_round_by_round_and_its_median_is_judged():
    row = row_of([100.0, 300.0, 400.0], [100.0, 200.0, 100.0])
    assert (row.ratio, row.low, row.high, row.is_reached) == (1.5, 1.0, 4.0, True)
    assert (row.us, row.kafka) == (300.0, 100.0)


@pytest.mark.parametrize(
    ("goal", "value", "is_reached"),
    [
        (Goal("value", at_most=60), 59.0, True),
        (Goal("value", at_most=60), 61.0, False),
        (Goal("ratio", at_least=1.2), 1000.0, None),  # nothing to divide by
    ],
)
def test_without_a_comparison_only_goals_on_the_value_are_judged(goal, value, is_reached):
    assert row_of([value], [], Line("one", "", "load", {"mb_per_s": goal})).is_reached is is_reached


def test_a_round_in_which_kafka_took_no_measurable_time_gives_no_ratio():
    row = row_of([1.0, 3.0], [0.0, 2.0])
    assert (row.ratio, row.low, row.high) == (1.5, 1.5, 1.5)


def test_every_cell_of_a_column_is_equally_wide():
    lines = report.as_text([row_of([100.0], [90.0]), row_of([5.0], [])]).splitlines()
    assert len({len(line) for line in lines}) == 1
