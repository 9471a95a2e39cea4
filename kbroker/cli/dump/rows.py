"""Rows of a dump as text or JSON lines, and values of messages as plain data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import click

from kbroker.names import uuid_text

Row = Mapping[str, Any]


def print_rows(rows: Iterable[Row], form: str) -> None:
    """Print each row as it comes: `name=value ...` for text, one JSON object for jsonl."""
    for row in rows:
        click.echo(json.dumps(row, ensure_ascii=False) if form == "jsonl" else text_of(row))


def text_of(row: Row) -> str:
    """A row for people: names and values between spaces."""
    return " ".join(f"{name}={_shown(value)}" for name, value in row.items())


def _shown(value: Any) -> str:
    if isinstance(value, str) and value and not any(character in value for character in ' "=\n\r\t'):
        return value
    return json.dumps(value, ensure_ascii=False)


def plain(value: Any, type_name: str = "") -> Any:
    """A field's value as JSON can say it: uuids in Kafka's text form, bytes as text where they are text, else hex."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return uuid_text(bytes(value)) if type_name == "uuid" else bytes_text(value)
    if isinstance(value, (list, tuple)):
        return [plain(item, type_name) for item in value]
    fields = getattr(value, "fields", None)
    if fields is None:
        return value
    named = {field.name: plain(getattr(value, field.name), _element_type(field.kind)) for field in fields}
    unknown = {str(tag): bytes(data).hex() for tag, data in value.unknown_tags}
    return {**named, "unknown_tags": unknown} if unknown else named


def _element_type(kind: Any) -> str:
    """The type's name; of an array that of its elements."""
    name: str = getattr(getattr(kind, "element", kind), "type_name", "")
    return name


def bytes_text(data: bytes | bytearray | memoryview | None) -> str | None:
    """Bytes as printable text where they are UTF-8, else `0x` and hexadecimal digits; None for null."""
    if data is None:
        return None
    raw = bytes(data)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return f"0x{raw.hex()}"
    return text if text.isprintable() and not text.startswith("0x") else f"0x{raw.hex()}"
