"""Peers that misbehave, over real sockets: each loses its own connection, and nobody else notices."""

from __future__ import annotations

import dataclasses
import gc
import logging
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kbroker.server.listener import Connections
from kbroker.testing import InProcessBroker, run, start
from kbroker.wire import codec
from protocol_specs.errors import ErrorCode
from protocol_specs.headers import RequestHeader
from tests.server.raw_peer import (
    API_VERSIONS,
    FETCH,
    FIND_COORDINATOR,
    INIT_PRODUCER_ID,
    METADATA,
    WAIT_S,
    Bystander,
    RawPeer,
    answer_of,
    batch_of,
    fetch_request,
    join_request,
    produce_request,
    request_bytes,
)
from tests.wire.golden_frames import golden_frames

HELD_BYTES_MAX = 10 << 20
"""How much a broker's process may grow for one peer that takes nothing, what it learns meanwhile included."""

CLIENT_HELLO = bytes.fromhex("16030100c4010000c00303") + bytes(range(190))
FRAME_BYTES_MAX = 104_857_600
OFFSET_FETCH = 9


def _connections() -> int:
    """How many are served, by any broker in this process."""
    return sum(len(thing) for thing in gc.get_objects() if isinstance(thing, Connections))


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _traces() -> tuple[set[str], int, int]:
    """Threads, open descriptors, connections."""
    gc.collect()
    return {thread.name for thread in threading.enumerate()}, len(os.listdir("/proc/self/fd")), _connections()


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


@pytest.fixture
def broker(caplog: pytest.LogCaptureFixture) -> Iterator[InProcessBroker]:
    """A broker whose end must leave nothing behind, and that must not have failed in a handler."""
    with run():
        pass
    before = _traces()
    with run(topics={"t": 3}) as one:
        yield one
        _wait_until(lambda: _connections() <= before[2])
    assert _traces() == before
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


