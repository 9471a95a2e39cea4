"""Which topic names may be created.

Source: Kafka's common/internals/Topic.java; a dot and an underscore are one in metric names, hence the collisions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

NAME_LENGTH_MAX: Final = 249
"""A name plus "-<partition>" and a suffix must fit a file name of 255 characters."""

_LEGAL = re.compile(r"[a-zA-Z0-9._-]+")


def name_refusal(name: str) -> str | None:
    """Why `name` is no topic name; None if it is one."""
    if not name:
        return "the topic name is empty"
    if name in (".", ".."):
        return f"a topic cannot be named '{name}'"
    if len(name) > NAME_LENGTH_MAX:
        return f"the topic name has {len(name)} characters, at most {NAME_LENGTH_MAX} are allowed"
    if _LEGAL.fullmatch(name) is None:
        return f"topic name {name!r} may hold ASCII letters, digits, '.', '_' and '-' only"
    return None


def unified(name: str) -> str:
    """The name as metrics see it. Two topics of one unified name may not both exist."""
    return name.replace(".", "_")


def unified_names(wanted: Iterable[str], existing: Iterable[str]) -> dict[str, str]:
    """Existing topics by unified name, to look for collisions in; empty when no wanted name can collide."""
    if not any(_can_collide(name) for name in wanted):
        return {}
    return {unified(name): name for name in existing if _can_collide(name)}


def _can_collide(name: str) -> bool:
    return "." in name or "_" in name
