"""The command `python -m compat`: the matrix against an address, our own broker, Apache Kafka."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

from compat import brokers
from compat.brokers import Target
from compat.clients import CLIENTS, CURRENT_KAFKA, OLD_KAFKA, Client
from compat.reference.jars import ReferenceUnavailableError, missing_tool
from compat.report import MARKS, Report
from compat.runner import Outcome, run_client
from compat.scenarios import SCENARIOS, Scenario

EXIT_FAILED = 1
EXIT_NO_BROKER = 3
KAFKA_VERSIONS = (CURRENT_KAFKA, OLD_KAFKA)

Named = TypeVar("Named", Client, Scenario)
Opened = tuple[AbstractContextManager[Target], Sequence[Client]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the matrix; 0 when nothing failed, 1 on a fail, 2 for a wrong argument, 3 when a broker didn't start."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.list:
        print(_listing())
        return 0
    clients = _named(parser, "client", CLIENTS, chosen.client)
    scenarios = _named(parser, "scenario", SCENARIOS, chosen.scenario)
    reports = []
    try:
        for opened, its_clients in _targets(chosen, clients):
            with opened as target:
                reports.append(_run(target, its_clients, scenarios))
    except (brokers.BrokerDiedError, ReferenceUnavailableError) as problem:
        print(problem, file=sys.stderr)
        return EXIT_NO_BROKER
    for report in reports:
        print(f"\n{report.as_text()}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps([report.as_json() for report in reports], indent=1) + "\n")
    return EXIT_FAILED if any(report.counts["fail"] for report in reports) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compat", description="Stock clients by scenarios, as a matrix.")
    parser.add_argument("-b", "--bootstrap", metavar="HOST:PORT", help="a broker that runs; without it ours is started")
    parser.add_argument("--with-kafka", action="store_true", help="Apache Kafka as well, when Java and Maven are there")
    parser.add_argument("--only-kafka", action="store_true", help="Apache Kafka alone: are the scenarios right?")
    parser.add_argument("--client", action="append", metavar="NAME", help="only this client (may be repeated)")
    parser.add_argument("--scenario", action="append", metavar="NAME", help="only this scenario (may be repeated)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there too")
    parser.add_argument("--list", action="store_true", help="print clients and scenarios, run nothing")
    return parser


def _named(
    parser: argparse.ArgumentParser, kind: str, known: Mapping[str, Named], wanted: Sequence[str] | None
) -> list[Named]:
    for name in wanted or ():
        if name not in known:
            parser.error(f"unknown {kind} {name!r}; known: {', '.join(known)}")
    return [one for name, one in known.items() if wanted is None or name in wanted]


def _targets(chosen: argparse.Namespace, clients: Sequence[Client]) -> list[Opened]:
    """What to run against, each opened when its turn comes, and the clients that it is to serve."""
    if chosen.only_kafka:
        return _judges(clients)
    bootstrap = chosen.bootstrap
    ours = nullcontext(brokers.ForeignBroker(bootstrap)) if bootstrap else brokers.kbroker()
    if not chosen.with_kafka:
        return [(ours, clients)]
    if problem := missing_tool():
        print(f"Apache Kafka is left out: {problem}")
        return [(ours, clients)]
    return [(ours, clients), *_judges(clients)]


def _judges(clients: Sequence[Client]) -> list[Opened]:
    """Apache Kafka in the releases that speak these clients' versions."""
    judged = {version: [client for client in clients if client.judge == version] for version in KAFKA_VERSIONS}
    return [(brokers.apache_kafka(version), those) for version, those in judged.items() if those]


def _listing() -> str:
    width = max(map(len, [*CLIENTS, *SCENARIOS]))
    lines = ["clients"] + [f"  {client.name.ljust(width)}  {client.version}" for client in CLIENTS.values()]
    lines += ["scenarios"] + [f"  {one.name.ljust(width)}  {one.meaning}" for one in SCENARIOS.values()]
    return "\n".join(lines)


def _run(target: Target, clients: Sequence[Client], scenarios: Sequence[Scenario]) -> Report:
    print(f"{target.name} at {target.bootstrap}", flush=True)
    versions: dict[str, str] = {}
    outcomes: list[Outcome] = []
    for client in clients:
        versions[client.name], cells = run_client(client, scenarios, target, _tell)
        outcomes += cells
    return Report(target.name, target.bootstrap, versions, outcomes)


def _tell(outcome: Outcome) -> None:
    line = f"  {MARKS[outcome.status]:4} {outcome.client} {outcome.scenario} {outcome.seconds:.1f} s"
    print(f"{line}: {outcome.reason}" if outcome.reason else line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
