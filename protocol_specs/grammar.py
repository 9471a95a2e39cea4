"""The grammar of declarations: messages, structs, arrays and the types of fields. The one door to import from.

    ProduceRequest = Message("ProduceRequest", key=0, versions="0-13", flexible="9+")(
        "transactional_id" / Nullable(TransactionalId, since=3, default=None),
        "acks" / Int16,
        "topic_data" / Array(Struct("TopicProduceData")(...)),
    )

Any type takes options: `since`, `until` (versions, inclusive), `tag`, `tagged_since`, `default`, `ignorable` (dropped
silently in versions without the field), `nullable_since`, `nullable_until`. README.md explains them all.

A finished message is a construct object that parses and builds by itself (`parse_version`, `build_version`, or plain
construct use with `version=` in the context), and calling it with field values makes a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from protocol_specs.frame import (
    PRODUCE_ELEMENTS_MAX,
    REQUEST_ELEMENTS_MAX,
    UNBOUNDED,
    Buffer,
    MalformedFrame,
    Unencodable,
    UnsupportedVersion,
    Window,
    uvarint_bytes,
)
from protocol_specs.kinds import (
    FOREVER,
    OPTION_NAMES,
    Blob,
    Field,
    Fixed,
    Kind,
    Layout,
    Prefixed,
    RecordsKind,
    Text,
    VariableInt,
    context_version,
    min_size_of,
    nullable,
)
from protocol_specs.values import Value, value_class_of

Bool = Fixed("bool", "?", False)
Int8 = Fixed("int8", "b", 0)
Int16 = Fixed("int16", "h", 0)
Int32 = Fixed("int32", "i", 0)
Int64 = Fixed("int64", "q", 0)
UInt8 = Fixed("uint8", "B", 0)
UInt16 = Fixed("uint16", "H", 0)
UInt32 = Fixed("uint32", "I", 0)
Float64 = Fixed("float64", "d", 0.0)
Uuid = Fixed("uuid", "16s", bytes(16))
Varint = VariableInt("varint", 32, signed=True)
Varlong = VariableInt("varlong", 64, signed=True)
UnsignedVarint = VariableInt("uvarint", 32, signed=False)
String = Text("int16")
Bytes = Blob("int32")
Records = RecordsKind("int32")
ClassicString = String.prefixed("int16")
"""A string that keeps its two-byte length in flexible versions too (the client id of the request header)."""
VarintBytes = Bytes.prefixed("varint")
VarintString = String.prefixed("varint")

# Types with a meaning: the same bytes under a name that tells a reader what the number is.
TopicName = String.named("TopicName")
GroupId = String.named("GroupId")
MemberId = String.named("MemberId")
TransactionalId = String.named("TransactionalId")
HostName = String.named("HostName")
ErrorMessage = String.named("ErrorMessage")
TopicId = Uuid.named("TopicId")
DirectoryId = Uuid.named("DirectoryId")
PartitionId = Int32.named("PartitionId")
NodeId = Int32.named("NodeId")
BrokerEpoch = Int64.named("BrokerEpoch")
LeaderEpoch = Int32.named("LeaderEpoch")
PartitionEpoch = Int32.named("PartitionEpoch")
ErrorCode = Int16.named("ErrorCode")
Offset = Int64.named("Offset")
ProducerId = Int64.named("ProducerId")
ProducerEpoch = Int16.named("ProducerEpoch")
Sequence = Int32.named("Sequence")
TimestampMs = Int64.named("TimestampMs")
DurationMs = Int32.named("DurationMs")


def Nullable(kind: Any, **options: Any) -> Any:  # noqa: N802  # reads as a type in declarations
    """`kind`, null in every version where it is present. Write `default=None` where the default is null."""
    return nullable(kind, **options)


class Array(Prefixed):
    """A count and that many elements; read as a list. `VarintArray` is the form with a zigzag count."""

    type_name = "array"

    def __init__(self, element: Kind, **options: Any) -> None:
        super().__init__("int32")
        self.element = element
        if options:
            self.options = self.options._replace(**options)

    def zero(self) -> Any:
        """See Kind."""
        return []

    @property
    def label(self) -> str:
        """See Kind."""
        return f"[]{self.element.label}"

    def read(self, window: Window, layout: Layout, path: str) -> Any:
        """See Node."""
        start = window.position
        count = self._read_length(window, layout, path)
        if count < 0:
            return self._null_read(window, layout, path, start)
        least = max(1, self.element.min_size(layout))
        if count * least > window.left:
            reason = f"{count} elements of at least {least} bytes, {window.left} bytes are left"
            raise MalformedFrame(path, start, reason)
        window.count_elements(count, path)
        self._leaf(window, path, count, start)
        read = self.element.read
        return [read(window, layout, f"{path}[{index}]") for index in range(count)]

    def write(self, chunks: list[Any], value: Any, layout: Layout, path: str) -> None:
        """See Node."""
        if value is None:
            self._null_refused(layout, path)
            self._write_length(chunks, -1, layout, path)
            return
        if not isinstance(value, list | tuple):
            raise Unencodable(path, f"{type(value).__name__} is no list")
        self._write_length(chunks, len(value), layout, path)
        for index, element in enumerate(value):
            self.element.write(chunks, element, layout, f"{path}[{index}]")


def VarintArray(element: Kind) -> Array:  # noqa: N802  # reads as a type in declarations
    """An array behind a zigzag count (the headers of a record)."""
    return Array(element).prefixed("varint")


class _Shape:
    """What all placed copies of one struct share: its fields and, once needed, its class of values."""

    def __init__(self) -> None:
        self.fields: tuple[Field, ...] | None = None
        self.value_class: type[Any] | None = None
        self.structs: dict[str, Struct] | None = None


class Struct(Kind):
    """Named fields in order: `Struct("X", since=3)("a" / Int32, ...)`; `Shared(since=3)` places a finished one again.

    Calling a finished struct with field values makes a value. Structs nested in it are found as attributes, by the
    name of their struct: `ProduceResponse.PartitionProduceResponse` is a class of values.
    """

    type_name = "struct"

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__()
        self.name = name
        self._shape = _Shape()
        if options:
            self.options = self.options._replace(**options)

    def __call__(self, *fields: Field, **values: Any) -> Any:
        """Finish the declaration with `fields`; afterwards: a value, or a placed copy if only options are given."""
        if self._shape.fields is None:
            self._finish(fields)
            return self
        if values and OPTION_NAMES.issuperset(values):
            return Kind.__call__(self, **values)
        return self.value_class(*fields, **values)

    def _finish(self, fields: tuple[Field, ...]) -> None:
        names = [field.name for field in fields]
        if len(set(names)) != len(names) or OPTION_NAMES.intersection(names) or "unknown_tags" in names:
            raise ValueError(f"{self.name}: names must differ from each other and from options: {names}")
        self._shape.fields = fields

    def __getattr__(self, name: str) -> Any:
        shape: _Shape | None = self.__dict__.get("_shape")
        if shape is None or name.startswith("_") or shape.fields is None:
            raise AttributeError(name)
        nested = self.structs.get(name)
        if nested is None:
            raise AttributeError(f"{self.name} has no struct {name}, only {', '.join(self.structs) or 'none'}")
        self.__dict__[name] = nested.value_class
        return nested.value_class

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields in order of declaration, which is their order on the wire."""
        assert self._shape.fields is not None, f"{self.name} has no fields yet: call it with them"
        return self._shape.fields

    @property
    def value_class(self) -> type[Any]:
        """The class of this struct's values, made on first use."""
        shape = self._shape
        if shape.value_class is None:
            shape.value_class = value_class_of(self.name, self.fields)
        return shape.value_class

    @property
    def structs(self) -> dict[str, Struct]:
        """The structs nested at any depth, by name."""
        shape = self._shape
        if shape.structs is None:
            shape.structs = {struct.name: struct for struct in _nested(self)}
        return shape.structs

    @property
    def label(self) -> str:
        """See Kind."""
        return self.name

    def zero(self) -> Any:
        """See Kind."""
        return self.value_class.fresh()

    def min_size(self, layout: Layout) -> int:
        """See Kind."""
        if self.is_nullable(layout.version):
            return 1
        return min_size_of((field.kind for field in self.fields), layout) + layout.flexible

    def read(self, window: Window, layout: Layout, path: str) -> Any:
        """See Node."""
        start = window.position
        if self.is_nullable(layout.version):
            # An int8, negative for null; in a tagged field an unsigned varint, 0 for null (MessageDataGenerator).
            tagged = self.is_tagged(layout.version)
            if window.uvarint(path) == 0 if tagged else window.take(1, path)[0] > 0x7F:
                return self._leaf(window, path, None, start)
        value = self.zero()
        for field in self.fields:
            kind = field.kind
            if kind.is_present(layout.version) and not kind.is_tagged(layout.version):
                setattr(value, field.name, field.read(window, layout, path))
        if layout.flexible:
            self._read_tags(value, window, layout, path)
        return value

    def _read_tags(self, value: Any, window: Window, layout: Layout, path: str) -> None:
        known = self._tagged(layout)
        unknown = []
        last = -1
        count = window.uvarint(path)
        window.count_elements(count, path)
        for _ in range(count):
            start = window.position
            tag = window.uvarint(path)
            if tag <= last:
                raise MalformedFrame(path, start, f"tag {tag} after tag {last}")
            last = tag
            size = window.uvarint(path)
            field = known.get(tag)
            if field is None:
                payload = bytes(window.take(size, path))
                unknown.append((tag, payload))
                if window.on_field is not None:
                    window.on_field(f"{path}.tag{tag}" if path else f"tag{tag}", "unknown tag", payload, start, size)
                continue
            payload_start = window.position
            setattr(value, field.name, field.read(window, layout, path))
            if window.position - payload_start != size:
                reason = f"tag {tag} says {size} bytes and has {window.position - payload_start}"
                raise MalformedFrame(f"{path}.{field.name}" if path else field.name, payload_start, reason)
        value.unknown_tags = tuple(unknown)

    def _tagged(self, layout: Layout) -> dict[int, Field]:
        tagged = {}
        for field in self.fields:
            tag = field.kind.options.tag
            if tag is not None and field.kind.is_tagged(layout.version):
                tagged[tag] = field
        return tagged

    def write(self, chunks: list[Any], value: Any, layout: Layout, path: str) -> None:
        """See Node."""
        nullable_here = self.is_nullable(layout.version)
        if value is None:
            self._null_refused(layout, path)
            chunks.append(b"\0" if self.is_tagged(layout.version) else b"\xff")
            return
        if not isinstance(value, self.value_class):
            raise Unencodable(path, f"{type(value).__name__} is no {self.name}")
        if nullable_here:
            chunks.append(b"\x01")
        for field in self.fields:
            kind = field.kind
            item = getattr(value, field.name)
            if not kind.is_present(layout.version):
                if not kind.options.ignorable and item != kind.default_value():
                    where = f"{path}.{field.name}" if path else field.name
                    raise Unencodable(where, f"version {layout.version} lacks the field")
            elif not kind.is_tagged(layout.version):
                field.write(chunks, item, layout, path)
        if layout.flexible:
            self._write_tags(chunks, value, layout, path)
        elif value.unknown_tags:
            raise Unencodable(path, f"version {layout.version} has no tagged fields")

    def _write_tags(self, chunks: list[Any], value: Value, layout: Layout, path: str) -> None:
        known = self._tagged(layout)
        payloads = []
        for tag, field in known.items():
            item = getattr(value, field.name)
            if item != field.kind.default_value():
                parts: list[Any] = []
                field.write(parts, item, layout, path)
                payloads.append((tag, b"".join(parts)))
        for tag, payload in value.unknown_tags:
            if tag in known:
                raise Unencodable(path, f"unknown tag {tag} is {known[tag].name} in version {layout.version}")
            payloads.append((tag, payload))
        payloads.sort()
        if len({tag for tag, _ in payloads}) != len(payloads):
            raise Unencodable(path, "a tag stands twice in unknown_tags")
        chunks.append(uvarint_bytes(len(payloads)))
        for tag, payload in payloads:
            chunks += (uvarint_bytes(tag), uvarint_bytes(len(payload)), payload)


