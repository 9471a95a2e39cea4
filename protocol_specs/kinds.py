"""What a field can be: the options every type takes, and the scalar types.

A type is a construct object and stands for itself: `Int32.parse(b"...", version=0)`. Calling one gives a copy with
options: `Int32(since=3, default=-1)`. `read` and `write` are the reference engine; a compiler may look at the same
objects instead.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

from construct import Construct

from protocol_specs.frame import (
    STRING_BYTES_MAX,
    MalformedFrame,
    Unencodable,
    Window,
    uvarint_bytes,
    varint_bytes,
)

OPTION_NAMES = frozenset(
    {"since", "until", "tag", "tagged_since", "default", "ignorable", "nullable_since", "nullable_until"}
)


class _Unset:
    """The type of UNSET."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()
"""No default was declared: the type's own zero holds."""

FOREVER = 1 << 30
"""An open end of a range of versions."""


class Layout(NamedTuple):
    """How a version is laid out: the version itself and whether it is flexible (KIP-482)."""

    version: int
    flexible: bool


class Options(NamedTuple):
    """Where and how a field appears; versions are inclusive. `None` for `nullable_since`: never null."""

    since: int = 0
    until: int = FOREVER
    tag: int | None = None
    tagged_since: int | None = None
    default: Any = UNSET
    ignorable: bool = False
    nullable_since: int | None = None
    nullable_until: int = FOREVER


K = TypeVar("K", bound="Kind")


def context_version(context: Any) -> int:
    """The `version` of a construct context or of one that encloses it. Raises KeyError when nobody gave one."""
    while "version" not in context and "_" in context:
        context = context["_"]
    version: int = context["version"]
    return version


class Node(Construct, ABC):  # type: ignore[misc]  # construct has no types
    """A construct object whose parsing and building are our `read` and `write`."""

    @abstractmethod
    def read(self, window: Window, layout: Layout, path: str) -> Any:
        """The value at the window's position. Raises MalformedFrame."""

    @abstractmethod
    def write(self, chunks: list[Any], value: Any, layout: Layout, path: str) -> None:
        """Append the bytes of `value`; records are appended as the object they are. Raises Unencodable."""

    def _layout(self, context: Any) -> Layout:
        return Layout(context_version(context), bool(context.get("flexible", False)))

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        start = stream.tell()
        window = Window(stream.read())
        value = self.read(window, self._layout(context), "")
        stream.seek(start + window.position)
        return value

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        chunks: list[Any] = []
        self.write(chunks, obj, self._layout(context), "")
        stream.write(b"".join(chunks))
        return obj


class Kind(Node):
    """A type with its options. `type_name` is Kafka's word for it, `meaning` ours ("TopicName"), if it has one."""

    type_name = ""

    def __init__(self, meaning: str = "") -> None:
        super().__init__()
        self.meaning = meaning
        self.options = Options()

    def __call__(self: K, **options: Any) -> K:
        """A copy with these options (see Options)."""
        placed = object.__new__(type(self))
        placed.__dict__.update(self.__dict__)
        placed.options = self.options._replace(**options)
        return placed

    def __rtruediv__(self, name: str) -> Field:
        return Field(name, self)

    def named(self: K, meaning: str) -> K:
        """The same type under a name that says what the number or text means."""
        placed: K = Kind.__call__(self)
        placed.meaning = meaning
        return placed

    @property
    def label(self) -> str:
        """The name to show: the meaning if there is one, else the type."""
        return self.meaning or self.type_name

    def is_present(self, version: int) -> bool:
        """Is the field there in `version`, tagged or not?"""
        return self.options.since <= version <= self.options.until

    def is_tagged(self, version: int) -> bool:
        """Does the field travel in the tagged section of `version`?"""
        options = self.options
        if options.tag is None or not self.is_present(version):
            return False
        return options.tagged_since is None or version >= options.tagged_since

    def is_nullable(self, version: int) -> bool:
        """May the field be null in `version`?"""
        since = self.options.nullable_since
        return since is not None and since <= version <= self.options.nullable_until

    @abstractmethod
    def zero(self) -> Any:
        """Kafka's default of the type, a fresh object where it is mutable."""

    def default_value(self) -> Any:
        """What the field is when nobody sets it; fresh where it is mutable."""
        return self.zero() if self.options.default is UNSET else self.options.default

    @abstractmethod
    def min_size(self, layout: Layout) -> int:
        """The fewest bytes that a value can take in the layout."""

    def _leaf(self, window: Window, path: str, value: Any, start: int) -> Any:
        if window.on_field is not None:
            window.on_field(path, self.label, value, start, window.position - start)
        return value

    def _null_read(self, window: Window, layout: Layout, path: str, start: int) -> None:
        if not self.is_nullable(layout.version):
            raise MalformedFrame(path, start, "null is not allowed here")
        self._leaf(window, path, None, start)

    def _null_refused(self, layout: Layout, path: str) -> None:
        if not self.is_nullable(layout.version):
            raise Unencodable(path, f"null is not allowed in version {layout.version}")


