"""The matrix as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from compat.runner import Outcome

MARKS = {"pass": "ok", "fail": "FAIL", "skip": "skip"}
MARK_WIDTH = max(map(len, MARKS.values()))


@dataclass(frozen=True)
class Report:
    """One broker's matrix; `versions` tells for each client what really ran."""

    broker: str
    bootstrap: str
    versions: Mapping[str, str]
    outcomes: Sequence[Outcome]

    @property
    def counts(self) -> Counter[str]:
        """How many cells passed, failed, were skipped."""
        return Counter(outcome.status for outcome in self.outcomes)

    def as_text(self) -> str:
        """Scenarios as rows, clients as columns, then every reason once."""
        names = list(dict.fromkeys(outcome.scenario for outcome in self.outcomes))
        cells = {(outcome.client, outcome.scenario): MARKS[outcome.status] for outcome in self.outcomes}
        first = max(map(len, names), default=0)
        widths = {client: max(len(client), MARK_WIDTH) for client in self.versions}
        heads = "  ".join(client.ljust(width) for client, width in widths.items())
        lines = [f"{self.broker} at {self.bootstrap}", f"{' ' * first}  {heads}".rstrip()]
        for name in names:
            row = (cells.get((client, name), "-").ljust(width) for client, width in widths.items())
            lines.append(f"{name.ljust(first)}  {'  '.join(row)}".rstrip())
        lines.append("")
        lines += [f"{client}: {version}" for client, version in self.versions.items()]
        lines += self._reasons()
        counts = self.counts
        lines.append(f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "broker": self.broker,
            "bootstrap": self.bootstrap,
            "versions": dict(self.versions),
            "counts": dict(self.counts),
            "cells": [asdict(outcome) for outcome in self.outcomes],
        }

    def _reasons(self) -> list[str]:
        where: dict[tuple[str, str, str], list[str]] = {}
        for outcome in self.outcomes:
            if outcome.reason:
                key = (MARKS[outcome.status], outcome.client, outcome.reason)
                where.setdefault(key, []).append(outcome.scenario)
        return [f"{mark} {client}: {', '.join(names)}: {reason}" for (mark, client, reason), names in where.items()]
