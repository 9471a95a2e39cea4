"""What opening a log found that neither a clean stop nor a crash leaves, and how it went on.

The log collects these; the shell says them, in one line for a log.
"""

from __future__ import annotations

from typing import NamedTuple


class Mended(NamedTuple):
    """A file in the log's directory, what was wrong with it, and what was done."""

    file: str
    problem: str
    remedy: str
    is_loss: bool = False
    """Are records gone or damaged that were on the medium? Else everything could be made anew."""

    def __str__(self) -> str:
        return f"{self.file} {self.problem}: {self.remedy}"
