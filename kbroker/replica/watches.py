"""Who waits for a partition to make progress: delayed fetches and produces hang here, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable


class Watches:
    """A set of callbacks poked on every progress of one partition, in the order of their coming.

    A poke may add or remove watches, its own too; those added during a round wait for the next one.
    """

    __slots__ = ("_pokes",)

    def __init__(self) -> None:
        self._pokes: dict[object, Callable[[], None]] = {}

    def __len__(self) -> int:
        return len(self._pokes)

    def add(self, owner: object, poke: Callable[[], None]) -> None:
        """Poke until `owner` is removed; an owner watches a partition once."""
        self._pokes[owner] = poke

    def remove(self, owner: object) -> None:
        """Forget `owner`; harmless when it is not there."""
        self._pokes.pop(owner, None)

    def fire(self) -> None:
        """Something changed: poke everybody."""
        if self._pokes:
            for owner, poke in tuple(self._pokes.items()):
                if owner in self._pokes:
                    poke()
