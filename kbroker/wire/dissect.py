"""Every field of a frame with its place, for people: what `kbroker dump frame` prints. By the reference engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from protocol_specs.frame import Buffer, MalformedFrame, Window
from protocol_specs.grammar import Message


class Field(NamedTuple):
    """One leaf: `path` ("topic_data[0].name"), the type's name ("TopicName"), where it lies and how long it is.

    An array stands before its elements, with its count as the value and the size of its count; an unknown tagged field
    is called "tag7" and has its bytes. Records are memoryviews of the buffer. Fields without bytes do not appear:
    those that the version lacks, and tagged fields that the frame leaves out.
    """

    path: str
    type_name: str
    value: Any
    position: int
    size: int


def dissect(message: Message, version: int, buffer: Buffer, position: int = 0) -> Iterator[Field]:
    """The fields from `position` on, in the order of their bytes.

    A malformed frame gives the fields before the bad one, then raises MalformedFrame. Raises UnsupportedVersion.
    """
    layout = message.layout(version)
    found: list[Field] = []
    window = Window(buffer, position)
    window.on_field = lambda *seen: found.append(Field(*seen))
    try:
        message.read(window, layout, "")
    except MalformedFrame:
        yield from found
        raise
    yield from found
