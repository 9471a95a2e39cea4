"""The loads of the raw-socket generator: plain blocking sockets, pre-built requests, nothing opened but error codes."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.bench import machine, packets
from tests.bench.processes import cpu_seconds

#: Requests in flight on a connection, as stock clients have it.
IN_FLIGHT = 5
TOPIC_TIMEOUT_S = 30.0
START_TIMEOUT_S = 60.0
POLL_S = 0.002

REAL_ANSWER_BYTES = 4096
"""Of a bulk answer: all fields before the records, and the first of those."""


@dataclass(frozen=True)
class Target:
    """Where a broker listens and which process it is."""

    host: str
    port: int
    pid: int

    @property
    def bootstrap(self) -> str:
        """HOST:PORT."""
        return f"{self.host}:{self.port}"


class Connection:
    """One blocking connection; answers are read into one buffer that grows and is used again."""

    def __init__(self, host: str, port: int, timeout_s: float = 30.0) -> None:
        """Connect; raises OSError."""
        self._socket = socket.create_connection((host, port), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(1 << 16))

    def __enter__(self) -> Connection:
        """The connection itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send whole requests."""
        self._socket.sendall(data)

    def receive(self) -> memoryview:
        """The next answer after its size; valid until the next call."""
        self._read(4)
        (size,) = struct.unpack_from(">i", self._buffer)
        if size > len(self._buffer):
            self._buffer = memoryview(bytearray(size))
        self._read(size)
        return self._buffer[:size]

    def ask(self, request: bytes) -> memoryview:
        """Send one request and wait for its answer."""
        self.send(request)
        return self.receive()

    def ask_for_bulk(self, request: bytes) -> memoryview:
        """Like `ask`, but only the first bytes of a large answer are real: the kernel drops the rest uncopied.

        Copying 50 MB into cold memory is slower than any broker's sendfile; the client must not be the limit.
        """
        self.send(request)
        self._read(4)
        (size,) = struct.unpack_from(">i", self._buffer)
        if size > len(self._buffer):
            self._buffer = memoryview(bytearray(size))
        real = min(size, REAL_ANSWER_BYTES)
        self._read(real)
        self._read(size, have=real, flags=socket.MSG_TRUNC)
        return self._buffer[:size]

    def _read(self, size: int, *, have: int = 0, flags: int = 0) -> None:
        while have < size:
            count = self._socket.recv_into(self._buffer[have:size], 0, flags)
            if not count:
                raise ConnectionError("the broker closed the connection")
            have += count


def create_topic(connection: Connection, topic: str) -> None:
    """Create a topic of one partition and wait until it has a leader that serves it."""
    packets.check_created(connection.ask(packets.create_topic_request(topic)), topic)
    deadline = time.monotonic() + TOPIC_TIMEOUT_S
    while not (packets.has_leader(connection.ask(packets.metadata_request(topic))) and _is_served(connection, topic)):
        if time.monotonic() > deadline:
            raise packets.BrokerRefusedError(f"topic {topic} got no leader within {TOPIC_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)


def _is_served(connection: Connection, topic: str) -> bool:
    """Apache Kafka's Metadata names a leader some milliseconds before that leader takes requests."""
    try:
        packets.fetched_records(connection.ask(packets.fetch_request(topic, 0, 1, max_wait_ms=0)), topic)
    except packets.BrokerRefusedError:
        return False
    return True


def delete_topic(connection: Connection, topic: str) -> None:
    """Delete a topic, so that rounds don't fill the disk."""
    connection.ask(packets.delete_topic_request(topic))


def produce(connection: Connection, topic: str, request: bytes, count: int, in_flight: int = IN_FLIGHT) -> None:
    """Send the request `count` times, at most `in_flight` unanswered; raises BrokerRefusedError on the first error."""
    position = packets.produce_error_position(topic)
    sent = 0
    for answered in range(count):
        while sent < count and sent - answered < in_flight:
            connection.send(request)
            sent += 1
        (error,) = struct.unpack_from(">h", connection.receive(), position)
        if error:
            raise packets.BrokerRefusedError(f"Produce was answered with error {error}")


