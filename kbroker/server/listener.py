"""Listening sockets into connections: accepting, limits, the idle sweep, and the end of them all."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import trio

from kbroker.server.connection import Connection
from kbroker.server.gate import Gate, Peer
from kbroker.world import Clock, Transport

ANONYMOUS: Final = "User:ANONYMOUS"
"""The principal of everybody on a listener without authentication."""

DRAIN_S_MAX: Final = 0.5
"""How long a stopping broker waits for owed answers (a group member may wait for others for minutes)."""

log = logging.getLogger("kbroker.listener")


@dataclass(slots=True, frozen=True)
class Limits:
    """What bounds the connections of a broker; idle_ms in milliseconds of protocol time, -1 for no limit.

    `connections_of_hosts` has addresses with a limit of their own.
    """

    frame_bytes_max: int
    connections_max: int
    connections_per_host_max: int
    connections_of_hosts: Mapping[str, int]
    idle_ms: int


class Connections:
    """Every connection of a broker, on whatever listener."""

    def __init__(self, gate: Gate, clock: Clock, network: Any, limits: Limits) -> None:
        self._gate = gate
        self._clock = clock
        self._network = network
        self._limits = limits
        self._open: set[Connection] = set()
        self._hosts: Counter[str] = Counter()
        self._emptied = trio.Event()
        self._accepting = trio.CancelScope()

    def __len__(self) -> int:
        return len(self._open)

    async def serve(self, listeners: list[tuple[str, Any]], nursery: trio.Nursery) -> None:
        """Accept on (name, socket) pairs until stop_accepting(); connections run in `nursery` and outlive this."""
        with self._accepting:
            async with trio.open_nursery() as accepting:
                for name, listener in listeners:
                    accepting.start_soon(self._accept, listener, name, nursery)

    def stop_accepting(self) -> None:
        """The listening sockets may be closed after this."""
        self._accepting.cancel()

    async def _accept(self, listener: Any, name: str, nursery: trio.Nursery) -> None:
        while True:
            transport = await self._network.accept(listener)
            if transport is not None and await self._admits(transport):
                nursery.start_soon(self._run, transport, name)

    async def sweep(self) -> None:
        """Close connections that were idle for too long; until cancelled."""
        if self._limits.idle_ms < 0:
            return
        while True:
            await trio.sleep(max(1.0, self._limits.idle_ms / 4000))
            oldest = self._clock.monotonic_ms() - self._limits.idle_ms
            for connection in tuple(self._open):
                if connection.last_active_ms < oldest and not connection.is_owing:
                    connection.cut()

    async def drain(self) -> None:
        """Send what is owed, then end every connection; at most DRAIN_S_MAX."""
        for connection in tuple(self._open):
            connection.drain()
        with trio.move_on_after(DRAIN_S_MAX):
            while self._open:
                self._emptied = trio.Event()
                await self._emptied.wait()
        self.cut()

    def cut(self) -> None:
        """End every connection now."""
        for connection in tuple(self._open):
            connection.cut()

    async def _admits(self, transport: Transport) -> bool:
        limits = self._limits
        of_host = limits.connections_of_hosts.get(transport.peer, limits.connections_per_host_max)
        if len(self._open) < limits.connections_max and self._hosts[transport.peer] < of_host:
            return True
        log.info("too many connections: closing", extra={"client": transport.peer, "open": len(self._open)})
        await transport.close()
        return False

    async def _run(self, transport: Transport, listener_name: str) -> None:
        peer = Peer(transport.peer, ANONYMOUS, listener_name, transport.local_host, transport.local_port)
        connection = Connection(transport, self._gate, peer, self._clock, self._limits.frame_bytes_max)
        self._open.add(connection)
        self._hosts[peer.host] += 1
        try:
            await connection.run()
        finally:
            self._open.discard(connection)
            self._hosts[peer.host] -= 1
            if not self._hosts[peer.host]:
                del self._hosts[peer.host]
            if not self._open:
                self._emptied.set()
