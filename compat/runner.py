"""Runs scenarios through clients against one broker and returns the cells' outcomes.

A client's cells share one driver while it is healthy. A fail leaves the next cell a fresh driver and, where the
broker died over it, a broker that was started again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from compat import wire
from compat.brokers import Target
from compat.cell import Cell, CheckFailedError, SkippedError
from compat.clients import CLIENTS, OTHER, Client
from compat.driver_process import DriverError, DriverProcess
from compat.environments import LOGS, BuildFailedError, Command, UnavailableError
from compat.scenarios import Scenario

Status = Literal["pass", "fail", "skip"]
#: The feature behind every cell: a client that speaks only what a broker no longer serves `wants` it.
EVERYTHING = "everything"


@dataclass(frozen=True)
class Outcome:
    """One cell; `reason` is empty for a pass."""

    client: str
    scenario: str
    status: Status
    reason: str
    seconds: float


class ClientSession:
    """One client against one broker: its driver, started when needed."""

    def __init__(
        self,
        name: str,
        command: Command,
        target: Target,
        logs: Path = LOGS,
        other: Callable[[], Command] | None = None,
    ) -> None:
        self._name = name
        self._command = command
        self._target = target
        self._logs = logs
        self._prepare_other = other
        self._driver: DriverProcess | None = None
        self._other: DriverProcess | None = None
        self.version = ""
        self.runtime = ""

    def run(self, scenario: Scenario) -> Outcome:
        """One cell, whatever happens within its deadline."""
        started = time.monotonic()
        status, reason = self._judge(scenario)
        return Outcome(self._name, scenario.name, status, reason, round(time.monotonic() - started, 2))

    def close(self) -> None:
        """End the drivers."""
        for driver in filter(None, (self._driver, self._other)):
            driver.close()
        self._driver = self._other = None

    def _judge(self, scenario: Scenario) -> tuple[Status, str]:
        try:
            # A client would wait out its whole deadline for a broker that is gone.
            wire.advertised(self._target.bootstrap)
            cell = Cell(self._healthy_driver(), self._target, scenario.timeout_s, self._healthy_other)
            for feature in (EVERYTHING, *scenario.needs):
                cell.need(feature)
            scenario.run(cell)
        except (SkippedError, UnavailableError) as skipped:
            return "skip", str(skipped)
        except (CheckFailedError, DriverError, BuildFailedError, wire.WireError) as problem:
            return "fail", str(problem) + self._clean_up()
        return "pass", ""

    def _healthy_driver(self) -> DriverProcess:
        if self._driver is None or not self._driver.is_alive:
            self._driver = self._started(self._command, self._name)
            self.version = self._driver.hello["version"]
            self.runtime = self._driver.hello["runtime"]
        return self._driver

    def _healthy_other(self) -> DriverProcess:
        assert self._prepare_other is not None, "no other client was given"
        if self._other is None or not self._other.is_alive:
            self._other = self._started(self._prepare_other(), f"{self._name}-other")
        return self._other

    def _started(self, command: Command, name: str) -> DriverProcess:
        return DriverProcess(command, self._target.bootstrap, self._logs / f"{name}.log")

    def _clean_up(self) -> str:
        """Leave nothing of a failed cell behind; tells what else was found broken."""
        for driver in filter(None, (self._driver, self._other)):
            driver.kill()
        self._driver = self._other = None
        try:
            wire.advertised(self._target.bootstrap)
        except wire.WireError as problem:
            words = self._target.last_words()
            if self._target.why_not_restartable() is None:
                self._target.kill()
                self._target.restart()
            return f" (and the broker is gone: {problem}{'; it said: ' if words else ''}{words})"
        return ""


def run_client(
    client: Client, scenarios: Sequence[Scenario], target: Target, tell: Callable[[Outcome], None]
) -> tuple[str, list[Outcome]]:
    """All cells of one client, told one by one; returns its version and runtime in words, and the outcomes."""
    outcomes: list[Outcome] = []

    def add(outcome: Outcome) -> None:
        outcomes.append(outcome)
        tell(outcome)

    try:
        session = ClientSession(client.name, client.prepare(), target, other=CLIENTS[OTHER].prepare)
    except (UnavailableError, BuildFailedError) as problem:
        status: Status = "skip" if isinstance(problem, UnavailableError) else "fail"
        for scenario in scenarios:
            add(Outcome(client.name, scenario.name, status, str(problem), 0.0))
        return "not available", outcomes
    try:
        for scenario in scenarios:
            add(session.run(scenario))
    finally:
        session.close()
    return f"{session.version} ({session.runtime})", outcomes
