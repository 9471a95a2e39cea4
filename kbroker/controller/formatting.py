"""What a formatted directory begins with: feature levels of a release, and who votes.

Levels and their defaults are Apache Kafka 4.3's; those that this broker does not serve are written all the same, so
that an Apache Kafka node that takes the directory over has what it would have asked for. Clients are not told of them.

Source: Kafka's Formatter, Feature and MetadataVersion; outcomes and wording of `kafka-storage format`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from kbroker.metadata.image import METADATA_VERSION
from kbroker.metadata.records import METADATA_VERSION_LATEST, METADATA_VERSION_LOWEST
from protocol_specs.metadata.feature_level import FeatureLevelRecord

KRAFT_VERSION: Final = "kraft.version"
_FIRST_LEVEL: Final = 7

RELEASES: Final = (
    *("3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2", "3.7-IV0", "3.7-IV1"),
    *("3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0", "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0"),
    *("4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0"),
)
"""Names of the levels of metadata.version, from level 7 on."""

FEATURES: Final[Mapping[str, tuple[int, int, int]]] = {
    "eligible.leader.replicas.version": (1, 1, 26),
    "group.version": (1, 1, 22),
    "share.version": (1, 1, 28),
    "streams.version": (1, 1, 29),
    "transaction.version": (2, 2, 24),
}
"""Highest level, default level, and the metadata.version from which that is the default; before it is 0."""

_NEEDED_RELEASES: Final = {"eligible.leader.replicas.version": 23}
"""The metadata.version without which a feature can't be on, where there is one."""

DYNAMIC_FLAGS: Final = "--standalone, --initial-controllers, or --no-initial-controllers"


class FormatRefused(ValueError):
    """A directory can't be formatted as it was asked for; str() is a sentence for the user."""


def release_name(level: int) -> str:
    """The name of a level of metadata.version."""
    return RELEASES[level - _FIRST_LEVEL]


def parse_feature(text: str) -> tuple[str, int]:
    """Name and level of `NAME=LEVEL`. Raises FormatRefused."""
    name, equals, level = text.partition("=")
    if not equals:
        raise FormatRefused(f"--feature {text}: NAME=LEVEL is needed")
    if re.fullmatch(r"[+-]?\d{1,5}", level.strip()) is None:
        raise FormatRefused(f"--feature {text}: {level.strip()} is no level")
    return name.strip(), int(level)


def feature_levels(wanted: Iterable[tuple[str, int]], release: str | None, *, is_dynamic: bool) -> dict[str, int]:
    """The level of every feature, metadata.version and kraft.version among them. Raises FormatRefused.

    `is_dynamic`: the voters are in the log. Of features that are named twice the last one counts.
    """
    asked = dict(wanted)
    levels = {METADATA_VERSION: _release_level(asked.pop(METADATA_VERSION, None), release)}
    levels[KRAFT_VERSION] = _kraft_level(asked.pop(KRAFT_VERSION, None), is_dynamic=is_dynamic)
    for name, level in asked.items():
        if name not in FEATURES:
            known = ", ".join(sorted([*FEATURES, KRAFT_VERSION]))
            raise FormatRefused(f"there is no feature {name}; there are {known}")
        if not 0 <= level <= FEATURES[name][0]:
            raise FormatRefused(f"{name} has no level {level}")
    for name, (_, default, since) in FEATURES.items():
        levels[name] = asked.get(name, default if levels[METADATA_VERSION] >= since else 0)
    for name, needed in _NEEDED_RELEASES.items():
        if levels[name] and levels[METADATA_VERSION] < needed:
            because = f"because it depends on metadata.version level {needed}"
            raise FormatRefused(f"{name} cannot have level {levels[name]} {because}")
    return levels


def _release_level(asked: int | None, release: str | None) -> int:
    if asked is not None and release is not None:
        raise FormatRefused("metadata.version comes from --release-version or from --feature, not from both")
    level = asked if asked is not None else METADATA_VERSION_LATEST if release is None else _level_of(release)
    latest = _FIRST_LEVEL + len(RELEASES) - 1
    if not _FIRST_LEVEL <= level <= latest:
        span = f"{_FIRST_LEVEL} to {latest}"
        raise FormatRefused(f"metadata.version has no level {level}, only {span}")
    if level < METADATA_VERSION_LOWEST:
        oldest = release_name(METADATA_VERSION_LOWEST)
        raise FormatRefused(f"metadata.version {release_name(level)} is too old to be served here: {oldest} or later.")
    return level


def _level_of(release: str) -> int:
    """The level of `4.3-IV0`, or the last one of `4.3`."""
    found = [level for level, name in enumerate(RELEASES, _FIRST_LEVEL) if release in (name, name.partition("-")[0])]
    if not found:
        known = ", ".join(RELEASES)
        raise FormatRefused(f"there is no release {release}; there are {known}")
    return found[-1]


def _kraft_level(asked: int | None, *, is_dynamic: bool) -> int:
    if asked is None:
        return int(is_dynamic)
    if asked not in (0, 1):
        raise FormatRefused(f"{KRAFT_VERSION} has no level {asked}")
    if asked == 0 and is_dynamic:
        raise FormatRefused(
            f"kraft.version 0 has no place for the voters that {DYNAMIC_FLAGS} write into the log: leave it out"
        )
    if asked == 1 and not is_dynamic:
        raise FormatRefused(
            f"kraft.version 1 keeps the voters in the log: give one of {DYNAMIC_FLAGS}, and no controller.quorum.voters"
        )
    return asked


def bootstrap_records(levels: Mapping[str, int], others: Sequence[Any] = ()) -> list[Any]:
    """What an empty metadata log begins with: metadata.version, then other features above level 0, then `others`."""
    named = [METADATA_VERSION, *sorted(name for name, level in levels.items() if name in FEATURES and level > 0)]
    return [*(FeatureLevelRecord(name=name, feature_level=levels[name]) for name in named), *others]
