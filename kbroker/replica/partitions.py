"""Every partition that this node hosts, found by name or by topic id."""

from __future__ import annotations

from collections.abc import Iterator

from kbroker.replica.partition import Partition
from kbroker.replica.preparing import PreparationLane


class Partitions:
    """A lookup table; who may add and remove is the broker, on a published image."""

    __slots__ = ("_by_id", "_by_name", "_lane")

    def __init__(self) -> None:
        self._lane = PreparationLane()
        self._by_name: dict[tuple[str, int], Partition] = {}
        self._by_id: dict[tuple[bytes, int], Partition] = {}

    def __iter__(self) -> Iterator[Partition]:
        return iter(tuple(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    def find(self, topic: str, index: int) -> Partition | None:
        """By topic name."""
        return self._by_name.get((topic, index))

    def find_by_id(self, topic_id: bytes, index: int) -> Partition | None:
        """By topic id (KIP-516)."""
        return self._by_id.get((topic_id, index))

    def add(self, partition: Partition) -> None:
        """Host it from now on; bodies of all partitions here are opened in one lane."""
        partition.queue.lane = self._lane
        self._by_name[partition.topic, partition.index] = partition
        self._by_id[partition.topic_id, partition.index] = partition

    def remove(self, partition: Partition) -> None:
        """Host it no longer; its watches are told."""
        self._by_name.pop((partition.topic, partition.index), None)
        self._by_id.pop((partition.topic_id, partition.index), None)
        partition.close()
