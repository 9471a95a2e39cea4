"""Bytes under a declaration: the reading window, varints, and the ways a frame or a value can be wrong.

Varints are little-endian groups of seven bits, the high bit of a byte says that another follows. Overlong forms (a
needless trailing zero group) are read as Kafka reads them, up to five bytes for 32 bits and ten for 64; a value that
does not fit is malformed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Buffer = bytes | bytearray | memoryview

STRING_BYTES_MAX = 0x7FFF
"""Kafka refuses longer strings, in compact form too (MessageDataGenerator)."""

REQUEST_ELEMENTS_MAX = 250_000
"""Elements of all arrays of one request together, its tagged fields too. The largest that is asked in earnest names
100,000 partitions of as many topics, or creates 10,000 topics with 12 assigned partitions each. What a peer can put
into 100 MB else is 50 million: minutes of work, and more memory than there is."""

PRODUCE_ELEMENTS_MAX = 25_000
"""Of a Produce request: batches for 12,000 partitions of as many topics, each 10 us of work even to refuse it."""

UNBOUNDED = 1 << 62
"""For what we wrote ourselves, and for answers."""


class MalformedFrame(ValueError):
    """Bytes that are no value of the message: `path` of the field, `position` in the buffer, `reason`."""

    def __init__(self, path: str, position: int, reason: str) -> None:
        super().__init__(f"{path or 'frame'} at byte {position}: {reason}")
        self.path = path
        self.position = position
        self.reason = reason


class TooManyElements(MalformedFrame):
    """More than a request may have, with those that begin at `position`; any element of an array is [] in the path."""

    def __init__(self, path: str, position: int, elements_max: int) -> None:
        super().__init__(re.sub(r"\[\d+\]", "[]", path), position, f"more than {elements_max} elements in all")


class Unencodable(ValueError):
    """A value that the version cannot carry: `path` of the field and `reason`. Our mistake, never the peer's."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path or 'message'}: {reason}")
        self.path = path
        self.reason = reason


class UnsupportedVersion(ValueError):
    """A version of a message, or an API key, that is not declared."""

    def __init__(self, name: str, version: int) -> None:
        super().__init__(f"{name} has no version {version}")
        self.name = name
        self.version = version


class Window:
    """A reading position over one buffer; `end` is exclusive.

    `on_field(path, type_name, value, position, size)`, if set, is called after each leaf was read, and with the count
    as its value after the prefix of an array was read.
    """

    __slots__ = ("_elements_left", "_elements_max", "data", "end", "on_field", "position")

    def __init__(self, buffer: Buffer, position: int = 0, elements_max: int = UNBOUNDED) -> None:
        self._elements_max = self._elements_left = elements_max
        self.data = memoryview(buffer)
        self.position = position
        self.end = len(self.data)
        self.on_field: Callable[[str, str, Any, int, int], None] | None = None

    @property
    def left(self) -> int:
        """How many bytes are still unread."""
        return self.end - self.position

    def count_elements(self, count: int, path: str) -> None:
        """So many elements of an array, or tagged fields, follow. Raises MalformedFrame when they are too many."""
        self._elements_left -= count
        if self._elements_left < 0:
            raise TooManyElements(path, self.position, self._elements_max)

    def take(self, size: int, path: str) -> memoryview:
        """The next `size` bytes, without a copy. Raises MalformedFrame when they are not there."""
        start = self.position
        if size > self.end - start:
            raise MalformedFrame(path, start, f"needs {size} bytes, {self.end - start} are left")
        self.position = start + size
        return self.data[start : start + size]

    def uvarint(self, path: str, bits: int = 32) -> int:
        """An unsigned varint of at most `bits`. Raises MalformedFrame when cut, too long or too large."""
        start = self.position
        value = shift = 0
        while True:
            byte = self.take(1, path)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= bits + 3:
                raise MalformedFrame(path, start, f"a varint of more than {(bits + 6) // 7} bytes")
        if value >> bits:
            raise MalformedFrame(path, start, f"a varint that does not fit {bits} bits")
        return value

    def varint(self, path: str, bits: int = 32) -> int:
        """A signed (zigzag) varint of at most `bits`."""
        raw = self.uvarint(path, bits)
        return (raw >> 1) ^ -(raw & 1)


def uvarint_bytes(value: int) -> bytes:
    """The shortest unsigned varint of `value` >= 0."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint_bytes(value: int, bits: int = 32) -> bytes:
    """The shortest zigzag varint of a signed `value` of `bits`."""
    return uvarint_bytes((value << 1 ^ value >> (bits - 1)) & ((1 << bits) - 1))
