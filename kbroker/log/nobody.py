"""What stands where nobody asked to be told: callbacks of a log that stands alone, results that change nothing."""

from __future__ import annotations


def nobody_told(*news: object) -> None:
    """Nobody listens, yet or ever."""


def only_costs_space(result: object) -> None:
    """A file that could not be removed costs space, nothing else; the next start tries again."""
