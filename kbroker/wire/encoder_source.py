"""Writes the writing function of one version of a message as straight-line Python.

The function appends byte strings to `out`; neighbouring numbers are packed together. Records are appended as the object
they are, and their places noted in `cuts`. A value that the version cannot carry raises one of `ENCODE_FAILURES`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from kbroker.wire.source import (
    ONE_BYTE,
    ONE_BYTE_END,
    SMALL,
    Refused,
    Source,
    literal,
    long_length,
    packers,
    tagged_section,
)
from protocol_specs.frame import uvarint_bytes, varint_bytes
from protocol_specs.grammar import Array, Kind, Layout, Message, Struct
from protocol_specs.kinds import Fixed, Prefixed, RecordsKind, Text, VariableInt

ENCODE_FAILURES = (Refused, struct.error, AttributeError, TypeError, ValueError, OverflowError)
"""What generated code raises for a value that does not fit; the reference engine then says why."""


def build_encoder(message: Message, version: int, *, in_turns: bool = False) -> Callable[..., Any]:
    """The function `(value, out, cuts)` of a version; `in_turns`: a generator, at each yield `out` may be emptied."""
    scope: dict[str, Any] = {
        "ONE_BYTE": ONE_BYTE,
        "Refused": Refused,
        "long_length": long_length,
        "pack": struct.pack,
        "tagged_section": tagged_section,
        "uvarint_bytes": uvarint_bytes,
        "varint_bytes": varint_bytes,
    }
    source = Source(scope)
    writer = _EncoderWriter(source, message.layout(version), in_turns=in_turns)
    with source.block("def encode(value, out, cuts):"):
        if in_turns:
            source.begin_turns()
        writer.struct(message, "value")
        writer.flush()
    return source.function("encode", f"encode {message.name} v{version}")


class _EncoderWriter:
    """Keeps the parts that are not written yet: (struct code, expression), or (None, expression of bytes)."""

    def __init__(self, source: Source, layout: Layout, *, in_turns: bool) -> None:
        self.source = source
        self.layout = layout
        self.in_turns = in_turns
        self.out = "out"
        self.parts: list[tuple[str | None, str]] = []

    def flush(self) -> None:
        """Append the parts to `out`, packing neighbouring numbers together."""
        expressions: list[str] = []
        codes, values = "", []
        for code, expression in [*self.parts, (None, "")]:
            if code is not None:
                codes += code
                values.append(expression)
                continue
            if codes:
                expressions.append(f"{self.packer(codes)}({', '.join(values)})")
                codes, values = "", []
            if expression:
                expressions.append(expression)
        self.parts = []
        if len(expressions) == 1:
            self.source.add(f"{self.out}.append({expressions[0]})")
        elif expressions:
            self.source.add(f"{self.out} += ({', '.join(expressions)})")

    def packer(self, codes: str) -> str:
        """The global name of the pack function of a run."""
        name = f"pack_{codes.replace('?', 't')}"  # t is no code of struct's
        if name not in self.source.scope:
            self.source.scope[name] = struct.Struct(">" + codes).pack
        return name

    def number(self, code: str, expression: str) -> None:
        """Add a number to the parts."""
        self.parts.append((code, expression))

    def data(self, expression: str) -> None:
        """Add a byte string to the parts."""
        self.parts.append((None, expression))

    def is_nullable(self, kind: Kind) -> bool:
        """May it be null in this layout?"""
        return kind.is_nullable(self.layout.version)

    def value(self, kind: Kind, expression: str) -> None:
        """Write one value, nullable or not."""
        if isinstance(kind, Fixed):
            self.number(kind.code, expression)
        elif isinstance(kind, VariableInt):
            self.variable_int(kind, expression)
        elif isinstance(kind, Array):
            self.array(kind, expression)
        elif isinstance(kind, RecordsKind):
            self.records(kind, expression)
        elif isinstance(kind, Prefixed):
            self.blob(kind, expression)
        elif isinstance(kind, Struct):
            self.nested(kind, expression)
        else:
            raise TypeError(f"no code for {kind!r}")

    def variable_int(self, kind: VariableInt, expression: str) -> None:
        """A varint within its bits."""
        name = self.source.name("n")
        low = -(1 << (kind.bits - 1)) if kind.signed else 0
        self.source.add(f"{name} = {expression}", f"if not {low} <= {name} < {low + (1 << kind.bits)}: raise Refused")
        self.data(f"varint_bytes({name}, {kind.bits})" if kind.signed else f"uvarint_bytes({name})")

    def length(self, kind: Prefixed, name: str) -> None:
        """Add the prefix for a length in `name`, -1 for null."""
        form = kind.prefix_in(self.layout)
        if form == "compact":
            longer = "long_length" if isinstance(kind, Text) else "uvarint_bytes"
            self.data(f"ONE_BYTE[{name} + 1] if {name} < {ONE_BYTE_END - 1} else {longer}({name} + 1)")
        elif form == "varint":
            self.data(f"varint_bytes({name})")
        else:
            self.number("h" if form == "int16" else "i", name)

    def blob(self, kind: Prefixed, expression: str) -> None:
        """A string or bytes."""
        source = self.source
        data, length = source.name("data"), source.name("n")
        encoded = f"{expression}.encode()" if isinstance(kind, Text) else expression
        if self.is_nullable(kind):
            source.add(f"{data} = {expression}")
            with source.block(f"if {data} is None:"):
                source.add(f"{length} = -1", f"{data} = b''")
            with source.block("else:"):
                if isinstance(kind, Text):
                    source.add(f"{data} = {data}.encode()")
                source.add(f"{length} = len({data})")
        else:
            source.add(f"{data} = {encoded}", f"{length} = len({data})")
        self.length(kind, length)
        self.data(data)

    def records(self, kind: Prefixed, expression: str) -> None:
        """Records stay the object they are, in a place of their own."""
        source = self.source
        records, length = source.name("records"), source.name("n")
        source.add(f"{records} = {expression}")
        if self.is_nullable(kind):
            source.add(f"{length} = -1 if {records} is None else len({records})")
        else:
            source.add(f"{length} = len({records})")
        self.length(kind, length)
        self.flush()
        with source.block(f"if {length} > 0:"):
            source.add(f"cuts.append(len({self.out}))", f"{self.out}.append({records})")

    def array(self, kind: Array, expression: str) -> None:
        """A count and the elements, in a loop."""
        source = self.source
        items, count = source.name("items"), source.name("n")
        source.add(f"{items} = {expression}")
        nullable = self.is_nullable(kind)
        source.add(f"{count} = -1 if {items} is None else len({items})" if nullable else f"{count} = len({items})")
        element = kind.element
        if isinstance(element, Text):
            source.add(f"if {items}.__class__ is str: raise Refused")
        self.length(kind, count)
        if isinstance(element, Fixed) and element.code != "16s":
            small = source.constant("packers", packers(element.code))
            packed = (
                f'{small}[{count}](*{items}) if {count} < {SMALL} else pack(f">{{{count}}}{element.code}", *{items})'
            )
            self.data(f"({packed}) if {count} > 0 else b''")
            return
        self.flush()
        item = source.name("item")
        with source.block(f"for {item} in {items} or ():" if nullable else f"for {item} in {items}:"):
            if isinstance(element, Fixed):
                source.add(f"if len({item}) != 16: raise Refused")
            self.value(element, item)
            self.flush()
            if self.in_turns:
                source.end_turn()

    def nested(self, kind: Struct, expression: str) -> None:
        """A struct as a field or an element."""
        source = self.source
        name = expression
        if not expression.isidentifier():
            name = source.name("item")
            source.add(f"{name} = {expression}")
        if not self.is_nullable(kind):
            self.struct(kind, name)
            return
        self.flush()
        null = r"b'\0'" if kind.is_tagged(self.layout.version) else r"b'\xff'"
        source.add(f"if {name} is None: {self.out}.append({null})")
        with source.block("else:"):
            self.data(r"b'\x01'")
            self.struct(kind, name)
            self.flush()

    def struct(self, kind: Struct, name: str) -> None:
        """Refuse what the version cannot carry, then write what it has."""
        version = self.layout.version
        refused = []
        for field in kind.fields:
            target = f"{name}.{field.name}"
            if not field.kind.is_present(version):
                if not field.kind.options.ignorable:
                    refused.append(self.differs(field.kind, target))
            elif isinstance(field.kind, Fixed) and field.kind.code == "16s":
                refused.append(f"len({target}) != 16")
        if not self.layout.flexible:
            refused.append(f"{name}.unknown_tags")
        if refused:
            self.source.add(f"if {' or '.join(refused)}: raise Refused")
        for field in kind.fields:
            if field.kind.is_present(version) and not field.kind.is_tagged(version):
                self.value(field.kind, f"{name}.{field.name}")
        if self.layout.flexible:
            self.tags(kind, name)

    def differs(self, kind: Kind, expression: str) -> str:
        """An expression that is true when the value is not the default; structs are compared field by field."""
        default = kind.default_value()
        if default is None:
            return f"{expression} is not None"
        if isinstance(default, list):
            return f"{expression} != []" if kind.options.nullable_since is not None else expression
        if not isinstance(kind, Struct):
            return f"{expression} != {literal(self.source, kind)}"
        tests = [self.differs(field.kind, f"{expression}.{field.name}") for field in kind.fields]
        tests.append(f"{expression}.unknown_tags")
        if kind.options.nullable_since is not None:
            tests.insert(0, f"{expression} is None")
        return " or ".join(tests)

    def tags(self, kind: Struct, name: str) -> None:
        """The tagged section: a zero byte when every tagged field has its default."""
        source = self.source
        known = [field for field in kind.fields if field.kind.is_tagged(self.layout.version)]
        tags = source.constant("known", frozenset(field.kind.options.tag for field in known))
        if not known:
            self.data(f"tagged_section([], {name}.unknown_tags, {tags}) if {name}.unknown_tags else b'\\0'")
            return
        section, present = source.name("section"), source.name("present")
        conditions = [self.differs(field.kind, f"{name}.{field.name}") for field in known]
        source.add(f"{section} = b'\\0'")
        with source.block(f"if {' or '.join([*conditions, f'{name}.unknown_tags'])}:"):
            source.add(f"{present} = []")
            for field, condition in zip(known, conditions, strict=True):
                with source.block(f"if {condition}:"):
                    self.payload(field.kind, f"{name}.{field.name}", present)
            source.add(f"{section} = tagged_section({present}, {name}.unknown_tags, {tags})")
        self.data(section)

    def payload(self, kind: Kind, expression: str, present: str) -> None:
        """One tagged field, written aside because its size goes before it."""
        outer, parts = self.out, self.parts
        self.out, self.parts = self.source.name("out"), []
        self.source.add(f"{self.out} = []")
        self.value(kind, expression)
        self.flush()
        self.source.add(f"{present}.append(({kind.options.tag}, b''.join({self.out})))")
        self.out, self.parts = outer, parts
