"""Listening sockets and connections of the operating system, driven by trio.

A SocketTransport tries the system call first and waits only when the kernel has nothing: a wake-up costs more than a
small request. Answers go out as they are described: bytes by sendmsg, large slices of files by sendfile, small slices
read and sent with the bytes round them (a header and sendfile cost 11 us, read and send 6). What is still large after
a turn of a reader that keeps up is sent by a thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable
from time import perf_counter
from typing import Final, NamedTuple

import trio

from kbroker.world import Buffer, Chunk, ColdRead, ConnectionLost, DiskFailure, FileSlice

SENDFILE_BYTES_MIN: Final = 32 * 1024
"""Smaller slices are cheaper to read and send with their neighbours."""

SENDFILE_BYTES_MAX: Final = 1 << 20
"""One system call moves no more: while it runs, nobody else is served."""

WARMED_BYTES: Final = 4 << 20
"""A worker reads so much of a cold slice before it is sent, and has the system begin with as much behind it."""

SEND_TURN_BYTES: Final = 4 << 20
"""A reader that keeps up could be sent a whole log in one go; after this much others have their turn."""

THREADED_BYTES_MIN: Final = 4 << 20
"""What is left of a slice for a reader that keeps up is a thread's from this much on: going there and back costs what
half a MB does, and the thread waits for room within the kernel."""

THREAD_PATIENCE_S: Final = 0.02
"""How long a thread waits for a reader that takes nothing at all."""

SEND_TURN_S: Final = 0.001
"""No longer, either, for a reader that makes a little room again and again."""

ROOM_PATIENCE_S: Final = 0.000_05
"""How long a full send buffer is looked at again before its task waits. A trip through the scheduler takes half of it,
and a reader on another processor makes room for some 64 KB in a fifth."""

CALL_BACK_LOOK_S: Final = 0.001
"""How often one looks whether a thread has left the socket of a connection that is cut."""

_THREAD_PATIENCE: Final = struct.pack("@ll", 0, int(THREAD_PATIENCE_S * 1e6))

IOV_MAX: Final = 512
"""Buffers for one sendmsg, a few more if a slice lies in pieces; Linux takes 1024."""

GATHERED_BYTES_MIN: Final = 256 * 1024
"""When so much was gathered for one sendmsg no more slices are read for it: the send buffer takes half of that."""

RECEIVE_LOW_WATER_MAX: Final = 128 * 1024
"""While a large frame is under way, wake only for this much of it: fewer, larger reads."""

TURNS_KEPT_MAX: Final = 8
"""Reads without waiting in a row, while announced bytes keep coming; then others have their turn."""

PORT_TRIES: Final = 20
"""How often another free port is tried, when one is wanted for several addresses at once."""


class PortTaken(Exception):
    """The address is in use, forbidden, or not one of this machine."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {reason}")
        self.host = host
        self.port = port


class ListenOptions(NamedTuple):
    """How to listen; buffer sizes in bytes, -1 leaves them to the operating system."""

    backlog: int = 512
    send_buffer_bytes: int = -1
    receive_buffer_bytes: int = -1


SYSTEM_SIZES: Final = ListenOptions()


def listen(host: str, port: int, options: ListenOptions = SYSTEM_SIZES) -> list[socket.socket]:
    """Bind and listen on every address of `host` with the same port; port 0 finds one that is free on all.

    An empty host or 0.0.0.0 means all interfaces. Accepted connections inherit the buffer sizes. Raises PortTaken.
    """
    addresses = _resolve(host, port)
    for _ in range(PORT_TRIES):
        sockets: list[socket.socket] = []
        try:
            for family, address in addresses:
                wanted = sockets[0].getsockname()[1] if sockets else port
                opened = _listen_on(family, (address, wanted), options)
                if opened is not None:
                    sockets.append(opened)
        except OSError as error:
            for opened in sockets:
                opened.close()
            if port == 0 and error.errno == errno.EADDRINUSE:
                continue
            raise PortTaken(host, port, error.strerror or str(error)) from error
        if sockets:
            return sockets
        raise PortTaken(host, port, "no usable address")
    raise PortTaken(host, port, "no port is free on all of its addresses")


