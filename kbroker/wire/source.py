"""Lines of generated Python, and what generated code calls when a frame leaves the straight line.

Generated code raises Refused, struct.error or IndexError for a malformed frame; the codec then asks the reference
engine to say what is wrong. Nothing here is for handlers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from protocol_specs.frame import STRING_BYTES_MAX, uvarint_bytes
from protocol_specs.grammar import Kind, Struct

SMALL = 32
"""Arrays of fewer numbers than this are packed and unpacked by a ready-made struct."""

ELEMENTS_PER_TURN = 500
"""Of arrays of structs or texts; each takes a microsecond or three, so that a turn is about a millisecond."""

ONE_BYTE_END = 0x80
"""The first number whose varint takes two bytes."""

ONE_BYTE = tuple(bytes([number]) for number in range(ONE_BYTE_END))
"""The varints of one byte."""


class Refused(Exception):
    """Generated code met something that is no value; only the codec sees this."""


class Uncounted(Exception):
    """There are more elements than the request may have: the path of the field, and where those of it begin."""

    def __init__(self, path: str, position: int) -> None:
        self.path = path
        self.position = position


class Source:
    """Growing source text with its indentation, its global names, and numbered local names."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.lines: list[str] = []
        self.scope = scope
        self.depth = 0
        self._counter = 0

    def add(self, *lines: str) -> None:
        """Append lines at the present depth."""
        indent = " " * self.depth
        self.lines.extend(indent + line for line in lines)

    def block(self, line: str) -> _Block:
        """Append `line` and indent what is added inside the `with`."""
        self.add(line)
        return _Block(self)

    def begin_turns(self) -> None:
        """The function is a generator, whether it comes to a turn's end or not."""
        self.add(f"turn = {ELEMENTS_PER_TURN}", "if not turn: yield")

    def end_turn(self) -> None:
        """One more element: others may be served if the turn is over."""
        self.add("turn -= 1")
        with self.block("if not turn:"):
            self.add(f"turn = {ELEMENTS_PER_TURN}", "yield")

    def name(self, prefix: str) -> str:
        """A local name that nothing else uses."""
        self._counter += 1
        return f"{prefix}{self._counter}"

    def constant(self, prefix: str, value: Any) -> str:
        """A global name for `value`; equal simple values of one type share one."""
        for name, known in self.scope.items():
            if known is value and name.startswith(prefix):
                return name
        name = self.name(prefix)
        self.scope[name] = value
        return name

    def function(self, name: str, title: str) -> Callable[..., Any]:
        """Compile the text and return its function `name`; `title` shows in tracebacks."""
        exec(compile("\n".join(self.lines), f"<{title}>", "exec"), self.scope)
        made: Callable[..., Any] = self.scope[name]
        return made


class _Block:
    """Indentation as a context."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __enter__(self) -> None:
        self._source.depth += 1

    def __exit__(self, *exc: object) -> None:
        self._source.depth -= 1


def literal(source: Source, kind: Kind) -> str:
    """An expression for the kind's default: a literal, a constant's name, or what makes a fresh object."""
    default = kind.default_value()
    if isinstance(default, list):
        return "[]"
    if default is None or isinstance(default, bool | int | str) or default == b"":
        return repr(default)
    if isinstance(kind, Struct):
        return f"{source.constant('fresh', kind.value_class)}.fresh()"
    return source.constant("default", default)


@cache
def unpackers(code: str) -> tuple[Callable[..., tuple[Any, ...]], ...]:
    """For each count below SMALL: what unpacks as many numbers of a struct code."""
    return tuple(struct.Struct(">" + code * count).unpack_from for count in range(SMALL))


@cache
def packers(code: str) -> tuple[Callable[..., bytes], ...]:
    """For each count below SMALL: what packs as many numbers of a struct code."""
    return tuple(struct.Struct(">" + code * count).pack for count in range(SMALL))


def more(data: Any, position: int, value: int, bits: int = 32) -> tuple[int, int]:
    """The rest of an unsigned varint whose first byte `value` (over 127) was read: (value, position behind it)."""
    value &= 0x7F
    shift = 7
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> bits:
                raise Refused
            return value, position
        shift += 7
        if shift >= bits + 3:
            raise Refused


def long_length(length_plus_one: int) -> bytes:
    """The compact length of a string that takes more than one byte."""
    if length_plus_one > STRING_BYTES_MAX + 1:
        raise Refused
    return uvarint_bytes(length_plus_one)


def unknown_section(data: Any, position: int, count: int, end: int) -> tuple[tuple[tuple[int, bytes], ...], int]:
    """A tagged section of `count` fields, none of them known, behind its count."""
    found = []
    last = -1
    for _ in range(count):
        tag = data[position]
        position += 1
        if tag > 0x7F:
            tag, position = more(data, position, tag)
        size = data[position]
        position += 1
        if size > 0x7F:
            size, position = more(data, position, size)
        if tag <= last or size > end - position:
            raise Refused
        last = tag
        found.append((tag, bytes(data[position : position + size])))
        position += size
    return tuple(found), position


def tagged_section(
    present: list[tuple[int, bytes]], unknown: Iterable[tuple[int, bytes]], known: frozenset[int]
) -> bytes:
    """The tagged section of `present` and `unknown` fields in ascending order of tags."""
    merged = [*present, *unknown]
    merged.sort()
    seen = {tag for tag, _ in merged}
    if len(seen) != len(merged) or any(tag in known for tag, _ in unknown):
        raise Refused
    parts = [uvarint_bytes(len(merged))]
    for tag, payload in merged:
        parts += (uvarint_bytes(tag), uvarint_bytes(len(payload)), payload)
    return b"".join(parts)