GARBAGE = [pytest.param(random.Random(seed).randbytes(300), id=f"random bytes {seed}") for seed in range(8)] + [
    pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", id="HTTP"),
    pytest.param(CLIENT_HELLO, id="TLS"),
    pytest.param(b"\0\0\0\0", id="size zero"),
    pytest.param(b"\xff\xff\xff\xff", id="size -1"),
    pytest.param(b"\x80\0\0\0", id="the smallest size"),
    pytest.param((FRAME_BYTES_MAX + 1).to_bytes(4, "big"), id="one byte too large"),
    pytest.param(b"\0\0\0\1\0", id="a frame of one byte"),
    pytest.param(b"\0\0\0\x08" + b"\x7f\xff" * 4, id="an unknown API"),
    pytest.param(b"\0\0\0\x0a" + b"\0\x03\x7f\xff" + bytes(4) + b"\xff\xff", id="an unknown version"),
    pytest.param(b"\0\0\0\x0a" + b"\0\x03\0\0" + bytes(4) + b"\x7f\xff", id="a client id beyond the frame"),
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_ends_its_connection(kbroker_server: InProcessBroker, garbage: bytes) -> None:
    with RawPeer(kbroker_server.bootstrap) as peer, RawPeer(kbroker_server.bootstrap) as other:
        peer.send(garbage)
        peer.socket.shutdown(socket.SHUT_WR)
        assert peer.is_closed_by_broker()
        assert other.ask(METADATA, topics=[]).brokers


def test_a_frame_cut_at_any_byte_and_closed_or_reset_harms_nobody(broker: InProcessBroker) -> None:
    frame = produce_request("t", batch_of(b"value"))
    with Bystander(broker.bootstrap) as bystander:
        for end in range(len(frame)):
            with RawPeer(broker.bootstrap) as peer:
                peer.send(frame[:end])
                assert bystander.is_served()
                if end % 2:
                    peer.reset()
    with RawPeer(broker.bootstrap) as peer:
        assert peer.fetch("t", 0).high_watermark == 0


def test_requests_that_drip_byte_by_byte_are_answered_and_hold_up_nobody(broker: InProcessBroker) -> None:
    frame = request_bytes(METADATA, 7, topics=None)
    with Bystander(broker.bootstrap) as bystander:
        peers = [RawPeer(broker.bootstrap) for _ in range(10)]
        for byte in frame:
            assert bystander.is_served()
            for peer in peers:
                peer.send(bytes([byte]))
        for peer in peers:
            with peer:
                assert len(answer_of(METADATA, peer.read_frame()).topics) == 1


def test_claims_of_huge_frames_cost_no_memory() -> None:
    """A hundred megabytes were allocated, and touched, for every four bytes."""
    with start() as broker, Bystander(broker.bootstrap) as bystander:
        before = _resident_bytes(broker.pid)
        peers = [RawPeer(broker.bootstrap) for _ in range(100)]
        for peer in peers:
            peer.send(FRAME_BYTES_MAX.to_bytes(4, "big") + b"\0\x03\0\x09" + bytes(2000))
            assert bystander.is_served()
        with RawPeer(broker.bootstrap) as peer:
            assert peer.ask(METADATA, topics=[]).brokers
        assert _resident_bytes(broker.pid) - before < 40 << 20
        for peer in peers:
            peer.socket.close()


HUGE_COUNTS = (b"\x7f\xff\xff\xff" * 8, b"\xff\xff\xff\xff\x07" * 8, b"\x80\0\0\0" * 8, b"\xff\xff\xff\xff\xff" * 8)


def test_huge_counts_and_lengths_end_their_connection_in_every_api_and_version(
    broker: InProcessBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with RawPeer(broker.bootstrap) as peer:
        served = peer.ask(API_VERSIONS, client_software_name="raw", client_software_version="1").api_keys
    with Bystander(broker.bootstrap) as bystander:
        for api in served:
            for version in range(api.min_version, api.max_version + 1):
                for body in HUGE_COUNTS:
                    header = api.api_key.to_bytes(2, "big") + version.to_bytes(2, "big") + bytes(4) + b"\xff\xff"
                    with RawPeer(broker.bootstrap) as peer:
                        peer.send((len(header) + len(body)).to_bytes(4, "big") + header + body)
                        assert bystander.is_served()
                        peer.socket.shutdown(socket.SHUT_WR)
                        assert peer.is_closed_by_broker()
    assert len(served) > 15


def test_a_frame_of_a_million_tiny_elements_ends_its_connection(
    broker: InProcessBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """5 MB of them kept everybody waiting for 5 s and took 600 MB. The bound is a number of elements, not of bytes."""
    count = 1_000_000
    body = struct.pack(">h1si", 1, b"g", 1) + struct.pack(">h1si", 1, b"t", count) + bytes(4 * count)
    frame = struct.pack(">hhih", OFFSET_FETCH, 1, 7, -1) + body
    caplog.set_level(logging.INFO, "kbroker.gate")
    with Bystander(broker.bootstrap) as bystander, RawPeer(broker.bootstrap) as peer:
        peer.send(len(frame).to_bytes(4, "big") + frame)
        assert peer.is_closed_by_broker()
        assert bystander.is_served()
    (line,) = [record for record in caplog.records if record.name == "kbroker.gate"]
    assert line.getMessage() == "malformed request: closing"
    assert "topics[].partition_indexes" in line.__dict__["reason"]


def test_any_well_formed_request_is_answered_or_refused_without_a_failure(broker: InProcessBroker) -> None:
    """Kafka's golden requests: every served API and version with null, empty, random and extreme values."""
    with RawPeer(broker.bootstrap) as peer:
        served = peer.ask(API_VERSIONS, client_software_name="raw", client_software_version="1").api_keys
    ranges = {api.api_key: range(api.min_version, api.max_version + 1) for api in served}
    sent = 0
    with Bystander(broker.bootstrap) as bystander:
        for golden in golden_frames():
            message = golden.message
            if message.name.endswith("Request") and golden.version in ranges.get(message.key, ()):
                is_flexible = message.flexible_from is not None and golden.version >= message.flexible_from
                header = RequestHeader(request_api_key=message.key, request_api_version=golden.version)
                frame = codec.encode(RequestHeader, 2 if is_flexible else 1, header) + golden.data
                with RawPeer(broker.bootstrap) as peer:
                    peer.send(len(frame).to_bytes(4, "big") + frame)
                    assert bystander.is_served()
                    peer.socket.shutdown(socket.SHUT_WR)
                    assert peer.is_closed_by_broker()
                sent += 1
    assert sent > 300


@pytest.mark.parametrize("is_behind_an_owed_answer", [False, True])
def test_a_peer_that_never_reads_is_bounded_and_gets_everything_in_order_when_it_does(
    *, is_behind_an_owed_answer: bool
) -> None:
    """Thousands of pipelined requests: some 24 MB of answers, of which the broker may hold little."""
    count = 1100
    with start(topics={f"a-topic-with-a-long-name-{number}": 20 for number in range(40)}) as broker:
        with Bystander(broker.bootstrap) as bystander, RawPeer(broker.bootstrap, 8192) as peer:
            before = _resident_bytes(broker.pid)
            if is_behind_an_owed_answer:
                end = peer.fetch("a-topic-with-a-long-name-0", 0).high_watermark
                peer.send(fetch_request("a-topic-with-a-long-name-0", end, max_wait_ms=700))
            sender = threading.Thread(
                target=peer.send,
                args=(b"".join(request_bytes(METADATA, number, topics=None) for number in range(count)),),
                daemon=True,
            )
            sender.start()
            deadline = time.monotonic() + 0.6
            while time.monotonic() < deadline:
                assert _resident_bytes(broker.pid) - before < HELD_BYTES_MAX
                assert bystander.is_served()
                time.sleep(0.02)
            if is_behind_an_owed_answer:
                assert answer_of(FETCH, peer.read_frame()).error_code == 0
            received = 0
            for number in range(count):
                frame = peer.read_frame()
                received += len(frame)
                assert int.from_bytes(frame[:4], "big") == number
            sender.join()
            assert received > 24_000_000
        assert _resident_bytes(broker.pid) - before < HELD_BYTES_MAX


def test_a_flood_of_connections_from_one_address_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with run(config={"max.connections.per.ip": 20}) as broker, Bystander(broker.bootstrap):
        peers = [RawPeer(broker.bootstrap) for _ in range(60)]
        assert all(peer.ask(METADATA, topics=[]).brokers for peer in peers[:19])
        assert all(peer.is_closed_by_broker() for peer in peers[19:])
        for peer in peers:
            peer.socket.close()
        _wait_until(lambda: _connections() <= 1)
        with RawPeer(broker.bootstrap) as peer:
            assert peer.ask(METADATA, topics=[]).brokers
    assert sum(record.getMessage() == "too many connections: closing" for record in caplog.records) == 41


def test_a_flood_of_connections_is_bounded_in_all() -> None:
    with run(config={"max.connections": 5}) as broker:
        peers = [RawPeer(broker.bootstrap) for _ in range(10)]
        assert all(peer.ask(METADATA, topics=[]).brokers for peer in peers[:5])
        assert all(peer.is_closed_by_broker() for peer in peers[5:])
        for peer in peers:
            peer.socket.close()


def test_a_half_closed_connection_ends(broker: InProcessBroker) -> None:
    with RawPeer(broker.bootstrap) as peer:
        peer.send(request_bytes(METADATA, topics=[]))
        assert peer.read_frame()
        peer.socket.shutdown(socket.SHUT_WR)
        assert peer.is_closed_by_broker()


def _leases(broker: InProcessBroker) -> int:
    """Slices, queued writes and syncs that hold a segment's file."""
    logs = [partition.log for partition in broker._broker.partitions]
    return sum(handle.pins for log in logs for segment in log.segments for handle in segment.handles())


def test_connections_dropped_in_the_middle_of_sent_files_give_every_lease_back(tmp_path: Path) -> None:
    with run():
        pass
    before = _traces()
    with run(topics={"t": 1}, data_dir=str(tmp_path)) as broker:
        with RawPeer(broker.bootstrap) as peer:
            batch = batch_of(bytes(900_000))
            for _ in range(16):
                assert peer.produce("t", batch).error_code == 0
        with Bystander(broker.bootstrap) as bystander:
            for attempt in range(20):
                peer = RawPeer(broker.bootstrap, 8192)
                peer.send(fetch_request("t", 0) * (1 + attempt % 3))
                assert len(peer.read(20_000)) == 20_000
                assert bystander.is_served()
                if attempt % 2:
                    peer.reset()
                else:
                    peer.socket.close()
            _wait_until(lambda: not _leases(broker))
    assert _traces() == before


def test_members_that_vanish_while_they_join_are_abandoned(broker: InProcessBroker) -> None:
    with RawPeer(broker.bootstrap) as peer:
        _wait_until(lambda: peer.ask(FIND_COORDINATOR, key="g").error_code == 0)
        first = peer.ask(11, 0, **_member("g"))
        assert first.error_code == 0
        before = _connections()
        with Bystander(broker.bootstrap) as bystander:
            for number in range(30):
                joiner = RawPeer(broker.bootstrap)
                joiner.send(join_request("g", number))
                assert bystander.is_served()
                if number % 2:
                    joiner.reset()
                else:
                    joiner.socket.close()
            # This one and the bystander's stay; each of the others waited for the first member to join again.
            _wait_until(lambda: _connections() == before + 1)
        assert peer.ask(11, 0, **_member("another")).error_code == 0


def _member(group_id: str) -> dict[str, Any]:
    from protocol_specs import api

    message, _ = api.messages(11)
    protocols = [message.JoinGroupRequestProtocol(name="range", metadata=b"")]
    return {"group_id": group_id, "session_timeout_ms": 30_000, "protocol_type": "consumer", "protocols": protocols}


@pytest.mark.parametrize("key", [METADATA, FIND_COORDINATOR, INIT_PRODUCER_ID])
def test_a_failure_of_ours_is_told_logged_and_ends_one_connection(key: int, caplog: pytest.LogCaptureFixture) -> None:
    version = {METADATA: 13, FIND_COORDINATOR: 3, INIT_PRODUCER_ID: 4}[key]
    with run() as broker, RawPeer(broker.bootstrap) as other, RawPeer(broker.bootstrap) as peer:
        assert other.ask(API_VERSIONS, 0).error_code == 0
        handlers = broker._broker._gate._by_key

        def fail(*_: Any) -> Any:
            raise ZeroDivisionError("ours")

        handlers[key] = dataclasses.replace(handlers[key], handle=fail)
        assert peer.ask(key, version).error_code == ErrorCode.UNKNOWN_SERVER_ERROR
        assert peer.is_closed_by_broker()
        assert other.ask(API_VERSIONS, 0).error_code == 0
    failed = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in failed] == ["a handler failed: closing its connection"]
    assert "ZeroDivisionError: ours" in caplog.text
