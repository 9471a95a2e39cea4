"""Outcomes as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from compat.contracts.engine import Outcome
from compat.contracts.transcript import differences

LINES_MAX = 12
Runs = Mapping[str, Sequence[Outcome]]


def as_text(runs: Runs) -> str:
    """What is red with the reason, what differs between two brokers, and the counts."""
    lines: list[str] = []
    for bootstrap, outcomes in runs.items():
        lines.append(bootstrap)
        for outcome in outcomes:
            if outcome.status != "pass":
                mark = "FAIL" if outcome.status == "fail" else "differs on purpose"
                lines.append(f"  {mark} {outcome.contract.id} {outcome.contract.statement}")
                lines.append(f"       {outcome.reason}")
                if outcome.contract.deliberate:
                    lines.append(f"       {outcome.contract.deliberate}")
        counts = Counter(outcome.status for outcome in outcomes)
        lines.append(f"  {counts['pass']} kept, {counts['fail']} broken, {counts['differs']} different on purpose")
    compared = compare(runs)
    for id_, found in compared.items():
        lines.append(f"{id_}: answers differ")
        lines += [f"  {line}" for line in found[:LINES_MAX]]
        if len(found) > LINES_MAX:
            lines.append(f"  ... and {len(found) - LINES_MAX} more")
    return "\n".join(lines)


def as_json(runs: Runs) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "brokers": {
            bootstrap: [
                {
                    "id": outcome.contract.id,
                    "statement": outcome.contract.statement,
                    "source": outcome.contract.source,
                    "deliberate": outcome.contract.deliberate,
                    "status": outcome.status,
                    "reason": outcome.reason,
                    "seconds": round(outcome.seconds, 4),
                }
                for outcome in outcomes
            ]
            for bootstrap, outcomes in runs.items()
        },
        "differences": compare(runs),
    }


def compare(runs: Runs) -> dict[str, list[str]]:
    """Contract id -> the fields in which two brokers' answers differ; empty unless there are two brokers."""
    if len(runs) != 2:
        return {}
    one, other = runs.values()
    found = {
        left.contract.id: differences(left.exchanges, right.exchanges) for left, right in zip(one, other, strict=True)
    }
    return {id_: lines for id_, lines in found.items() if lines}
