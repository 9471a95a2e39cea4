"""One connection: answers in the order of their requests, whatever is owed; bad frames close it and nothing else."""

import pytest
import trio

from kbroker.handlers.answer import CLOSE, Pending
from kbroker.handlers.registry import handles
from kbroker.server.connection import OWED_BYTES_MAX, OWED_MAX, Connection
from kbroker.server.gate import Gate, Peer
from kbroker.world import ConnectionLost, DiskFailure
from protocol_specs.api.k03_metadata import MetadataRequest, MetadataResponse
from protocol_specs.api.k18_api_versions import ApiVersionsRequest, ApiVersionsResponse


class FakeClock:
    def monotonic_ms(self):
        return 0


class FakeDisk:
    is_behind = False


class FakeNode:
    clock = FakeClock()

    def __init__(self):
        self.disk = FakeDisk()


class FakeTransport:
    """The peer is a pair of queues; at most `step` bytes arrive per read."""

    peer, local_host, local_port = "client", "here", 9092
    is_taken = False

    def __init__(self, step=1 << 20):
        self.arriving, self.step = bytearray(), step
        self.sent, self.closed, self.ended = bytearray(), False, False
        self.news = trio.Event()
        self.room = None
        self.senders = 0

    def push(self, data=b"", *, end=False):
        self.arriving += data
        self.ended = end
        self.news.set()

    async def receive_into(self, buffer, expected=1):
        while not self.arriving:
            if self.ended:
                return 0
            self.news = trio.Event()
            await self.news.wait()
        count = min(len(buffer), len(self.arriving), self.step)
        buffer[:count] = self.arriving[:count]
        del self.arriving[:count]
        return count

    def send_now(self, chunks):
        """With `room`, the peer takes only that many bytes more."""
        if self.closed:
            raise ConnectionLost("closed")
        while chunks:
            part = chunks[0] if self.room is None else chunks[0][: self.room]
            self.sent += part
            if self.room is not None:
                self.room -= len(part)
            if len(part) < len(chunks[0]):
                chunks[0] = chunks[0][len(part) :]
                return False
            del chunks[0]
        return True

    async def send(self, chunks):
        """A real socket has one who waits for it to become writable, too."""
        self.senders += 1
        assert self.senders == 1, "two tasks send at once"
        try:
            while not self.send_now(chunks):
                self.taken = trio.Event()
                await self.taken.wait()
        finally:
            self.senders -= 1

    def take(self, room=None):
        """The peer takes `room` bytes more, None everything from now on."""
        self.room = room
        self.taken.set()

    async def close(self):
        self.closed = True

    def correlation_ids(self):
        """Of the answers sent so far."""
        ids, rest = [], bytes(self.sent)
        while rest:
            size = int.from_bytes(rest[:4], "big")
            ids.append(int.from_bytes(rest[4:8], "big"))
            rest = rest[4 + size :]
        return ids


def frame(correlation_id, *, key=3, version=0, body=b"\0\0\0\0"):
    """A request of a null client id; the body is an empty Metadata v0."""
    whole = key.to_bytes(2, "big") + version.to_bytes(2, "big") + correlation_id.to_bytes(4, "big") + b"\xff\xff" + body
    return len(whole).to_bytes(4, "big") + whole


class Served:
    """A connection whose Metadata requests are answered as the test says; records what happened."""

    def __init__(self, answer, step=1 << 20, *, is_pipelined=True):
        @handles(MetadataRequest, MetadataResponse, serves="0-13", is_pipelined=is_pipelined)
        def metadata(ctx, request):
            return answer()

        @handles(ApiVersionsRequest, ApiVersionsResponse, serves="0-4")
        def api_versions(ctx, request):
            return ApiVersionsResponse()

        handlers = {function.handler.key: function.handler for function in (metadata, api_versions)}
        self.transport = FakeTransport(step)
        self.gate = Gate(FakeNode(), handlers)
        peer = Peer("client", "User:ANONYMOUS", "PLAINTEXT", "here", 9092)
        self.connection = Connection(self.transport, self.gate, peer, FakeClock(), 1 << 20)


async def settle_down():
    await trio.testing.wait_all_tasks_blocked()


