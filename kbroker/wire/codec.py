"""Bytes to messages and back: what the broker calls.

The compiled engine does the work; when it refuses, the reference engine reads or writes again to say why. Memory: a
decoded value takes at most MEMORY_MULTIPLE times the bytes of its frame, whatever the frame says.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from kbroker.turns import Turns
from kbroker.wire import reference
from kbroker.wire.compiled import decoder, decoder_in_turns, encoder, encoder_in_turns
from kbroker.wire.encoder_source import ENCODE_FAILURES
from kbroker.wire.source import Refused, Uncounted, more, unknown_section
from kbroker.world import Chunk
from protocol_specs import api
from protocol_specs.frame import Buffer, MalformedFrame, TooManyElements, Unencodable, UnsupportedVersion
from protocol_specs.grammar import Message
from protocol_specs.headers import response_header_version

__all__ = [
    "MalformedFrame",
    "RequestHeader",
    "Unencodable",
    "UnsupportedVersion",
    "decode",
    "decode_in_turns",
    "decode_request_header",
    "encode",
    "encode_chunks",
    "encode_chunks_in_turns",
    "encode_response",
    "encode_response_in_turns",
]

MEMORY_MULTIPLE = 80
"""The worst that was found is 60, for arrays of structs whose only field is an empty array; one copy is in it."""

EXPLAINED_BYTES_MAX = 4096
EXPLAINED_ELEMENTS_MAX = 1_000
"""In frames above so many bytes, the reference engine looks so far for what is wrong: it takes some 20 us for each."""

HEADER_TAGS_MAX = EXPLAINED_ELEMENTS_MAX
"""Tagged fields of a request's header; Kafka knows of none."""

_DECODE_FAILURES = (Refused, struct.error, IndexError)

_request_head = struct.Struct(">hhih").unpack_from
_REQUEST_HEAD_BYTES = 10
_classic_head = struct.Struct(">ii").pack
_flexible_head = struct.Struct(">iix").pack


class RequestHeader(NamedTuple):
    """What stands before a request's body. `client_id` is "" where the client sent null, as in Kafka."""

    key: int
    version: int
    correlation_id: int
    client_id: str
    body_position: int


def decode(message: Message, version: int, buffer: Buffer, position: int = 0) -> tuple[Any, int]:
    """The value at `position` and the position behind it; what follows is the caller's business.

    Records are memoryviews of `buffer`. Raises MalformedFrame, UnsupportedVersion.
    """
    read = message.decoders.get(version) or decoder(message, version)
    try:
        return read(buffer, position)
    except Uncounted as error:
        raise TooManyElements(error.path, error.position, message.elements_max) from None
    except _DECODE_FAILURES:
        pass
    raise _why_refused(message, version, buffer, position)


def decode_in_turns(message: Message, version: int, buffer: Buffer, position: int = 0) -> Turns[tuple[Any, int]]:
    """Like decode(), for frames of many elements: others may be served where it yields.

    The bytes of records stay where they are; other frames are copied first, at some gigabytes a second.
    """
    try:
        found: tuple[Any, int] = yield from decoder_in_turns(message, version)(buffer, position)
        return found
    except Uncounted as error:
        raise TooManyElements(error.path, error.position, message.elements_max) from None
    except _DECODE_FAILURES:
        pass
    raise _why_refused(message, version, buffer, position)


def _why_refused(message: Message, version: int, buffer: Buffer, position: int) -> MalformedFrame:
    """Raises it, unless it is the compiled engine that is wrong."""
    value, end = _explained(message, version, buffer, position)
    return MalformedFrame("", end, f"the compiled reader refused what the reference read as {type(value).__name__}")


def _explained(message: Message, version: int, buffer: Buffer, position: int) -> tuple[Any, int]:
    """What the reference engine makes of a frame that was refused, mostly a MalformedFrame."""
    if len(buffer) <= EXPLAINED_BYTES_MAX:
        return reference.decode(message, version, buffer, position)
    try:
        return reference.decode(message, version, buffer, position, EXPLAINED_ELEMENTS_MAX)
    except TooManyElements as error:
        raise MalformedFrame(error.path, error.position, "something is wrong here or behind") from None


def encode_parts(message: Message, version: int, value: Any) -> tuple[list[Any], list[int]]:
    """Byte strings and, at the places listed second, records. Raises Unencodable, UnsupportedVersion."""
    write = message.encoders.get(version) or encoder(message, version)
    out: list[Any] = []
    cuts: list[int] = []
    try:
        write(value, out, cuts)
    except ENCODE_FAILURES:
        reference.encode_chunks(message, version, value)
        raise
    return out, cuts


