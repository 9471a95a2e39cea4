"""Snapshots of the metadata log: written while the broker serves, old ones and the log behind them let go.

    committed --many bytes, or long enough--> <end>-<epoch>.checkpoint.part, written and synced in the background
              --rename, sync of the directory--> <end>-<epoch>.checkpoint
    too many bytes, or too old --> .checkpoint.deleted, log start moved up to the next snapshot --later--> gone

An image never changes, so that a worker reads it while the loop goes on. The newest sound snapshot is never let go, and
the log start never moves beyond it.

Source: KIP-630; Kafka's SnapshotGenerator, SnapshotEmitter, KafkaRaftLog and FileRawSnapshotWriter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

from kbroker.log.directory import METADATA_SETTINGS
from kbroker.log.partition_log import PartitionLog
from kbroker.log.settings import LogSettings
from kbroker.metadata.checkpoint import (
    DELETED_SUFFIX,
    PART_SUFFIX,
    SUFFIX,
    SnapshotId,
    checkpoint_batches,
    is_left_over,
    last_contained_ms,
    parse_name,
)
from kbroker.metadata.image import MetadataImage
from kbroker.metadata.records import encode_record
from kbroker.metadata.snapshot import snapshot
from kbroker.quorum.control import QuorumRecords
from kbroker.record.compression import CorruptRecords
from kbroker.server.metadata_log import MetadataLog
from kbroker.world import Clock, Disk, DiskFailure, Timer

CLEAN_INTERVAL_MS: Final = 60_000
"""How often age and size are looked at without a new snapshot; Kafka's is the same."""

HEADER_READ_BYTES: Final = 1 << 16
"""More than the first batch of any snapshot: a header and a few voters."""

log = logging.getLogger("kbroker.metadata")


class SnapshotSettings(NamedTuple):
    """When snapshots are made and how much is kept. Kafka's configs, with their defaults; -1 bounds nothing."""

    record_bytes_max: int = 20 << 20
    interval_ms: int = 3_600_000
    retention_bytes: int = 100 << 20
    retention_ms: int = 7 * 24 * 3_600_000
    delete_delay_ms: int = 60_000

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> SnapshotSettings:
        """As the configuration says."""
        return cls(
            config["metadata.log.max.record.bytes.between.snapshots"],
            config["metadata.log.max.snapshot.interval.ms"],
            config["metadata.max.retention.bytes"],
            config["metadata.max.retention.ms"],
            config["internal.metadata.delete.delay.millis"],
        )


def metadata_log_settings(config: Mapping[str, Any]) -> LogSettings:
    """How the metadata log behaves: nothing of it goes by age or size but what a snapshot stands for."""
    return replace(
        METADATA_SETTINGS,
        segment_bytes=config["internal.metadata.log.segment.bytes"] or config["metadata.log.segment.bytes"],
        segment_ms=config["metadata.log.segment.ms"],
        file_delete_delay_ms=config["internal.metadata.delete.delay.millis"],
    )


class Stored(NamedTuple):
    """A sound snapshot on disk: its size, and the time of the newest record that it stands for."""

    size: int
    last_contained_ms: int


