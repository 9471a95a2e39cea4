"""From samples to rows: medians, our value divided by Kafka's round by round, and the spread of that."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.lines import Line
from tests.bench.measure import Samples

HEADINGS = ("line", "metric", "goal", "us", "Kafka", "ratio", "spread", "reached")


@dataclass(frozen=True)
class Row:
    """One metric of one line; `ratio` is the median of the rounds' ratios, `low` and `high` their extremes."""

    line: str
    metric: str
    goal: str
    us: float | None
    kafka: float | None
    ratio: float | None
    low: float | None
    high: float | None
    is_reached: bool | None


def rows(lines: Sequence[Line], samples: Samples, us: str, kafka: str | None) -> list[Row]:
    """One row per metric, in the order of the lines; lines without samples are left out."""
    table = []
    for line in lines:
        if line.name in samples:
            ours, theirs = samples[line.name].get(us, []), samples[line.name].get(kafka or "", [])
            table += [_row(line, metric, ours, theirs) for metric in line.metrics]
    return table


def _row(line: Line, metric: str, ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> Row:
    # A broker can do a small round within one 10 ms step of the CPU clock: nothing to divide by then.
    pairs = [(a[metric], b[metric]) for a, b in zip(ours, theirs, strict=False) if b[metric] > 0]
    ratios = [mine / other for mine, other in pairs]
    ratio = statistics.median(ratios) if ratios else None
    value = statistics.median(one[metric] for one in ours) if ours else None
    kafka = statistics.median(one[metric] for one in theirs) if theirs else None
    goal = line.metrics[metric]
    low, high = (min(ratios), max(ratios)) if ratios else (None, None)
    is_reached = goal.is_met(value, ratio) if goal else None
    return Row(line.name, metric, str(goal or ""), value, kafka, ratio, low, high, is_reached)


def as_text(table: Sequence[Row]) -> str:
    """The table for a terminal, also valid Markdown."""
    cells = [HEADINGS, tuple("-" for _ in HEADINGS), *(_cells(row) for row in table)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    widths = [max(3, width) for width in widths]
    cells[1] = tuple("-" * width for width in widths)
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    )


def as_json(table: Sequence[Row], samples: Samples, about: dict[str, Any]) -> dict[str, Any]:
    """Everything, the single rounds included."""
    return {"about": about, "rows": [asdict(row) for row in table], "samples": samples}


def _cells(row: Row) -> tuple[str, ...]:
    spread = f"{row.low:.2f}-{row.high:.2f}" if row.low is not None and row.high is not None else ""
    ratio = f"{row.ratio:.2f}x" if row.ratio is not None else ""
    reached = {True: "yes", False: "NO", None: ""}[row.is_reached]
    return (row.line, row.metric, row.goal, _number(row.us), _number(row.kafka), ratio, spread, reached)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
