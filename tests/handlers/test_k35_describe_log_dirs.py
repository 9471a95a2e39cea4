"""DescribeLogDirs, rule by rule."""

from typing import Any

import pytest
from small_broker import SmallBroker, batch

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