class MetadataSnapshots:
    """Makes the snapshots of one metadata log and lets old ones go, from construction until `stop`."""

    def __init__(
        self,
        metadata: MetadataLog,
        opened: PartitionLog,
        disk: Disk,
        clock: Clock,
        settings: SnapshotSettings,
        on_failure: Callable[[DiskFailure], None],
    ) -> None:
        self._metadata = metadata
        self._log = opened
        self._disk = disk
        self._clock = clock
        self._settings = settings
        self._on_failure = on_failure
        self._timers: dict[str, Timer] = {}
        self._is_writing = False
        self._is_stopped = False
        self._covered_bytes = 0
        self.stored = self._found()
        metadata.on_committed = self._committed
        self._repeat("clean", CLEAN_INTERVAL_MS, self.clean)
        if settings.interval_ms > 0:
            self._repeat("interval", settings.interval_ms, self._write_if_changed)

    def stop(self) -> None:
        """Make no more snapshots; one that is being written may still be finished."""
        self._is_stopped = True
        for timer in self._timers.values():
            timer.cancel()

    # ---- what is there

    def _found(self) -> dict[SnapshotId, Stored]:
        """The sound snapshots, oldest first; what is damaged, what a crash left, what the log needs no more is removed.

        The one that was replayed is sound, and stands for more than those before it.
        """
        found = {}
        damaged = self._metadata.replayed.damaged
        for name in self._disk.list(self._log.directory):
            path = f"{self._log.directory}/{name}"
            snapshot = parse_name(name)
            is_useless = snapshot in damaged or (snapshot is not None and snapshot.end < self._log.log_start)
            if is_left_over(name) or is_useless:
                self._disk.in_worker(partial(self._disk.remove, path), _ignore)
            elif snapshot is not None:
                stored = self._look_at(path)
                if stored is not None:
                    found[snapshot] = stored
        return dict(sorted(found.items()))

    def _look_at(self, path: str) -> Stored | None:
        file = self._disk.open(path)
        try:
            return Stored(file.size(), last_contained_ms(file.read_at(0, HEADER_READ_BYTES), path))
        except CorruptRecords as error:
            log.warning("a metadata snapshot is damaged: removed", extra={"reason": str(error)})
            self._disk.in_worker(partial(self._disk.remove, path), _ignore)
            return None
        finally:
            file.close()

    # ---- writing

    @property
    def _tail_bytes(self) -> int:
        """What is committed behind the newest snapshot."""
        return self._metadata.tail_bytes - self._covered_bytes

    def _committed(self) -> None:
        if self._tail_bytes >= self._settings.record_bytes_max:
            self.write()

    def _write_if_changed(self) -> None:
        if self._tail_bytes:
            self.write()

    def write(self) -> None:
        """Begin a snapshot of what is committed, unless one is being written or nothing has changed since the last.

        Not inside a metadata transaction, of which nobody knows yet whether it counts.
        """
        image = self._metadata.image
        snapshot_id = SnapshotId(image.offset + 1, image.epoch)
        if self._is_writing or self._is_stopped or image.open_transaction is not None or snapshot_id in self.stored:
            return
        self._is_writing = True
        self._covered_bytes = self._metadata.tail_bytes
        last_ms = self._metadata.last_ms
        batches = snapshot_batches(image, self._metadata.quorum, self._clock.wall_ms(), last_ms)
        # Encoding is Python, and long: no sync may wait behind it.
        self._disk.in_background(
            partial(write_snapshot, self._disk, self._log.directory, snapshot_id, batches),
            lambda result: self._written(snapshot_id, last_ms, result),
        )

    def _written(self, snapshot_id: SnapshotId, last_ms: int, result: int | DiskFailure) -> None:
        self._is_writing = False
        if isinstance(result, DiskFailure):
            log.error("a metadata snapshot cannot be written", extra={"path": result.path, "reason": result.reason})
            self._on_failure(result)
            return
        self.stored[snapshot_id] = Stored(result, last_ms)
        log.info("metadata snapshot", extra={"end": snapshot_id.end, "epoch": snapshot_id.epoch, "bytes": result})
        if not self._is_stopped:
            self.clean()

    # ---- letting go

    def clean(self) -> None:
        """Let the oldest snapshots go while all take too many bytes with the log, or while they are too old."""
        settings = self._settings
        now_ms = self._clock.wall_ms()
        while settings.retention_bytes >= 0 and self._size() > settings.retention_bytes and self._drop_oldest():
            pass
        while settings.retention_ms >= 0 and now_ms - self._oldest_ms(now_ms) > settings.retention_ms:
            if not self._drop_oldest():
                break

    def _size(self) -> int:
        return self._log.size_bytes + sum(stored.size for stored in self.stored.values())

    def _oldest_ms(self, now_ms: int) -> int:
        return next((stored.last_contained_ms for stored in self.stored.values()), now_ms)

    def _drop_oldest(self) -> bool:
        """Let the oldest snapshot and the log before the next one go; False where there is no next one."""
        if len(self.stored) < 2 or self._log.failure is not None:
            return False
        oldest, following = [*self.stored][:2]
        path = f"{self._log.directory}/{oldest.file_name}"
        gone = path.removesuffix(SUFFIX) + DELETED_SUFFIX
        try:
            self._disk.rename(path, gone)
        except FileNotFoundError:
            log.warning("a metadata snapshot was taken away", extra={"path": path})
        except DiskFailure as failure:
            self._on_failure(failure)
            return False
        del self.stored[oldest]
        self._log.delete_before(following.end)
        self._clock.call_at(
            self._clock.monotonic_ms() + self._settings.delete_delay_ms,
            lambda: self._disk.in_worker(partial(self._disk.remove, gone), _ignore),
        )
        return True

    def _repeat(self, name: str, interval_ms: int, chore: Callable[[], None]) -> None:
        def run() -> None:
            if not self._is_stopped:
                chore()
                schedule()

        def schedule() -> None:
            self._timers[name] = self._clock.call_at(self._clock.monotonic_ms() + interval_ms, run)

        schedule()


def snapshot_batches(
    image: MetadataImage, quorum: QuorumRecords, wall_ms: int, last_contained_ms: int
) -> Iterator[bytearray]:
    """The content of the snapshot of an image, in steps of about a millisecond's work."""
    values = (encode_record(record, image.metadata_version) for record in snapshot(image))
    return checkpoint_batches(
        values, epoch=image.epoch, wall_ms=wall_ms, last_contained_ms=last_contained_ms, quorum=quorum
    )


def write_snapshot(disk: Disk, directory: str, snapshot_id: SnapshotId, batches: Iterator[bytearray]) -> int:
    """Write a snapshot so that a crash leaves all of it or nothing; its size in bytes. Blocks. Raises DiskFailure."""
    path = f"{directory}/{snapshot_id.file_name}"
    unfinished = path.removesuffix(SUFFIX) + PART_SUFFIX
    file = disk.open(unfinished, create=True)
    try:
        file.truncate(0)
        size = 0
        for batch in batches:
            file.write_at(size, [batch])
            size += len(batch)
        file.sync()
    finally:
        file.close()
    disk.rename(unfinished, path)
    disk.sync_directory(directory)
    return size


def _ignore(result: DiskFailure | None) -> None:
    """What can't be removed costs space and is tried again at the next start."""
