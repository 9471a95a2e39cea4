"""A broker as group requests need it: real logs in memory, virtual time, requests through the codec both ways."""

from __future__ import annotations

from typing import Any

from kbroker.config import BrokerConfig
from kbroker.handlers.answer import Pending
from kbroker.handlers.context import RequestContext
from kbroker.log.partition_log import PartitionLog
from kbroker.log.place import LogPlace
from kbroker.log.settings import LogSettings
from kbroker.metadata.image import MetadataImage, PartitionImage, TopicImage, Topics
from kbroker.names import OFFSETS_TOPIC, TopicPartition
from kbroker.real.memory_disk import MemoryDisk
from kbroker.replica.partition import Partition
from kbroker.replica.partitions import Partitions
from kbroker.server.coordinators import GroupCoordinators
from kbroker.testing.counting_entropy import CountingEntropy
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.wire.codec import decode, encode

NODE_ID = 1
OFFSETS_ID = b"o" * 16
TOPIC_ID = b"t" * 16
PARTITIONS = 4


def partition_image(isr: tuple[int, ...] = (1,), leader: int = NODE_ID, leader_epoch: int = 0) -> PartitionImage:
    """A partition of this node and a silent follower."""
    return PartitionImage(replicas=(1, 2), isr=isr, leader=leader, leader_epoch=leader_epoch, partition_epoch=0)


class GroupNode:
    """kbroker.handlers.node.Node with `__consumer_offsets` and a topic "t" of two partitions."""

    def __init__(self, **settings: Any) -> None:
        self.config = BrokerConfig.of(
            {"group.initial.rebalance.delay.ms": "0", **{name.replace("_", "."): v for name, v in settings.items()}}
        )
        self.clock = VirtualClock()
        self.entropy = CountingEntropy()
        self.disk = MemoryDisk()
        self.partitions = Partitions()
        self.image = MetadataImage()
        self.with_topics(OFFSETS_TOPIC, "t")
        self.open_logs()
        self.groups = GroupCoordinators(self)
        self.groups.follow_metadata()

    def with_topics(self, *names: str, topic_id: bytes = TOPIC_ID) -> None:
        """The image holds these topics alone; `topic_id` is that of "t"."""
        known = {
            OFFSETS_TOPIC: TopicImage(OFFSETS_TOPIC, OFFSETS_ID, (partition_image(),) * PARTITIONS),
            "t": TopicImage("t", topic_id, (partition_image(),) * 2),
        }
        chosen = [known[name] for name in names]
        self.image = MetadataImage(
            topics=Topics({topic.name: topic for topic in chosen}, {topic.topic_id: topic for topic in chosen})
        )

    def open_logs(self) -> None:
        """Host the partitions of `__consumer_offsets`, with what the disk has of them."""
        for index in range(PARTITIONS):
            name = TopicPartition(OFFSETS_TOPIC, index)
            log = PartitionLog.open(
                LogPlace(
                    self.disk, f"/data/{name}", name, OFFSETS_ID, LogSettings(max_message_bytes=100_000), self.clock
                )
            )
            partition = Partition(OFFSETS_TOPIC, OFFSETS_ID, index, NODE_ID, log)
            log.on_progress = partition.progressed
            self.partitions.add(partition)
        self.replicas(isr=(1,))

    def replicas(self, isr: tuple[int, ...], min_isr: int = 1, **fields: int) -> None:
        """ISR (1, 2): nothing commits, as the follower is silent; ISR (1,) with min_isr 2: nothing is taken."""
        for partition in self.partitions:
            partition.follow_metadata(partition_image(isr, **fields), min_isr)

    def restarted(self) -> GroupNode:
        """Another broker on the same disk, as after a kill."""
        other = GroupNode.__new__(GroupNode)
        other.config, other.clock, other.entropy = self.config, self.clock, CountingEntropy(1001)
        other.disk, other.image, other.partitions = self.disk, self.image, Partitions()
        other.open_logs()
        other.groups = GroupCoordinators(other)
        other.groups.follow_metadata()
        return other

    def start(self, handle: Any, request: Any, version: int) -> Asked:
        """Hand a request in as a client would."""
        return Asked(self, handle.handler, request, version)

    def ask(self, handle: Any, request: Any, version: int) -> Any:
        """The answer, which must be there at once."""
        return self.start(handle, request, version).answer()


class Asked:
    """A request under way."""

    def __init__(self, node: GroupNode, handler: Any, request: Any, version: int) -> None:
        frame = encode(handler.request, version, request)
        arrived, _ = decode(handler.request, version, memoryview(frame))
        context = RequestContext(
            node,
            version,
            "client",
            "10.0.0.9",
            "User:ANONYMOUS",
            "PLAINTEXT",
            "dialled",
            9092,
            0,  # type: ignore[arg-type]
        )
        self._handler, self._version = handler, version
        self.result = handler.handle(context, arrived)

    @property
    def waits(self) -> bool:
        """Is the answer still owed?"""
        return isinstance(self.result, Pending) and not self.result.is_settled

    def answer(self) -> Any:
        """As the client reads it."""
        assert not self.waits, "the answer is still owed"
        value = self.result.take() if isinstance(self.result, Pending) else self.result
        frame = encode(self._handler.response, self._version, value)
        return decode(self._handler.response, self._version, memoryview(frame))[0]
