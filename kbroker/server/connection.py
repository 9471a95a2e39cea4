"""One connection: a reader that handles requests as they come, a writer for the answers that are owed later.

Answers leave in the order of their requests. While nothing is owed the reader sends answers itself, all those of one
read together; once an answer is owed, everything behind it queues for the writer, and so does what the peer has no room
for: only the writer ever waits to send. The reader handles the whole frames of one read before it waits again, but
gives way after about a millisecond; it reads no more while too much is owed or the peer takes nothing, and handles
nothing behind a request whose answer is owed, unless both are of one API that may be pipelined.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from kbroker.server.gate import Gate, Peer
from kbroker.server.owed import OwedAnswer
from kbroker.wire.connection import FrameSplitter, FrameTooLarge
from kbroker.world import Chunk, Clock, ConnectionLost, DiskFailure, FileSlice, Transport

TURN_S: Final = 0.001
"""How long one connection may keep the loop for frames that are there already."""

OWED_MAX: Final = 1000
"""Answers that one connection may be owed before its requests wait in the socket."""

OWED_BYTES_MAX: Final = 1 << 20
"""Bytes of requests under way and of ready answers that may wait for a connection's turn before its requests do."""

FRAMES_MAX: Final = 64
"""Taken at once of those that one read brought."""

UNHEARD_BYTES: Final = 4096
"""Read at once of what comes behind a request that ends its connection."""


