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
from kbroker.world import Clock, Timer, Transport

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
        self._sweeping: Timer | None = None

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
        if self._sweeping is not None:
            self._sweeping.cancel()

    async def _accept(self, listener: Any, name: str, nursery: trio.Nursery) -> None:
        while True:
            # A flood of connections must not keep the loop: accepting waits only when there is nobody. Whom it gave is
            # ours to close, so nothing may be cancelled in between.
            await trio.lowlevel.checkpoint()
            transport = await self._network.accept(listener)
            if transport is None:
                continue
            if self._is_full_for(transport.peer):
                log.info("too many connections: closing", extra={"client": transport.peer, "open": len(self._open)})
                await transport.close()
            else:
                nursery.start_soon(self._run, self._admit(transport, name))

    def sweep(self) -> None:
        """Close connections that were idle for too long, and come again by the clock until stop_accepting()."""
        if self._limits.idle_ms < 0:
            return
        now_ms = self._clock.monotonic_ms()
        for connection in tuple(self._open):
            connection.notice_sending()
            if now_ms - connection.last_active_ms > self._limits.idle_ms and not connection.is_owing:
                log.info("idle connection: closing", extra={"client": connection.peer_host})
                connection.cut()
        self._sweeping = self._clock.call_at(now_ms + max(1, self._limits.idle_ms // 4), self.sweep)

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

    def _is_full_for(self, host: str) -> bool:
        limits = self._limits
        of_host = limits.connections_of_hosts.get(host, limits.connections_per_host_max)
        return len(self._open) >= limits.connections_max or self._hosts[host] >= of_host

    def _admit(self, transport: Transport, listener_name: str) -> Connection:
        """Counts from now on: more may be accepted before its task begins."""
        peer = Peer(transport.peer, ANONYMOUS, listener_name, transport.local_host, transport.local_port)
        connection = Connection(transport, self._gate, peer, self._clock, self._limits.frame_bytes_max)
        self._open.add(connection)
        self._hosts[peer.host] += 1
        return connection

    async def _run(self, connection: Connection) -> None:
        host = connection.peer_host
        try:
            await connection.run()
        finally:
            self._open.discard(connection)
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
            if not self._open:
                self._emptied.set()
