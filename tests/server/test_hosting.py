"""What the broker says and does about the logs that an image assigns to it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kbroker.controller.decision import Decision
from kbroker.controller.wished_topics import create_wished
from kbroker.metadata.image import ResourceType
from kbroker.record.legacy import write_message
from kbroker.server.hosting import LOGS_PER_TURN
from kbroker.testing import run, start
from kbroker.world import DiskFailure
from protocol_specs.api.k00_produce import ProduceRequest
from protocol_specs.errors import ErrorCode
from protocol_specs.metadata.config import ConfigRecord
from protocol_specs.metadata.partition import PartitionRecord
from protocol_specs.metadata.partition_change import PartitionChangeRecord
from protocol_specs.metadata.remove_topic import RemoveTopicRecord
from protocol_specs.metadata.topic import TopicRecord
from tests.handlers.small_broker import SmallBroker, batch
from tests.server.raw_peer import RawPeer, batch_of


def test_a_log_that_recovery_cut_is_named_in_one_line(tmp_path: Path) -> None:
    """Records behind a damaged byte used to vanish without a word."""
    with start(data_dir=str(tmp_path), topics={"t": 1}) as broker:
        with RawPeer(broker.bootstrap) as peer:
            for _ in range(3):
                peer.produce("t", batch_of(b"record"), acks=1)
        broker.kill()
        segment = tmp_path / "t-0" / f"{0:020}.log"
        damaged = bytearray(segment.read_bytes())
        damaged[-5] ^= 0xFF
        segment.write_bytes(damaged)
        broker.restart()
        said = [line for line in broker.output().splitlines() if "cut behind its last sound batch" in line]
        assert len(said) == 1
        assert f"partition=t-0 end=2 bytes={len(damaged) // 3} segments=0" in said[0]


def test_a_topic_whose_log_cannot_be_opened_can_be_deleted(tmp_path: Path) -> None:
    """Its directory stayed, and no later stop was a clean one."""
    config = {"node.id": 1}
    with run(data_dir=str(tmp_path), topics={"t": 1}, config=config) as broker, RawPeer(broker.bootstrap) as peer:
        peer.produce("t", batch_of(b"record"))
    old = bytearray()
    write_message(old, 1, 0, 0, 1000, b"key", b"value")
    for file in (tmp_path / "t-0").glob("0*"):
        file.unlink()
    (tmp_path / "t-0" / f"{0:020}.log").write_bytes(old)
    (tmp_path / ".kafka_cleanshutdown").unlink()
    with run(data_dir=str(tmp_path), config=config) as broker, RawPeer(broker.bootstrap) as peer:
        assert peer.produce("t", batch_of(b"record")).error_code == ErrorCode.KAFKA_STORAGE_ERROR
        (deleted,) = peer.ask(20, 5, topic_names=["t"], timeout_ms=1000).responses
        assert deleted.error_code == ErrorCode.NONE
        assert not (tmp_path / "t-0").exists()
    assert (tmp_path / ".kafka_cleanshutdown").exists()


def test_the_clusters_min_isr_of_the_metadata_log_counts(broker_of_two: SmallBroker) -> None:
    """Where Apache Kafka keeps eligible leader replicas it writes one min.insync.replicas for the cluster into the
    metadata log, which was shown by DescribeConfigs and not followed by partitions."""
    broker = broker_of_two
    assert produced(broker) == ErrorCode.NONE
    commit(broker, min_isr(ResourceType.BROKER, "", "2"))
    assert produced(broker) == ErrorCode.NOT_ENOUGH_REPLICAS
    commit(broker, min_isr(ResourceType.TOPIC, "t", "1"))
    assert produced(broker) == ErrorCode.NONE
    commit(broker, min_isr(ResourceType.TOPIC, "t", None))
    assert produced(broker) == ErrorCode.NOT_ENOUGH_REPLICAS
    commit(broker, min_isr(ResourceType.BROKER, str(broker.node_id), "1"))
    assert produced(broker) == ErrorCode.NONE


def test_a_min_isr_of_the_metadata_log_that_is_no_number_leaves_the_one_before_in_force(
    broker_of_two: SmallBroker,
) -> None:
    """It used to stop the broker, at every start again."""
    commit(broker_of_two, min_isr(ResourceType.TOPIC, "t", "many"))
    commit(broker_of_two, PartitionChangeRecord(partition_id=0, topic_id=b"t" * 16, isr=[broker_of_two.node_id]))
    assert produced(broker_of_two) == ErrorCode.NONE


@pytest.fixture
def broker_of_two() -> SmallBroker:
    """A topic with two replicas, the other one not in sync, as another broker may have left it."""
    broker, topic_id = SmallBroker(), b"t" * 16
    partition = PartitionRecord(
        partition_id=0,
        topic_id=topic_id,
        replicas=[broker.node_id, 2],
        isr=[broker.node_id],
        leader=broker.node_id,
        directories=[broker.directory.directory_id, b"2" * 16],
    )
    commit(broker, TopicRecord(name="t", topic_id=topic_id), partition)
    return broker


def min_isr(kind: ResourceType, name: str, value: str | None) -> Any:
    return ConfigRecord(resource_type=kind, resource_name=name, name="min.insync.replicas", value=value)


def commit(broker: SmallBroker, *records: Any) -> None:
    broker.metadata.propose(lambda image: Decision([*records], None), lambda _: None)


def produced(broker: SmallBroker) -> ErrorCode:
    data = ProduceRequest.PartitionProduceData(index=0, records=memoryview(batch(b"x")))
    topic = ProduceRequest.TopicProduceData(name="t", partition_data=[data])
    answer = broker.ask(ProduceRequest(acks=-1, timeout_ms=1000, topic_data=[topic]), 12)
    return ErrorCode(answer.responses[0].partition_responses[0].error_code)


# ---- deleted topics

MANY = 2 * LOGS_PER_TURN + 3


class Turns:
    """What a broker does once others were served, done when the test says so; who was told of a commit."""

    def __init__(self, broker: SmallBroker) -> None:
        self.broker = broker
        self.waiting: list[Callable[[], None]] = []
        self.told: list[str] = []
        broker.hosting.later = self.waiting.append
        broker.metadata.before_publishing = broker.hosting.open_ahead
        broker.metadata.after_publishing = lambda delta, tell: broker.hosting.when_let_go(tell)

    def run(self) -> None:
        """One turn: whoever asked last for one."""
        self.waiting.pop()()

    def create(self) -> None:
        broker, wish = self.broker, [("t", MANY, None)]
        broker.metadata.propose(
            lambda image: create_wished(image, wish, broker.config, broker.entropy), lambda _: self.told.append("made")
        )

    def delete(self, name: str = "t") -> None:
        removed = RemoveTopicRecord(topic_id=self.broker.image.topics.by_name[name].topic_id)
        self.broker.metadata.propose(lambda image: Decision([removed], "deleted"), self.told.append)

    @property
    def directories(self) -> int:
        """How many the topic has."""
        return sum(name.startswith("t-") and not name.endswith("-delete") for name in self.broker.disk.list("/data"))


def test_a_deleted_topic_is_out_of_sight_at_once_and_its_logs_go_in_turns() -> None:
    """All were closed and renamed in one turn: 1,000 partitions kept the loop for 84 ms."""
    broker = SmallBroker({"t": MANY})
    turns = Turns(broker)
    left = [MANY]
    turns.delete()
    assert produced(broker) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert len(broker.partitions) == 0
    while turns.waiting:
        left.append(turns.directories)
        assert turns.told == []
        turns.run()
    assert left == [MANY, MANY - LOGS_PER_TURN, MANY - 2 * LOGS_PER_TURN]
    assert (turns.directories, turns.told) == (0, ["deleted"])


def test_topics_that_are_deleted_one_after_the_other_go_one_after_the_other() -> None:
    broker = SmallBroker({"t": MANY, "u": MANY})
    turns = Turns(broker)
    turns.delete("u")
    turns.delete("t")
    while turns.waiting:
        assert len(turns.waiting) == 1
        turns.run()
    assert (turns.directories, turns.told) == (0, ["deleted", "deleted"])


def test_a_topic_that_is_made_again_waits_until_the_old_one_has_gone() -> None:
    broker = SmallBroker({"t": MANY})
    turns = Turns(broker)
    turns.delete()
    turns.create()
    while turns.waiting:
        turns.run()
    assert turns.told == ["deleted", "made"]
    assert turns.directories == MANY
    assert not any(name.endswith("-stray") for name in broker.disk.list("/data"))
    assert produced(broker) == ErrorCode.NONE


def test_a_stop_finishes_what_was_being_deleted() -> None:
    """The next start would take it for logs that somebody put there, and keep them for ever."""
    broker = SmallBroker({"t": MANY})
    turns = Turns(broker)
    turns.delete()
    broker.hosting.let_go_of_all()
    assert broker.directories.close(clean=True)
    assert turns.directories == 0


def test_what_was_being_deleted_stays_in_a_directory_that_fails_meanwhile() -> None:
    """It is somebody else's from then on: its lock is given up."""
    broker = SmallBroker({"t": MANY})
    turns = Turns(broker)
    turns.delete()
    broker.directory.fail(DiskFailure("/data", "Input/output error"))
    while turns.waiting:
        turns.run()
    assert turns.directories == MANY - LOGS_PER_TURN


def test_a_log_that_was_made_in_a_directory_that_fails_before_the_commit_is_published_is_not_hosted() -> None:
    """Its partition answered as a leader, though everybody else's of that directory had gone."""
    broker = SmallBroker()
    published = broker.metadata.on_published
    turns = Turns(broker)

    def late(delta: Any, image: Any) -> None:
        broker.directory.fail(DiskFailure("/data", "Input/output error"))
        published(delta, image)

    broker.metadata.on_published = late
    turns.create()
    while turns.waiting:
        turns.run()
    assert "t" in broker.image.topics.by_name
    assert len(broker.partitions) == 0
