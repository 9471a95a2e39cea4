"""One record of the metadata log <-> its bytes.

    value of a record:   frame version (uvarint, 1) | api key (uvarint) | version (uvarint) | body
    key of a record:     null

Records are written in the version that the finalized metadata.version asks for, so that every node that may read the
log can; anything else would lock out a cluster that has not been upgraded.

Source: Kafka's AbstractApiMessageSerde and MetadataVersion; KIP-631.
"""

from __future__ import annotations

from typing import Any, Final

from kbroker.wire import codec
from protocol_specs.frame import Buffer, MalformedFrame, Window
from protocol_specs.metadata import RECORDS

FRAME_VERSION: Final = 1

METADATA_VERSION_LOWEST: Final = 17
"""3.7-IV2: since then partitions name the directories of their replicas, which we always do."""
METADATA_VERSION_LATEST: Final = 30
"""4.3-IV0."""

KRAFT_VERSION_1_SINCE: Final = 21
"""3.9-IV0: nodes of older releases cannot read who votes in the log (KIP-853)."""

_ELR_SINCE = 23
_CORDONED_DIRECTORIES_SINCE = 30
_BY_NAME = {declared.name: declared for declared in RECORDS.values()}
_LATER_VERSIONS = {
    "RegisterBrokerRecord": (3, _CORDONED_DIRECTORIES_SINCE),
    "BrokerRegistrationChangeRecord": (2, _CORDONED_DIRECTORIES_SINCE),
    "PartitionRecord": (1, _ELR_SINCE),
    "PartitionChangeRecord": (1, _ELR_SINCE),
}
"""Version at METADATA_VERSION_LOWEST, and the metadata.version from which the next one is written."""


class UnknownRecord(ValueError):
    """A record of a kind, version or frame that this broker does not know: going on would lose what it says."""


def record_version(name: str, metadata_version: int) -> int:
    """The version in which a record is written at `metadata_version`."""
    if name not in _LATER_VERSIONS:
        return 0
    version, next_since = _LATER_VERSIONS[name]
    return version + (metadata_version >= next_since)


def encode_record(value: Any, metadata_version: int = METADATA_VERSION_LATEST) -> bytes:
    """The frame of a metadata record's value. Raises Unencodable when `metadata_version` cannot carry it."""
    declared = _BY_NAME[type(value).__name__]
    version = record_version(declared.name, metadata_version)
    # Keys and versions are below 128, where a varint is one byte.
    return bytes((FRAME_VERSION, declared.key, version)) + codec.encode(declared, version, value)


def decode_record(data: Buffer) -> Any:
    """The value in a frame. Raises UnknownRecord, or MalformedFrame when the bytes are damaged."""
    frame_version, key, version, position = _frame(data)
    if frame_version != FRAME_VERSION:
        raise UnknownRecord(f"frame version {frame_version} of a metadata record is unknown")
    declared = RECORDS.get(key)
    if declared is None:
        raise UnknownRecord(f"metadata record type {key} is unknown")
    if not declared.lowest <= version <= declared.highest:
        raise UnknownRecord(f"version {version} of {declared.name} is unknown")
    value, end = codec.decode(declared, version, data, position)
    if end != len(data):
        raise MalformedFrame(declared.name, end, f"{len(data) - end} bytes follow the record")
    return value


def _frame(data: Buffer) -> tuple[int, int, int, int]:
    """Frame version, api key, version, and where the body begins. Raises MalformedFrame."""
    if len(data) > 3 and not (data[0] | data[1] | data[2]) & 0x80:
        # As all of them are today; a start reads tens of thousands.
        return data[0], data[1], data[2], 3
    frame = Window(data)
    numbers = [frame.uvarint(name) for name in ("frame_version", "api_key", "version")]
    return numbers[0], numbers[1], numbers[2], frame.position