def _resolve(host: str, port: int) -> list[tuple[int, str]]:
    if host in ("", "0.0.0.0", "*"):
        return [(socket.AF_INET, "0.0.0.0")] if host == "0.0.0.0" else [(socket.AF_INET6, "::")]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise PortTaken(host, port, error.strerror or str(error)) from error
    pairs = dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found)
    # IPv4 first: its port is the one that is asked for on IPv6 too.
    ordered = sorted(pairs, key=lambda pair: pair[0] != socket.AF_INET)
    if host == "localhost":
        return [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
    return [(int(family), address) for family, address in ordered]


def _listen_on(family: int, address: tuple[str, int], options: ListenOptions) -> socket.socket | None:
    """A listening socket, or None where this machine has no such address family (IPv6 switched off)."""
    try:
        opened = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" else 1)
        if options.send_buffer_bytes >= 0:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options.send_buffer_bytes)
        if options.receive_buffer_bytes >= 0:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.receive_buffer_bytes)
        opened.bind(address)
        opened.listen(options.backlog)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        if family == socket.AF_INET6 and error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return opened


async def accept(listener: socket.socket) -> SocketTransport | None:
    """Wait for the next connection; None when it was gone before it could be taken or no descriptor is free."""
    while True:
        try:
            accepted, _ = listener.accept()
            break
        except BlockingIOError:
            await trio.lowlevel.wait_readable(listener)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                await trio.sleep(0.1)
            else:
                # Whoever calls this in a loop must be cancellable even when every call fails at once.
                await trio.lowlevel.checkpoint()
            return None
    try:
        return SocketTransport(accepted)
    except OSError:
        accepted.close()
        return None


