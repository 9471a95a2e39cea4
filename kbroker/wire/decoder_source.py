"""Writes the reading function of one version of a message as straight-line Python.

Fields of fixed width, the prefixes of strings and arrays, and the count of tagged fields are gathered in a *run* and
read by one unpack; structs become nested loops of one function. A slice past the end of the data is not an error in
Python: it only moves the position past the end, where the next unpack, the next count or the check at the end of the
function refuses it. Lengths are checked for negatives, so the position never moves back.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kbroker.wire.source import SMALL, Refused, Source, Uncounted, literal, more, unknown_section, unpackers
from protocol_specs.frame import STRING_BYTES_MAX, UNBOUNDED, Buffer
from protocol_specs.grammar import Array, Kind, Layout, Message, Struct
from protocol_specs.kinds import Fixed, Prefixed, RecordsKind, Text, VariableInt

SMALL_FRAME_BYTES = 4096
"""Frames with records up to this size are copied once, because slices of bytes are faster than slices of views."""

_PREFIX_CODES = {"int16": "h", "int32": "i", "compact": "B"}


def build_decoder(
    message: Message, version: int, *, counts: bool = False, in_turns: bool = False
) -> Callable[..., Any]:
    """The function `(buffer, position) -> (value, end)` of a version; it raises Refused, struct.error or IndexError.

    With `counts` it also raises Uncounted, where there are more elements than the message may have. Each takes a byte
    at least, so a frame of fewer bytes needs no counting; the function made without hands larger ones to one with.
    `in_turns` makes a generator that returns the same.
    """
    scope: dict[str, Any] = {
        "Refused": Refused,
        "Uncounted": Uncounted,
        "more": more,
        "new": object.__new__,
        "unknown_section": unknown_section,
        "unpack_from": struct.unpack_from,
    }

    def counted(buffer: Buffer, position: int) -> Any:
        """Made when it is needed, in its own place."""
        scope["counted"] = made = build_decoder(message, version, counts=True, in_turns=in_turns)
        return made(buffer, position)

    scope["counted"] = counted
    writer = _DecoderWriter(Source(scope), message.layout(version), counts=counts, in_turns=in_turns)
    writer.function(message)
    return writer.source.function("decode", f"decode {message.name} v{version}")


def holds_records(kind: Kind, layout: Layout) -> bool:
    """Are there records anywhere below in this layout?"""
    if isinstance(kind, RecordsKind):
        return True
    if isinstance(kind, Array):
        return holds_records(kind.element, layout)
    if isinstance(kind, Struct):
        fields = (field.kind for field in kind.fields)
        return any(inner.is_present(layout.version) and holds_records(inner, layout) for inner in fields)
    return False


class _DecoderWriter:
    """Keeps the run that is not written yet: struct codes and the targets they are stored in."""

    def __init__(self, source: Source, layout: Layout, *, counts: bool, in_turns: bool) -> None:
        self.source = source
        self.layout = layout
        self.counts = counts
        self.in_turns = in_turns
        self.codes = ""
        self.targets: list[str] = []
        self.has_records = False
        self.path: list[str] = []

    def function(self, message: Message) -> None:
        """The whole function."""
        source = self.source
        self.has_records = holds_records(message, self.layout)
        with source.block("def decode(buffer, p):"):
            if self.has_records:
                small = f"bytes(view) if len(view) <= {SMALL_FRAME_BYTES} else view"
                source.add("view = memoryview(buffer)", f"b = buffer if type(buffer) is bytes else {small}")
            else:
                source.add("b = buffer if type(buffer) is bytes else bytes(buffer)")
            source.add("end = len(b)")
            if self.in_turns:
                source.begin_turns()
            if self.counts:
                source.add(f"left = {message.elements_max}")
            elif message.elements_max != UNBOUNDED:
                handed_over = "(yield from counted(b, p))" if self.in_turns else "counted(b, p)"
                source.add(f"if end > {message.elements_max}: return {handed_over}")
            self.struct(message, "value")
            self.flush()
            source.add("if p > end: raise Refused", "return value, p")

    @contextmanager
    def below(self, name: str) -> Iterator[None]:
        """What is written meanwhile belongs to a field of that name; "[]" is any element of an array."""
        outer = self.path
        self.path = [*outer[:-1], outer[-1] + name] if name == "[]" and outer else [*outer, name]
        yield
        self.path = outer

    def flush(self) -> None:
        """Write the run."""
        if not self.codes:
            return
        size = struct.calcsize(">" + self.codes)
        if self.codes == "B":
            self.source.add(f"{self.targets[0]} = b[p]", "p += 1")
        else:
            unpack = self.constant_unpack(self.codes)
            self.source.add(
                f"{', '.join(self.targets)}{',' * (len(self.targets) == 1)} = {unpack}(b, p)", f"p += {size}"
            )
        self.codes = ""
        self.targets = []

    def constant_unpack(self, codes: str) -> str:
        """The global name of the unpack function of a run."""
        name = f"unpack_{codes.replace('?', 't')}"  # t is no code of struct's
        if name not in self.source.scope:
            self.source.scope[name] = struct.Struct(">" + codes).unpack_from
        return name

    def run(self, code: str, target: str) -> None:
        """Add a field to the run."""
        self.codes += code
        self.targets.append(target)

    def value(self, kind: Kind, target: str) -> None:
        """Read one value, nullable or not, into `target`."""
        if isinstance(kind, Fixed):
            self.run(kind.code, target)
        elif isinstance(kind, VariableInt):
            self.variable_int(kind, target)
        elif isinstance(kind, Array):
            self.array(kind, target)
        elif isinstance(kind, Prefixed):
            self.blob(kind, target)
        elif isinstance(kind, Struct):
            self.nested(kind, target)
        else:
            raise TypeError(f"no code for {kind!r}")

    def variable_int(self, kind: VariableInt, target: str) -> None:
        """A varint; mostly one byte."""
        name = self.source.name("n")
        self.run("B", name)
        self.flush()
        self.source.add(f"if {name} > 127: {name}, p = more(b, p, {name}, {kind.bits})")
        self.source.add(f"{target} = ({name} >> 1) ^ -({name} & 1)" if kind.signed else f"{target} = {name}")

    def prefix(self, kind: Prefixed) -> tuple[str, str, str]:
        """Read a length: (its name, the condition that it is no null, the expression of the length)."""
        source = self.source
        name = source.name("n")
        form = kind.prefix_in(self.layout)
        if form == "varint":
            self.variable_int(_SIGNED, name)
            return name, f"{name} >= 0", name
        self.run(_PREFIX_CODES[form], name)
        self.flush()
        if form != "compact":
            return name, f"{name} >= 0", name
        with source.block(f"if {name} > 127:"):
            source.add(f"{name}, p = more(b, p, {name})")
            if isinstance(kind, Text):
                source.add(f"if {name} > {STRING_BYTES_MAX + 1}: raise Refused")
        return name, name, f"{name} - 1"

    def unless_null(self, kind: Kind, condition: str, target: str, write: Callable[[], None]) -> None:
        """`write` where the condition holds, else null, which may be refused."""
        if self.is_nullable(kind):
            with self.source.block(f"if {condition}:"):
                write()
                self.flush()
            self.source.add(f"else: {target} = None")
        else:
            negation = f"not {condition}" if " " not in condition else condition.replace(">=", "<")
            self.source.add(f"if {negation}: raise Refused")
            write()

    def is_nullable(self, kind: Kind) -> bool:
        """May it be null in this layout?"""
        return kind.is_nullable(self.layout.version)

    def blob(self, kind: Prefixed, target: str) -> None:
        """A string, bytes or records."""
        _, condition, length = self.prefix(kind)

        def write() -> None:
            end = self.source.name("q")
            if isinstance(kind, RecordsKind):
                taken = f"view[p:{end}]"
            elif isinstance(kind, Text):
                taken = f"b[p:{end}].decode('utf-8', 'replace')"
                if self.has_records:
                    taken = f"str(b[p:{end}], 'utf-8', 'replace')"
            else:
                taken = f"bytes(b[p:{end}])" if self.has_records else f"b[p:{end}]"
            self.source.add(f"{end} = p + {length}", f"{target} = {taken}", f"p = {end}")

        self.unless_null(kind, condition, target, write)

    def array(self, kind: Array, target: str) -> None:
        """A list of anything; its count is bounded by the bytes left before anything is made."""
        name, condition, count = self.prefix(kind)
        element = kind.element

        def write() -> None:
            source = self.source
            least = max(1, element.min_size(self.layout))
            if count != name:
                source.add(f"{name} -= 1")
            scaled = name if least == 1 else f"{name} * {least}"
            source.add(f"if {scaled} > end - p: raise Refused")
            self.count_elements(name)
            if isinstance(element, Fixed):
                size = element.packing.size
                small = source.constant("unpackers", unpackers(element.code))
                large = f'unpack_from(f">{{{name}}}{element.code}", b, p)'
                if element.code == "16s":
                    large = f'unpack_from(">" + "16s" * {name}, b, p)'
                unpacked = f"{small}[{name}](b, p) if {name} < {SMALL} else {large}"
                source.add(f"{target} = list({unpacked})", f"p += {name} * {size}" if size > 1 else f"p += {name}")
                return
            items, item = source.name("items"), source.name("item")
            source.add(f"{items} = []")
            with source.block(f"for _ in range({name}):"), self.below("[]"):
                self.value(element, item)
                self.flush()
                source.add(f"{items}.append({item})")
                if self.in_turns:
                    source.end_turn()
            source.add(f"{target} = {items}")

        self.unless_null(kind, condition, target, write)

    def count_elements(self, name: str) -> None:
        """So many elements follow."""
        if self.counts:
            path = ".".join(self.path)
            self.source.add(f"left -= {name}", f"if left < 0: raise Uncounted({path!r}, p)")

    def nested(self, kind: Struct, target: str) -> None:
        """A struct as a field or an element."""
        name = target if target.isidentifier() else self.source.name("item")

        def write() -> None:
            self.struct(kind, name)
            if name != target:
                self.source.add(f"{target} = {name}")

        if self.is_nullable(kind):
            marker = self.source.name("n")
            if kind.is_tagged(self.layout.version):
                self.variable_int(_UNSIGNED, marker)
                self.unless_null(kind, marker, target, write)
            else:
                self.run("b", marker)
                self.flush()
                self.unless_null(kind, f"{marker} >= 0", target, write)
        else:
            write()

    def struct(self, kind: Struct, name: str) -> None:
        """Make the object, give it what the version lacks, then read what it has."""
        source, version = self.source, self.layout.version
        source.add(f"{name} = new({source.constant('class', kind.value_class)})")
        self.defaults(kind, name)
        for field in kind.fields:
            if field.kind.is_present(version) and not field.kind.is_tagged(version):
                with self.below(field.name):
                    self.value(field.kind, f"{name}.{field.name}")
        if self.layout.flexible:
            self.tags(kind, name)

    def defaults(self, kind: Struct, name: str) -> None:
        """Store defaults of absent and tagged fields, grouped by equal literals."""
        grouped: dict[str, list[str]] = {"()": [f"{name}.unknown_tags"]}
        for field in kind.fields:
            if not field.kind.is_present(self.layout.version) or field.kind.is_tagged(self.layout.version):
                made = literal(self.source, field.kind)
                if made == "[]" or made.endswith(".fresh()"):
                    self.source.add(f"{name}.{field.name} = {made}")
                else:
                    grouped.setdefault(made, []).append(f"{name}.{field.name}")
        for made, targets in grouped.items():
            self.source.add(f"{' = '.join(targets)} = {made}")

    def tags(self, kind: Struct, name: str) -> None:
        """The tagged section; nearly always a zero byte."""
        source = self.source
        count = source.name("n")
        self.run("B", count)
        self.flush()
        known = [field for field in kind.fields if field.kind.is_tagged(self.layout.version)]
        if not known:
            with source.block(f"if {count}:"):
                source.add(f"if {count} > 127: {count}, p = more(b, p, {count})")
                self.count_elements(count)
                source.add(f"{name}.unknown_tags, p = unknown_section(b, p, {count}, end)")
            return
        tag, last, size, stop, unknown = (source.name(prefix) for prefix in ("tag", "last", "size", "q", "unknown"))
        with source.block(f"if {count}:"):
            source.add(f"if {count} > 127: {count}, p = more(b, p, {count})", f"{last} = -1", f"{unknown} = []")
            self.count_elements(count)
            with source.block(f"for _ in range({count}):"):
                source.add(f"{tag} = b[p]", "p += 1", f"if {tag} > 127: {tag}, p = more(b, p, {tag})")
                source.add(f"{size} = b[p]", "p += 1", f"if {size} > 127: {size}, p = more(b, p, {size})")
                source.add(
                    f"{stop} = p + {size}", f"if {tag} <= {last} or {stop} > end: raise Refused", f"{last} = {tag}"
                )
                branch = "if"
                for field in known:
                    with source.block(f"{branch} {tag} == {field.kind.options.tag}:"), self.below(field.name):
                        self.value(field.kind, f"{name}.{field.name}")
                        self.flush()
                        source.add(f"if p != {stop}: raise Refused")
                    branch = "elif"
                with source.block("else:"):
                    source.add(f"{unknown}.append(({tag}, bytes(b[p:{stop}])))", f"p = {stop}")
            source.add(f"{name}.unknown_tags = tuple({unknown})")


_SIGNED = VariableInt("varint", 32, signed=True)
_UNSIGNED = VariableInt("uvarint", 32, signed=False)
