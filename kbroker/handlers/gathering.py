"""What a Fetch waits for: so many bytes, counted by where offsets lie in their logs. Nothing is read meanwhile.

Source: Kafka's DelayedFetch.tryComplete, which counts alike: an offset in an older segment than the end is enough by
itself, because a read ends with its segment and would bring no more next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kbroker.log.outcome import Place
    from kbroker.replica.partition import Partition
    from kbroker.session import FetchedPartition


class _Wanted:
    """One partition: what is wanted of it, where that lies, how many bytes are there."""

    __slots__ = ("available", "bytes_max", "end", "offset", "place", "standing")

    def __init__(self, partition: Partition, wanted: FetchedPartition) -> None:
        self.offset = wanted.fetch_offset
        self.bytes_max = wanted.max_bytes
        self.standing = _standing(partition)
        self.place: Place | None = None
        self.end = self.offset
        self.available = 0


class Gathering:
    """Has enough come? `end` says up to which offset the reader may see a partition; one byte needs no places."""

    __slots__ = ("_available", "_bytes_min", "_end", "_wanted", "is_complete")

    def __init__(
        self, wanted: Mapping[Partition, FetchedPartition], end: Callable[[Partition], int], bytes_min: int
    ) -> None:
        self._end = end
        self._bytes_min = bytes_min
        self._available = 0
        self._wanted = {partition: _Wanted(partition, one) for partition, one in wanted.items()}
        self.is_complete = any(map(self.is_enough, self._wanted))
        """Was there enough at once?"""

    def add(self, partition: Partition, wanted: FetchedPartition) -> bool:
        """One more counts; is that enough?"""
        self._wanted[partition] = _Wanted(partition, wanted)
        return self.is_enough(partition)

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._wanted

    @property
    def partitions(self) -> Iterable[Partition]:
        """Whose progress counts."""
        return self._wanted

    def is_enough(self, partition: Partition) -> bool:
        """After progress of `partition`; also where there is something else to say of it now."""
        wanted, log = self._wanted[partition], partition.log
        if partition.is_gone or log.failure is not None:
            return True
        if _standing(partition) != wanted.standing or log.log_start > wanted.offset:
            return True
        end = self._end(partition)
        if self._bytes_min <= 1 or end <= wanted.offset:
            return end > wanted.offset
        if end == wanted.end < log.written_end:
            return False  # counted, and held back by a transaction
        wanted.end = end
        start, stop = wanted.place, log.place_of(end)
        if start is None:
            start = wanted.place = log.place_of(wanted.offset)
        if start is None or stop is None or start.segment != stop.segment:
            return True
        available = min(stop.position - start.position, wanted.bytes_max)
        self._available += available - wanted.available
        wanted.available = available
        return self._available >= self._bytes_min


def _standing(partition: Partition) -> tuple[bool, int]:
    return partition.is_leader, partition.leader_epoch
