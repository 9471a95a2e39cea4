"""The reference engine: a declaration parses and builds by itself. Slow, simple, and exact about what is wrong."""

from __future__ import annotations

from typing import Any

from protocol_specs.frame import Buffer
from protocol_specs.grammar import Message, Window


def decode(
    message: Message, version: int, buffer: Buffer, position: int = 0, elements_max: int | None = None
) -> tuple[Any, int]:
    """(value, the position behind it). Raises MalformedFrame, also for more than `elements_max` elements of arrays
    (None: as many as the message may have); UnsupportedVersion."""
    window = Window(buffer, position, message.elements_max if elements_max is None else elements_max)
    value = message.read(window, message.layout(version), "")
    return value, window.position


def encode_chunks(message: Message, version: int, value: Any) -> list[Any]:
    """The pieces of the encoding; records are the objects they are. Raises Unencodable, UnsupportedVersion."""
    chunks: list[Any] = []
    message.write(chunks, value, message.layout(version), "")
    return chunks


def encode(message: Message, version: int, value: Any) -> bytes:
    """The bytes of a value. Raises Unencodable, UnsupportedVersion."""
    return b"".join(encode_chunks(message, version, value))
