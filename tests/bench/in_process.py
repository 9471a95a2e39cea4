"""A broker in a caller's own process, after the first: from `run()` to the answer of a first Metadata request."""

from __future__ import annotations

import statistics
import time

from kbroker.testing import run as run_broker
from tests.testing.test_in_process import topics_of

GOAL_MS = 5.0
ROUNDS, QUICK_ROUNDS = 100, 20


def run(*, is_quick: bool) -> dict[str, float]:
    """Milliseconds by the clock and on the processor: the best, and the median."""
    walls, cpus = [], []
    for number in range((QUICK_ROUNDS if is_quick else ROUNDS) + 1):
        begun, cpu = time.perf_counter(), time.process_time()
        with run_broker() as broker:
            topics_of(broker.bootstrap)
            wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
            if number:  # the first one compiles and imports
                walls.append(wall * 1e3)
                cpus.append(cpu * 1e3)
    return {
        "up_ms_best": min(walls),
        "up_ms_median": statistics.median(walls),
        "up_cpu_ms_median": statistics.median(cpus),
    }


def as_text(found: dict[str, float]) -> str:
    """For a terminal."""
    lines = [f"in-process  {name:20} {value:8.2f}" for name, value in found.items()]
    verdict = "reached" if found["up_ms_median"] <= GOAL_MS else "missed"
    return "\n".join([*lines, f"in-process  goal {GOAL_MS} ms: {verdict}"])
