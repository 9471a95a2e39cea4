"""What a handler knows about the request it answers, beside the request itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kbroker.handlers.node import Node

NOTES_MAX: Final = 10
"""Reasons kept of one request: one with a million wrong partitions says the same thing a million times."""

NOTE_CHARACTERS_MAX: Final = 500
"""Of one reason: names in it come from the client."""


@dataclass(slots=True, eq=False)
class RequestContext:
    """One request's surroundings; `received_ms` is monotonic protocol time."""

    node: Node
    api_version: int
    client_id: str
    client_host: str
    principal: str
    listener_name: str
    local_host: str
    local_port: int
    received_ms: int
    is_long: bool = False
    """Has the request so many elements that reading it took turns?"""
    refusals: list[str] = field(default_factory=list)

    def note(self, reason: str) -> None:
        """Keep why something was refused, for the log of recent requests (never sent to the client)."""
        if len(self.refusals) < NOTES_MAX:
            self.refusals.append(reason[:NOTE_CHARACTERS_MAX])
