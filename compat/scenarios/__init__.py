"""All scenarios, in the order of the matrix; importing the modules registers them."""

from compat.scenarios import codecs, content, groups, restarts, seeking, topics
from compat.scenarios.registry import SCENARIOS, Scenario

__all__ = ["SCENARIOS", "Scenario", "codecs", "content", "groups", "restarts", "seeking", "topics"]