class Connection:
    """Runs one connection until the peer leaves, misbehaves, or the broker stops."""

    __slots__ = (
        "_clock",
        "_gate",
        "_is_draining",
        "_is_held_up",
        "_owed",
        "_owed_bytes",
        "_peer",
        "_reading",
        "_repeated",
        "_room",
        "_splitter",
        "_transport",
        "_unsent",
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
        self._repeated = gate.memory()
        self._owed: deque[OwedAnswer] = deque()
        self._owed_bytes = 0
        self._wake = trio.Event()
        self._room = trio.Event()
        self._reading = trio.CancelScope()
        self._whole = trio.CancelScope()
        self._is_draining = False
        self._is_held_up = False
        self._unsent = 0
        self.last_active_ms = clock.monotonic_ms()

    @property
    def peer_host(self) -> str:
        """Who it is, for the log."""
        return self._peer.host

    @property
    def is_owing(self) -> bool:
        """Is the peer's next answer still being made? One that it only has to take doesn't count.

        Nor does it once the line is full, or a request waits behind it: nobody reads then, so that a peer that left
        would not be noticed.
        """
        return bool(self._owed) and not self._owed[0].is_ready and not self._is_full and not self._is_held_up

    @property
    def _is_full(self) -> bool:
        """Is so much owed that no more is read? Much less is, while the disk holds the requests of all in memory."""
        held = self._owed_bytes
        return len(self._owed) >= OWED_MAX or held >= OWED_BYTES_MAX or (held > 0 and self._gate.is_disk_behind)

    def _is_barred(self, frame: memoryview) -> bool:
        """Must this request wait until what is owed is sent?"""
        if not self._owed:
            return False
        passing_key = self._owed[-1].passing_key
        return passing_key is not None and frame[:2] != passing_key.to_bytes(2, "big", signed=True)

    def notice_sending(self) -> None:
        """What went out since the last call of an answer that takes long to send is activity, too."""
        unsent = sum(map(len, self._owed[0].chunks)) if self._owed else 0
        if unsent < self._unsent or self._transport.is_taken:
            self.last_active_ms = self._clock.monotonic_ms()
        self._unsent = unsent

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
            owed.hurry()
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
        except DiskFailure as failure:
            self._gate.cut_by_disk(self._peer, failure)

    async def _handle_frames(self) -> bool:
        """Handle every whole frame that is there; False when the connection must end."""
        ready: list[Chunk] = []
        try:
            return await self._handle_whole_frames(ready)
        except FrameTooLarge as error:
            self._gate.refuse_frame(self._peer, str(error))
            return await self._end_with(ready, [])

    async def _handle_whole_frames(self, ready: list[Chunk]) -> bool:
        """`ready` takes what can be sent at once. Raises FrameTooLarge behind the last that is none."""
        owed, gate = self._owed, self._gate
        turn_ends = trio.current_time() + TURN_S
        # Empty before the next are taken: the splitter uses the buffer again once no view of a frame is left.
        frames: deque[memoryview] = deque()
        while frames or self._take_frames(frames):
            if owed and self._is_barred(frames[0]):
                self._is_held_up = True
                await self._give_way(is_sent=self._send_now_or_queue(ready), is_barred=True)
                self._is_held_up = False
                turn_ends = trio.current_time() + TURN_S
                continue
            result = gate.process_next(self._peer, self._repeated, frames)
            if isinstance(result, OwedAnswer):
                self._owe(result)
            else:
                chunks, closes = result
                if closes:
                    return await self._end_with(ready, chunks)
                if owed:
                    self._queue(OwedAnswer(chunks, False, passing_key=owed[-1].passing_key))
                else:
                    ready += chunks
            if self._is_full or trio.current_time() > turn_ends:
                await self._give_way(is_sent=self._send_now_or_queue(ready))
                turn_ends = trio.current_time() + TURN_S
        if not self._send_now_or_queue(ready):
            await self._give_way(is_sent=False)
        return True

    def _take_frames(self, frames: deque[memoryview]) -> bool:
        """Take those that were received; is there one? Raises FrameTooLarge."""
        frames += self._splitter.next_frames(FRAMES_MAX)
        return bool(frames)

    def _send_now_or_queue(self, ready: list[Chunk]) -> bool:
        """Send what can be sent at once; what the peer has no room for goes to the head of the line. Was it all?"""
        if not ready or self._transport.send_now(ready):
            return True
        left = OwedAnswer(ready.copy(), False, held_bytes=_held_bytes(ready))
        ready.clear()
        self._owed_bytes += left.held_bytes
        self._owed.appendleft(left)
        self._wake.set()
        return False

    async def _give_way(self, *, is_sent: bool, is_barred: bool = False) -> None:
        """Let others have their turn; wait while the peer is owed too much, or takes nothing, or what may not pass."""
        # Made before the others run: the writer may be through with everything before we look.
        self._room = trio.Event()
        await trio.lowlevel.checkpoint()
        if self._is_full or (self._owed and (is_barred or not is_sent)):
            await self._room.wait()

    async def _end_with(self, ready: list[Chunk], chunks: list[Chunk]) -> bool:
        """The connection ends once these have been sent behind all that is owed. False, when it may end now."""
        if self._send_now_or_queue(ready) and not self._owed and self._transport.send_now(chunks):
            return False
        # The writer ends the connection; what the peer says until then is not heard, only that it leaves.
        self._queue(OwedAnswer(chunks, True))
        unheard = memoryview(bytearray(UNHEARD_BYTES))
        while await self._transport.receive_into(unheard):
            pass
        return False

    def _queue(self, answer: OwedAnswer) -> None:
        answer.held_bytes = _held_bytes(answer.chunks)
        self._owed_bytes += answer.held_bytes
        self._owed.append(answer)
        self._wake.set()

    def _owe(self, answer: OwedAnswer) -> None:
        self._owed_bytes += answer.held_bytes
        self._owed.append(answer)
        answer.follow(self._settled)

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
        except DiskFailure as failure:
            self._gate.cut_by_disk(self._peer, failure)
        self._whole.cancel()

    async def _send_owed(self) -> bool:
        """Send the ready answers at the head of the line; False when the last of them ends the connection."""
        owed = self._owed
        while owed and owed[0].is_ready:
            first = owed[0]
            first.settle()
            if first.pending is not None:
                continue
            self.last_active_ms = self._clock.monotonic_ms()
            # It stays at the head while it is being sent, so that the reader sends nothing past it.
            if first.chunks and not self._transport.send_now(first.chunks):
                await self._transport.send(first.chunks)
            if first.closes:
                return False
            owed.popleft()
            self._owed_bytes -= first.held_bytes
            # One large request may stay under way while the next is read.
            if len(owed) <= OWED_MAX // 2 and (self._owed_bytes <= OWED_BYTES_MAX // 2 or len(owed) == 1):
                self._room.set()
        return True

    def _abandon(self) -> None:
        for owed in self._owed:
            owed.abandon()
        self._owed.clear()


def _held_bytes(chunks: list[Chunk]) -> int:
    """What chunks cost in memory; slices of files cost next to nothing."""
    return sum(len(chunk) for chunk in chunks if not isinstance(chunk, FileSlice))
