"""Randomness for tests that want none: what is drawn next is known."""

from __future__ import annotations


class CountingEntropy:
    """world.Entropy that deals: uuids `first`, `first` + 1, ... as 16 bytes, and numbers 0, 1, 2, ... below the end."""

    def __init__(self, first: int = 1) -> None:
        self._uuid = first
        self._number = 0

    def uuid(self) -> bytes:
        """See world.Entropy."""
        self._uuid += 1
        return (self._uuid - 1).to_bytes(16, "big")

    def below(self, end: int) -> int:
        """See world.Entropy."""
        self._number += 1
        return (self._number - 1) % end
