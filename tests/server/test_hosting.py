"""What the broker says and does about the logs that an image assigns to it."""

from pathlib import Path
from typing import Any

import pytest

from kbroker.controller.decision import Decision
from kbroker.metadata.image import ResourceType
from kbroker.record.legacy import write_message
from kbroker.testing import run, start
from protocol_specs.api.k00_produce import ProduceRequest
from protocol_specs.errors import ErrorCode
from protocol_specs.metadata.config import ConfigRecord
from protocol_specs.metadata.partition import PartitionRecord
from protocol_specs.metadata.partition_change import PartitionChangeRecord
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
