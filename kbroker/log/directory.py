"""A log directory: who owns it, the partitions in it, and the checkpoints that they share.

    .lock                               held while a broker uses the directory
    meta.properties                     cluster, node and directory id
    .kafka_cleanshutdown                written last by a clean stop, removed first by the next start
    recovery-point-offset-checkpoint    up to where each log has been fsynced
    log-start-offset-checkpoint         logs whose start isn't their first segment's
    replication-offset-checkpoint       high watermarks
    <topic>-<p>/                        a log;  .<uuid>-delete goes soon,  .<uuid>-stray belongs to no topic
Source: Kafka's LogManager.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from kbroker.log.checkpoints import CorruptCheckpoint, format_offsets, parse_offsets
from kbroker.log.meta_properties import FILE_NAME, ForeignDirectory, MetaProperties, parse_meta_properties
from kbroker.log.open_files import OPEN_FILES_MAX, OpenFiles
from kbroker.log.partition_log import InconsistentTopicId, PartitionLog
from kbroker.log.recovery import check_undamaged
from kbroker.log.settings import LogSettings
from kbroker.names import METADATA_TOPIC, METADATA_TOPIC_ID, TopicPartition, uuid_text
from kbroker.world import Clock, Disk, DiskFailure, Entropy, Lock

LOCK_FILE: Final = ".lock"
CLEAN_FILE: Final = ".kafka_cleanshutdown"
RECOVERY_POINTS_FILE: Final = "recovery-point-offset-checkpoint"
LOG_STARTS_FILE: Final = "log-start-offset-checkpoint"
HIGH_WATERMARKS_FILE: Final = "replication-offset-checkpoint"
DELETE_SUFFIX: Final = "-delete"
STRAY_SUFFIX: Final = "-stray"
_NAME_MAX = 255
"""File systems take no longer names; Kafka shortens the topic's part of a renamed directory."""


NO_OFFSETS: Final[Mapping[TopicPartition, int]] = MappingProxyType({})
METADATA_PARTITION: Final = TopicPartition(METADATA_TOPIC, 0)
METADATA_SETTINGS: Final = LogSettings(max_message_bytes=8 << 20, retention_ms=-1, retention_bytes=-1)
"""Nothing of the cluster's memory goes by age or size. 8 MiB is the largest batch that Kafka's quorum reads."""


