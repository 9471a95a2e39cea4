"""The command `python -m compat.contracts`: every contract on one broker, or on two side by side."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from compat.contracts.engine import Contract, Outcome, load_contracts, run_contracts
from compat.contracts.report import as_json, as_text

JOBS = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the contracts; 0 when none failed, 1 when one did, 2 for a wrong argument, 3 for no broker."""
    parser = argparse.ArgumentParser(prog="python -m compat.contracts", description="Rules of the wire, one by one.")
    parser.add_argument("-b", "--bootstrap", metavar="HOST:PORT", help="the broker to check")
    parser.add_argument("--against", metavar="HOST:PORT", help="compare every answer with this broker's")
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="these only: FETCH-017, or FETCH")
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help=f"how many at a time ({JOBS})")
    parser.add_argument("--strict", action="store_true", help="a deliberate difference is a failure too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there too")
    parser.add_argument("--list", action="store_true", help="print the contracts, run nothing")
    chosen = parser.parse_args(arguments)
    contracts = _chosen(load_contracts(), chosen.only)
    if not contracts:
        parser.error(f"no contract is called {', '.join(chosen.only)}")
    if chosen.list:
        print("\n".join(f"{one.id} {one.statement} [{one.source}]" for one in contracts))
        return 0
    if chosen.bootstrap is None:
        parser.error("-b HOST:PORT is needed")
    runs: dict[str, list[Outcome]] = {}
    for bootstrap in filter(None, (chosen.bootstrap, chosen.against)):
        try:
            runs[bootstrap] = run_contracts(contracts, bootstrap, chosen.jobs)
        except OSError as problem:
            print(f"{bootstrap}: {problem}", file=sys.stderr)
            return 3
    print(as_text(runs))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(as_json(runs), indent=1) + "\n")
    failing = {"fail", "differs"} if chosen.strict else {"fail"}
    return int(any(outcome.status in failing for outcomes in runs.values() for outcome in outcomes))


def _chosen(contracts: Sequence[Contract], wanted: Sequence[str]) -> list[Contract]:
    return [one for one in contracts if not wanted or any(one.id == w or one.id.startswith(f"{w}-") for w in wanted)]


if __name__ == "__main__":
    sys.exit(main())
