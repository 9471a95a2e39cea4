"""What every decision of the controller is: records to commit, and the answer that holds once they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal of one part of a request: Kafka's error code and a sentence for the client."""

    error: int
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """`records` go to the metadata log as one batch, all or none; `response` may be told once they are committed.

    No records: nothing changes, and the response only reports. `refuse` makes the response where the records turn out
    to be too many bytes for one batch; decisions that a client can make so large must have it.
    """

    records: Sequence[Any]
    response: Any
    refuse: Callable[[Refused], Any] | None = None