def encode(message: Message, version: int, value: Any) -> bytes:
    """All bytes of a value, records included, which must be in memory. Raises Unencodable, UnsupportedVersion."""
    out, _ = encode_parts(message, version, value)
    try:
        return b"".join(out)
    except TypeError as error:
        reference.encode_chunks(message, version, value)
        raise Unencodable("", f"records that are not in memory need encode_chunks: {error}") from error


def encode_chunks(message: Message, version: int, value: Any) -> list[Chunk]:
    """The encoding as chunks for a transport: non-empty records are chunks of their own, never copied.

    The first chunk is always bytes, and there is always one. Raises Unencodable, UnsupportedVersion.
    """
    out, cuts = encode_parts(message, version, value)
    try:
        return _joined(out, cuts) if cuts else [b"".join(out)]
    except TypeError:
        reference.encode_chunks(message, version, value)
        raise


def _joined(out: list[Any], cuts: list[int]) -> list[Chunk]:
    """The parts between records in one piece each; the first chunk is always bytes."""
    chunks: list[Chunk] = []
    start = 0
    for cut in cuts:
        chunks += (b"".join(out[start:cut]), out[cut])
        start = cut + 1
    if start < len(out):
        chunks.append(b"".join(out[start:]))
    return chunks


def encode_response(message: Message, version: int, correlation_id: int, value: Any) -> list[Chunk]:
    """A whole frame: size, response header and body. Raises Unencodable, UnsupportedVersion."""
    return _framed(message, version, correlation_id, encode_chunks(message, version, value))


def encode_response_in_turns(message: Message, version: int, correlation_id: int, value: Any) -> Turns[list[Chunk]]:
    """Like encode_response(), for values of many elements: others may be served where it yields."""
    chunks = yield from encode_chunks_in_turns(message, version, value)
    return _framed(message, version, correlation_id, chunks)


def encode_chunks_in_turns(message: Message, version: int, value: Any) -> Turns[list[Chunk]]:
    """Like encode_chunks(), for values of many elements; each turn's are chunks of their own."""
    out: list[Any] = []
    cuts: list[int] = []
    chunks: list[Chunk] = []
    try:
        for _ in encoder_in_turns(message, version)(value, out, cuts):
            chunks += _joined(out, cuts)
            out.clear()
            cuts.clear()
            yield
        chunks += _joined(out, cuts)
    except ENCODE_FAILURES:
        reference.encode_chunks(message, version, value)
        raise
    return chunks


def _framed(message: Message, version: int, correlation_id: int, chunks: list[Chunk]) -> list[Chunk]:
    size = sum(map(len, chunks))
    if response_header_version(message.key, message.is_flexible(version)) == 0:
        head = _classic_head(4 + size, correlation_id)
    else:
        head = _flexible_head(5 + size, correlation_id)
    first = chunks[0]
    assert isinstance(first, bytes)
    chunks[0] = head + first
    return chunks


class _FlexibleFrom(dict[int, int]):
    """API key -> the first version with a flexible header, filled when a key is first met; 1 << 15 is never."""

    def __missing__(self, key: int) -> int:
        if key not in api.SNAKE_NAMES:
            raise UnsupportedVersion(f"API key {key}", -1)
        flexible_from = api.messages(key)[0].flexible_from
        self[key] = found = 1 << 15 if flexible_from is None else flexible_from
        return found


_flexible_from = _FlexibleFrom()


def decode_request_header(frame: memoryview) -> RequestHeader:
    """The header that a frame (without its size) begins with. Raises MalformedFrame; UnsupportedVersion for an
    unknown API key, whose header cannot be read; versions of the body are not checked here."""
    try:
        key, version, correlation_id, length = _request_head(frame)
        position = _REQUEST_HEAD_BYTES
        client_id = ""
        if length > 0:
            position += length
            client_id = str(frame[_REQUEST_HEAD_BYTES:position], "utf-8", "replace")
        if version >= _flexible_from[key]:
            count = frame[position]
            position += 1
            if count:
                if count > 0x7F:
                    count, position = more(frame, position, count)
                    if count > HEADER_TAGS_MAX:
                        raise Refused
                _, position = unknown_section(frame, position, count, len(frame))
        if position > len(frame):
            raise Refused
    except _DECODE_FAILURES:
        raise _explained_header(frame) from None
    return RequestHeader(key, version, correlation_id, client_id, position)


def _explained_header(frame: memoryview) -> MalformedFrame:
    from protocol_specs.headers import RequestHeader as Declared
    from protocol_specs.headers import request_header_version

    head = bytes(frame[:4])
    flexible = False
    if len(head) == 4:
        key, version = struct.unpack(">hh", head)
        flexible = version >= _flexible_from[key]
    try:
        reference.decode(Declared, request_header_version(flexible), frame, 0, HEADER_TAGS_MAX)
    except MalformedFrame as error:
        return error
    return MalformedFrame("", 0, "the header reader refused what the reference read")
