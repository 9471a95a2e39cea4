"""One broker with a metadata log in memory, for handlers: what kbroker.handlers.node.Node asks, no more."""

from collections.abc import Callable
from types import GeneratorType
from typing import Any

from kbroker.config import BrokerConfig
from kbroker.controller.registration import Registration
from kbroker.handlers.answer import Long, Pending
from kbroker.handlers.context import RequestContext
from kbroker.log.partition_log import PartitionLog
from kbroker.log.place import LogPlace
from kbroker.log.settings import LogSettings
from kbroker.metadata.image import Endpoint, MetadataImage
from kbroker.names import METADATA_TOPIC, METADATA_TOPIC_ID, TopicPartition
from kbroker.real.memory_disk import MemoryDisk
from kbroker.server.metadata_log import MetadataLog
from kbroker.testing.counting_entropy import CountingEntropy
from kbroker.turns import at_once

DIRECTORY_ID = b"d" * 16


class Standing:
    """world.Clock that stands still."""

    def wall_ms(self) -> int:
        return 1_700_000_000_000

    def monotonic_ms(self) -> int:
        return 0

    def call_at(self, deadline_ms: int, action: Callable[[], None]) -> Any:
        raise AssertionError("no timer is set here")

    def soon(self, action: Callable[[], None]) -> Any:
        raise AssertionError("no timer is set here")


def open_metadata_log(disk: MemoryDisk, clock: Standing) -> PartitionLog:
    """`__cluster_metadata-0` in the directory `data`."""
    where = TopicPartition(METADATA_TOPIC, 0)
    return PartitionLog.open(LogPlace(disk, f"data/{where}", where, METADATA_TOPIC_ID, LogSettings(), clock))


class OneBroker:
    """Node 1 of cluster "cluster-of-one", reached at advertised:9092."""

    def __init__(self, **settings: Any) -> None:
        named = {name.replace("_", "."): value for name, value in settings.items()}
        self.config = BrokerConfig.of({"node.id": 1, **named})
        self.clock = Standing()
        self.entropy = CountingEntropy()
        self.node_id = 1
        self.cluster_id = "cluster-of-one"
        disk = MemoryDisk()
        disk.make_directory("data")
        self.metadata = MetadataLog(
            open_metadata_log(disk, self.clock),
            disk,
            self.clock,
            node_id=1,
            cluster_id=self.cluster_id,
            directory_id=DIRECTORY_ID,
            on_fatal=_raise,
        )
        endpoint = Endpoint("PLAINTEXT", "registered", 1, 0)
        self.metadata.start(Registration(1, self.entropy.uuid(), [endpoint], [DIRECTORY_ID]), lambda epoch: None)

    @property
    def image(self) -> MetadataImage:
        return self.metadata.image

    def advertised(self, ctx: RequestContext, node_id: int) -> tuple[str, int]:
        return "advertised", 9092

    def ask(self, handle: Callable[[RequestContext, Any], Any], request: Any, version: int) -> Any:
        """What `handle` answers; a Pending answer must be settled, as memory never makes anybody wait."""
        ctx = RequestContext(
            node=self,  # type: ignore[arg-type]  # the part of Node that the handlers under test use
            api_version=version,
            client_id="client",
            client_host="host",
            principal="User:ANONYMOUS",
            listener_name="PLAINTEXT",
            local_host="127.0.0.1",
            local_port=9092,
            received_ms=0,
        )
        answer = handle(ctx, request)
        if isinstance(answer, Pending):
            assert answer.is_settled
            answer = answer.take()
        if isinstance(answer, GeneratorType):
            answer = at_once(answer)
        return answer.message if isinstance(answer, Long) else answer


def _raise(failure: Exception) -> None:
    raise failure
