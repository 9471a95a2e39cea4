"""DescribeLogDirs: what lies in this broker's log directories, how large it is, and which of them failed (KIP-113).

Versions: 1 is where Kafka begins; 3 has an error for the whole; 4 the volumes' sizes (KIP-827); 5 says which directory
is cordoned (KIP-1066): none is. The metadata log is no partition here. Nothing moves between directories, so there are
no future replicas. Kafka: KafkaApis.handleDescribeLogDirsRequest, ReplicaManager.describeLogDirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kbroker.handlers.answer import Long, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.node import Node
from kbroker.handlers.registry import handles
from kbroker.log.directory import METADATA_PARTITION, LogDirectory
from kbroker.turns import Turns
from kbroker.world import DiskFailure
from protocol_specs.api.k35_describe_log_dirs import DescribeLogDirsRequest, DescribeLogDirsResponse
from protocol_specs.errors import ErrorCode

DirectoryAnswer = DescribeLogDirsResponse.DescribeLogDirsResult
TopicAnswer = DescribeLogDirsResponse.DescribeLogDirsTopic
PartitionAnswer = DescribeLogDirsResponse.DescribeLogDirsPartition

Volumes = Mapping[str, tuple[int, int]]
"""Bytes in all and bytes free, by path; -1 where nobody knows."""


PARTITIONS_PER_TURN: Final = 250
"""Described before others are served; some three microseconds each."""


@handles(DescribeLogDirsRequest, DescribeLogDirsResponse, serves="1-5")
def describe_log_dirs(ctx: RequestContext, request: Any) -> Pending:
    """Ask volumes and logs that sleep for their sizes in a worker, then answer with what is there by then."""
    node, disk = ctx.node, ctx.node.disk
    paths = node.directories.paths
    wanted = None
    if request.topics is not None:
        wanted = {(topic.topic, index) for topic in request.topics for index in topic.partitions}
    pending = Pending()

    def measure() -> Volumes:
        return {path: (disk.total_bytes(path), disk.usable_bytes(path)) for path in paths}

    def describe(volumes: Volumes | DiskFailure) -> None:
        sizes = {} if isinstance(volumes, DiskFailure) else volumes
        pending.settle_with(lambda: _described(node, paths, wanted, sizes))

    node.directories.measure_sleeping(lambda: disk.in_worker(measure, describe))
    return pending


def _described(node: Node, paths: Sequence[str], wanted: set[tuple[str, int]] | None, volumes: Volumes) -> Turns[Long]:
    results = []
    for path in paths:
        described = yield from _directory(node, path, wanted, volumes)
        results.append(described)
    return Long(DescribeLogDirsResponse(results=results))


def _directory(node: Node, path: str, wanted: set[tuple[str, int]] | None, volumes: Volumes) -> Turns[Any]:
    directory = next((each for each in node.directories.online if each.path == path), None)
    if directory is None:
        return DirectoryAnswer(log_dir=path, error_code=ErrorCode.KAFKA_STORAGE_ERROR)
    total_bytes, usable_bytes = volumes.get(path, (-1, -1))
    topics: dict[str, list[Any]] = {}
    for count, (topic, partition) in enumerate(_partitions(node, directory, wanted), 1):
        topics.setdefault(topic, []).append(partition)
        if count % PARTITIONS_PER_TURN == 0:
            yield
    return DirectoryAnswer(
        log_dir=path,
        topics=[TopicAnswer(name=name, partitions=partitions) for name, partitions in topics.items()],
        total_bytes=total_bytes,
        usable_bytes=usable_bytes,
    )


def _partitions(node: Node, directory: LogDirectory, wanted: set[tuple[str, int]] | None) -> Iterator[tuple[str, Any]]:
    answer = PartitionAnswer
    for where, log in list(directory.logs.items()):
        if where == METADATA_PARTITION or (wanted is not None and where not in wanted):
            continue
        partition = node.partitions.find(*where)
        lag = -1 if partition is None else max(partition.high_watermark - log.log_end, 0)
        yield where.topic, answer(partition_index=where.partition, partition_size=log.size_bytes, offset_lag=lag)
