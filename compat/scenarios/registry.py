"""The list of scenarios; a module of this package adds to it by decorating functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from compat.cell import Cell

#: Ample for a healthy broker on a busy machine; a scenario that restarts the broker or waits for its cleaner gets more.
TIMEOUT_S = 40.0
LONG_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class Scenario:
    """What is done through a client, which features it needs, and how long it may take."""

    name: str
    run: Callable[[Cell], None]
    needs: tuple[str, ...]
    restarts: bool
    waits: bool = False

    @property
    def meaning(self) -> str:
        """The first line of the function's docstring."""
        return (self.run.__doc__ or "").strip().splitlines()[0]

    @property
    def timeout_s(self) -> float:
        """The cell's deadline."""
        return LONG_TIMEOUT_S if self.restarts or self.waits else TIMEOUT_S


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    name: str, *, needs: tuple[str, ...] = (), restarts: bool = False, waits: bool = False
) -> Callable[[Callable[[Cell], None]], Callable[[Cell], None]]:
    """Register a scenario under a name that reports keep using."""

    def register(run: Callable[[Cell], None]) -> Callable[[Cell], None]:
        assert name not in SCENARIOS, f"two scenarios are called {name}"
        SCENARIOS[name] = Scenario(name, run, needs, restarts, waits)
        return run

    return register
