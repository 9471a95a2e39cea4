"""The in-sync replicas and the high watermark that follows from them; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kbroker.names import NodeId, Offset


@dataclass(frozen=True, slots=True)
class Committed:
    """An ISR that the controller has confirmed. Growing and Shrinking join it where replicas have peers."""

    members: frozenset[int]

    @property
    def maximal(self) -> frozenset[int]:
        """Every member that must have a record before it counts as replicated (KIP-497)."""
        return self.members


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one follower has come, by its own fetches."""

    node: NodeId
    log_end: Offset


def high_watermark(leader_end: int, followers: Iterable[Progress], isr: Committed, min_isr: int, current: int) -> int:
    """The end of what every counted replica has; never moves back.

    Unchanged while the ISR is below `min_isr` (KIP-966). The leader counts by `leader_end`, what it has written.
    """
    if len(isr.members) < min_isr:
        return current
    ends = [follower.log_end for follower in followers if follower.node in isr.maximal]
    return max(current, min([leader_end, *ends]))
