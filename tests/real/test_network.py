"""Sockets: all that a chunk list describes arrives, in order, whatever it is made of and however slow the peer."""

import contextlib
import itertools
import socket
from dataclasses import dataclass

import pytest
import trio

from kbroker.real import memory_disk, network
from kbroker.real.network import ROOM_PATIENCE_S, SEND_TURN_S, SENDFILE_BYTES_MIN, PortTaken, SocketTransport
from kbroker.world import ColdRead, ConnectionLost, DiskFailure, FileSlice


@dataclass
class DescriptorFile:
    """A world.File on an open Python file, as far as sending needs one."""

    handle: object
    path: str = "a file"

    def view(self, position, length):
        return None

    def views(self, position, length):
        return None

    def fileno(self):
        return self.handle.fileno()

    def read_at(self, position, length):
        self.handle.seek(position)
        return self.handle.read(length)

    read_warm = read_at

    def is_warm(self, position, length):
        return True


class ColdFile(DescriptorFile):
    """Nothing of it is in memory until it is warmed; what was asked for is noted."""

    warmed: tuple = (0, 0)
    asked: tuple = ()
    failure = None

    def is_warm(self, position, length):
        return self.warmed[0] <= position and position + length <= self.warmed[1]

    def read_warm(self, position, length):
        if not self.is_warm(position, length):
            raise ColdRead(self, position, length)
        return self.read_at(position, length)

    def warm(self, position, length, done):
        self.asked += ((position, length),)
        self.warmed = (position, position + length)
        trio.lowlevel.current_trio_token().run_sync_soon(done, self.failure)


@dataclass
class MemoryFile:
    """A world.File that lives in memory."""

    data: bytes
    path: str = "memory"

    def views(self, position, length):
        """In three pieces."""
        data = memoryview(self.data)[position : position + length]
        return [data[:100], data[100:1000], data[1000:]]

    def view(self, position, length):
        return memoryview(self.data)[position : position + length]


CONTENT = bytes(range(256)) * 8192


@pytest.fixture
def pair():
    """(our transport, the peer's blocking socket) over loopback, with small socket buffers."""
    listener = socket.create_server(("127.0.0.1", 0))
    peer = socket.create_connection(listener.getsockname())
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    accepted, _ = listener.accept()
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    listener.close()
    yield SocketTransport(accepted), peer
    peer.close()
    accepted.close()


def slices(tmp_path, leases):
    path = tmp_path / "segment"
    path.write_bytes(CONTENT)
    handle = path.open("rb", buffering=0)

    def cut(position, length, file=None):
        leases.append("held")
        return FileSlice(file or DescriptorFile(handle), position, length, lambda: leases.remove("held"))

    return cut, handle


async def receive(peer, count):
    peer.setblocking(False)
    parts = []
    while count:
        await trio.lowlevel.wait_readable(peer)
        part = peer.recv(min(count, 10_000))
        assert part, "the connection ended early"
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


