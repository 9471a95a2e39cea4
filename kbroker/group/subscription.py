"""The one part of a consumer's opaque metadata that the coordinator reads: which topics it subscribes to.

    int16 version | int32 count | count x (int16 length, UTF-8 name) | int32 length, user data | ... of later versions

Every version begins so (Kafka: ConsumerProtocolSubscription.json, versions 0-3), and it comes from the client: broken
metadata is no error of the protocol, the group just counts as one of unknown subscription.
"""

from __future__ import annotations

import struct

_HEAD = struct.Struct(">hi")
_LENGTH = struct.Struct(">h")


def subscribed_topics(metadata: bytes) -> list[str] | None:
    """The topic names in a ConsumerProtocolSubscription; None if it is none."""
    if len(metadata) < _HEAD.size:
        return None
    version, count = _HEAD.unpack_from(metadata)
    if version < 0 or count < 0 or count * _LENGTH.size > len(metadata):
        return None
    topics = []
    position = _HEAD.size
    for _ in range(count):
        end = _name_end(metadata, position)
        if end is None:
            return None
        topics.append(bytes(metadata[position + _LENGTH.size : end]).decode("utf-8", "replace"))
        position = end
    return topics


def _name_end(metadata: bytes, position: int) -> int | None:
    if position + _LENGTH.size > len(metadata):
        return None
    (length,) = _LENGTH.unpack_from(metadata, position)
    end = position + _LENGTH.size + int(length)
    return end if length >= 0 and end <= len(metadata) else None
