"""What is measured, and what we want to reach against warm Apache Kafka on the same two cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MB = 1_000_000
QUICK_DIVISOR = 8


@dataclass(frozen=True)
class Goal:
    """A bound on our value (`of="value"`) or on ours divided by Kafka's (`of="ratio"`)."""

    of: str
    at_least: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        """As in the table: `>= 1.2x` or `< 60`."""
        unit = "x" if self.of == "ratio" else ""
        return f">= {self.at_least}{unit}" if self.at_least is not None else f"<= {self.at_most}{unit}"

    def is_met(self, value: float | None, ratio: float | None) -> bool | None:
        """Whether it is reached; None where there is nothing to compare with."""
        found = value if self.of == "value" else ratio
        if found is None:
            return None
        return found >= self.at_least if self.at_least is not None else found <= (self.at_most or 0)


@dataclass(frozen=True)
class Line:
    """One load: which function of the generator, with what, and the goal of each of its metrics (None: just shown)."""

    name: str
    title: str
    load: str
    metrics: Mapping[str, Goal | None]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    #: The argument that sets how much work a round does; `--quick` divides it.
    amount: str = ""

    def sized(self, is_quick: bool) -> dict[str, Any]:
        """The arguments of a round."""
        arguments = dict(self.arguments)
        if is_quick and self.amount:
            arguments[self.amount] = max(1, arguments[self.amount] // QUICK_DIVISOR)
        return arguments


def _at_least(ratio: float) -> Goal:
    return Goal("ratio", at_least=ratio)


def _at_most(ratio: float) -> Goal:
    return Goal("ratio", at_most=ratio)


def _produce(name: str, title: str, request_bytes: int, value_bytes: int, total_bytes: int, **goals: Goal) -> Line:
    arguments = {"request_bytes": request_bytes, "value_bytes": value_bytes, "total_bytes": total_bytes}
    return Line(name, title, "timed_produce", goals, arguments, "total_bytes")


def _fetch(name: str, title: str, max_bytes: int) -> Line:
    arguments = {"max_bytes": max_bytes, "total_bytes": 256 * MB, "passes": 8}
    return Line(
        name, title, "timed_fetch", {"mb_per_s": _at_least(1.3), "cpu_s_per_gb": None}, arguments, "total_bytes"
    )


#: Needs fresh processes, so `measure.py` runs it by itself; always with all its metrics.
START = Line(
    "start",
    "process start to first record fetched back; then idle",
    "",
    {"start_s": Goal("value", at_most=0.35), "idle_mb": Goal("value", at_most=60)},
)
#: Taken from the brokers that carried the load, at the end.
PEAK = Line("peak", "largest resident memory under all this load", "", {"peak_mb": None})

LINES = (
    _produce(
        "produce-100b", "produce, 1 MB requests of 100 B records, acks=1", MB, 100, 512 * MB,
        mb_per_s=_at_least(1.0), cpu_s_per_gb=_at_most(0.95),
    ),
    _produce(
        "produce-1k", "produce, 1 MB requests of 1 KiB records, acks=1", MB, 1024, 512 * MB,
        mb_per_s=_at_least(1.0), cpu_s_per_gb=_at_most(0.95),
    ),
    _produce(
        "produce-16k", "produce, 16 KB requests of 1 KiB records", 16_000, 1024, 128 * MB,
        mb_per_s=_at_least(1.2), cpu_s_per_gb=_at_most(0.7),
    ),
    Line(
        "one-record", "produce, pipelined requests of one 100 B record", "timed_one_record",
        {"requests_per_s": _at_least(1.5), "cpu_us_per_request": None}, {"count": 40_000}, "count",
    ),
    Line(
        "lz4", "produce, lz4 batches through librdkafka", "timed_lz4",
        {"cpu_s_per_gb": _at_most(0.3), "mb_per_s": None}, {"records": 400_000}, "records",
    ),
    _fetch("fetch-1m", "fetch, 1 MB at most", 1 << 20),
    _fetch("fetch-50m", "fetch, 50 MB at most", 50 << 20),
    Line(
        "latency", "end to end through librdkafka", "timed_latency",
        {"p50_ms": None, "p99_ms": _at_most(0.5)}, {"messages": 3000}, "messages",
    ),
    START,
    PEAK,
)  # fmt: skip