def _nested(struct: Struct) -> Iterator[Struct]:
    for field in struct.fields:
        kind = field.kind
        while isinstance(kind, Array):
            kind = kind.element
        if isinstance(kind, Struct):
            yield kind
            yield from _nested(kind)


class Message(Struct):
    """A struct with versions: a request, a response, a record. `key` is its API key or record type, if it has one.

    `versions` is "0-13" or "3"; `flexible` is "9+" or "none" (KIP-482: compact lengths and tagged fields from there).
    """

    type_name = "message"

    def __init__(self, name: str, *, versions: str, flexible: str = "none", key: int | None = None) -> None:
        super().__init__(name)
        lowest, _, highest = versions.partition("-")
        self.key = key
        self.lowest = int(lowest)
        self.highest = int(highest or lowest)
        self.flexible_from = None if flexible == "none" else int(flexible.removesuffix("+"))
        self.decoders: dict[int, Callable[..., Any]] = {}
        self.encoders: dict[int, Callable[..., Any]] = {}

    def __call__(self, *fields: Field, **values: Any) -> Any:
        """Finish the declaration with `fields`; afterwards: a value."""
        if self._shape.fields is None:
            self._finish(fields)
            return self
        return self.value_class(*fields, **values)

    @property
    def versions(self) -> range:
        """Every declared version."""
        return range(self.lowest, self.highest + 1)

    @property
    def elements_max(self) -> int:
        """How many elements its arrays may have together, where it is read: a request comes from anybody."""
        if self.name == "ProduceRequest":
            return PRODUCE_ELEMENTS_MAX
        return REQUEST_ELEMENTS_MAX if self.name.endswith("Request") else UNBOUNDED

    def is_flexible(self, version: int) -> bool:
        """Has `version` compact lengths and tagged fields?"""
        return self.flexible_from is not None and version >= self.flexible_from

    def layout(self, version: int) -> Layout:
        """The layout of `version`. Raises UnsupportedVersion."""
        if not self.lowest <= version <= self.highest:
            raise UnsupportedVersion(self.name, version)
        return Layout(version, self.is_flexible(version))

    def _layout(self, context: Any) -> Layout:
        return self.layout(context_version(context))

    def parse_version(self, version: int, buffer: Buffer) -> Any:
        """The value that `buffer` begins with; more bytes are ignored. Raises MalformedFrame, UnsupportedVersion."""
        return self.read(Window(buffer, 0, self.elements_max), self.layout(version), "")

    def build_version(self, version: int, value: Any) -> bytes:
        """The bytes of `value`. Raises Unencodable, UnsupportedVersion."""
        chunks: list[Any] = []
        self.write(chunks, value, self.layout(version), "")
        return b"".join(chunks)


__all__ = [
    "FOREVER",
    "Array",
    "Bool",
    "BrokerEpoch",
    "Bytes",
    "ClassicString",
    "DirectoryId",
    "DurationMs",
    "ErrorCode",
    "ErrorMessage",
    "Field",
    "Float64",
    "GroupId",
    "HostName",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Kind",
    "Layout",
    "LeaderEpoch",
    "MalformedFrame",
    "MemberId",
    "Message",
    "NodeId",
    "Nullable",
    "Offset",
    "PartitionEpoch",
    "PartitionId",
    "ProducerEpoch",
    "ProducerId",
    "Records",
    "Sequence",
    "String",
    "Struct",
    "TimestampMs",
    "TopicId",
    "TopicName",
    "TransactionalId",
    "UInt8",
    "UInt16",
    "UInt32",
    "Unencodable",
    "UnsignedVarint",
    "UnsupportedVersion",
    "Uuid",
    "Value",
    "Varint",
    "VarintArray",
    "VarintBytes",
    "VarintString",
    "Varlong",
    "Window",
]
