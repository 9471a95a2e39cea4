"""Requests packed by hand, and the few fields of answers that the load generator looks at.

Versions are chosen so that both brokers serve them and the bytes are easy to see through: CreateTopics 4,
DeleteTopics 1, Metadata 4 (classic), Produce 9 and Fetch 12 (flexible). Every request carries correlation id 0: answers
come in order.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from crc32c import crc32c

PRODUCE, FETCH, METADATA, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS = 0, 1, 3, 18, 19, 20, 21
CLIENT_ID = b"bench"
#: Record attributes, timestamp delta, a null key and no headers.
_NULL_KEY = b"\x01"


class BrokerRefusedError(RuntimeError):
    """The broker answered with an error code where the measurement needs success."""


@dataclass(frozen=True)
class Batch:
    """A record batch (magic 2) with a valid CRC, and how many records are in it."""

    data: bytes
    records: int


def batch_of(size_bytes: int, value: bytes, timestamp_ms: int, *, keys: int = 0) -> Batch:
    """A batch of as many records with this value as fit into `size_bytes`; at least one. `keys`: of so many."""
    body = bytearray()
    count = 0
    while not count or len(body) + len(value) + 16 <= size_bytes - 61:
        key = _zigzag(4) + struct.pack(">i", count * 7919 % keys) if keys else _NULL_KEY
        fields = b"\x00\x00" + _zigzag(count) + key + _zigzag(len(value)) + value + b"\x00"
        body += _zigzag(len(fields)) + fields
        count += 1
    checked = struct.pack(">hiqqqhii", 0, count - 1, timestamp_ms, timestamp_ms, -1, -1, -1, count) + bytes(body)
    head = struct.pack(">qiibI", 0, len(checked) + 9, -1, 2, crc32c(checked))
    return Batch(head + checked, count)


def produce_request(topic: str, batch: bytes, acks: int = 1) -> bytes:
    """Produce v9 of one batch to partition 0."""
    name = topic.encode()
    body = [b"\x00", struct.pack(">hi", acks, 30_000), b"\x02", _uvarint(len(name) + 1), name, b"\x02", bytes(4)]
    body += [_uvarint(len(batch) + 1), batch, b"\x00\x00\x00"]
    return _framed(PRODUCE, 9, b"\x00" + b"".join(body))


def produce_error_position(topic: str) -> int:
    """Where the partition's error code stands in a Produce v9 answer, counted after the frame's size."""
    return 4 + 1 + 1 + 1 + len(topic) + 1 + 4


def fetch_request(topic: str, offset: int, max_bytes: int, max_wait_ms: int = 500) -> bytes:
    """Fetch v12 of partition 0, outside any session; answered as soon as there is a byte."""
    name = topic.encode()
    body = [struct.pack(">iiiibii", -1, max_wait_ms, 1, max_bytes, 0, 0, -1), b"\x02", _uvarint(len(name) + 1), name]
    body += [b"\x02", struct.pack(">iiqiqi", 0, -1, offset, -1, -1, max_bytes), b"\x00\x00", b"\x01\x01\x00"]
    return _framed(FETCH, 12, b"\x00" + b"".join(body))


def old_fetch_request(topic: str, offset: int, max_bytes: int) -> bytes:
    """Fetch v3 of partition 0: the broker has to make messages of old of the records."""
    body = struct.pack(">iiiii", -1, 500, 1, max_bytes, 1) + _string(topic)
    return _framed(FETCH, 3, body + struct.pack(">iiqi", 1, 0, offset, max_bytes))


def fetched_records(answer: memoryview, topic: str) -> memoryview:
    """The record bytes of a Fetch v12 answer for one partition; raises BrokerRefusedError."""
    position = 4 + 1 + 4
    (error,) = struct.unpack_from(">h", answer, position)
    _check(error, "Fetch")
    position += 2 + 4 + 1 + 1 + len(topic) + 1 + 4
    (error,) = struct.unpack_from(">h", answer, position)
    _check(error, "Fetch of the partition")
    position += 2 + 3 * 8
    aborted, position = _read_uvarint(answer, position)
    position += max(0, aborted - 1) * 17 + 4
    length, position = _read_uvarint(answer, position)
    return answer[position : position + max(0, length - 1)]


def create_topic_request(topic: str, settings: Mapping[str, str] | None = None) -> bytes:
    """CreateTopics v4: one partition, one replica."""
    configs = [_string(name) + _string(value) for name, value in (settings or {}).items()]
    body = struct.pack(">i", 1) + _string(topic) + struct.pack(">ihii", 1, 1, 0, len(configs)) + b"".join(configs)
    body += struct.pack(">ib", 30_000, 0)
    return _framed(CREATE_TOPICS, 4, body)


def check_created(answer: memoryview, topic: str) -> None:
    """Raises BrokerRefusedError unless CreateTopics v4 made the topic (or it was there)."""
    (error,) = struct.unpack_from(">h", answer, 4 + 4 + 4 + 2 + len(topic))
    _check(0 if error == 36 else error, "CreateTopics")


def delete_topic_request(topic: str) -> bytes:
    """DeleteTopics v1."""
    return _framed(DELETE_TOPICS, 1, struct.pack(">i", 1) + _string(topic) + struct.pack(">i", 30_000))


def delete_records_request(topic: str) -> bytes:
    """DeleteRecords v0: all of partition 0."""
    body = struct.pack(">i", 1) + _string(topic) + struct.pack(">iiqi", 1, 0, -1, 30_000)
    return _framed(DELETE_RECORDS, 0, body)


def api_versions_request() -> bytes:
    """ApiVersions v0."""
    return _framed(API_VERSIONS, 0, b"")


def metadata_request(topic: str) -> bytes:
    """Metadata v4 of one topic, without auto-creation."""
    return _framed(METADATA, 4, struct.pack(">i", 1) + _string(topic) + b"\x00")


def has_leader(answer: memoryview) -> bool:
    """Whether a Metadata v4 answer about one topic shows its partition 0 with a leader."""
    position = 8
    (brokers,) = struct.unpack_from(">i", answer, position)
    position += 4
    for _ in range(brokers):
        position = _after_string(answer, _after_string(answer, position + 4) + 4)
    position = _after_string(answer, position) + 4 + 4
    (error,) = struct.unpack_from(">h", answer, position)
    position = _after_string(answer, position + 2) + 1
    (partitions,) = struct.unpack_from(">i", answer, position)
    if error or not partitions:
        return False
    partition_error, _, leader = struct.unpack_from(">hii", answer, position + 4)
    return bool(partition_error == 0 and leader >= 0)


def _check(error: int, what: str) -> None:
    if error:
        raise BrokerRefusedError(f"{what} was answered with error {error}")


def _framed(key: int, version: int, rest: bytes) -> bytes:
    frame = struct.pack(">hhih", key, version, 0, len(CLIENT_ID)) + CLIENT_ID + rest
    return struct.pack(">i", len(frame)) + frame


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _after_string(answer: memoryview, position: int) -> int:
    (length,) = struct.unpack_from(">h", answer, position)
    return position + 2 + max(0, int(length))


def _uvarint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_uvarint(buffer: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position


def _zigzag(value: int) -> bytes:
    return _uvarint(value << 1)
