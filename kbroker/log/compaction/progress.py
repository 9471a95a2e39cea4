"""What is remembered of one log between its rounds of cleaning, and how others of the log's affairs stop one.

    idle -> under way -> idle        the round's swap is over
    under way -> aborted -> idle     the log was cut; the round notices between two steps
    uncleanable                      for good: the cleaner met something that it can't read

While a round is under way no segment leaves the log; what retention would take goes with its next look.
"""

from __future__ import annotations

from kbroker.log.compaction.swap import abandon_swap
from kbroker.world import Disk


class CleaningProgress:
    """See the module. Belongs to one PartitionLog, on the state's thread."""

    __slots__ = ("first_dirty", "is_aborted", "is_under_way", "swap_base", "uncleanable")

    def __init__(self) -> None:
        self.first_dirty: int | None = None
        """Up to where the log was clean when the last round ended; None before the first."""
        self.is_under_way = False
        self.is_aborted = False
        self.swap_base: int | None = None
        """The base of a segment whose files are named .swap, while their names are on the way to the medium."""
        self.uncleanable = ""
        """Why the log is left alone; empty while it isn't."""

    def cut(self, disk: Disk, directory: str, offset: int) -> None:
        """The log is about to end at `offset`. May raise DiskFailure."""
        if self.first_dirty is not None:
            self.first_dirty = min(self.first_dirty, offset)
        if self.is_under_way:
            self.is_aborted = True
        if self.swap_base is not None:
            # A start would complete the swap, and bring back what is being cut.
            abandon_swap(disk, directory, self.swap_base)
            self.swap_base = None