async def test_answers_come_in_the_order_of_requests_whatever_is_settled_first(nursery):
    owed = []

    def answer():
        owed.append(Pending())
        return owed[-1]

    served = Served(answer)
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1) + frame(2) + frame(3))
    await settle_down()
    owed[2].settle(MetadataResponse())
    owed[1].settle(MetadataResponse())
    await settle_down()
    assert served.transport.correlation_ids() == []
    owed[0].settle(MetadataResponse())
    await settle_down()
    assert served.transport.correlation_ids() == [1, 2, 3]
    served.transport.push(end=True)


async def test_a_settled_answer_waits_behind_an_owed_one(nursery):
    first = Pending()
    answers = iter([first, MetadataResponse(), MetadataResponse()])
    served = Served(lambda: next(answers))
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1) + frame(2))
    await settle_down()
    served.transport.push(frame(3))
    await settle_down()
    assert served.transport.correlation_ids() == []
    first.settle(MetadataResponse())
    await settle_down()
    assert served.transport.correlation_ids() == [1, 2, 3]
    served.transport.push(end=True)


async def test_an_answer_is_built_when_it_can_be_sent(nursery):
    built, pendings = [], [Pending(), Pending()]
    answers = iter(pendings)
    served = Served(lambda: next(answers))
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1) + frame(2))
    await settle_down()
    pendings[1].settle_with(lambda: built.append(2) or MetadataResponse())
    await settle_down()
    assert built == []
    pendings[0].settle(MetadataResponse())
    await settle_down()
    assert built == [2]
    served.transport.push(end=True)


async def test_requests_may_come_byte_by_byte(nursery):
    served = Served(MetadataResponse, step=1)
    nursery.start_soon(served.connection.run)
    served.transport.push(b"".join(frame(number) for number in range(20)))
    await settle_down()
    assert served.transport.correlation_ids() == list(range(20))
    served.transport.push(end=True)


async def test_no_answer_takes_no_place(nursery):
    answers = iter([None, MetadataResponse()])
    served = Served(lambda: next(answers))
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1) + frame(2))
    await settle_down()
    assert served.transport.correlation_ids() == [2]
    served.transport.push(end=True)


async def test_close_ends_the_connection_after_what_was_owed_before(nursery):
    first = Pending()
    answers = iter([first, CLOSE])
    served = Served(lambda: next(answers))
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1) + frame(2))
    await settle_down()
    assert not served.transport.closed
    first.settle(MetadataResponse())
    await settle_down()
    assert served.transport.correlation_ids() == [1]
    assert served.transport.closed


async def test_pending_answers_of_a_lost_connection_are_abandoned(nursery):
    pending, abandoned = Pending(), []
    pending.when_abandoned(lambda: abandoned.append(True))
    served = Served(lambda: pending)
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1))
    await settle_down()
    served.transport.push(end=True)
    await settle_down()
    assert abandoned == [True]
    assert served.transport.closed


async def test_a_failure_of_ours_closes_its_connection_and_is_logged(nursery, caplog):
    def answer():
        raise ZeroDivisionError("ours")

    served = Served(answer)
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1, version=13, body=b"\0\0\0\0\0") + frame(2))
    await settle_down()
    assert served.transport.closed
    assert "ZeroDivisionError" in caplog.text
    # Version 13 has an error code for the whole answer, so the client hears it.
    assert served.transport.correlation_ids() == [1]
    assert bytes(served.transport.sent).endswith(b"\xff\xff\0")


async def test_an_unknown_api_closes_without_an_answer(nursery):
    served = Served(MetadataResponse)
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1, key=77) + frame(2))
    await settle_down()
    assert (served.transport.closed, bytes(served.transport.sent)) == (True, b"")


@pytest.mark.parametrize("key", [4, 999, 0xFFFF])
async def test_a_key_that_nobody_declared_closes_its_connection_alone(nursery, key):
    """It used to raise out of the gate and took the whole broker with it."""
    served = Served(MetadataResponse)
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1, key=key))
    await settle_down()
    assert (served.transport.closed, bytes(served.transport.sent)) == (True, b"")


async def test_a_cut_body_closes_and_names_the_field(nursery, caplog):
    caplog.set_level("INFO")
    served = Served(MetadataResponse)
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1, body=b"\0\0\0\1\0\5ab"))
    await settle_down()
    assert served.transport.closed
    assert any("topics[0].name" in getattr(record, "reason", "") for record in caplog.records)


async def test_an_unknown_version_of_api_versions_is_answered_in_version_0(nursery):
    served = Served(MetadataResponse)
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(7, key=18, version=99, body=b"\0"))
    await settle_down()
    # correlation id, error 35, one range: key 18, versions 0 to 4
    assert bytes(served.transport.sent)[4:] == bytes.fromhex("00000007 0023 00000001 0012 0000 0004")
    assert not served.transport.closed
    served.transport.push(end=True)


