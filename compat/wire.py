"""The few raw requests the runner makes itself, so that no client's opinion stands between it and the broker.

ApiVersions v0 (what is advertised), CreateTopics v4 (for clients without an admin, and for configured topics),
DeleteRecords v1, Fetch v4 (how a batch is stored).
Written from the protocol guide with `struct` alone: a runner that shared the broker's codec would share its mistakes.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
PRODUCE, FETCH, API_VERSIONS, CREATE_TOPICS, DELETE_RECORDS = 0, 1, 18, 19, 21
TIMEOUT_S = 10.0
FETCH_BYTES_MAX = 8 << 20
#: Fixed part of a record batch, up to and including the record count.
BATCH_HEADER_BYTES = 61


class WireError(RuntimeError):
    """The broker closed the connection or answered with an error code; the message names the request."""


@dataclass(frozen=True)
class StoredBatch:
    """What a stored batch's header says."""

    codec: str
    producer_id: int
    record_count: int
    end_offset: int


def address_of(bootstrap: str) -> tuple[str, int]:
    """HOST:PORT as socket functions want it; an IPv6 host may stand in brackets."""
    host, _, port = bootstrap.rpartition(":")
    return host.strip("[]"), int(port)


def advertised(bootstrap: str) -> dict[int, tuple[int, int]]:
    """API key -> lowest and highest advertised version."""
    body = _ask(bootstrap, API_VERSIONS, 0, b"")
    error, count = _unpacked("ApiVersions v0", ">hi", body, 0)
    if error:
        raise WireError(f"ApiVersions v0 was answered with error {error}")
    entries = (_unpacked("ApiVersions v0", ">hhh", body, 6 + 6 * index) for index in range(count))
    return {key: (lowest, highest) for key, lowest, highest in entries}


def create_topic(bootstrap: str, topic: str, partitions: int, configs: Mapping[str, str] | None = None) -> None:
    """Create a topic with one replica; raises WireError when refused."""
    wanted = struct.pack(">i", 1) + _string(topic) + struct.pack(">ihii", partitions, 1, 0, len(configs or {}))
    wanted += b"".join(_string(key) + _string(value) for key, value in (configs or {}).items())
    body = _ask(bootstrap, CREATE_TOPICS, 4, wanted + struct.pack(">i?", int(TIMEOUT_S * 1000), False))
    (name_length,) = _unpacked("CreateTopics v4", ">h", body, 8)
    (error,) = _unpacked("CreateTopics v4", ">h", body, 10 + name_length)
    if error:
        raise WireError(f"CreateTopics v4 was answered with error {error}")


def delete_records(bootstrap: str, topic: str, offset: int, partition: int = 0) -> None:
    """Let a partition start at this offset; raises WireError when refused."""
    wanted = struct.pack(">i", 1) + _string(topic) + struct.pack(">iiq", 1, partition, offset)
    body = _ask(bootstrap, DELETE_RECORDS, 1, wanted + struct.pack(">i", int(TIMEOUT_S * 1000)))
    (error,) = _unpacked("DeleteRecords v1", ">h", body, len(body) - 2)
    if error:
        raise WireError(f"DeleteRecords v1 was answered with error {error}")


def is_served(bootstrap: str, topic: str, partitions: int) -> bool:
    """Whether every partition of a topic can be read: Apache Kafka says that a topic is made a moment before it is."""
    try:
        for partition in range(partitions):
            _fetched(bootstrap, topic, partition, 0)
    except WireError:
        return False
    return True


def stored_batches(bootstrap: str, topic: str, partition: int = 0) -> list[StoredBatch]:
    """The headers of all batches of a partition, in order: fetched until nothing comes, for a segment at most comes."""
    found: list[StoredBatch] = []
    start = 0
    while more := list(batches_in(_fetched(bootstrap, topic, partition, start))):
        found += more
        start = more[-1].end_offset
    return found


def _fetched(bootstrap: str, topic: str, partition: int, offset: int) -> bytes:
    request = struct.pack(">iiiib", -1, 0, 0, FETCH_BYTES_MAX, 0) + struct.pack(">i", 1) + _string(topic)
    request += struct.pack(">iiqi", 1, partition, offset, FETCH_BYTES_MAX)
    body = _ask(bootstrap, FETCH, 4, request)
    position = 4 + 4 + 2 + len(topic.encode()) + 4 + 4
    (error,) = _unpacked("Fetch v4", ">h", body, position)
    if error:
        raise WireError(f"Fetch v4 was answered with error {error}")
    position += 2 + 8 + 8
    (aborted_count,) = _unpacked("Fetch v4", ">i", body, position)
    position += 4 + 16 * max(0, aborted_count)
    (size,) = _unpacked("Fetch v4", ">i", body, position)
    return body[position + 4 : position + 4 + max(0, size)]


def batches_in(records: bytes) -> Iterator[StoredBatch]:
    """The headers of the whole batches in a row of bytes; one that is cut off at the end is left out."""
    position = 0
    while position + BATCH_HEADER_BYTES <= len(records):
        (length,) = struct.unpack_from(">i", records, position + 8)
        if position + 12 + length > len(records):
            return
        (attributes,) = struct.unpack_from(">h", records, position + 21)
        (producer_id,) = struct.unpack_from(">q", records, position + 43)
        (record_count,) = struct.unpack_from(">i", records, position + 57)
        (base_offset,) = struct.unpack_from(">q", records, position)
        (last_offset_delta,) = struct.unpack_from(">i", records, position + 23)
        yield StoredBatch(CODECS[attributes & 7], producer_id, record_count, base_offset + last_offset_delta + 1)
        position += 12 + length


def _ask(bootstrap: str, key: int, version: int, body: bytes) -> bytes:
    """The answer's body, without size and correlation id."""
    frame = struct.pack(">hhi", key, version, 1) + _string("compat") + body
    try:
        with socket.create_connection(address_of(bootstrap), timeout=TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", len(frame)) + frame)
            stream = connection.makefile("rb")
            (size,) = struct.unpack(">i", _exactly(stream.read(4), 4))
            return _exactly(stream.read(size), size)[4:]
    except (OSError, struct.error) as problem:
        raise WireError(f"request key {key} version {version} to {bootstrap}: {problem}") from problem


def _unpacked(request: str, form: str, body: bytes, position: int) -> tuple[int, ...]:
    """Fields of an answer; WireError where it ends before them."""
    try:
        return struct.unpack_from(form, body, position)
    except struct.error as problem:
        raise WireError(f"{request} was answered with {len(body)} bytes: {problem}") from problem


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise WireError(f"the broker closed the connection after {len(data)} of {size} bytes")
    return data


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">h", len(encoded)) + encoded
