"""All scenarios, in the order of the matrix; importing the modules registers them."""

from compat.scenarios import codecs, content, exchange, groups, keeping, restarts, seeking, topics
from compat.scenarios.registry import SCENARIOS, Scenario

__all__ = [
    "SCENARIOS",
    "Scenario",
    "codecs",
    "content",
    "exchange",
    "groups",
    "keeping",
    "restarts",
    "seeking",
    "topics",
]