async def test_a_drained_connection_sends_what_it_owes_and_ends(nursery):
    slow, hurried = Pending(), Pending()
    hurried.hurry = lambda: hurried.settle(MetadataResponse())
    answers = iter([slow, hurried])
    served = Served(lambda: next(answers))
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1) + frame(2))
    await settle_down()
    served.connection.drain()
    await settle_down()
    assert not served.transport.closed
    slow.settle(MetadataResponse())
    await settle_down()
    assert served.transport.correlation_ids() == [1, 2]
    assert served.transport.closed


async def test_a_flood_of_owed_answers_stops_the_reading(nursery):
    owed = []

    def answer():
        owed.append(Pending())
        return owed[-1]

    served = Served(answer)
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1) * (OWED_MAX + 50))
    await settle_down()
    assert len(owed) == OWED_MAX
    for pending in owed:
        pending.settle(MetadataResponse())
    await settle_down()
    assert len(owed) == OWED_MAX + 50
    served.connection.cut()


@pytest.mark.parametrize("reads", [1, 3])
async def test_behind_an_answer_that_is_owed_nothing_is_handled_unless_it_may_be_pipelined(nursery, reads):
    """A thousand waiting Fetches of one connection cost 37 ms of every append of anybody, and old ones 4 GB."""
    owed = []

    def answer():
        owed.append(Pending())
        return owed[-1]

    served = Served(answer, is_pipelined=False)
    nursery.start_soon(served.connection.run)
    frames = [frame(1), frame(2), frame(3, key=18)]
    for sent in [b"".join(frames)] if reads == 1 else frames:
        served.transport.push(sent)
        await settle_down()
    assert len(owed) == 1
    assert served.transport.correlation_ids() == []
    owed[0].settle(MetadataResponse())
    await settle_down()
    assert len(owed) == 2
    assert served.transport.correlation_ids() == [1]
    owed[1].settle(MetadataResponse())
    await settle_down()
    assert served.transport.correlation_ids() == [1, 2, 3]
    served.transport.push(end=True)


async def test_only_requests_of_its_own_api_pass_a_pipelined_one(nursery):
    """An OffsetFetch behind an OffsetCommit that waited for its fsync was told the offset before."""
    owed = []

    def answer():
        owed.append(Pending())
        return owed[-1]

    served = Served(answer)
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1) + frame(2) + frame(3, key=18) + frame(4))
    await settle_down()
    assert len(owed) == 2
    owed[1].settle(MetadataResponse())
    await settle_down()
    assert served.transport.correlation_ids() == []
    owed[0].settle(MetadataResponse())
    await settle_down()
    assert served.transport.correlation_ids() == [1, 2, 3]
    assert len(owed) == 3
    owed[2].settle(MetadataResponse())
    await settle_down()
    assert served.transport.correlation_ids() == [1, 2, 3, 4]
    served.transport.push(end=True)


async def test_an_answer_that_queues_behind_a_pipelined_one_bars_as_that_does(nursery):
    first = Pending()
    answers = iter([first, MetadataResponse()])
    served = Served(lambda: next(answers))
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1) + frame(2) + frame(3, key=18))
    await settle_down()
    assert served.gate.counts[18, 0] == 0
    first.settle(MetadataResponse())
    await settle_down()
    assert served.transport.correlation_ids() == [1, 2, 3]
    served.transport.push(end=True)


async def test_what_was_answered_before_an_owed_one_is_sent_while_the_next_waits(nursery):
    owed = Pending()
    served = Served(lambda: owed, is_pipelined=False)
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1, key=18) + frame(2) + frame(3, key=18))
    await settle_down()
    assert served.transport.correlation_ids() == [1]
    owed.settle(MetadataResponse())
    await settle_down()
    assert served.transport.correlation_ids() == [1, 2, 3]
    served.transport.push(end=True)


