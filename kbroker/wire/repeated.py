"""Requests that come again and again but for one thing: all the rest of their frames is read once.

    | size | key, version | correlation id | header .. body up to the records | length | records | rest |
             `-------- head, but for the correlation id --------------------'                     tail

A client that produces to one partition sends the same bytes round its records every time, and one that reads a
partition on and on the same bytes round its offset. A frame whose head and tail are those of one that was decoded
before means the same; nothing but what varies and its correlation id is looked at. Sans-IO, and it knows nothing of
what a request is for.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final, Generic, NamedTuple, TypeVar

from kbroker.wire.codec import encode, encode_chunks
from protocol_specs.frame import uvarint_bytes
from protocol_specs.grammar import Message

T = TypeVar("T")

HEADS_MAX: Final = 64
"""Kept of one connection: as many partitions as a client may produce to by turns. Some 300 bytes each."""

LEARNED_MAX: Final = 8
"""Learned in a row although none came again; then only one request in LEARNED_EVERY is tried. Learning costs 20 us."""

LEARNED_EVERY: Final = 64

CORRELATION_ID: Final = slice(4, 8)
"""Where it stands in a frame."""
_CORRELATION_END: Final = 8
_KEY_AND_VERSION_END: Final = 4

_length = Struct(">i").unpack_from


COMPACT: Final = -1
"""What varies is records behind an unsigned varint of one more than their length."""

CLASSIC: Final = 0
"""Records behind an int32 of their length."""

NUMBER_BYTES: Final = 8


class Surroundings(NamedTuple):
    """The bytes of a frame round what varies; the correlation id and the length of records are not among them.

    `length` says how to find the end of what varies: COMPACT, CLASSIC, or a count of bytes.
    """

    key_and_version: bytes
    head: bytes
    tail: bytes
    length: int


def around_records(
    frame: memoryview, body_position: int, message: Message, version: int, request: Any
) -> Surroundings | None:
    """Those of a frame that was just decoded as `request`; None unless it has records once, plainly written.

    The request is encoded again: where that gives other bytes (a tag that we don't know, a longer length than needed)
    the frame is one of a kind.
    """
    chunks = encode_chunks(message, version, request)
    if not 2 <= len(chunks) <= 3:
        return None
    before, records, tail = chunks[0], chunks[1], chunks[2] if len(chunks) == 3 else b""
    assert isinstance(before, bytes)
    assert isinstance(records, memoryview)
    assert isinstance(tail, bytes)
    is_flexible = message.is_flexible(version)
    length_bytes = len(uvarint_bytes(len(records) + 1)) if is_flexible else 4
    records_at = body_position + len(before)
    if frame[body_position:records_at] != before or frame[records_at + len(records) :] != tail:
        return None
    head = bytes(frame[_CORRELATION_END : records_at - length_bytes])
    return Surroundings(bytes(frame[:_KEY_AND_VERSION_END]), head, tail, COMPACT if is_flexible else CLASSIC)


def around_number(
    frame: memoryview, body_position: int, message: Message, version: int, request: Any, holder: Any, name: str
) -> Surroundings | None:
    """Those of a frame that was just decoded as `request` round one number of 64 bits: `name` of `holder` in there.

    None where the frame is one of a kind, see above. Where the number stands is seen by what changes with it.
    """
    body = encode(message, version, request)
    if frame[body_position:] != body:
        return None
    number = getattr(holder, name)
    setattr(holder, name, ~number)
    other = encode(message, version, request)
    setattr(holder, name, number)
    changed = [at for at, (one, another) in enumerate(zip(body, other, strict=True)) if one != another]
    assert len(changed) == NUMBER_BYTES, "every bit of the number was turned, and nothing else"
    at = body_position + changed[0]
    head, tail = bytes(frame[_CORRELATION_END:at]), bytes(frame[at + NUMBER_BYTES :])
    return Surroundings(bytes(frame[:_KEY_AND_VERSION_END]), head, tail, NUMBER_BYTES)


class Repeated(Generic[T]):
    """What is known of the requests of one connection that come again: a T for each of their surroundings."""

    __slots__ = ("_found", "_head_end", "_unrepeated", "is_of_use")

    def __init__(self) -> None:
        self._found: dict[bytes, tuple[Surroundings, T]] = {}
        # All that are kept have heads of one length, so that one look is enough.
        self._head_end = 0
        self._unrepeated = 0
        self.is_of_use = True
        """Was it of use what was found last? Else it's too early to look for what is behind the next."""

    @property
    def is_empty(self) -> bool:
        """Is nothing known?"""
        return not self._found

    def find(self, frame: memoryview) -> tuple[T, memoryview] | None:
        """What is known of a request like this, and what varies in it; None where it is new in any other way."""
        end = self._head_end
        start = bytes(frame[:end])
        found = self._found.get(start[_CORRELATION_END:])
        if found is None:
            return None
        around, known = found
        size, length, at = len(frame), around.length, end
        if length == COMPACT:
            length, at = _uvarint(frame, end, size)
            length -= 1
        elif length == CLASSIC:
            if size < end + 4:
                return None
            (length,), at = _length(frame, end), end + 4
        stop = at + length
        if length <= 0 or start[:_KEY_AND_VERSION_END] != around.key_and_version:
            return None
        if stop + len(around.tail) != size or frame[stop:] != around.tail:
            return None
        return known, frame[at:stop]

    def confirm(self) -> None:
        """What was found was of use."""
        self._unrepeated = 0
        self.is_of_use = True

    def is_worth_learning(self) -> bool:
        """Shall a request that was not found be learned? Asked once for each."""
        self._unrepeated += 1
        return self._unrepeated <= LEARNED_MAX or self._unrepeated % LEARNED_EVERY == 0

    def learn(self, around: Surroundings, known: T) -> None:
        """Find it from now on."""
        end = _CORRELATION_END + len(around.head)
        if end != self._head_end or len(self._found) >= HEADS_MAX:
            self._found.clear()
            self._head_end = end
        self._found[around.head] = around, known


def _uvarint(frame: memoryview, position: int, size: int) -> tuple[int, int]:
    """The number at `position` and the position behind it; -1 where there is none of at most five bytes."""
    value = shift = 0
    for at in range(position, min(position + 5, size)):
        byte = frame[at]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at + 1
        shift += 7
    return -1, position