async def test_bytes_and_slices_arrive_in_order_and_leases_are_given_back(tmp_path, pair):
    transport, peer = pair
    leases = []
    cut, handle = slices(tmp_path, leases)
    large, small = SENDFILE_BYTES_MIN * 8, 100
    chunks = [
        b"head",
        cut(3, large),
        memoryview(b"between"),
        cut(1000, small),
        cut(5, 50_000, MemoryFile(CONTENT)),
        cut(77, large),
        b"tail",
    ]
    expected = (
        b"head"
        + CONTENT[3 : 3 + large]
        + b"between"
        + CONTENT[1000 : 1000 + small]
        + CONTENT[5:50_005]
        + CONTENT[77 : 77 + large]
        + b"tail"
    )
    got = []

    async def read():
        got.append(await receive(peer, len(expected)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await transport.send(chunks)
    handle.close()
    assert got == [expected]
    assert leases == []


async def test_leases_are_given_back_when_the_peer_goes_away(tmp_path, pair):
    transport, peer = pair
    leases = []
    cut, handle = slices(tmp_path, leases)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()

    async def send_until_it_shows():
        for _ in range(3):
            await transport.send([b"x" * 100_000, cut(0, 1_000_000), cut(0, 10)])

    with pytest.raises(ConnectionLost):
        await send_until_it_shows()
    handle.close()
    assert leases == []


def _slow_peer(monkeypatch, seconds_per_look, then):
    """Time stands still but for `seconds_per_look` at each look for room; `then` happens at each, too."""
    now = [0.0]

    def look():
        now[0] += seconds_per_look
        then()

    monkeypatch.setattr(network, "perf_counter", lambda: now[0])
    monkeypatch.setattr(network.os, "sched_yield", look)
    return now


async def test_a_peer_that_makes_room_at_once_is_sent_a_slice_in_one_go(tmp_path, pair, monkeypatch):
    """Each full send buffer used to cost a trip through the scheduler, about five for 1 MB."""
    transport, peer = pair
    peer.setblocking(False)
    got = bytearray()

    def read():
        with contextlib.suppress(BlockingIOError):
            got.extend(peer.recv(1 << 20))

    _slow_peer(monkeypatch, 0.0, read)
    (tmp_path / "log").write_bytes(CONTENT)
    with (tmp_path / "log").open("rb") as handle:
        assert transport.send_now([FileSlice(DescriptorFile(handle), 0, len(CONTENT), lambda: None)])
    while len(got) < len(CONTENT):
        await trio.lowlevel.wait_readable(peer)
        read()
    assert got == CONTENT


async def test_a_peer_that_makes_no_room_is_looked_at_for_no_longer_than_patience(tmp_path, pair, monkeypatch):
    transport, _ = pair
    now = _slow_peer(monkeypatch, ROOM_PATIENCE_S / 4, lambda: None)
    (tmp_path / "log").write_bytes(CONTENT)
    with (tmp_path / "log").open("rb") as handle:
        chunks = [FileSlice(DescriptorFile(handle), 0, len(CONTENT), lambda: None)]
        assert not transport.send_now(chunks)
        assert now[0] == pytest.approx(ROOM_PATIENCE_S)
        assert 0 < chunks[0].length < len(CONTENT)


async def test_a_peer_that_makes_a_little_room_each_time_does_not_keep_the_loop(tmp_path, pair, monkeypatch):
    transport, _ = pair
    has_room = itertools.cycle([False, True])

    def sendfile(out, source, position, count):
        if not next(has_room):
            raise BlockingIOError
        return 1

    monkeypatch.setattr(network.os, "sendfile", sendfile)
    now = _slow_peer(monkeypatch, ROOM_PATIENCE_S / 2, lambda: None)
    (tmp_path / "log").write_bytes(CONTENT)
    with (tmp_path / "log").open("rb") as handle:
        chunks = [FileSlice(DescriptorFile(handle), 0, len(CONTENT), lambda: None)]
        assert not transport.send_now(chunks)
    assert SEND_TURN_S <= now[0] < SEND_TURN_S + ROOM_PATIENCE_S
    assert 0 < chunks[0].length < len(CONTENT)


async def test_leases_are_given_back_when_sending_is_cancelled(tmp_path, pair):
    transport, _ = pair
    leases = []
    cut, handle = slices(tmp_path, leases)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.send, [cut(0, len(CONTENT)), cut(0, len(CONTENT))])
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    handle.close()
    assert leases == []


async def test_of_very_many_small_slices_no_more_are_read_than_are_sent_and_not_all_in_one_turn(
    tmp_path, pair, monkeypatch
):
    """All of them used to be read before the first was sent, 16 MB at a time, and others waited for 40 ms."""
    transport, peer = pair
    peer.setblocking(False)
    now, read = [0.0], []

    class NotedFile(DescriptorFile):
        def read_at(self, position, length):
            now[0] += SEND_TURN_S / 40
            read.append(length)
            return super().read_at(position, length)

        read_warm = read_at

    monkeypatch.setattr(network, "perf_counter", lambda: now[0])
    monkeypatch.setattr(network, "GATHERED_BYTES_MIN", 10_000)
    path = tmp_path / "segment"
    path.write_bytes(CONTENT)
    got = []
    with path.open("rb", buffering=0) as handle:
        file = NotedFile(handle)
        chunks = [FileSlice(file, position, 1000, lambda: None) for position in range(0, 300_000, 1000)]
        assert not transport.send_now(chunks)
        assert sum(read) <= 60_000, "a turn of 40 reads, and what the last of its system calls gathered"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.send, chunks)
            got.append(await receive(peer, 300_000))
    assert got == [CONTENT[:300_000]]


async def test_what_is_received_lands_in_the_buffer_and_the_end_is_zero(pair):
    transport, peer = pair
    peer.sendall(b"hello")
    buffer = bytearray(100)
    assert await transport.receive_into(memoryview(buffer)) == 5
    assert bytes(buffer[:5]) == b"hello"
    peer.shutdown(socket.SHUT_WR)
    assert await transport.receive_into(memoryview(buffer)) == 0


async def test_the_end_of_a_stream_is_seen_although_a_large_frame_is_expected(pair):
    """The low-water mark must not keep the last bytes, or the end, from us."""
    transport, peer = pair
    peer.sendall(b"only this")
    buffer = bytearray(10 << 20)
    peer.shutdown(socket.SHUT_WR)
    with trio.fail_after(5):
        assert await transport.receive_into(memoryview(buffer), 10 << 20) == 9
        assert await transport.receive_into(memoryview(buffer)[9:], (10 << 20) - 9) == 0


async def test_a_small_request_after_a_large_one_is_not_waited_for_in_bulk(pair):
    """The mark of a large frame used to stay set while the buffer for small ones had grown."""
    transport, peer = pair
    buffer = bytearray(1 << 20)
    peer.sendall(b"x" * 10)
    with trio.fail_after(5):
        assert await transport.receive_into(memoryview(buffer), 10) == 10
        peer.sendall(b"y")
        assert await transport.receive_into(memoryview(buffer)) == 1