async def test_a_peer_that_leaves_while_it_is_owed_is_noticed_unless_a_request_waits(nursery):
    """With one that waits nobody reads: the idle sweep may take such a connection."""
    owed = [Pending(), Pending()]
    answers = iter(owed)
    served, waiting = (Served(lambda: next(answers), is_pipelined=False) for _ in range(2))
    gone = []
    for pending, one in zip(owed, (served, waiting), strict=True):
        pending.when_abandoned(lambda one=one: gone.append(one))
        nursery.start_soon(one.connection.run)
    served.transport.push(frame(1))
    await settle_down()
    waiting.transport.push(frame(1) + frame(2))
    await settle_down()
    assert (served.connection.is_owing, waiting.connection.is_owing) == (True, False)
    served.transport.push(end=True)
    waiting.transport.push(end=True)
    await settle_down()
    assert gone == [served]
    waiting.connection.cut()


async def test_an_impossible_frame_behind_an_owed_answer_ends_the_connection_behind_it(nursery):
    owed = Pending()
    served = Served(lambda: owed, is_pipelined=False)
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1) + b"\x7f\xff\xff\xff")
    await settle_down()
    assert not served.transport.closed
    owed.settle(MetadataResponse())
    await settle_down()
    assert served.transport.correlation_ids() == [1]
    assert served.transport.closed


async def test_an_answer_that_the_peer_has_no_room_for_is_never_overtaken(nursery):
    """The reader used to wait to send while the writer sent what was settled meanwhile: frames got mixed."""
    owed = Pending()
    answers = iter([MetadataResponse(), owed])
    served = Served(lambda: next(answers))
    nursery.start_soon(served.connection.run)
    served.transport.room = 5
    served.transport.push(frame(1) + frame(2))
    await settle_down()
    owed.settle(MetadataResponse())
    await settle_down()
    assert len(served.transport.sent) == 5
    served.transport.take()
    await settle_down()
    assert served.transport.correlation_ids() == [1, 2]
    served.transport.push(end=True)


async def test_a_peer_that_takes_nothing_is_not_read_from(nursery):
    made = []
    served = Served(lambda: made.append(True) or MetadataResponse())
    nursery.start_soon(served.connection.run)
    served.transport.room = 0
    served.transport.push(frame(1))
    await settle_down()
    served.transport.push(frame(2) + frame(3))
    await settle_down()
    assert len(made) == 1
    served.transport.take()
    await settle_down()
    assert served.transport.correlation_ids() == [1, 2, 3]
    served.transport.push(end=True)


async def test_ready_answers_behind_an_owed_one_are_bounded_by_their_bytes(nursery):
    """They used to be bounded by number only: a thousand of a megabyte each."""
    first = Pending()
    large = MetadataResponse(cluster_id="c" * 30_000)
    made = []

    def answer():
        made.append(True)
        return first if len(made) == 1 else large

    served = Served(answer)
    nursery.start_soon(served.connection.run)
    served.transport.push(b"".join(frame(number, version=2, body=b"\0\0\0\0") for number in range(100)))
    await settle_down()
    assert OWED_BYTES_MAX < len(made) * 30_000 < OWED_BYTES_MAX + 90_000
    first.settle(large)
    await settle_down()
    assert served.transport.correlation_ids() == list(range(100))
    served.transport.push(end=True)


async def test_requests_under_way_are_bounded_by_the_bytes_of_their_frames(nursery):
    """They used to be bounded by number only: a thousand appends of a megabyte each, while the disk stood still."""
    owed = []

    def answer():
        owed.append(Pending())
        return owed[-1]

    served = Served(answer)
    nursery.start_soon(served.connection.run)
    large = b"\0\0\0\1" + (30_000).to_bytes(2, "big") + b"t" * 30_000
    served.transport.push(b"".join(frame(number, body=large) for number in range(100)))
    await settle_down()
    assert OWED_BYTES_MAX < len(owed) * 30_000 < OWED_BYTES_MAX + 90_000
    for pending in owed:
        pending.settle(MetadataResponse())
        await settle_down()
    assert served.transport.correlation_ids() == list(range(100))
    served.transport.push(end=True)


async def test_each_connection_has_one_request_under_way_while_the_disk_is_behind(nursery):
    """What all connections together had queued for a slow disk used to grow with their number."""
    owed = []

    def answer():
        owed.append(Pending())
        return owed[-1]

    served = Served(answer)
    served.connection._gate._node.disk.is_behind = True
    nursery.start_soon(served.connection.run)
    served.transport.push(b"".join(frame(number) for number in range(4)))
    await settle_down()
    assert len(owed) == 1
    owed[0].settle(MetadataResponse())
    await settle_down()
    assert len(owed) == 2
    served.connection._gate._node.disk.is_behind = False
    owed[1].settle(MetadataResponse())
    await settle_down()
    assert len(owed) == 4
    for pending in owed:
        pending.settle(MetadataResponse())
    await settle_down()
    assert served.transport.correlation_ids() == [0, 1, 2, 3]
    served.transport.push(end=True)


