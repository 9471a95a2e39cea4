"""A log to append to and to reopen, over any disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbroker.log.directory import LogDirectory
from kbroker.log.outcome import Appended, LogRead, Origin, Refused
from kbroker.log.partition_log import PartitionLog
from kbroker.log.place import LogPlace
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.record.batch import Record, build_batch, iterate_batches, iterate_records
from kbroker.testing.counting_entropy import CountingEntropy
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.world import FileSlice

TOPIC_ID = bytes(range(16))
PATH = "/data"
DIRECTORY = f"{PATH}/t-0"


def open_directory(disk: Any, clock: VirtualClock | None = None, *, node_id: int = 1, **extra: Any) -> LogDirectory:
    """The directory that the log of a workshop lies in, and others; `disk` says what is in it."""
    return LogDirectory.open(disk, PATH, clock or VirtualClock(), CountingEntropy(), node_id=node_id, **extra)


class Workshop:
    """One log at a time in one directory of one disk."""

    def __init__(self, disk: Any) -> None:
        self.disk = disk
        self.clock = VirtualClock()
        self.settings = LogSettings()
        self.log: PartitionLog
        self.progress = 0

    def open(
        self, *, clean: bool = False, recovery_point: int = 0, log_start: int = 0, **settings: Any
    ) -> PartitionLog:
        if settings:
            self.settings = LogSettings(**settings)
        self.log = PartitionLog.open(
            LogPlace(self.disk, DIRECTORY, TopicPartition("t", 0), TOPIC_ID, self.settings, self.clock),
            clean=clean,
            recovery_point=recovery_point,
            log_start=log_start,
            on_progress=self._progressed,
        )
        return self.log

    def _progressed(self) -> None:
        self.progress += 1

    def reopen(self, *, clean: bool, recovery_point: int = 0) -> PartitionLog:
        """Close and open again; `clean` False closes nothing, as a kill does."""
        if clean:
            assert self.log.close(clean=True)
        return self.open(clean=clean, recovery_point=recovery_point)

    def batch(self, count: int = 1, **extra: Any) -> bytearray:
        extra.setdefault("timestamp_ms", self.clock.wall_ms())
        return build_batch([(b"k%d" % number, b"v" * 20) for number in range(count)], **extra)

    def append(self, count: int = 1, *, epoch: int = 0, origin: Origin = Origin.CLIENT, **extra: Any) -> Appended:
        outcome = self.log.append_as_leader(self.batch(count, **extra), epoch, origin=origin)
        assert isinstance(outcome, Appended), outcome
        return outcome

    def refused(self, records: Any) -> Refused:
        before = (self.log.log_end, self.log.size_bytes)
        outcome = self.log.append_as_leader(records, 0)
        assert isinstance(outcome, Refused), outcome
        assert (self.log.log_end, self.log.size_bytes) == before
        return outcome

    def read(self, offset: int, max_bytes: int = 1 << 20, end: int = 1 << 60, *, at_least_one: bool = True) -> LogRead:
        result = self.log.read(offset, max_bytes, end, at_least_one=at_least_one)
        assert isinstance(result, LogRead), result
        return result

    def bytes_of(self, result: LogRead) -> bytes:
        """The bytes of a read, its lease given back."""
        records = result.records
        if isinstance(records, bytes):
            return records
        assert isinstance(records, FileSlice)
        data = records.file.read_at(records.position, records.length)
        records.release()
        return data

    def records(self, offset: int = 0) -> list[Record]:
        """Every record from the batch that holds `offset`, by reading on until the end."""
        found: list[Record] = []
        while data := self.bytes_of(self.read(offset)):
            for batch in iterate_batches(data):
                found += iterate_records(batch)
            offset = found[-1].offset + 1
        return found

    def offsets(self, offset: int = 0) -> list[int]:
        return [record.offset for record in self.records(offset)]

    def names(self, suffix: str = "") -> Sequence[str]:
        return [name for name in self.disk.list(DIRECTORY) if name.endswith(suffix)]
