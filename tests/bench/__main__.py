"""The command: `python -m tests.bench [--only LINE]... [--quick] [--without-kafka] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from compat.reference.jars import ReferenceUnavailableError, missing_tool
from tests.bench import beside, brokers, in_process, long_log, report
from tests.bench.lines import LINES, Line
from tests.bench.measure import run_lines

ROUNDS, QUICK_ROUNDS = 5, 2
#: The generator and both brokers share these many cores; more would hide what a request costs.
CORES = 2
#: The set of lines that needs no broker; see `codec.py`.
CODEC = "codec"
#: The set that loads a broker of its own while another connection looks at its watch; see `beside.py`.
BESIDE = "never-in-the-way"
#: A log of many segments, in this process; see `long_log.py`.
LONG = "long-log"
#: Brokers in this process; see `in_process.py`.
IN_PROCESS = "in-process"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table; 1 when the run itself failed, 0 whether the goals are reached or not."""
    chosen = _parser().parse_args(arguments)
    if not sys.platform.startswith("linux"):
        _say("the measurements read /proc and pin cores: they need Linux")
        return 1
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    lines = [line for line in LINES if not chosen.only or line.name in chosen.only]
    found: dict[str, Any] = {}
    try:
        if not chosen.only or CODEC in chosen.only:
            found[CODEC] = _measure_codec()
        if not chosen.only or IN_PROCESS in chosen.only:
            found[IN_PROCESS] = in_process.run(is_quick=chosen.quick)
            print(in_process.as_text(found[IN_PROCESS]), flush=True)
        if not chosen.only or BESIDE in chosen.only:
            found[BESIDE] = beside.run(chosen.variant or [], is_quick=chosen.quick, say=_say)
        if not chosen.only or LONG in chosen.only:
            found[LONG] = long_log.run(is_quick=chosen.quick)
            print(long_log.as_text(found[LONG]), flush=True)
        if lines:
            found |= _measure_brokers(chosen, lines)
    except (RuntimeError, ReferenceUnavailableError) as problem:
        _say(f"the measurement failed: {problem}")
        return 1
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))
    return 0


def _measure_codec() -> list[dict[str, Any]]:
    from tests.bench import codec  # kafka-python and construct: not for those who only measure brokers

    measured = list(codec.costs())
    print(codec.as_text(measured), flush=True)
    return [asdict(cost) for cost in measured]


def _measure_brokers(chosen: argparse.Namespace, lines: Sequence[Line]) -> dict[str, Any]:
    us = brokers.foreign(chosen.against) if chosen.against else brokers.kbroker()
    kafka = None if chosen.without_kafka else brokers.apache_kafka()
    if kafka and (problem := missing_tool()):
        _say(f"{problem}; measuring without Apache Kafka")
        kafka = None
    rounds = chosen.rounds or (QUICK_ROUNDS if chosen.quick else ROUNDS)
    samples = run_lines(lines, [us, kafka] if kafka else [us], rounds, chosen.quick, _say)
    table = report.rows(lines, samples, us.name, kafka.name if kafka else None)
    print(report.as_text(table))
    about = {"us": us.name, "kafka": kafka and kafka.name, "rounds": rounds, "quick": chosen.quick, "cores": CORES}
    return report.as_json(table, samples, about)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=[CODEC, BESIDE, LONG, IN_PROCESS, *(line.name for line in LINES)],
        help="may be given again",
    )
    parser.add_argument(
        "--variant", action="append", choices=[one.name for one in beside.VARIANTS], help=f"of {BESIDE}; default all"
    )
    parser.add_argument("--quick", action="store_true", help="an eighth of the load, two rounds: a smoke test")
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}, quick {QUICK_ROUNDS}")
    parser.add_argument("--without-kafka", action="store_true", help="no comparison, no Java needed")
    parser.add_argument("--against", metavar="HOST:PORT=PID", help="measure this running broker in kbroker's place")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and single rounds")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
