"""A broker without sockets: real logs in memory, virtual time, and every request through the codec both ways."""

from types import GeneratorType
from typing import Any

from kbroker.config import BrokerConfig
from kbroker.controller.registration import Registration
from kbroker.controller.wished_topics import create_wished
from kbroker.group.events import DeletedTopic
from kbroker.handlers.answer import CLOSE, Long, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import load_handlers
from kbroker.log.directories import LogDirectories
from kbroker.metadata.image import Endpoint
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.batch import build_batch
from kbroker.server.coordinators import GroupCoordinators
from kbroker.server.hosting import Hosting
from kbroker.server.metadata_log import MetadataLog
from kbroker.server.owed import InTurns
from kbroker.session import FetchSessions
from kbroker.testing.counting_entropy import CountingEntropy
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.wire.codec import decode, encode_chunks
from kbroker.world import FileSlice

NODE = 1


class SmallBroker:
    """kbroker.handlers.node.Node; `ask` is a client."""

    def __init__(self, topics=None, *, disk=None, **settings):
        named = {name.replace("_", "."): value for name, value in settings.items()}
        self.config = BrokerConfig.of(named, mode="test")
        self.clock, self.entropy = VirtualClock(), CountingEntropy()
        self.node_id = NODE
        self.disk = disk or MemoryDisk()
        self.directories = LogDirectories.open(
            self.disk, ["/data"], self.clock, self.entropy, node_id=NODE, cluster_id="a-cluster"
        )
        self.directory = self.directories.metadata
        self.cluster_id = self.directory.cluster_id
        self.hosting = Hosting(self.config, self.directories)
        self.partitions = self.hosting.partitions
        self.metadata = MetadataLog(
            self.directory.open_metadata_log(),
            self.disk,
            self.clock,
            node_id=NODE,
            cluster_id=self.cluster_id,
            directory_id=self.directory.directory_id,
            on_fatal=_raise,
        )
        endpoint = Endpoint("PLAINTEXT", "registered", 1, 0)
        registration = Registration(NODE, self.entropy.uuid(), [endpoint], [self.directory.directory_id])
        self.metadata.start(registration, lambda epoch: None)
        self.sessions = FetchSessions(self.config["max.incremental.fetch.session.cache.slots"], self.entropy.below)
        self.groups = GroupCoordinators(self)
        self.metadata.on_published = self._published
        self._handlers = load_handlers()
        self.create(topics or {})

    def _published(self, delta, image):
        self.hosting.follow(delta, image)
        self.groups.follow_metadata([DeletedTopic(topic.name, topic.topic_id) for topic in delta.deleted_topics])

    @property
    def image(self):
        return self.metadata.image

    def topic_settings(self, topic):
        return self.hosting.settings(self.image, topic)

    def advertised(self, ctx, node_id):
        return ctx.local_host, ctx.local_port

    def api_ranges(self):
        return sorted((handler.key, handler.lowest, handler.highest) for handler in self._handlers.values())

    def supported_features(self):
        return {"metadata.version": (7, 30)}

    def create(self, topics):
        wishes = [(name, partitions, None) for name, partitions in topics.items()]
        refusals = []
        self.metadata.propose(lambda image: create_wished(image, wishes, self.config, self.entropy), refusals.append)
        assert refusals == [{}]

    def start(self, request: Any, version: int, client_id: str = "client") -> "Asked":
        """Hand a request in as a client would."""
        return Asked(self, request, version, client_id)

    def ask(self, request: Any, version: int, client_id: str = "client") -> Any:
        """The answer, which must be settled by now."""
        return self.start(request, version, client_id).answer()


class Asked:
    """A request under way; its answer is built when it is asked for, as for a connection that can send it."""

    def __init__(self, broker, request, version, client_id):
        handler = next(h for h in broker._handlers.values() if type(request) is h.request.value_class)
        assert handler.lowest <= version <= handler.highest, "the handler does not serve this version"
        self._handler, self._version = handler, version
        frame = bytearray(b"".join(plain(chunk) for chunk in encode_chunks(handler.request, version, request)))
        arrived, end = decode(handler.request, version, memoryview(frame))
        assert end == len(frame)
        self.ctx = RequestContext(
            broker,
            version,
            client_id,
            "10.0.0.9",
            "User:ANONYMOUS",
            "PLAINTEXT",
            "dialled",
            9092,
            broker.clock.monotonic_ms(),
        )
        self._clock, self._is_long = broker.clock, False
        self._follow(handler.handle(self.ctx, arrived))

    def _follow(self, answer):
        """Take turns, up to an answer or what is waited for."""
        while isinstance(answer, GeneratorType):
            self._is_long = True
            try:
                next(answer)
            except StopIteration as over:
                answer = over.value
            else:
                heir = (lambda take: take()) if self._handler.is_carried_out else None
                answer = InTurns(self._clock, answer, heir)
                answer.on_settled = lambda: self._follow(self._result.take())
        self._result = answer

    @property
    def is_pending(self):
        if self._is_long:
            self.send()
        return isinstance(self._result, Pending) and not self._result.is_settled

    def abandon(self):
        self._result.abandon()

    def send(self):
        """Nothing is owed before it: build it, as far as that goes."""
        while isinstance(self._result, Pending) and self._result.is_settled:
            self._follow(self._result.take())

    def answer(self):
        """As the client reads it; None and CLOSE as they are."""
        assert not self.is_pending, "the answer is still owed"
        self.send()
        assert not self.is_pending, "the answer is still owed"
        result = self._result.message if isinstance(self._result, Long) else self._result
        if result is None or result is CLOSE:
            return result
        chunks = encode_chunks(self._handler.response, self._version, result)
        frame = b"".join(plain(chunk) for chunk in chunks)
        for chunk in chunks:
            if isinstance(chunk, FileSlice):
                chunk.release()
        value, end = decode(self._handler.response, self._version, memoryview(frame))
        assert end == len(frame)
        return value


def plain(chunk):
    """The bytes of a chunk, wherever they lie."""
    if not isinstance(chunk, FileSlice):
        return bytes(chunk)
    view = chunk.file.view(chunk.position, chunk.length)
    return bytes(view) if view is not None else chunk.file.read_at(chunk.position, chunk.length)


def _raise(failure):
    raise failure


def batch(*values, timestamp_ms=1_000, **kwargs):
    """A record batch of values without keys; a tuple is (key, value)."""
    entries = [value if isinstance(value, tuple) else (None, value) for value in values]
    return build_batch(entries, timestamp_ms=timestamp_ms, **kwargs)
