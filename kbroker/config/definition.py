"""What one config is: its type, default, range, whether it can change at run time, and what becomes of it here.

Types, defaults and ranges are Kafka's (facts of its ConfigDef, 4.3); a value travels as text and is used as

    BOOLEAN bool | STRING CLASS PASSWORD str | INT SHORT LONG int | DOUBLE float | LIST tuple[str, ...]

or None where no value is set and None is the default. Nothing here reads a file or knows where a value came from.
"""

from __future__ import annotations

import re
from enum import Enum, IntEnum
from typing import Any, NamedTuple


class ConfigType(IntEnum):
    """Kafka's value types by their code in DescribeConfigs."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8
    PASSWORD = 9


class Scope(Enum):
    """What kind of thing carries the config."""

    BROKER = "broker"
    TOPIC = "topic"
    GROUP = "group"


class Update(Enum):
    """How far a config can change while the broker runs (Kafka's update mode)."""

    READ_ONLY = "read-only"
    PER_BROKER = "per-broker"
    CLUSTER = "cluster-wide"


class Status(Enum):
    """What becomes of a value here."""

    WORKS = "works"
    NO_EFFECT = "accepted without effect"
    REJECTED = "rejected"


class ConfigDef(NamedTuple):
    """One config. `validator` is None where the type says it all."""

    name: str
    type: ConfigType
    default: Any
    validator: Validator | None
    update: Update
    status: Status
    doc: str
    reason: str = ""
    """Why a value other than the default is rejected; empty unless status is REJECTED."""
    scope: Scope = Scope.BROKER
    synonyms: tuple[str, ...] = ()
    """Topic configs: the broker configs that give the default, the first one set wins."""

    @property
    def is_dynamic(self) -> bool:
        """Can it change while the broker runs? Topic and group configs always can."""
        return self.update is not Update.READ_ONLY

    @property
    def is_sensitive(self) -> bool:
        """Is its value never shown?"""
        return self.type is ConfigType.PASSWORD

    @property
    def is_internal(self) -> bool:
        """Does Kafka keep it out of its documentation?"""
        return self.name in INTERNAL_NAMES


class InRange(NamedTuple):
    """Numbers from `low` to `high`, both included; None is no bound."""

    low: float
    high: float | None = None

    def __call__(self, value: Any) -> str | None:
        if value < self.low or (self.high is not None and value > self.high):
            return f"it must be {self}"
        return None

    def __str__(self) -> str:
        return f"at least {self.low}" if self.high is None else f"from {self.low} to {self.high}"


class OneOf(NamedTuple):
    """One of some words."""

    words: tuple[str, ...]
    ignores_case: bool = False

    def __call__(self, value: Any) -> str | None:
        matches = value.upper() in self.words if self.ignores_case else value in self.words
        return None if matches else f"it must be one of {self}"

    def __str__(self) -> str:
        return ", ".join(self.words)


class Distinct(NamedTuple):
    """A list in which a repetition says nothing new (Kafka: ValidList), of some words where `words` is not empty."""

    words: tuple[str, ...] = ()
    is_empty_allowed: bool = True

    def __call__(self, value: Any) -> str | None:
        if not value and not self.is_empty_allowed:
            return "it must not be empty"
        if "" in value:
            return "an entry is empty"
        strange = [word for word in value if self.words and word not in self.words]
        return f"{strange[0]!r} is not one of {', '.join(self.words)}" if strange else None

    def __str__(self) -> str:
        return f"distinct, of {', '.join(self.words)}" if self.words else "distinct"


class Matching(NamedTuple):
    """Text of a form; `form` says it in words. Lists: every element."""

    pattern: str
    form: str

    def __call__(self, value: Any) -> str | None:
        parts = value if isinstance(value, tuple) else (value,)
        return None if all(re.fullmatch(self.pattern, part) for part in parts) else f"it must be {self.form}"

    def __str__(self) -> str:
        return self.form


class OrElse(NamedTuple):
    """One value that stands apart, or a range."""

    apart: int
    range: InRange

    def __call__(self, value: Any) -> str | None:
        return None if value == self.apart or self.range(value) is None else f"it must be {self}"

    def __str__(self) -> str:
        return f"{self.apart} or {self.range}"


Validator = InRange | OneOf | Distinct | Matching | OrElse
"""Called with a typed value it tells why that is refused, or None; str() of it is the range in words."""

MAX_INT = (1 << 31) - 1
MAX_LONG = (1 << 63) - 1
MAX_DOUBLE = 1.7976931348623157e308
_WHOLE = {ConfigType.INT: 32, ConfigType.SHORT: 16, ConfigType.LONG: 64}

INTERNAL_NAMES = frozenset(
    {
        "controller.performance.always.log.threshold.ms",
        "controller.performance.sample.period.ms",
        "group.consumer.regex.refresh.interval.ms",
        "group.share.initialize.retry.interval.ms",
        "group.share.persister.class.name",
        "internal.metadata.delete.delay.millis",
        "internal.metadata.log.segment.bytes",
        "internal.metadata.max.batch.size.in.bytes",
        "internal.segment.bytes",
        "log.initial.task.delay.ms",
        "producer.id.expiration.check.interval.ms",
        "remote.log.index.file.cache.ttl.ms",
        "remote.log.manager.task.retry.backoff.max.ms",
        "remote.log.manager.task.retry.backoff.ms",
        "remote.log.manager.task.retry.jitter",
        "server.max.startup.time.ms",
        "share.coordinator.cold.partition.snapshot.interval.ms",
        "share.coordinator.state.topic.prune.interval.ms",
        "unclean.leader.election.interval.ms",
        "unstable.api.versions.enable",
        "unstable.feature.versions.enable",
    }
)
"""Configs that Kafka defines without documenting them (`defineInternal`)."""


class BadValueError(ValueError):
    """A text that is not a value of its config; str() is the reason, to be read after the key and the value."""


def parse_value(definition: ConfigDef, text: str) -> Any:
    """The typed value of `text`. Raises BadValueError: wrong type, out of range, or a config that is rejected here."""
    value = _typed(definition.type, text.strip())
    if isinstance(definition.validator, Distinct):
        value = tuple(dict.fromkeys(value))
    if definition.validator is not None and value is not None:
        refused = definition.validator(value)
        if refused is not None:
            raise BadValueError(refused)
    if definition.status is Status.REJECTED and value != definition.default and not _is_unset(value):
        raise BadValueError(definition.reason)
    return value


def format_value(definition: ConfigDef, value: Any) -> str | None:
    """A typed value as Kafka prints it in DescribeConfigs; None stays None."""
    if value is None:
        return None
    if definition.type is ConfigType.BOOLEAN:
        return "true" if value else "false"
    if definition.type is ConfigType.LIST:
        return ",".join(value)
    if definition.type is ConfigType.DOUBLE:
        return _java_double(value)
    return str(value)


def _java_double(value: float) -> str:
    """As Java prints it: 1.7976931348623157E308."""
    text = repr(float(value))
    return text.replace("e+", "E").replace("e", "E")


def _is_unset(value: Any) -> bool:
    return value is None or value == "" or value == ()


def _typed(type_: ConfigType, text: str) -> Any:
    if type_ in _WHOLE:
        return _whole_number(text, _WHOLE[type_])
    if type_ is ConfigType.BOOLEAN:
        if text.lower() not in ("true", "false"):
            raise BadValueError("it must be true or false")
        return text.lower() == "true"
    if type_ is ConfigType.DOUBLE:
        try:
            return float(text)
        except ValueError:
            raise BadValueError("it must be a number") from None
    if type_ is ConfigType.LIST:
        return tuple(re.split(r"\s*,\s*", text)) if text else ()
    return text


def _whole_number(text: str, bits: int) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
        raise BadValueError("it must be a whole number")
    value = int(text)
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise BadValueError(f"it must fit {bits} bits")
    return value
