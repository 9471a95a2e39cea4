"""A record as scenarios write and compare it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

Header = tuple[str, bytes | None]


@dataclass(frozen=True)
class Record:
    """What a client sends (offset None) or read back; timestamp in ms since 1970, None lets the client choose."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[Header, ...] = ()
    partition: int | None = 0
    timestamp: int | None = None
    offset: int | None = None

    @property
    def content(self) -> tuple[bytes | None, bytes | None, tuple[Header, ...]]:
        """What has to survive the journey byte for byte."""
        return (self.key, self.value, self.headers)

    def to_json(self) -> dict[str, Any]:
        """The form the drivers read."""
        return {
            "key": _text(self.key),
            "value": _text(self.value),
            "headers": [[name, _text(data)] for name, data in self.headers],
            "partition": self.partition,
            "timestamp": self.timestamp,
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Record:
        """A record that a driver read."""
        return cls(
            value=_bytes(found["value"]),
            key=_bytes(found["key"]),
            headers=tuple((name, _bytes(data)) for name, data in found["headers"]),
            partition=found["partition"],
            timestamp=found["timestamp"],
            offset=found["offset"],
        )


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
