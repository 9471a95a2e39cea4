"""A connection to a small broker, from frames to frames: through the gate, and its memory of requests that recur."""

import struct
from collections import deque

from small_broker import SmallBroker, plain

from kbroker.handlers.registry import load_handlers
from kbroker.server.gate import Gate, OwedAnswer, Peer
from kbroker.wire.codec import encode
from kbroker.world import FileSlice

PEER = Peer("client", "User:ANONYMOUS", "PLAINTEXT", "here", 9092)


class GateLine:
    """A connection to a broker of its own, or to `broker`; `joins` False handles every request alone."""

    def __init__(self, *, joins=True, disk=None, topics=None, broker=None, **settings):
        self.broker = broker or SmallBroker(topics or {"t": 2}, disk=disk, **settings)
        self.gate = Gate(self.broker, load_handlers())
        self.memory = self.gate.memory() if joins else None
        self.ids = 0

    def partition(self, topic="t", index=0):
        return self.broker.partitions.find(topic, index)

    def framed(self, message, request, version, client=b"me"):
        """The request behind a header with the next correlation id."""
        self.ids += 1
        head = struct.pack(">hhih", message.key, version, self.ids, len(client)) + client
        return head + b"\0" * message.is_flexible(version) + encode(message, version, request)

    def hand_in(self, *frames):
        """The results in order; the frames of one read."""
        left = deque(memoryview(bytearray(frame)) for frame in frames)
        results = []
        while left:
            if self.memory is None:
                results.append(self.gate.process(PEER, left.popleft()))
            else:
                results.append(self.gate.process_next(PEER, self.memory, left))
        return results

    def ask(self, *frames):
        """The bytes of all answers, which must be there by now."""
        return b"".join(map(self.sent, self.hand_in(*frames)))

    @staticmethod
    def sent(result):
        """The bytes of a result that is there by now; its leases are given back, as a connection does."""
        if isinstance(result, OwedAnswer):
            assert result.is_ready
            result.settle()
            result = result.chunks, result.closes
        chunks, closes = result
        assert not closes
        data = b"".join(map(plain, chunks))
        for chunk in chunks:
            if isinstance(chunk, FileSlice):
                chunk.release()
        return data


def seen(line):
    """What the gate tells of the requests that passed."""
    return line.gate.counts, [(one.api, one.version, one.client_id, one.refusals) for one in line.gate.recent]
