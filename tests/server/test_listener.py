"""Connections of a broker: how many may be, how long they may be silent, and how they end."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from kbroker.handlers.answer import Pending
from kbroker.handlers.registry import handles
from kbroker.server.connection import OWED_MAX
from kbroker.server.gate import Gate
from kbroker.server.listener import DRAIN_S_MAX, Connections, Limits
from kbroker.testing.virtual_clock import VirtualClock
from protocol_specs.api.k03_metadata import MetadataRequest, MetadataResponse
from tests.server.test_connection import FakeNode, FakeTransport, frame, settle_down

IDLE_MS = 10_000


class FakeNetwork:
    """world's network: connections come when the test says so."""

    def __init__(self) -> None:
        self.send, self.receive = trio.open_memory_channel[FakeTransport](100)

    async def accept(self, listener: Any) -> FakeTransport:
        return await self.receive.receive()


class Served:
    """Connections under a virtual clock; every Metadata request is owed forever."""

    def __init__(self, nursery: trio.Nursery, **limits: Any) -> None:
        @handles(MetadataRequest, MetadataResponse, serves="0-13", is_pipelined=True)
        def metadata(ctx: Any, request: Any) -> Any:
            self.owed.append(Pending())
            return self.owed[-1]

        self.owed: list[Pending] = []
        self.clock = VirtualClock()
        self.network = FakeNetwork()
        bounds: dict[str, Any] = {
            "frame_bytes_max": 1000,
            "connections_max": 100,
            "connections_per_host_max": 100,
            "idle_ms": IDLE_MS,
        }
        bounds["connections_of_hosts"] = {}
        gate = Gate(FakeNode(), {3: metadata.handler})
        self.connections = Connections(gate, self.clock, self.network, Limits(**{**bounds, **limits}))
        nursery.start_soon(self.connections.serve, [("PLAINTEXT", None)], nursery)

    def connect(self) -> FakeTransport:
        transport = FakeTransport()
        self.network.send.send_nowait(transport)
        return transport


async def test_silent_connections_end_by_the_brokers_clock_and_those_that_wait_for_us_stay(nursery) -> None:
    served = Served(nursery)
    silent, talking, waiting = (served.connect() for _ in range(3))
    waiting.push(frame(1))
    await settle_down()
    served.connections.sweep()
    for _ in range(8):
        served.clock.advance(IDLE_MS // 4)
        talking.push(b"\0\0\0")
        await settle_down()
        talking.push(frame(1)[3:])
        await settle_down()
    assert (silent.closed, talking.closed, waiting.closed) == (True, False, False)
    served.owed[0].settle(MetadataResponse())
    await settle_down()
    served.clock.advance(2 * IDLE_MS)
    await settle_down()
    assert waiting.closed
    served.connections.cut()
    served.connections.stop_accepting()
    assert served.clock.next_deadline_ms() is None


async def test_a_peer_that_takes_nothing_is_silent_too(nursery) -> None:
    served = Served(nursery)
    deaf = served.connect()
    await settle_down()
    served.connections.sweep()
    deaf.room = 0
    deaf.push(frame(1))
    await settle_down()
    served.owed[0].settle(MetadataResponse())
    await settle_down()
    served.clock.advance(2 * IDLE_MS)
    await settle_down()
    assert deaf.closed
    served.connections.stop_accepting()


async def test_a_peer_that_takes_a_long_answer_bit_by_bit_is_not_silent(nursery) -> None:
    """A steady download used to be cut: only the beginning of an answer counted as activity."""
    served = Served(nursery)
    slow = served.connect()
    await settle_down()
    served.connections.sweep()
    slow.room = 0
    slow.push(frame(1))
    await settle_down()
    served.owed[0].settle(MetadataResponse())
    await settle_down()
    for _ in range(8):
        slow.take(1)
        await settle_down()
        served.clock.advance(IDLE_MS // 4)
        await settle_down()
    assert (slow.closed, len(slow.sent)) == (False, 8)
    served.clock.advance(2 * IDLE_MS)
    await settle_down()
    assert slow.closed
    served.connections.stop_accepting()


async def test_a_peer_that_is_owed_so_much_that_nobody_reads_from_it_is_not_spared(nursery) -> None:
    """One that had left used to stay until its last request was answered: as long as it had said it would wait."""
    served = Served(nursery)
    gone, waiting = served.connect(), served.connect()
    await settle_down()
    served.connections.sweep()
    gone.push(frame(1) * (OWED_MAX + 1), end=True)
    waiting.push(frame(1) * (OWED_MAX - 1))
    await settle_down()
    assert not gone.closed
    served.clock.advance(2 * IDLE_MS)
    await settle_down()
    assert (gone.closed, waiting.closed) == (True, False)
    served.connections.cut()
    served.connections.stop_accepting()


async def test_without_a_limit_nobody_is_swept(nursery) -> None:
    served = Served(nursery, idle_ms=-1)
    served.connections.sweep()
    assert served.clock.next_deadline_ms() is None
    served.connections.stop_accepting()


async def test_connections_that_come_at_once_are_counted_at_once(nursery) -> None:
    """They used to count when their tasks began: a burst got past the limit."""
    of_host = {"connections_of_hosts": {"client": 5}}
    for limits in ({"connections_max": 5}, {"connections_per_host_max": 5}, of_host):
        served = Served(nursery, **limits)
        transports = [served.connect() for _ in range(20)]
        await settle_down()
        assert [transport.closed for transport in transports] == [False] * 5 + [True] * 15
        assert len(served.connections) == 5
        transports[0].push(end=True)
        await settle_down()
        another = served.connect()
        await settle_down()
        assert not another.closed
        served.connections.cut()
        served.connections.stop_accepting()
        await settle_down()
        assert len(served.connections) == 0


async def test_who_was_accepted_while_the_broker_stops_is_closed(nursery, monkeypatch) -> None:
    """The socket was dropped, and its peer heard nothing until garbage was collected."""
    served = Served(nursery)
    accept = served.network.accept

    async def accept_and_stop(listener: Any) -> FakeTransport:
        transport = await accept(listener)
        served.connections.stop_accepting()
        return transport

    monkeypatch.setattr(served.network, "accept", accept_and_stop)
    last = served.connect()
    await settle_down()
    served.connections.cut()
    await settle_down()
    assert last.closed


@pytest.mark.parametrize("is_deaf", [False, True])
async def test_a_stop_waits_for_what_is_owed_half_a_second_at_most(nursery, autojump_clock, is_deaf: bool) -> None:
    served = Served(nursery)
    peer = served.connect()
    await settle_down()
    peer.room = 0 if is_deaf else None
    peer.push(frame(1))
    await settle_down()
    served.owed[0].settle(MetadataResponse())
    served.connections.stop_accepting()
    began = trio.current_time()
    await served.connections.drain()
    assert trio.current_time() - began == (DRAIN_S_MAX if is_deaf else 0)
    await settle_down()
    assert peer.closed
    assert bool(peer.sent) is not is_deaf
