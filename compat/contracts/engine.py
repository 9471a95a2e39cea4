"""Contracts, how they are declared, and how one is run against one broker."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from compat.contracts.bench import Bench
from compat.contracts.line import ConnectionClosed, NoAnswer
from compat.contracts.transcript import Exchange
from kbroker.wire.codec import MalformedFrame, Unencodable

Check = Callable[[Bench], None]

RULES = "compat.contracts.rules"
_ID = re.compile(r"[A-Z]+-\d{3}")


class Broken(AssertionError):
    """A broker answered otherwise than its contract says; the message names what, wanted and got."""


@dataclass(frozen=True)
class Contract:
    """One rule. `deliberate` says why Apache Kafka itself is expected to be red."""

    id: str
    statement: str
    source: str
    check: Check
    deliberate: str | None = None


@dataclass
class Outcome:
    """What came of a contract on one broker: "pass", "fail", or "differs" (red where that was foreseen)."""

    contract: Contract
    status: str
    reason: str = ""
    seconds: float = 0.0
    exchanges: list[Exchange] = field(default_factory=list)


def contract(id_and_statement: str, source: str, *, deliberate: str | None = None) -> Callable[[Check], Check]:
    """Declare a contract: "FETCH-017 an offset inside a batch returns the whole batch", and where the rule is from."""
    id_, _, statement = id_and_statement.partition(" ")
    assert _ID.fullmatch(id_), f"{id_!r} is no contract id such as FETCH-017"
    assert statement, f"{id_} states nothing"
    assert source, f"{id_} has no source"

    def mark(check: Check) -> Check:
        found = check.__dict__.setdefault("contracts", [])
        found.append(Contract(id_, statement, source, check, deliberate))
        return check

    return mark


def cases(
    source: str, *rows: tuple[Any, ...], deliberate: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a contract for each row, ("PRODUCE-020 statement", arguments...): `check(bench, *arguments)`."""

    def mark(check: Callable[..., None]) -> Callable[..., None]:
        found = check.__dict__.setdefault("contracts", [])
        for id_and_statement, *arguments in rows:
            mark_one = contract(id_and_statement, source, deliberate=deliberate)
            bound = mark_one(_given(check, tuple(arguments)))
            found += bound.__dict__["contracts"]
        return check

    return mark


def _given(check: Callable[..., None], arguments: tuple[Any, ...]) -> Check:
    return lambda bench: check(bench, *arguments)


def expect(what: str, actual: Any, wanted: Any) -> None:
    """`what` is `wanted`, or the contract is broken."""
    if actual != wanted:
        raise Broken(f"{what}: {actual!r}, wanted {wanted!r}")


def load_contracts() -> list[Contract]:
    """All contracts of all rule modules, by id. An id that is used twice is an error."""
    package = importlib.import_module(RULES)
    found: dict[str, Contract] = {}
    for module in pkgutil.iter_modules(package.__path__):
        for value in vars(importlib.import_module(f"{RULES}.{module.name}")).values():
            for one in getattr(value, "__dict__", {}).get("contracts", ()) if callable(value) else ():
                assert found.setdefault(one.id, one) is one, f"two contracts are called {one.id}"
    return [found[name] for name in sorted(found)]


def run_contract(one: Contract, bootstrap: str) -> Outcome:
    """Run one contract on one broker, with connections, topics and groups of its own."""
    begun = time.monotonic()
    bench = Bench(bootstrap, one.id)
    status, reason = "pass", ""
    try:
        one.check(bench)
    except Broken as broken:
        status, reason = "fail", str(broken)
    except ConnectionClosed as closed:
        status, reason = "fail", f"the broker closed the connection: {closed}"
    except (NoAnswer, MalformedFrame, Unencodable, OSError) as problem:
        status, reason = "fail", f"{type(problem).__name__}: {problem}"
    except (IndexError, KeyError, AttributeError, TypeError, ValueError, AssertionError) as problem:
        # An answer of another shape than the contract reads: as red as a wrong value.
        status, reason = "fail", f"the answer has another shape: {type(problem).__name__}: {problem}"
    finally:
        bench.close()
    if status == "fail" and one.deliberate:
        status = "differs"
    return Outcome(one, status, reason, time.monotonic() - begun, bench.exchanges)


def run_contracts(contracts: Sequence[Contract], bootstrap: str, jobs: int) -> list[Outcome]:
    """Run contracts, `jobs` at a time; the outcomes are in the order of the contracts."""
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda one: run_contract(one, bootstrap), contracts))