async def test_a_large_request_may_be_under_way_while_the_next_is_read(nursery):
    """The disk shall have its next write when it is through with one."""
    owed = []

    def answer():
        owed.append(Pending())
        return owed[-1]

    served = Served(answer)
    nursery.start_soon(served.connection.run)
    large = (30).to_bytes(4, "big") + ((30_000).to_bytes(2, "big") + b"t" * 30_000) * 30
    served.transport.push(b"".join(frame(number, body=large) for number in range(4)))
    await settle_down()
    assert len(owed) == 2
    owed[0].settle(MetadataResponse())
    await settle_down()
    assert len(owed) == 3
    served.connection.cut()


async def test_drain_sends_what_the_peer_had_no_room_for(nursery):
    """A stop in the middle of an answer used to cut it."""
    served = Served(MetadataResponse)
    nursery.start_soon(served.connection.run)
    served.transport.room = 5
    served.transport.push(frame(1) + frame(2))
    await settle_down()
    served.connection.drain()
    await settle_down()
    served.transport.take()
    await settle_down()
    assert served.transport.correlation_ids() == [1, 2]
    assert served.transport.closed


async def test_answers_before_a_frame_of_an_impossible_size_are_sent(nursery, caplog):
    """They used to be lost, and slices in them stayed leased."""
    caplog.set_level("INFO")
    served = Served(MetadataResponse)
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1) + frame(2) + b"\xff\xff\xff\xff")
    await settle_down()
    assert served.transport.correlation_ids() == [1, 2]
    assert served.transport.closed
    assert any("-1 bytes" in getattr(record, "reason", "") for record in caplog.records)


async def test_a_request_behind_one_that_ends_the_connection_is_not_heard(nursery):
    first, heard = Pending(), []
    answers = iter([first, CLOSE])
    served = Served(lambda: heard.append(True) or next(answers))
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1) + frame(2) + frame(3))
    await settle_down()
    served.transport.push(frame(4))
    await settle_down()
    assert len(heard) == 2
    served.transport.push(end=True)
    await settle_down()
    assert served.transport.closed


async def test_a_connection_that_waits_for_its_peer_is_not_owing(nursery):
    """The idle sweep used to spare a peer that never reads."""
    owed = Pending()
    served = Served(lambda: owed)
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1))
    await settle_down()
    assert served.connection.is_owing
    served.transport.room = 0
    owed.settle(MetadataResponse())
    await settle_down()
    assert not served.connection.is_owing
    served.connection.cut()


async def test_a_peer_that_takes_what_a_thread_sends_is_active(nursery):
    """What is left shrinks only when the thread is through: a slow reader of much looked idle until then."""
    served = Served(MetadataResponse)
    nursery.start_soon(served.connection.run)
    served.transport.room = 0
    served.transport.push(frame(1))
    await settle_down()
    served.connection.notice_sending()
    served.connection.last_active_ms = before = -1
    served.connection.notice_sending()
    assert served.connection.last_active_ms == before
    served.transport.is_taken = True
    served.connection.notice_sending()
    assert served.connection.last_active_ms > before
    served.connection.cut()


async def test_a_peer_that_has_no_room_for_a_moment_is_served_on(nursery):
    """The writer used to be through with the rest before the reader began to wait for it, for ever."""
    served = Served(MetadataResponse)
    send_now, refusals = served.transport.send_now, iter([True, False, True, False, True, False])
    served.transport.send_now = lambda chunks: not next(refusals, False) and send_now(chunks)
    nursery.start_soon(served.connection.run)
    for number in range(5):
        served.transport.push(frame(number))
        await settle_down()
    assert served.transport.correlation_ids() == [0, 1, 2, 3, 4]
    served.transport.push(end=True)


async def test_records_that_cannot_be_read_close_their_connection_and_are_logged(nursery, caplog):
    """It used to be the end of the broker."""
    served = Served(MetadataResponse)

    def broken(chunks):
        raise DiskFailure("a segment", "Input/output error")

    served.transport.send_now = broken
    nursery.start_soon(served.connection.run)
    served.transport.push(frame(1))
    await settle_down()
    assert served.transport.closed
    assert [record.reason for record in caplog.records] == ["Input/output error"]