def test_localhost_is_listened_to_on_both_families_with_one_port():
    opened = network.listen("localhost", 0)
    try:
        ports = {listener.getsockname()[1] for listener in opened}
        assert len(ports) == 1
        assert opened[0].family == socket.AF_INET
    finally:
        for listener in opened:
            listener.close()


def test_a_taken_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=f"127.0.0.1:{port}"):
            network.listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(PortTaken, match=r"192\.0\.2\.1"):
        network.listen("192.0.2.1", 0)


@pytest.mark.parametrize("length", [100, SENDFILE_BYTES_MIN + 100])
async def test_a_file_that_was_cut_is_the_disks_failure_and_every_lease_ends(pair, tmp_path, length):
    """A small slice used to be sent short: the next answer was then read as its rest."""
    transport, _ = pair
    leases = []
    cut, handle = slices(tmp_path, leases)
    chunks = [b"head", cut(len(CONTENT) - 50, length), cut(0, 10)]
    with pytest.raises(DiskFailure, match="ends before"):
        await transport.send(chunks)
    assert leases == []
    again = [b"head", cut(len(CONTENT) - 50, length)]
    with pytest.raises(DiskFailure, match="ends before"):
        transport.send_now(again)
    assert leases == []
    handle.close()


async def test_a_slice_of_a_file_in_memory_is_sent_in_the_pieces_it_lies_in(pair, monkeypatch):
    """Where it crossed a border, all that was left of it used to be copied for every piece that the socket took."""
    transport, peer = pair
    file = memory_disk.MemoryFile("a segment")
    file.write_at(0, [CONTENT])
    leases = ["held"]
    monkeypatch.setattr(memory_disk.MemoryFile, "read_at", None)
    got = []

    async def read():
        got.append(await receive(peer, len(CONTENT) + 8))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await transport.send([b"head", FileSlice(file, 0, len(CONTENT), lambda: leases.remove("held")), b"tail"])
    assert got == [b"head" + CONTENT + b"tail"]
    assert leases == []


async def test_a_file_in_memory_that_was_cut_is_the_disks_failure(pair):
    """Its sender used to spin for ever."""
    transport, _ = pair
    file = memory_disk.MemoryFile("a segment")
    file.write_at(0, [b"short"])
    with pytest.raises(DiskFailure, match="ends before"):
        await transport.send([b"head", FileSlice(file, 0, 6, lambda: None)])


async def test_what_is_not_in_memory_is_read_by_a_worker_before_it_is_sent(tmp_path, pair, monkeypatch):
    """sendfile used to wait for the medium, and every other connection with it."""
    monkeypatch.setattr(network, "WARMED_BYTES", 1 << 20)
    transport, peer = pair
    (tmp_path / "log").write_bytes(CONTENT)
    got, leases = [], ["large", "small"]
    with (tmp_path / "log").open("rb", buffering=0) as handle:
        file = ColdFile(handle)
        large = FileSlice(file, 7, len(CONTENT) - 7, lambda: leases.remove("large"))
        chunks = [b"head", large, b"between", FileSlice(file, 0, 100, lambda: leases.remove("small"))]

        async def read():
            got.append(await receive(peer, len(CONTENT) - 7 + 111))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            assert not transport.send_now(chunks)
            assert file.asked == ()
            await transport.send(chunks)
    assert got == [b"head" + CONTENT[7:] + b"between" + CONTENT[:100]]
    assert file.asked == ((7, 1 << 20), (7 + (1 << 20), (1 << 20) - 7), (0, 100))
    assert leases == []


async def test_a_medium_that_cannot_be_read_ends_the_answer_and_its_leases(tmp_path, pair):
    transport, _ = pair
    (tmp_path / "log").write_bytes(CONTENT)
    leases = ["held"]
    with (tmp_path / "log").open("rb", buffering=0) as handle:
        file = ColdFile(handle)
        file.failure = DiskFailure("a file", "broken")
        with pytest.raises(DiskFailure, match="broken"):
            await transport.send([FileSlice(file, 0, len(CONTENT), lambda: leases.remove("held"))])
    assert leases == []


async def test_a_file_that_is_forgotten_at_once_is_sent_all_the_same(tmp_path, pair):
    transport, peer = pair
    (tmp_path / "log").write_bytes(CONTENT)
    got = []

    async def read():
        got.append(await receive(peer, 100 + len(CONTENT)))

    with (tmp_path / "log").open("rb", buffering=0) as handle:
        file = ColdFile(handle)
        file.is_warm = lambda position, length: False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await transport.send([FileSlice(file, 0, length, lambda: None) for length in (100, len(CONTENT))])
    assert got == [CONTENT[:100] + CONTENT]
