"""A client that speaks the protocol by hand over a blocking socket, so that it can misbehave at any byte."""

from __future__ import annotations

import socket
import struct
import threading
import time
from types import TracebackType
from typing import Any, Self

from kbroker.record.batch import Record, build_batch, iterate_batches, iterate_records
from kbroker.wire import codec
from protocol_specs import api
from protocol_specs.errors import ErrorCode
from protocol_specs.headers import RequestHeader, ResponseHeader

PRODUCE, FETCH, LIST_OFFSETS, METADATA, FIND_COORDINATOR, JOIN_GROUP, API_VERSIONS = 0, 1, 2, 3, 10, 11, 18
CREATE_TOPICS, DELETE_TOPICS, INIT_PRODUCER_ID = 19, 20, 22
WAIT_S = 10.0
"""No answer of a healthy broker takes this long: it is the bound on a failing test."""

VERSIONS = {PRODUCE: 9, FETCH: 12, LIST_OFFSETS: 4, METADATA: 9, FIND_COORDINATOR: 3, JOIN_GROUP: 2, API_VERSIONS: 3}
VERSIONS |= {CREATE_TOPICS: 5, DELETE_TOPICS: 4, INIT_PRODUCER_ID: 4}
"""Versions that name topics; JoinGroup 2 makes a member of whoever comes."""


def request_bytes(key: int, /, correlation_id: int = 0, version: int | None = None, **fields: Any) -> bytes:
    """A whole frame."""
    message, _ = api.messages(key)
    version = VERSIONS[key] if version is None else version
    header_version = 2 if message.flexible_from is not None and version >= message.flexible_from else 1
    header = RequestHeader(
        request_api_key=key, request_api_version=version, correlation_id=correlation_id, client_id="raw"
    )
    frame = codec.encode(RequestHeader, header_version, header) + codec.encode(message, version, message(**fields))
    return len(frame).to_bytes(4, "big") + frame


def answer_of(key: int, frame: bytes, version: int | None = None) -> Any:
    """The value of an answer's frame."""
    _, message = api.messages(key)
    version = VERSIONS[key] if version is None else version
    is_flexible = message.flexible_from is not None and version >= message.flexible_from and key != API_VERSIONS
    _, position = codec.decode(ResponseHeader, 1 if is_flexible else 0, frame)
    return codec.decode(message, version, frame, position)[0]


