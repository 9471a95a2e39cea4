"""Runs the lines: both brokers up at once, rounds interleaved, the order turned round every time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from tests.bench.brokers import Contender
from tests.bench.lines import LINES, PEAK, START, Line
from tests.bench.loads import Target
from tests.bench.processes import peak_mb
from tests.bench.worker import measure

#: Line name -> contender name -> one dict of metrics per round.
Samples = dict[str, dict[str, list[dict[str, float]]]]
#: Deletions of the round before have been carried out by then.
SETTLE_S = 0.4
#: Many small requests and much data, both ways: a JVM that has seen less than that is measured half compiled.
WARM_UP = ("one-record", "produce-16k", "produce-1k", "fetch-1m")


def run_lines(
    lines: Sequence[Line],
    contenders: Sequence[Contender],
    rounds: int,
    is_quick: bool,
    say: Callable[[str], None],
) -> Samples:
    """Measure every line against every contender."""
    samples: Samples = {}
    if START in lines:
        samples[START.name] = _starts(contenders, rounds, say)
    loads = [line for line in lines if line.load]
    if not loads:
        return samples
    with ExitStack() as stack:
        targets = {one.name: stack.enter_context(one.run()) for one in contenders}
        for line in (line for line in LINES if line.name in WARM_UP):
            _one_round(line, targets, -1, is_quick)
        for line in loads:
            samples[line.name] = _interleaved(line, targets, rounds, is_quick, say)
        if PEAK in lines:
            samples[PEAK.name] = {name: [{"peak_mb": peak_mb(target.pid)}] for name, target in targets.items()}
    return samples


def _interleaved(
    line: Line, targets: Mapping[str, Target], rounds: int, is_quick: bool, say: Callable[[str], None]
) -> dict[str, list[dict[str, float]]]:
    """The rounds of one line; round 0 isn't measured, so that the JVM has compiled what the load needs."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in targets}
    for number in range(rounds + 1):
        for name, metrics in _one_round(line, targets, number, is_quick).items():
            if number:
                taken[name].append(metrics)
                say(f"{line.name} round {number} {name}: {_short(metrics)}")
    return taken


def _one_round(line: Line, targets: Mapping[str, Target], number: int, is_quick: bool) -> dict[str, dict[str, float]]:
    """Every contender once; who comes first changes from round to round."""
    taken = {}
    for name in list(targets)[:: 1 if number % 2 else -1]:
        # Both start with clean pages: otherwise one pays for what the other wrote.
        os.sync()
        time.sleep(SETTLE_S)
        arguments = {**line.sized(is_quick), "topic": f"bench-{line.name}-{number}"}
        taken[name] = measure(line.load, targets[name], arguments)
    return taken


def _starts(
    contenders: Sequence[Contender], rounds: int, say: Callable[[str], None]
) -> dict[str, list[dict[str, float]]]:
    taken: dict[str, list[dict[str, float]]] = {one.name: [] for one in contenders if one.start_once}
    for number in range(rounds):
        for one in contenders:
            if one.start_once:
                metrics = one.start_once()
                taken[one.name].append(metrics)
                say(f"{START.name} round {number + 1} {one.name}: {_short(metrics)}")
    return taken


def _short(metrics: Mapping[str, float]) -> str:
    return " ".join(f"{key}={value:.3g}" for key, value in metrics.items())
