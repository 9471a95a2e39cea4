"""The in-sync replicas and the high watermark that follows from them; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Committed:
    """An ISR that the controller has confirmed. Growing and Shrinking join it where replicas have peers."""

    members: frozenset[int]

    @property
    def maximal(self) -> frozenset[int]:
        """Every member that must have a record before it counts as replicated (KIP-497)."""
        return self.members


def high_watermark(
    leader: int, leader_end: int, followers: Mapping[int, int], isr: Committed, min_isr: int, current: int
) -> int:
    """The end of what every counted replica has; never moves back.

    The leader counts by `leader_end`, what it has written; `followers` maps nodes to how far their fetches show them to
    be, and a member that has not fetched yet holds the mark where it is. Unchanged while the ISR is below `min_isr`
    (KIP-966).
    """
    if len(isr.members) < min_isr:
        return current
    ends = [followers.get(node, current) for node in isr.maximal if node != leader]
    return max(current, min([leader_end, *ends]))