class LogDirectory:
    """One directory of `log.dirs`, locked and in use. Logs in it share a bound on open files and one fate."""

    def __init__(self, disk: Disk, path: str, clock: Clock, entropy: Entropy, files: OpenFiles, lock: Lock) -> None:
        self.disk = disk
        self.path = path
        self.logs: dict[TopicPartition, PartitionLog] = {}
        self.failure: DiskFailure | None = None
        self.on_failure: Callable[[DiskFailure], None] = _nobody_told
        self._clock = clock
        self._entropy = entropy
        self._files = files
        self._lock: Lock | None = lock
        self._is_started = False
        self._is_checkpointing = False
        self._is_outdated = False
        self.meta = self._read_meta()
        self.was_clean = disk.exists(self._in(CLEAN_FILE))
        self.recovery_points = self._read_offsets(RECOVERY_POINTS_FILE)
        self.log_starts = self._read_offsets(LOG_STARTS_FILE)
        # Logs that failed to open: not recovered, so the next start must try again, with the same checkpoints.
        self._unopened: set[TopicPartition] = set()
        # Names that the medium may still hold, in the checkpoints or as directories, although their logs are gone.
        self._forgotten: set[TopicPartition] = set()

    @classmethod
    def open(
        cls,
        disk: Disk,
        path: str,
        clock: Clock,
        entropy: Entropy,
        *,
        node_id: int,
        cluster_id: str | None = None,
        open_files_max: int = OPEN_FILES_MAX,
    ) -> LogDirectory:
        """Lock the directory, made and formatted if it is new; `cluster_id` None or "" takes what is there.

        Raises DirectoryLocked, ForeignDirectory, DiskFailure.
        """
        path = path.rstrip("/") if len(path) > 1 else path
        disk.make_directory(path)
        lock = disk.lock(f"{path}/{LOCK_FILE}")
        try:
            directory = cls(disk, path, clock, entropy, OpenFiles(disk, open_files_max), lock)
            if not directory.is_formatted:
                directory.format(cluster_id or uuid_text(entropy.uuid()), node_id)
            directory.check_identity(cluster_id, node_id)
        except (DiskFailure, ForeignDirectory):
            lock.release()
            raise
        return directory

    def _in(self, name: str) -> str:
        return f"{self.path}/{name}"

    # ---- identity

    def _read_meta(self) -> MetaProperties | None:
        try:
            return parse_meta_properties(self.disk.read(self._in(FILE_NAME)), self._in(FILE_NAME))
        except FileNotFoundError:
            return None

    @property
    def is_formatted(self) -> bool:
        """Does it belong to a cluster already?"""
        return self.meta is not None

    @property
    def cluster_id(self) -> str:
        """Of the cluster that it was formatted for."""
        assert self.meta is not None, "open() formats"
        return self.meta.cluster_id

    @property
    def directory_id(self) -> bytes:
        """16 bytes; directories formatted before Kafka 3.7 get theirs when they are opened."""
        assert self.meta is not None
        assert self.meta.directory_id is not None, "open() formats"
        return self.meta.directory_id

    def format(self, cluster_id: str, node_id: int) -> None:
        """Claim a fresh directory for this node of this cluster."""
        self.meta = MetaProperties(cluster_id, node_id, self._entropy.uuid())
        self.disk.replace(self._in(FILE_NAME), self.meta.format())

    def check_identity(self, cluster_id: str | None, node_id: int) -> None:
        """See that it was formatted for this cluster (None or "": any) and node. Raises ForeignDirectory."""
        if self.meta is None:
            raise ForeignDirectory(f"{self.path} is not formatted")
        if cluster_id and self.meta.cluster_id != cluster_id:
            raise ForeignDirectory(f"{self.path} belongs to cluster {self.meta.cluster_id}, not {cluster_id}")
        if self.meta.node_id != node_id:
            raise ForeignDirectory(f"{self.path} belongs to node {self.meta.node_id}, not {node_id}")
        if self.meta.directory_id is None:
            self.format(self.meta.cluster_id, node_id)

    # ---- logs

    def begin(self) -> None:
        """From here on a crash counts: remove the marker of the last clean stop, and what was being deleted.

        Comes by itself with the first log of a partition; the metadata log's owner says when.
        """
        if self._is_started:
            return
        self._is_started = True
        self.disk.remove(self._in(CLEAN_FILE))
        # Were the marker back after a power failure, torn logs would be trusted. Nor may a name that the last process
        # freed be the old log's again.
        self.disk.sync_directory(self.path)
        for name in self.disk.list(self.path):
            if name.endswith(DELETE_SUFFIX):
                self.disk.in_worker(partial(self.disk.remove_tree, self._in(name)), _ignore)

    def partitions(self) -> Iterator[TopicPartition]:
        """The partitions that have a directory; the metadata log is not one of them."""
        for name in self.disk.list(self.path):
            topic, dash, partition = name.rpartition("-")
            if dash and partition.isdigit() and topic and topic != METADATA_TOPIC:
                yield TopicPartition(topic, int(partition))

    def open_metadata_log(self) -> PartitionLog:
        """`__cluster_metadata-0`, made when it isn't there. Raises DiskFailure, InconsistentTopicId, CorruptRecords.

        It is never set aside, nor cut anywhere but at its torn end: what names every topic is lost with it. Until
        begin() an undamaged directory stays as it is, so that a start that is refused can be tried again.
        """
        if not self.was_clean:
            check_undamaged(self.disk, self._in(str(METADATA_PARTITION)))
        return self._adopt(self._open(METADATA_PARTITION, METADATA_TOPIC_ID, METADATA_SETTINGS))

    def open_log(self, where: TopicPartition, topic_id: bytes, settings: LogSettings) -> PartitionLog:
        """The partition's log, made when it isn't there; `on_progress` is the caller's to set.

        A directory of another topic with the same name is set aside as stray. Raises DiskFailure.
        """
        if self.failure is not None:
            raise self.failure
        self.begin()
        self._unopened.add(where)
        try:
            log = self._open(where, topic_id, settings)
        except InconsistentTopicId:
            self.set_aside(where)
            log = self._open(where, topic_id, settings)
        self._unopened.remove(where)
        return self._adopt(log)

    def _adopt(self, log: PartitionLog) -> PartitionLog:
        log.on_failure = self.fail
        self.logs[log.topic_partition] = log
        return log

    def _open(self, where: TopicPartition, topic_id: bytes, settings: LogSettings) -> PartitionLog:
        if not self.disk.is_directory(self._in(str(where))):
            self._begin_anew(where)
        return PartitionLog.open(
            self.disk,
            self._in(str(where)),
            where,
            topic_id,
            settings,
            self._clock,
            recovery_point=self.recovery_points.get(where, 0),
            log_start=self.log_starts.get(where, 0),
            clean=self.was_clean,
            files=self._files,
        )

    def set_aside_strays(self, claimed: Container[TopicPartition]) -> list[TopicPartition]:
        """Rename the directories of partitions that nobody claims; which they were."""
        strays = [where for where in self.partitions() if where not in claimed]
        for where in strays:
            self.set_aside(where)
        return strays

    def set_aside(self, where: TopicPartition) -> str:
        """Rename the directory of a partition that no topic claims; its new path. Nothing is removed."""
        self._forget_checkpoints(where)
        return self._rename_away(where, STRAY_SUFFIX)

    def delete_log(self, log: PartitionLog) -> None:
        """Close the log and take it out of sight; its files go after `file.delete.delay.ms`.

        A disk that refuses takes the directory offline.
        """
        where = log.topic_partition
        self.logs.pop(where, None)
        self._forget_checkpoints(where)
        log.close(clean=False)
        try:
            path = self._rename_away(where, DELETE_SUFFIX)
        except FileNotFoundError:
            return  # somebody was faster
        except DiskFailure as failure:
            self.fail(failure)
            return
        self._clock.call_at(
            self._clock.monotonic_ms() + log.settings.file_delete_delay_ms,
            lambda: self.disk.in_worker(partial(self.disk.remove_tree, path), _ignore),
        )

    def _forget_checkpoints(self, where: TopicPartition) -> None:
        for offsets in (self.recovery_points, self.log_starts):
            offsets.pop(where, None)
        self._forgotten.add(where)

    def _begin_anew(self, where: TopicPartition) -> None:
        """A log is going to be made: neither an older one by its name nor its checkpoints may be back after a crash."""
        if where in self.recovery_points or where in self.log_starts:
            self._forget_checkpoints(where)
        if where in self._forgotten:
            # This makes the directory's own names durable too.
            for path, data in self._checkpoint_contents():
                self.disk.replace(path, data)
            # A checkpoint under way may still bring the old names back.
            self._is_outdated = self._is_checkpointing
            if not self._is_outdated:
                self._forgotten.clear()

    def _rename_away(self, where: TopicPartition, suffix: str) -> str:
        tail = f"-{where.partition}.{self._entropy.uuid().hex()}{suffix}"
        path = self._in(where.topic[: _NAME_MAX - len(tail)] + tail)
        self.disk.rename(self._in(str(where)), path)
        return path

    # ---- upkeep

    def sync_overdue(self) -> None:
        """Sync the logs that have waited for `flush.ms`."""
        for log in self.logs.values():
            log.sync_if_overdue()

    def checkpoint(self, high_watermarks: Mapping[TopicPartition, int] = NO_OFFSETS) -> None:
        """Bring recovery points, log starts and high watermarks (else: what is written) to their files, in a worker."""
        if self._is_checkpointing or self.failure is not None:
            return
        self._is_checkpointing = True
        forgotten = frozenset(self._forgotten)
        work = self._checkpoint_work(high_watermarks)
        self.disk.in_worker(work, lambda result: self._checkpointed(result, forgotten))

    def _checkpoint_work(self, high_watermarks: Mapping[TopicPartition, int]) -> Callable[[], None]:
        # The metadata log has no place in these files: Kafka recovers it whole and keeps its state in the quorum's.
        logs = {where: log for where, log in self.logs.items() if where != METADATA_PARTITION}
        self.recovery_points = self._of_unopened(self.recovery_points) | {
            where: log.recovery_point for where, log in logs.items()
        }
        self.log_starts = self._of_unopened(self.log_starts) | {
            where: log.log_start for where, log in logs.items() if log.has_moved_start
        }
        replicated = {where: high_watermarks.get(where, log.written_end) for where, log in logs.items()}
        contents = [*self._checkpoint_contents(), (self._in(HIGH_WATERMARKS_FILE), format_offsets(replicated))]

        def work() -> None:
            for path, data in contents:
                self.disk.replace(path, data)

        return work

    def _of_unopened(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        return {where: offsets[where] for where in self._unopened if where in offsets}

    def _checkpoint_contents(self) -> list[tuple[str, bytes]]:
        """Of the files that a start reads back. For others, high watermarks are written too."""
        return [
            (self._in(RECOVERY_POINTS_FILE), format_offsets(self.recovery_points)),
            (self._in(LOG_STARTS_FILE), format_offsets(self.log_starts)),
        ]

    def _checkpointed(self, result: DiskFailure | None, forgotten: frozenset[TopicPartition]) -> None:
        self._is_checkpointing = False
        if isinstance(result, DiskFailure):
            self.fail(result)
            return
        self._forgotten -= forgotten
        if self._is_outdated:
            self._is_outdated = False
            self.checkpoint()

    def _read_offsets(self, name: str) -> dict[TopicPartition, int]:
        """A checkpoint, empty when missing or damaged: recovery then reads more, and loses nothing."""
        try:
            return parse_offsets(self.disk.read(self._in(name)))
        except (FileNotFoundError, CorruptCheckpoint):
            return {}

    def fail(self, failure: DiskFailure) -> None:
        """The directory goes offline: every partition in it refuses with KAFKA_STORAGE_ERROR.

        The metadata log goes on as long as the disk takes its records: it is the broker's own, and fails by itself.
        """
        if self.failure is not None:
            return
        self.failure = failure
        for where, log in list(self.logs.items()):
            if where != METADATA_PARTITION:
                log.fail(failure)
        self.on_failure(failure)

    def close(
        self, *, clean: bool, high_watermarks: Mapping[TopicPartition, int] = NO_OFFSETS, broker_epoch: int = -1
    ) -> bool:
        """Close all logs and unlock. `clean`: flush, checkpoint, leave the marker (blocks); was it a clean stop?

        Harmless twice. Queued writes must be over, otherwise the stop isn't clean.
        """
        if self._lock is None:
            return False
        results = [log.close(clean=clean) for log in self.logs.values()]
        is_clean = clean and all(results) and self.failure is None and not self._unopened
        try:
            if is_clean:
                self._checkpoint_work(high_watermarks)()
                marker = json.dumps({"version": 0, "brokerEpoch": broker_epoch})
                self.disk.replace(self._in(CLEAN_FILE), marker.encode())
        except DiskFailure as failure:
            self.failure = failure
            is_clean = False
        self._lock.release()
        self._lock = None
        return is_clean


def _nobody_told(failure: DiskFailure) -> None:
    """Nobody listens to the directory's fate."""


def _ignore(result: DiskFailure | None) -> None:
    """What can't be removed costs space and is tried again at the next start."""