class Field(Node):
    """A type under the name it has in a struct: `"acks" / Int16`."""

    def __init__(self, name: str, kind: Kind) -> None:
        super().__init__()
        self.name = name
        self.kind = kind

    def _layout(self, context: Any) -> Layout:
        return self.kind._layout(context)

    def read(self, window: Window, layout: Layout, path: str) -> Any:
        """See Node."""
        return self.kind.read(window, layout, f"{path}.{self.name}" if path else self.name)

    def write(self, chunks: list[Any], value: Any, layout: Layout, path: str) -> None:
        """See Node."""
        self.kind.write(chunks, value, layout, f"{path}.{self.name}" if path else self.name)


class Fixed(Kind):
    """A type of fixed width; `code` is its letter in Python's struct module. All are big-endian."""

    def __init__(self, type_name: str, code: str, zero: Any) -> None:
        super().__init__()
        self.type_name = type_name
        self.code = code
        self.packing = struct.Struct(">" + code)
        self._zero = zero

    def zero(self) -> Any:
        """See Kind."""
        return self._zero

    def min_size(self, layout: Layout) -> int:
        """See Kind."""
        return self.packing.size

    def read(self, window: Window, layout: Layout, path: str) -> Any:
        """See Node."""
        start = window.position
        (value,) = self.packing.unpack(window.take(self.packing.size, path))
        return self._leaf(window, path, value, start)

    def write(self, chunks: list[Any], value: Any, layout: Layout, path: str) -> None:
        """See Node."""
        if self.code == "16s" and len(value) != 16:
            raise Unencodable(path, f"a uuid has 16 bytes, not {len(value)}")
        try:
            chunks.append(self.packing.pack(value))
        except struct.error as error:
            raise Unencodable(path, f"{value!r} is no {self.type_name}: {error}") from error


class VariableInt(Kind):
    """A zigzag or unsigned varint, as records and tagged sections have them."""

    def __init__(self, type_name: str, bits: int, *, signed: bool) -> None:
        super().__init__()
        self.type_name = type_name
        self.bits = bits
        self.signed = signed

    def zero(self) -> Any:
        """See Kind."""
        return 0

    def min_size(self, layout: Layout) -> int:
        """See Kind."""
        return 1

    def read(self, window: Window, layout: Layout, path: str) -> Any:
        """See Node."""
        start = window.position
        value = window.varint(path, self.bits) if self.signed else window.uvarint(path, self.bits)
        return self._leaf(window, path, value, start)

    def write(self, chunks: list[Any], value: Any, layout: Layout, path: str) -> None:
        """See Node."""
        lowest = -(1 << (self.bits - 1)) if self.signed else 0
        if not isinstance(value, int) or not lowest <= value < lowest + (1 << self.bits):
            raise Unencodable(path, f"{value!r} is no {self.type_name}")
        chunks.append(varint_bytes(value, self.bits) if self.signed else uvarint_bytes(value))


class Prefixed(Kind):
    """A type behind its length or count. `prefix` is the classic form: "int16" or "int32"; flexible versions replace it
    by an unsigned varint of length + 1 ("compact") unless `is_fixed_prefix`. "varint" is a zigzag length (records)."""

    def __init__(self, prefix: str, *, is_fixed_prefix: bool = False) -> None:
        super().__init__()
        self.prefix = prefix
        self.is_fixed_prefix = is_fixed_prefix

    def prefixed(self: K, prefix: str) -> K:
        """The same type with `prefix` in every version, flexible or not."""
        placed: K = Kind.__call__(self)
        placed.prefix = prefix
        placed.is_fixed_prefix = True
        return placed

    def prefix_in(self, layout: Layout) -> str:
        """The form of the prefix in a layout: int16, int32, varint or compact."""
        return "compact" if layout.flexible and not self.is_fixed_prefix else self.prefix

    def min_size(self, layout: Layout) -> int:
        """See Kind."""
        return {"int16": 2, "int32": 4, "varint": 1, "compact": 1}[self.prefix_in(layout)]

    def _read_length(self, window: Window, layout: Layout, path: str) -> int:
        """The length or count; negative means null."""
        prefix = self.prefix_in(layout)
        if prefix == "compact":
            return window.uvarint(path) - 1
        if prefix == "varint":
            return window.varint(path)
        return int.from_bytes(window.take(2 if prefix == "int16" else 4, path), "big", signed=True)

    def _write_length(self, chunks: list[Any], length: int, layout: Layout, path: str) -> None:
        prefix = self.prefix_in(layout)
        if length > (STRING_BYTES_MAX if prefix == "int16" else 0x7FFFFFFE):
            raise Unencodable(path, f"a length of {length} does not fit")
        if prefix == "compact":
            chunks.append(uvarint_bytes(length + 1))
        elif prefix == "varint":
            chunks.append(varint_bytes(length))
        else:
            chunks.append(length.to_bytes(2 if prefix == "int16" else 4, "big", signed=True))