def produce_small(connection: Connection, topic: str, request: bytes, count: int, burst: int) -> None:
    """Pipelined one-record requests: `burst` in one send, then the answers of that burst."""
    position = packets.produce_error_position(topic)
    requests = request * burst
    for _ in range(count // burst):
        connection.send(requests)
        for _ in range(burst):
            (error,) = struct.unpack_from(">h", connection.receive(), position)
            if error:
                raise packets.BrokerRefusedError(f"Produce was answered with error {error}")


def fetch_all(connection: Connection, topic: str, batch: packets.Batch, end: int, max_bytes: int) -> int:
    """Fetch the log from 0 to `end`, one request at a time; the bytes of whole batches that came.

    Every batch of the log has the same size, so the next offset follows from the length alone.
    """
    offset = received = 0
    while offset < end:
        answer = connection.ask_for_bulk(packets.fetch_request(topic, offset, max_bytes))
        batches = len(packets.fetched_records(answer, topic)) // len(batch.data)
        if not batches:
            raise packets.BrokerRefusedError(f"Fetch at offset {offset} of {end} brought no whole batch")
        offset += batches * batch.records
        received += batches * len(batch.data)
    return received


@dataclass
class Taken:
    """What a load took: seconds in which the machine was there, and CPU seconds of the broker."""

    present_s: float = 0.0
    cpu_s: float = 0.0


@contextmanager
def timed(target: Target) -> Iterator[Taken]:
    """Take the time of the block."""
    taken = Taken()
    with machine.watched() as watch:
        cpu_s, begun = cpu_seconds(target.pid), time.perf_counter()
        yield taken
        span = begun, time.perf_counter()
        taken.cpu_s = cpu_seconds(target.pid) - cpu_s
        taken.present_s = machine.present_s(span, watch.absences())


def timed_produce(
    target: Target, topic: str, request_bytes: int, value_bytes: int, total_bytes: int
) -> dict[str, float]:
    """MB/s and CPU seconds per GB (10^9 bytes of requests) for one connection with five in flight."""
    batch = packets.batch_of(request_bytes, bytes(value_bytes), int(time.time() * 1000))
    request = packets.produce_request(topic, batch.data)
    count = max(1, total_bytes // len(request))
    with Connection(target.host, target.port) as connection:
        create_topic(connection, topic)
        produce(connection, topic, request, IN_FLIGHT)
        with timed(target) as taken:
            produce(connection, topic, request, count)
        delete_topic(connection, topic)
    sent = count * len(request)
    return {"mb_per_s": sent / taken.present_s / 1e6, "cpu_s_per_gb": taken.cpu_s / sent * 1e9}


def timed_one_record(target: Target, topic: str, count: int, burst: int = IN_FLIGHT) -> dict[str, float]:
    """Requests per second and CPU microseconds each, for requests of one 100-byte record."""
    batch = packets.batch_of(0, bytes(100), int(time.time() * 1000))
    request = packets.produce_request(topic, batch.data)
    with Connection(target.host, target.port) as connection:
        create_topic(connection, topic)
        produce_small(connection, topic, request, burst * 20, burst)
        with timed(target) as taken:
            produce_small(connection, topic, request, count, burst)
        delete_topic(connection, topic)
    return {"requests_per_s": count / taken.present_s, "cpu_us_per_request": taken.cpu_s / count * 1e6}


def timed_fetch(target: Target, topic: str, max_bytes: int, total_bytes: int, passes: int) -> dict[str, float]:
    """MB/s and CPU seconds per GB of reading just-written data, `passes` times over; batches of 64 KB."""
    batch = packets.batch_of(64_000, bytes(1024), int(time.time() * 1000))
    count = max(1, total_bytes // len(batch.data))
    with Connection(target.host, target.port) as connection:
        create_topic(connection, topic)
        produce(connection, topic, packets.produce_request(topic, batch.data), count)
        end = count * batch.records
        fetch_all(connection, topic, batch, end, max_bytes)
        with timed(target) as taken:
            received = sum(fetch_all(connection, topic, batch, end, max_bytes) for _ in range(passes))
        delete_topic(connection, topic)
    return {"mb_per_s": received / taken.present_s / 1e6, "cpu_s_per_gb": taken.cpu_s / received * 1e9}


def fetch_once(connection: Connection, topic: str, offset: int, max_bytes: int) -> int:
    """One fetch; the bytes of records that came."""
    answer = connection.ask_for_bulk(packets.fetch_request(topic, offset, max_bytes))
    return len(packets.fetched_records(answer, topic))


def first_record(host: str, port: int, topic: str = "first") -> None:
    """Return once a record was produced and fetched back; tries again while the broker is still starting."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            with Connection(host, port, timeout_s=5.0) as connection:
                _round_trip(connection, topic)
                return
        except (OSError, packets.BrokerRefusedError):
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


def _round_trip(connection: Connection, topic: str) -> None:
    create_topic(connection, topic)
    batch = packets.batch_of(0, b"first", int(time.time() * 1000))
    produce(connection, topic, packets.produce_request(topic, batch.data), 1)
    fetch_all(connection, topic, batch, 1, 1 << 20)
