"""What is large is sent by a thread to a peer that keeps up: in order, wholly, and with the loop free meanwhile."""

import contextlib
import errno
import os
import socket
import struct
import threading

import pytest
import trio

from kbroker.real import network
from kbroker.real.disk import SENDERS_MAX, RealDisk
from kbroker.real.network import THREADED_BYTES_MIN, SocketTransport
from kbroker.world import ConnectionLost, DiskFailure, FileSlice

CONTENT = bytes(range(251)) * (2 * THREADED_BYTES_MIN // 251)
NEVER = struct.pack("@ll", 60, 0)


class NobodyWaits(socket.socket):
    """A socket of the loop: it may block only those who are not on the loop."""

    def recv_into(self, buffer, nbytes=0, flags=0):
        assert not os.get_blocking(self.fileno()) or flags & socket.MSG_DONTWAIT
        return super().recv_into(buffer, nbytes, flags)


class Sending:
    """A transport, its peer, and a log of CONTENT of which slices can be leased."""

    def __init__(self, tmp_path):
        self.disk = RealDisk(trio.lowlevel.current_trio_token().run_sync_soon)
        self.file = self.disk.open(str(tmp_path / "log"), create=True)
        self.file.write_at(0, [CONTENT])
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.peer = socket.create_connection(listener.getsockname())
            accepted = NobodyWaits(fileno=listener.accept()[0].detach())
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 102_400)
        self.socket = accepted
        self.transport = SocketTransport(accepted)
        self.peer.setblocking(False)
        self.leases = 0
        self.got = bytearray()
        self.by_threads = []
        send = self.disk.in_sender
        self.disk.in_sender = lambda work, done: send(work, lambda sent: self.note(sent, done))

    def note(self, sent, done):
        self.by_threads.append(sent)
        done(sent)

    def slice(self, position=0):
        self.leases += 1
        return FileSlice(self.file, position, len(CONTENT) - position, self.release)

    def release(self):
        self.leases -= 1

    def read_some(self):
        with contextlib.suppress(BlockingIOError):
            self.got += self.peer.recv(1 << 20)

    async def read(self, count):
        while len(self.got) < count:
            with trio.move_on_after(0.01):  # the rest may have been read by a look for room meanwhile
                await trio.lowlevel.wait_readable(self.peer)
            self.read_some()

    async def send(self, chunks):
        """As a connection does."""
        if not self.transport.send_now(chunks):
            await self.transport.send(chunks)


@pytest.fixture
async def sending(tmp_path, monkeypatch):
    """The peer keeps up for as long as the loop sends: it reads whenever room is looked for, and time stands still."""
    made = Sending(tmp_path)
    monkeypatch.setattr(network, "SEND_TURN_BYTES", 64_000)
    monkeypatch.setattr(network, "perf_counter", lambda: 0.0)
    monkeypatch.setattr(network.os, "sched_yield", made.read_some)
    yield made
    made.disk.close()
    made.file.close()
    made.peer.close()
    await made.transport.close()


async def test_a_large_slice_for_a_peer_that_keeps_up_is_sent_by_a_thread(sending):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sending.read, len(CONTENT) + 8)
        await sending.send([b"head", sending.slice(), b"tail"])
    assert sending.got == b"head" + CONTENT + b"tail"
    assert sum(sending.by_threads) > len(CONTENT) - 10 * network.SEND_TURN_BYTES
    assert sending.leases == 0
    assert not os.get_blocking(sending.socket.fileno())


async def test_what_is_not_large_any_more_stays_with_the_loop(sending):
    rest = len(CONTENT) - THREADED_BYTES_MIN + 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sending.read, len(CONTENT) - rest)
        await sending.send([sending.slice(rest)])
    assert sending.got == CONTENT[rest:]
    assert sending.by_threads == []


async def test_with_no_thread_free_the_loop_sends_what_is_large(sending):
    """Slow peers must not keep a quick one from its records."""
    may_end = threading.Event()
    for _ in range(SENDERS_MAX):
        sending.disk.in_sender(lambda: int(may_end.wait()), lambda _: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sending.read, len(CONTENT))
        await sending.send([sending.slice()])
    assert sending.got == CONTENT
    assert sending.by_threads == []
    assert not os.get_blocking(sending.socket.fileno())
    may_end.set()
    while len(sending.by_threads) < SENDERS_MAX:
        await trio.lowlevel.checkpoint()


async def test_a_peer_that_stops_reading_is_given_back_to_the_loop_and_sent_the_rest_later(sending):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sending.send, [sending.slice()])
        while not sending.by_threads:
            await trio.lowlevel.checkpoint()
        assert 0 <= sending.by_threads[0] < THREADED_BYTES_MIN
        await sending.read(len(CONTENT))
    assert sending.got == CONTENT


async def test_requests_are_received_while_a_thread_sends(sending):
    sending.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, NEVER)
    buffer = bytearray(10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sending.send, [sending.slice()])
        while not os.get_blocking(sending.socket.fileno()):
            await trio.lowlevel.checkpoint()
        assert sending.transport.is_taken
        sending.peer.sendall(b"request")
        assert await sending.transport.receive_into(memoryview(buffer), 7) == 7
        await sending.read(len(CONTENT))
    assert not sending.transport.is_taken
    assert buffer[:7] == b"request"
    assert sending.got == CONTENT


@pytest.mark.parametrize("is_heard", [True, False])
async def test_a_connection_that_is_cut_takes_its_thread_along(sending, is_heard):
    """After a failure of ours nothing is heard of threads: the broker used to wait for ever for its end."""
    sending.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, NEVER)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sending.send, [sending.slice()])
            while not os.get_blocking(sending.socket.fileno()):
                await trio.lowlevel.checkpoint()
            if not is_heard:
                sending.disk.post = lambda action: None
            scope.cancel()
    with pytest.raises(BrokenPipeError):  # else the thread only had run out of patience
        sending.socket.send(b"more")
    assert sending.leases == 0


async def test_a_peer_that_leaves_while_a_thread_sends_is_a_lost_connection(sending):
    sending.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, NEVER)
    lost = []

    async def send():
        with pytest.raises(ConnectionLost):
            await sending.send([sending.slice()])
        lost.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while not os.get_blocking(sending.socket.fileno()):
            await trio.lowlevel.checkpoint()
        sending.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sending.peer.close()
    assert lost == [True]
    assert sending.leases == 0


async def test_a_medium_that_fails_a_thread_is_the_disks_failure(sending, monkeypatch):
    sendfile = os.sendfile

    def broken_for_threads(*given):
        if threading.current_thread() is threading.main_thread():
            return sendfile(*given)
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "sendfile", broken_for_threads)
    with pytest.raises(DiskFailure, match="broken"):
        await sending.send([sending.slice()])
    assert sending.leases == 0


async def test_a_file_that_is_closed_meanwhile_is_sent_to_its_end(sending):
    """A log directory that goes offline closes files that are being sent."""
    sending.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, NEVER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sending.send, [sending.slice(), b"tail"])
        while not os.get_blocking(sending.socket.fileno()):
            await trio.lowlevel.checkpoint()
        descriptor = sending.file.fileno()
        sending.file.close()
        assert os.fstat(descriptor).st_size == len(CONTENT)
        await sending.read(len(CONTENT) + 4)
    assert sending.got == CONTENT + b"tail"
    assert sending.leases == 0
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)