class Text(Prefixed):
    """UTF-8 text of at most 32,767 bytes. Bytes that are no UTF-8 are read as U+FFFD, as Java reads them."""

    type_name = "string"

    def zero(self) -> Any:
        """See Kind."""
        return ""

    def read(self, window: Window, layout: Layout, path: str) -> Any:
        """See Node."""
        start = window.position
        length = self._read_length(window, layout, path)
        if length < 0:
            return self._null_read(window, layout, path, start)
        if length > STRING_BYTES_MAX:
            raise MalformedFrame(path, start, f"a string of {length} bytes")
        return self._leaf(window, path, str(window.take(length, path), "utf-8", "replace"), start)

    def write(self, chunks: list[Any], value: Any, layout: Layout, path: str) -> None:
        """See Node."""
        if value is None:
            self._null_refused(layout, path)
            self._write_length(chunks, -1, layout, path)
            return
        if not isinstance(value, str):
            raise Unencodable(path, f"{type(value).__name__} is no string")
        try:
            data = value.encode()
        except UnicodeEncodeError as error:
            raise Unencodable(path, str(error)) from error
        if len(data) > STRING_BYTES_MAX:
            raise Unencodable(path, f"a string of {len(data)} bytes")
        self._write_length(chunks, len(data), layout, path)
        chunks.append(data)


class Blob(Prefixed):
    """Opaque bytes; read as `bytes`."""

    type_name = "bytes"

    def zero(self) -> Any:
        """See Kind."""
        return b""

    def _taken(self, view: memoryview) -> Any:
        return bytes(view)

    def read(self, window: Window, layout: Layout, path: str) -> Any:
        """See Node."""
        start = window.position
        length = self._read_length(window, layout, path)
        if length < 0:
            return self._null_read(window, layout, path, start)
        return self._leaf(window, path, self._taken(window.take(length, path)), start)

    def write(self, chunks: list[Any], value: Any, layout: Layout, path: str) -> None:
        """See Node."""
        if value is None:
            self._null_refused(layout, path)
            self._write_length(chunks, -1, layout, path)
            return
        if not isinstance(value, bytes | bytearray | memoryview):
            raise Unencodable(path, f"{type(value).__name__} is no bytes")
        self._write_length(chunks, len(value), layout, path)
        chunks.append(value)


class RecordsKind(Blob):
    """Record batches: read as a memoryview of the input; written from anything that has a length in bytes."""

    type_name = "records"

    def zero(self) -> Any:
        """See Kind."""
        return None

    def _taken(self, view: memoryview) -> Any:
        return view

    def write(self, chunks: list[Any], value: Any, layout: Layout, path: str) -> None:
        """See Node."""
        if value is None:
            self._null_refused(layout, path)
            self._write_length(chunks, -1, layout, path)
            return
        if isinstance(value, str) or not hasattr(value, "__len__"):
            raise Unencodable(path, f"{type(value).__name__} is no records")
        self._write_length(chunks, len(value), layout, path)
        chunks.append(value)


def nullable(kind: K, **options: Any) -> K:
    """`kind`, null in every version where it is present. The default stays the type's zero unless it is given."""
    return Kind.__call__(kind, **{"nullable_since": 0, **options})


def min_size_of(kinds: Iterable[Kind], layout: Layout) -> int:
    """The fewest bytes of a row of untagged fields."""
    return sum(
        kind.min_size(layout)
        for kind in kinds
        if kind.is_present(layout.version) and not kind.is_tagged(layout.version)
    )