class RawPeer:
    """One connection. Everything blocks for at most WAIT_S."""

    def __init__(self, bootstrap: str, receive_buffer_bytes: int | None = None) -> None:
        host, _, port = bootstrap.rpartition(":")
        self.socket = socket.socket()
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(WAIT_S)
        self.socket.connect((host, int(port)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """All of it."""
        self.socket.sendall(data)

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes; fewer when the broker closed."""
        parts = bytearray()
        while len(parts) < count and (part := self.socket.recv(min(count - len(parts), 1 << 20))):
            parts += part
        return bytes(parts)

    def read_frame(self) -> bytes:
        """The next answer, without its size."""
        head = self.read(4)
        assert len(head) == 4, "the broker closed the connection"
        size = int.from_bytes(head, "big")
        frame = self.read(size)
        assert len(frame) == size
        return frame

    def ask(self, key: int, /, version: int | None = None, **fields: Any) -> Any:
        """A request and its answer."""
        self.send(request_bytes(key, version=version, **fields))
        return answer_of(key, self.read_frame(), version)

    def is_closed_by_broker(self) -> bool:
        """Does the stream end, whatever comes before?"""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        return True

    def reset(self) -> None:
        """Leave with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def produce(self, topic: str, records: bytes, *, partition: int = 0, acks: int = -1) -> Any:
        """The partition's answer to one batch."""
        self.send(produce_request(topic, records, partition=partition, acks=acks))
        return answer_of(PRODUCE, self.read_frame()).responses[0].partition_responses[0]

    def fetch(self, topic: str, offset: int, *, partition: int = 0, max_wait_ms: int = 0) -> Any:
        """The partition's answer."""
        self.send(fetch_request(topic, offset, partition=partition, max_wait_ms=max_wait_ms))
        return answer_of(FETCH, self.read_frame()).responses[0].partitions[0]

    def wait_until_led(self, topic: str) -> set[int]:
        """Fetch until partition 0 is led, as it is soon after its log was found shorter; the errors up to then."""
        errors, deadline = set(), time.monotonic() + WAIT_S
        while (error := self.fetch(topic, 0).error_code) == ErrorCode.NOT_LEADER_OR_FOLLOWER:
            assert time.monotonic() < deadline, "nobody leads it"
            errors.add(error)
        return errors

    def records(self, topic: str, *, partition: int = 0) -> list[Record]:
        """Every record of a partition."""
        found: list[Record] = []
        while True:
            answer = self.fetch(topic, len(found), partition=partition)
            assert answer.error_code == 0
            if not len(answer.records):
                return found
            for batch in iterate_batches(answer.records):
                found += iterate_records(batch)


def batch_of(*values: bytes, **extra: Any) -> bytes:
    """One record batch without keys."""
    extra.setdefault("timestamp_ms", time.time_ns() // 1_000_000)
    return bytes(build_batch([(None, value) for value in values], **extra))


def produce_request(
    topic: str, records: bytes, *, partition: int = 0, acks: int = -1, correlation_id: int = 0
) -> bytes:
    """A frame with one batch for one partition."""
    message, _ = api.messages(PRODUCE)
    wanted = message.PartitionProduceData(index=partition, records=memoryview(records))
    topics = [message.TopicProduceData(name=topic, partition_data=[wanted])]
    return request_bytes(PRODUCE, correlation_id, acks=acks, timeout_ms=30_000, topic_data=topics)


def fetch_request(
    topic: str, offset: int, *, partition: int = 0, max_wait_ms: int = 0, correlation_id: int = 0
) -> bytes:
    """A frame that asks for one partition, outside any session."""
    message, _ = api.messages(FETCH)
    wanted = message.FetchPartition(partition=partition, fetch_offset=offset, partition_max_bytes=64 << 20)
    topics = [message.FetchTopic(topic=topic, partitions=[wanted])]
    limits = {"max_wait_ms": max_wait_ms, "min_bytes": 1, "max_bytes": 64 << 20, "session_epoch": -1}
    return request_bytes(FETCH, correlation_id, topics=topics, **limits)


def join_request(group_id: str, correlation_id: int = 0) -> bytes:
    """A frame of a consumer that joins with one protocol."""
    message, _ = api.messages(JOIN_GROUP)
    protocols = [message.JoinGroupRequestProtocol(name="range", metadata=b"\0\0\0\0\0\0\0\0\0\0")]
    timeouts = {"session_timeout_ms": 10_000, "rebalance_timeout_ms": 60_000}
    return request_bytes(
        JOIN_GROUP, correlation_id, group_id=group_id, protocol_type="consumer", protocols=protocols, **timeouts
    )


class Bystander:
    """A well-behaved client that asks for metadata all the time, on one connection, on a thread of its own.

    A context manager. Any failure of its connection is raised at the end.
    """

    def __init__(self, bootstrap: str) -> None:
        self._peer = RawPeer(bootstrap)
        self._is_over = False
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._answers = 0

    def is_served(self) -> bool:
        """Is it answered what it asks from now on? To be asked in the middle of what others do to the broker."""
        with self._changed:
            wanted = self._answers + 2  # one may have been asked for already
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answers >= wanted or self._failure is not None, WAIT_S)
            return self._answers >= wanted

    def _live(self) -> None:
        try:
            while not self._is_over:
                self._peer.ask(METADATA, topics=[])
                with self._changed:
                    self._answers += 1
                    self._changed.notify_all()
                    self._changed.wait(0.005)
        except (OSError, AssertionError) as failure:
            with self._changed:
                self._failure = failure
                self._changed.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over = True
        self._thread.join()
        self._peer.socket.close()
        if error is None:
            assert self._failure is None, self._failure
            assert self._answers
