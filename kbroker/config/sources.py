"""Where a value came from: settings of a file, the environment, flags; and how each is spelled.

Pure: the text of a file and the environment arrive as arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple


class Source(Enum):
    """Where values come from, weakest first."""

    DEFAULT = "default"
    MODE = "mode"
    FILE = "file"
    ENVIRONMENT = "environment"
    OVERRIDE = "-o"
    FLAG = "flag"


class Origin(NamedTuple):
    """The place of one value. `place` is a file name, a variable, a flag or a mode; `line` counts from 1."""

    source: Source
    place: str = ""
    line: int | None = None

    def __str__(self) -> str:
        if self.source is Source.MODE:
            return f"mode {self.place}"
        if self.line is not None:
            return f"{self.place}:{self.line}"
        return self.place or self.source.value


class Setting(NamedTuple):
    """One key with its text, as somebody gave it."""

    name: str
    text: str
    origin: Origin


class ConfigError(Exception):
    """A value that can't be used. str() names the key, the value, the reason and the place, in one line."""

    def __init__(
        self,
        name: str,
        value: str,
        reason: str,
        file: str | None = None,
        line: int | None = None,
        suggestion: str | None = None,
    ) -> None:
        place = "" if file is None else f"{file}: " if line is None else f"{file}:{line}: "
        hint = f" (did you mean {suggestion}?)" if suggestion else ""
        super().__init__(f"{place}{name}={value}: {reason}{hint}")
        self.name = name
        self.value = value
        self.reason = reason
        self.file = file
        self.line = line
        self.suggestion = suggestion


ENVIRONMENT_PREFIX = "KBROKER_"
NOT_CONFIGS = frozenset({"KBROKER_BOOTSTRAP_SERVERS", "KBROKER_MODE", "KBROKER_PROFILE"})
"""Variables with our prefix that mean something else."""


def settings_of_properties(text: str, file: str) -> list[Setting]:
    """The settings of a Java properties file, with their line numbers. Raises ConfigError on a broken escape."""
    import javaproperties

    settings = []
    line = 1
    try:
        for element in javaproperties.parse(text):
            if isinstance(element, javaproperties.KeyValue):
                settings.append(Setting(element.key, element.value, Origin(Source.FILE, file, line)))
            line += len(element.source.splitlines())
    except javaproperties.InvalidUEscapeError as error:
        raise ConfigError("escape", error.escape, "not a Unicode escape", file, line) from None
    return settings


def settings_of_environment(environment: Mapping[str, str]) -> list[Setting]:
    """`KBROKER_NUM_PARTITIONS` is num.partitions; `__` is an underscore, `___` a dash (as for Kafka's images)."""
    settings = []
    for variable, text in sorted(environment.items()):
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in NOT_CONFIGS:
            name = _name_of(variable.removeprefix(ENVIRONMENT_PREFIX))
            settings.append(Setting(name, text, Origin(Source.ENVIRONMENT, variable)))
    return settings


def _name_of(variable: str) -> str:
    spelled = {1: ".", 2: "_", 3: "-"}
    return re.sub("_{1,3}", lambda run: spelled[len(run[0])], variable).lower()


def settings_of_overrides(pairs: Iterable[str]) -> list[Setting]:
    """`-o KEY=VALUE` flags. Raises ConfigError when there is no `=`."""
    settings = []
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise ConfigError("-o", pair, "an override is written KEY=VALUE")
        settings.append(Setting(name.strip(), text, Origin(Source.OVERRIDE, "-o")))
    return settings
