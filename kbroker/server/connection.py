"""One connection: a reader that handles requests as they come, a writer for the answers that are owed later.

Answers leave in the order of their requests. While nothing is owed the reader sends answers itself, all those of one
read together; once an answer is owed, everything behind it queues for the writer. The reader handles the whole frames
of one read before it waits again, but gives way after about a millisecond.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from kbroker.server.gate import Gate, OwedAnswer, Peer
from kbroker.wire.connection import FrameSplitter, FrameTooLarge
from kbroker.world import Chunk, Clock, ConnectionLost, FileSlice, Transport

TURN_S: Final = 0.001
"""How long one connection may keep the loop for frames that are there already."""

OWED_MAX: Final = 1000
"""Answers that one connection may be owed before its requests wait in the socket."""


class Connection:
    """Runs one connection until the peer leaves, misbehaves, or the broker stops."""

    __slots__ = (
        "_clock",
        "_gate",
        "_is_draining",
        "_owed",
        "_peer",
        "_reading",
        "_room",
        "_splitter",
        "_transport",
        "_wake",
        "_whole",
        "last_active_ms",
    )

    def __init__(self, transport: Transport, gate: Gate, peer: Peer, clock: Clock, frame_bytes_max: int) -> None:
        self._transport = transport
        self._gate = gate
        self._peer = peer
        self._clock = clock
        self._splitter = FrameSplitter(frame_bytes_max)
        self._owed: deque[OwedAnswer] = deque()
        self._wake = trio.Event()
        self._room = trio.Event()
        self._reading = trio.CancelScope()
        self._whole = trio.CancelScope()
        self._is_draining = False
        self.last_active_ms = clock.monotonic_ms()

    @property
    def is_owing(self) -> bool:
        """Does an answer wait to be sent?"""
        return bool(self._owed)

    async def run(self) -> None:
        """Serve until the end; the transport is closed and every lease given back then."""
        try:
            with self._whole:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    with self._reading:
                        await self._read()
                    if not self._is_draining:
                        self._whole.cancel()
        finally:
            self._abandon()
            with trio.CancelScope(shield=True):
                await self._transport.close()

    def drain(self) -> None:
        """Read no more; end once what is owed is sent. Answers that may come early do."""
        self._is_draining = True
        self._reading.cancel()
        for owed in tuple(self._owed):
            if owed.pending is not None and owed.pending.hurry is not None:
                owed.pending.hurry()
        self._wake.set()

    def cut(self) -> None:
        """End now."""
        self._whole.cancel()

    async def _read(self) -> None:
        splitter, transport = self._splitter, self._transport
        try:
            while True:
                received = await transport.receive_into(splitter.space(), splitter.expected)
                if received == 0:
                    return
                splitter.received(received)
                self.last_active_ms = self._clock.monotonic_ms()
                if not await self._handle_frames():
                    return
        except ConnectionLost:
            return
        except FrameTooLarge as error:
            self._gate.refuse_frame(self._peer, str(error))

    async def _handle_frames(self) -> bool:
        """Handle every whole frame that is there; False when the connection must end."""
        splitter, gate, peer, owed = self._splitter, self._gate, self._peer, self._owed
        ready: list[Chunk] = []
        turn_ends = trio.current_time() + TURN_S
        frame = splitter.next_frame()
        while frame is not None:
            result = gate.process(peer, frame)
            # The splitter may use the buffer again only when no view of it is left.
            frame = None
            if isinstance(result, OwedAnswer):
                self._owe(result)
            else:
                chunks, closes = result
                if owed:
                    owed.append(OwedAnswer(chunks, closes))
                    self._wake.set()
                else:
                    ready += chunks
                    if closes:
                        await self._send(ready)
                        return False
            if len(owed) >= OWED_MAX or trio.current_time() > turn_ends:
                await self._send(ready)
                await self._give_way()
                turn_ends = trio.current_time() + TURN_S
            frame = splitter.next_frame()
        await self._send(ready)
        return True

    async def _send(self, ready: list[Chunk]) -> None:
        if ready and not self._transport.send_now(ready):
            await self._transport.send(ready)

    async def _give_way(self) -> None:
        await trio.lowlevel.checkpoint()
        if len(self._owed) >= OWED_MAX:
            self._room = trio.Event()
            await self._room.wait()

    def _owe(self, answer: OwedAnswer) -> None:
        self._owed.append(answer)
        assert answer.pending is not None
        answer.pending.on_settled = self._settled
        if answer.pending.is_settled:
            self._wake.set()

    def _settled(self) -> None:
        self._wake.set()

    async def _write(self) -> None:
        try:
            while True:
                if not await self._send_owed():
                    break
                if self._is_draining and not self._owed:
                    break
                await self._wake.wait()
                self._wake = trio.Event()
        except ConnectionLost:
            pass
        self._whole.cancel()

    async def _send_owed(self) -> bool:
        """Send the ready answers at the head of the line; False when the last of them ends the connection."""
        owed = self._owed
        while owed and owed[0].is_ready:
            first = owed[0]
            first.settle()
            self.last_active_ms = self._clock.monotonic_ms()
            # It stays at the head while it is being sent, so that the reader sends nothing past it.
            await self._send(first.chunks)
            if first.closes:
                return False
            owed.popleft()
            if len(owed) == OWED_MAX // 2:
                self._room.set()
        return True

    def _abandon(self) -> None:
        for owed in self._owed:
            if owed.pending is not None:
                owed.pending.abandon()
            for chunk in owed.chunks:
                if isinstance(chunk, FileSlice):
                    chunk.release()
        self._owed.clear()
