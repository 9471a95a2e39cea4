"""The golden frames (tests/golden/README.md) as messages, values and bytes."""

from __future__ import annotations

import base64
import json
import math
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

import protocol_specs
from protocol_specs.grammar import Array, Kind, Message, Struct, UnsupportedVersion, Value

FRAMES = Path(__file__).resolve().parent.parent / "golden" / "frames.jsonl.zst"


class GoldenFrame(NamedTuple):
    """One frame: what Kafka wrote, and the value that Kafka says it means."""

    message: Message
    version: int
    variant: str
    release: str
    data: bytes
    value: Any

    def __str__(self) -> str:
        return f"{self.message.name} v{self.version} {self.variant} ({self.release})"


@cache
def declared_messages() -> dict[str, Message]:
    """Every declared message by name."""
    found = {}
    for module in pkgutil.walk_packages(protocol_specs.__path__, "protocol_specs."):
        for thing in vars(import_module(module.name)).values():
            if isinstance(thing, Message):
                found[thing.name] = thing
    return found


def raw_frames() -> Iterator[dict[str, Any]]:
    """The lines of the file."""
    with FRAMES.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        for line in stream.read().decode().splitlines():
            yield json.loads(line)


@cache
def golden_frames() -> tuple[GoldenFrame, ...]:
    """All frames of declared messages."""
    messages = declared_messages()
    frames = []
    for raw in raw_frames():
        if raw["name"] in messages:
            message = messages[raw["name"]]
            data = base64.b64decode(raw["bytes"])
            version = raw["version"]
            try:
                value = _Reader(raw, version).value(message, raw["value"], "")
            except UnsupportedVersion:
                raise AssertionError(f"{message.name} lacks version {version}") from None
            frames.append(GoldenFrame(message, version, raw["variant"], raw["release"], data, value))
    return tuple(frames)


class _Reader:
    """Turns Kafka's JSON of one frame into a value."""

    def __init__(self, raw: dict[str, Any], version: int) -> None:
        self.records = raw["records"]
        self.unknown_tags = raw["unknown_tags"]
        self.version = version

    def value(self, kind: Kind, found: Any, place: str) -> Any:
        if isinstance(kind, Struct):
            return None if found is None else self.struct(kind, found, place)
        if isinstance(kind, Array):
            if found is None:
                return None
            return [self.value(kind.element, item, f"{place}[{index}]") for index, item in enumerate(found)]
        if kind.type_name == "records":
            data = self.records[place]
            return None if data is None else base64.b64decode(data)
        if found is None:
            return None
        if kind.type_name == "bytes":
            return base64.b64decode(found)
        if kind.type_name == "uuid":
            return base64.urlsafe_b64decode(found + "==")
        if kind.type_name == "float64":
            return float(found)
        return found

    def struct(self, kind: Struct, found: dict[str, Any], place: str) -> Any:
        value = kind.value_class.fresh()
        by_plain_name = {_plain(name): name for name in found}
        for field in kind.fields:
            name = by_plain_name.pop(_plain(field.name), None)
            if name is None:
                assert not field.kind.is_present(self.version) or field.kind.is_tagged(self.version), (kind, field.name)
                continue
            assert field.kind.is_present(self.version), f"{kind.name}.{field.name} is in version {self.version}"
            inner = f"{place}.{name}" if place else name
            setattr(value, field.name, self.value(field.kind, found[name], inner))
        assert not by_plain_name, f"{kind.name} v{self.version} lacks {by_plain_name}"
        tags = self.unknown_tags.get(place, [])
        value.unknown_tags = tuple((tag, base64.b64decode(data)) for tag, data in tags)
        return value


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def same(left: Any, right: Any) -> bool:
    """Equality of values in which NaN equals NaN."""
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Value):
        return type(left) is type(right) and all(same(getattr(left, n), getattr(right, n)) for n in left.__slots__)
    if isinstance(left, float):
        return isinstance(right, float) and (left == right or (math.isnan(left) and math.isnan(right)))
    return bool(left == right)