class SocketTransport:
    """world.Transport on a TCP socket. Owns it.

    While a thread sends, the socket blocks whoever does not say that he will not wait.
    """

    __slots__ = (
        "_cold",
        "_long",
        "_low_water",
        "_socket",
        "_turns_kept",
        "is_taken",
        "local_host",
        "local_port",
        "peer",
    )

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _THREAD_PATIENCE)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket = connected
        # What keeps the rest from being sent now: a slice to be warmed, or one that a thread may go on with.
        self._cold: FileSlice | None = None
        self._long: FileSlice | None = None
        self._low_water = 1
        self._turns_kept = 0
        self.is_taken = False
        self.peer = _plain_host(connected.getpeername()[0])
        local = connected.getsockname()
        self.local_host = _plain_host(local[0])
        self.local_port = int(local[1])

    async def receive_into(self, buffer: memoryview, expected: int = 1) -> int:
        """See world.Transport. Waits first, unless more is on its way: the last read has left nothing behind else."""
        try:
            if expected > 1 and self._turns_kept < TURNS_KEPT_MAX:
                try:
                    received = self._socket.recv_into(buffer, 0, socket.MSG_DONTWAIT)
                    self._turns_kept += 1
                    return received
                except BlockingIOError:
                    pass
            self._turns_kept = 0
            wanted = min(expected, RECEIVE_LOW_WATER_MAX)
            if wanted != self._low_water:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
                self._low_water = wanted
            await trio.lowlevel.wait_readable(self._socket)
            while True:
                try:
                    return self._socket.recv_into(buffer, 0, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    await trio.lowlevel.wait_readable(self._socket)
        except (OSError, trio.ClosedResourceError) as error:
            raise ConnectionLost(str(error)) from error

    def send_now(self, chunks: list[Chunk]) -> bool:
        """See world.Transport. Bytes that are not in memory are not sent: send() has a worker read them first."""
        self._cold = self._long = None
        turn_ends = 0.0
        try:
            while chunks:
                first = chunks[0]
                if isinstance(first, FileSlice) and not _is_small(first) and first.file.view(0, 0) is None:
                    done = self._send_file(first)
                    if done:
                        first.release()
                        del chunks[0]
                else:
                    done = self._send_gathered(chunks)
                if not done:
                    return False
                if chunks:
                    now = perf_counter()
                    turn_ends = turn_ends or now + SEND_TURN_S
                    if now >= turn_ends:
                        return False
        except OSError as error:
            _release(chunks)
            raise ConnectionLost(str(error)) from error
        except DiskFailure:
            _release(chunks)
            raise
        return True

    async def send(self, chunks: list[Chunk]) -> None:
        """See world.Transport."""
        try:
            while True:
                if self._cold is not None:
                    await _warm(self._cold)
                elif self._long is None or not await self._send_in_thread(chunks, self._long):
                    await trio.lowlevel.wait_writable(self._socket)
                if self.send_now(chunks):
                    return
        except (OSError, trio.ClosedResourceError) as error:
            raise ConnectionLost(str(error)) from error
        finally:
            _release(chunks)

    def _send_gathered(self, chunks: list[Chunk]) -> bool:
        """Send the leading chunks that are or become bytes; True when they are all gone."""
        buffers: list[Buffer] = []
        more = False
        offered = gathered_bytes = 0
        for index, chunk in enumerate(chunks):
            if isinstance(chunk, FileSlice):
                held = chunk.file.views(chunk.position, chunk.length)
                if held is None and not _is_small(chunk):
                    more = True
                    break
                if held is None:
                    try:
                        read = _read_whole(chunk)
                    except ColdRead:
                        self._cold = chunk
                        break
                    chunk.release()
                    chunks[index] = read
                    buffers.append(read)
                elif sum(map(len, held)) == chunk.length:
                    buffers += held
                else:
                    raise _cut(chunk)
            else:
                buffers.append(chunk)
            offered += 1
            gathered_bytes += len(chunk)
            if len(buffers) >= IOV_MAX or gathered_bytes >= GATHERED_BYTES_MIN:
                break
        if not buffers:
            return False
        flags = socket.MSG_MORE if more else 0
        try:
            if len(buffers) == 1:
                sent = self._socket.send(buffers[0], flags)
            else:
                sent = self._socket.sendmsg(buffers, (), flags)
        except BlockingIOError:
            return False
        return _drop_sent(chunks, sent, offered)

    def _send_file(self, chunk: FileSlice) -> bool:
        """Send as much of a slice as the socket takes in one turn; it shrinks by what is gone. True when all is."""
        self._long = None
        left_min = chunk.length - SEND_TURN_BYTES
        now = perf_counter()
        turn_ends, patience_ends = now + SEND_TURN_S, now + ROOM_PATIENCE_S
        while chunk.length:
            if chunk.length <= left_min:
                self._long = chunk
                return False
            if chunk.position >= chunk.warm_end and self._is_cold(chunk):
                return False
            try:
                self._send_part(chunk)
                patience_ends = min(perf_counter() + ROOM_PATIENCE_S, turn_ends)
            except BlockingIOError:
                if perf_counter() >= patience_ends:
                    self._long = chunk if patience_ends == turn_ends else None
                    return False
                os.sched_yield()
        return True

    def _is_cold(self, chunk: FileSlice) -> bool:
        """Would sending what comes next of a slice wait for the medium? All others would wait with it."""
        length = min(chunk.length, SENDFILE_BYTES_MAX)
        if chunk.file.is_warm(chunk.position, length):
            chunk.warm_end = chunk.position + length
            return False
        self._cold = chunk
        return True

    def _send_part(self, chunk: FileSlice) -> None:
        """One sendfile. Raises BlockingIOError where there is no room."""
        count = min(chunk.length, SENDFILE_BYTES_MAX, chunk.warm_end - chunk.position)
        try:
            sent = os.sendfile(self._socket.fileno(), chunk.file.fileno(), chunk.position, count)
        except OSError as error:
            if error.errno == errno.EIO:
                raise DiskFailure(chunk.file.path, str(error)) from error
            raise
        if sent == 0:
            raise _cut(chunk)
        chunk.position += sent
        chunk.length -= sent

    async def _send_in_thread(self, chunks: list[Chunk], chunk: FileSlice) -> bool:
        """Have a thread send what is left of the first of the chunks, until the peer takes no more.

        False where none does. Raises DiskFailure.
        """
        if chunk.length < THREADED_BYTES_MIN:
            return False
        is_over = trio.Event()
        ended: list[int | DiskFailure] = []

        def done(result: int | DiskFailure) -> None:
            ended.append(result)
            is_over.set()

        descriptor = self._socket.fileno()
        os.set_blocking(descriptor, True)
        try:
            is_out = chunk.file.send_to(descriptor, chunk.position, chunk.length, done)
            if is_out is None:
                return False
            self.is_taken = True
            try:
                await is_over.wait()
            except trio.Cancelled:
                await self._call_back(is_out)
                raise
        finally:
            self.is_taken = False
            os.set_blocking(descriptor, False)
        sent = ended[0]
        if isinstance(sent, DiskFailure):
            raise sent
        chunk.position += sent
        chunk.length -= sent
        if not chunk.length:
            chunk.release()
            del chunks[0]
        return True

    async def _call_back(self, is_out: Callable[[], bool]) -> None:
        """Wait until a thread has left the socket, which is about to be closed: its number will be another's.

        It says so itself: after a failure of ours nobody hears what follows the work of a thread.
        """
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with trio.CancelScope(shield=True):
            while not is_out():  # noqa: ASYNC110 - who would set an event is not heard
                await trio.sleep(CALL_BACK_LOOK_S)

    async def close(self) -> None:
        """See world.Transport."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


async def _warm(chunk: FileSlice) -> None:
    """Wait until a worker has brought the next piece of a slice into memory. Raises DiskFailure."""
    length = min(chunk.length, WARMED_BYTES)
    is_over = trio.Event()
    failures: list[DiskFailure | None] = []

    def done(failure: DiskFailure | None) -> None:
        failures.append(failure)
        is_over.set()

    chunk.file.warm(chunk.position, length, done)
    await is_over.wait()
    if failures[0] is not None:
        raise failures[0]
    # Whatever the next look would say: a system that forgets at once must not keep us here.
    chunk.warm_end = chunk.position + length


def _read_whole(chunk: FileSlice) -> bytes:
    """The bytes of a slice; fewer would tear the frame that announced them. Raises ColdRead."""
    is_known_warm = chunk.position + chunk.length <= chunk.warm_end
    read = chunk.file.read_at if is_known_warm else chunk.file.read_warm
    data = read(chunk.position, chunk.length)
    if len(data) != chunk.length:
        raise _cut(chunk)
    return data


def _cut(chunk: FileSlice) -> DiskFailure:
    return DiskFailure(chunk.file.path, f"ends before the {chunk.length} bytes at {chunk.position} that were written")


def _is_small(chunk: FileSlice) -> bool:
    return chunk.length < SENDFILE_BYTES_MIN


def _drop_sent(chunks: list[Chunk], sent: int, offered: int) -> bool:
    """Remove `sent` bytes from the front of the first `offered` chunks; True when all of those are gone."""
    for index in range(offered):
        chunk = chunks[index]
        if len(chunk) > sent:
            if isinstance(chunk, FileSlice):
                chunk.position += sent
                chunk.length -= sent
            else:
                chunks[index] = memoryview(chunk)[sent:]
            del chunks[:index]
            return False
        sent -= len(chunk)
        if isinstance(chunk, FileSlice):
            chunk.release()
    del chunks[:offered]
    return True


def _release(chunks: list[Chunk]) -> None:
    """Give up what was not sent; the list is empty then, so that nothing is released twice."""
    for chunk in chunks:
        if isinstance(chunk, FileSlice):
            chunk.release()
    chunks.clear()


def _plain_host(host: str) -> str:
    """An IPv4 client of a socket for both families is shown, and answered, as IPv4."""
    return host.removeprefix("::ffff:") if "." in host else host
