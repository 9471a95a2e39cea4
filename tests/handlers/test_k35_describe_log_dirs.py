"""DescribeLogDirs, rule by rule."""

from typing import Any

import pytest
from small_broker import SmallBroker, batch

from kbroker.handlers import k35_describe_log_dirs
from kbroker.real.memory_disk import MemoryDisk
from kbroker.world import DiskFailure
from protocol_specs.api.k35_describe_log_dirs import DescribeLogDirsRequest
from protocol_specs.errors import ErrorCode


def ask(broker: SmallBroker, version: int = 5, topics: dict[str, list[int]] | None = None) -> Any:
    wanted = None
    if topics is not None:
        topic = DescribeLogDirsRequest.DescribableLogDirTopic
        wanted = [topic(topic=name, partitions=partitions) for name, partitions in topics.items()]
    return broker.ask(DescribeLogDirsRequest(topics=wanted), version)


@pytest.mark.parametrize("version", range(1, 6))
def test_every_version_tells_what_lies_where_and_how_large_it_is(version: int) -> None:
    broker = SmallBroker({"t": 2, "u": 1})
    broker.partitions.find("t", 1).append_as_leader(memoryview(batch(b"v")), 1)
    (directory,) = ask(broker, version).results
    assert (directory.log_dir, directory.error_code) == ("/data", 0)
    assert {topic.name: [each.partition_index for each in topic.partitions] for topic in directory.topics} == {
        "t": [0, 1],
        "u": [0],
    }, "and the metadata log is no partition"
    described = directory.topics[0].partitions[1]
    assert described.partition_size == broker.partitions.find("t", 1).log.size_bytes > 0
    assert (described.offset_lag, described.is_future_key) == (0, False)
    assert (directory.total_bytes, directory.usable_bytes) == (-1, -1), "memory has no volume"


def test_only_what_is_asked_for_is_described() -> None:
    broker = SmallBroker({"t": 3, "u": 1})
    (directory,) = ask(broker, topics={"t": [1, 7], "none": [0]}).results
    assert [(topic.name, [each.partition_index for each in topic.partitions]) for topic in directory.topics] == [
        ("t", [1])
    ]
    (directory,) = ask(broker, topics={}).results
    assert directory.topics == []


def test_a_directory_that_is_offline_is_named_with_its_error() -> None:
    broker = SmallBroker({"t": 1})
    broker.directory.fail(DiskFailure("/data/t-0", "Input/output error"))
    (directory,) = ask(broker).results
    assert (directory.log_dir, directory.error_code) == ("/data", ErrorCode.KAFKA_STORAGE_ERROR)
    assert (directory.topics, directory.total_bytes, directory.usable_bytes) == ([], -1, -1)


def test_logs_that_sleep_are_described_and_sleep_on() -> None:
    """Each was woken on the loop: half a second for 1,500 logs."""
    disk = MemoryDisk()
    before = SmallBroker({"t": 3}, disk=disk)
    before.partitions.find("t", 1).append_as_leader(memoryview(batch(b"v")), 1)
    size = before.partitions.find("t", 1).log.size_bytes
    before.directories.close(clean=True)
    after = SmallBroker(disk=disk)
    after.hosting.host_all(after.metadata.image)
    assert all(partition.log.is_asleep for partition in after.partitions)
    (directory,) = ask(after).results
    assert [each.partition_size for each in directory.topics[0].partitions] == [0, size, 0]
    assert all(partition.log.is_asleep for partition in after.partitions)


def test_many_partitions_are_described_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand were described in one, while nobody else was served."""
    monkeypatch.setattr(k35_describe_log_dirs, "PARTITIONS_PER_TURN", 2)
    broker = SmallBroker({"t": 5})
    asked = broker.start(DescribeLogDirsRequest(topics=None), 5)
    asked.send()
    assert asked.is_pending
    broker.clock.advance(1)
    (directory,) = asked.answer().results
    assert len(directory.topics[0].partitions) == 5
