"""A frame field by field, read by the declaration itself."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from kbroker.cli.dump.rows import Row, plain
from protocol_specs import api
from protocol_specs.frame import MalformedFrame, UnsupportedVersion, Window
from protocol_specs.grammar import Message
from protocol_specs.headers import RequestHeader, ResponseHeader, request_header_version, response_header_version

_SIZE = struct.Struct(">i")


def frame_rows(view: memoryview, key: int, version: int, *, is_request: bool) -> Iterator[Row]:
    """A row per field, headers first; then one for bytes left over. Raises MalformedFrame, UnsupportedVersion.

    Whether `view` begins with a size and a header is seen from its first four bytes.
    """
    if key not in api.SNAKE_NAMES:
        raise UnsupportedVersion(f"API key {key}", version)
    message = api.messages(key)[0 if is_request else 1]
    window = Window(view)
    if len(view) >= _SIZE.size and _SIZE.unpack_from(view)[0] == len(view) - _SIZE.size:
        yield _row("size", "int32", window.left - _SIZE.size, 0, _SIZE.size)
        window.position = _SIZE.size
        yield from _fields(_header_of(key, message, version, is_request), window, "header.")
    yield from _fields((message, version), window, "")
    if window.left:
        left = bytes(view[window.position :])
        yield {"position": window.position, "size": len(left), "path": "", "type": "left over", "value": plain(left)}


def _header_of(key: int, message: Message, version: int, is_request: bool) -> tuple[Message, int]:
    is_flexible = message.is_flexible(version)
    if is_request:
        return RequestHeader, request_header_version(is_flexible)
    return ResponseHeader, response_header_version(key, is_flexible)


def _fields(declared: tuple[Message, int], window: Window, prefix: str) -> Iterator[Row]:
    message, version = declared
    rows: list[Row] = []
    window.on_field = lambda path, type_name, value, position, size: rows.append(
        _row(prefix + path, type_name, value, position, size)
    )
    try:
        message.read(window, message.layout(version), "")
    except MalformedFrame:
        yield from rows
        raise
    yield from rows


def _row(path: str, type_name: str, value: Any, position: int, size: int) -> Row:
    is_uuid = type_name == "uuid" or (type_name.endswith("Id") and isinstance(value, bytes) and len(value) == 16)
    shown = plain(value, "uuid" if is_uuid else "")
    return {"position": position, "size": size, "path": path, "type": type_name, "value": shown}
