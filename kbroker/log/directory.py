"""A log directory: who owns it, the partitions in it, and the checkpoints that they share.

    .lock                               held while a broker uses the directory
    meta.properties                     cluster, node and directory id
    .kafka_cleanshutdown                written last by a clean stop, removed first by the next start
    recovery-point-offset-checkpoint    up to where each log has been fsynced
    log-start-offset-checkpoint         logs whose start DeleteRecords has moved
    replication-offset-checkpoint       high watermarks
    cleaner-offset-checkpoint           up to where compaction has been
    <topic>-<p>/                        a log;  .<uuid>-delete goes soon,  .<uuid>-stray belongs to no topic,
                                        .<uuid>-future is a copy that Kafka had not finished: left alone
Source: Kafka's LogManager.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from kbroker.log.clean_marker import format_marker, parse_marker
from kbroker.log.damage import DamagedBatch
from kbroker.log.directory_checkpoints import (
    CLEANED_ENDS_FILE,
    HIGH_WATERMARKS_FILE,
    LOG_STARTS_FILE,
    RECOVERY_POINTS_FILE,
    DirectoryCheckpoints,
)
from kbroker.log.dormant import find_asleep, make_files, new_asleep
from kbroker.log.mended import Mended
from kbroker.log.meta_properties import FILE_NAME, ForeignDirectory, MetaProperties, parse_meta_properties
from kbroker.log.nobody import nobody_told, only_costs_space
from kbroker.log.open_files import OPEN_FILES_MAX, OpenFiles
from kbroker.log.partition_log import InconsistentTopicId, PartitionLog
from kbroker.log.partition_metadata import METADATA_FILE
from kbroker.log.place import LogPlace, partition_named
from kbroker.log.recovery import LOG_SUFFIX, check_undamaged
from kbroker.log.settings import LogSettings
from kbroker.log.stopping import write_out_together
from kbroker.names import METADATA_TOPIC, METADATA_TOPIC_ID, TopicPartition, uuid_text
from kbroker.world import Clock, Disk, DiskFailure, Entropy, Lock

LOCK_FILE: Final = ".lock"
CLEAN_FILE: Final = ".kafka_cleanshutdown"
DELETE_SUFFIX: Final = "-delete"
STRAY_SUFFIX: Final = "-stray"
_NAME_MAX = 255
"""File systems take no longer names; Kafka shortens the topic's part of a renamed directory."""


LOGS_PER_STEP: Final = 250
"""Logs whose offsets are noted in a row for a checkpoint: three or four microseconds each."""
SYNCS_MAX: Final = 32
"""Overdue logs that are synced at once: each keeps its files open meanwhile, and takes 30 us to begin."""

CHECKPOINTS_OF_A_STOP: Final = (RECOVERY_POINTS_FILE, LOG_STARTS_FILE, HIGH_WATERMARKS_FILE)
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
        self.on_failure: Callable[[DiskFailure], None] = nobody_told
        self._clock = clock
        self._entropy = entropy
        self._files = files
        self._lock: Lock | None = lock
        self._is_started = self._is_claimed = False
        self.meta = self._read_meta()
        self.was_clean = disk.exists(self._in(CLEAN_FILE))
        # Kafka leaves some empty where no log was ever made.
        expected = CHECKPOINTS_OF_A_STOP if self.was_clean and any(self.partitions()) else ()
        self._checkpoints = DirectoryCheckpoints(disk, path, self.fail, expected)
        # Formatted, and not for the first time.
        self._lost_meta = self.meta is None and any(self.partitions())
        # Checkpoints with offsets that their files lack.
        self._moved: set[str] = set()
        # Logs that failed to open: not recovered, so the next start must try again, with the same checkpoints.
        self._unopened: dict[TopicPartition, LogSettings] = {}
        # Recovered logs of which the file of recovery points says more than they do.
        self._overrated: set[TopicPartition] = set()
        # Logs of which a worker makes the files; whether it has.
        self._new: dict[TopicPartition, bool] = {}

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
        directory = cls.locked(disk, path, clock, entropy, OpenFiles(disk, open_files_max))
        try:
            if directory.meta is not None:
                directory.check_identity(cluster_id, node_id)
                cluster_id = directory.cluster_id
            directory.claim(cluster_id or uuid_text(entropy.uuid()), node_id)
            directory.write_identity()
        except (DiskFailure, ForeignDirectory):
            directory.unlock()
            raise
        return directory

    @classmethod
    def locked(cls, disk: Disk, path: str, clock: Clock, entropy: Entropy, files: OpenFiles) -> LogDirectory:
        """Lock the directory, made if it is new, and read what it says of itself; its identity is not looked at.

        Raises DirectoryLocked, UnreadableProperties, DiskFailure.
        """
        path = path.rstrip("/") if len(path) > 1 else path
        disk.make_directory(path)
        lock = disk.lock(f"{path}/{LOCK_FILE}")
        try:
            return cls(disk, path, clock, entropy, files, lock)
        except (DiskFailure, ForeignDirectory):
            lock.release()
            raise

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

    def claim(self, cluster_id: str, node_id: int) -> None:
        """Make a fresh directory, or one without an id, this node's of this cluster; written by write_identity()."""
        if self.meta is None or self.meta.directory_id is None:
            self.meta = MetaProperties(cluster_id, node_id, self._entropy.uuid())
            self._is_claimed = True

    def write_identity(self) -> None:
        """Write down what is claimed and not written yet; begin() does. Raises DiskFailure."""
        if self._is_claimed:
            assert self.meta is not None
            self.disk.replace(self._in(FILE_NAME), self.meta.format())
            self._is_claimed = False

    @property
    def has_metadata_log(self) -> bool:
        """Is there a directory of the metadata log in it?"""
        return self.disk.is_directory(self._in(str(METADATA_PARTITION)))

    @property
    def has_metadata(self) -> bool:
        """Was the metadata log ever begun? Formatting leaves a directory without."""
        return self.has_metadata_log and any(
            name.endswith(LOG_SUFFIX) for name in self.disk.list(self._in(str(METADATA_PARTITION)))
        )

    def check_identity(self, cluster_id: str | None, node_id: int) -> None:
        """See that it was formatted for this cluster (None or "": any) and node. Raises ForeignDirectory."""
        if self.meta is None:
            raise ForeignDirectory(f"{self.path} is not formatted")
        if cluster_id and self.meta.cluster_id != cluster_id:
            raise ForeignDirectory(f"{self.path} belongs to cluster {self.meta.cluster_id}, not {cluster_id}")
        if self.meta.node_id != node_id:
            raise ForeignDirectory(f"{self.path} belongs to node {self.meta.node_id}, not {node_id}")

    # ---- logs

    def begin(self) -> None:
        """From here on a crash counts: remove the marker of the last clean stop, and what was being deleted.

        Comes by itself with the first log of a partition; the metadata log's owner says when.
        """
        if self._is_started:
            return
        self._is_started = True
        self.write_identity()
        self.disk.remove(self._in(CLEAN_FILE))
        # Were the marker back after a power failure, torn logs would be trusted. Nor may a name that the last process
        # freed be the old log's again.
        self.disk.sync_directory(self.path)
        self._checkpoints.mend()
        for name in self.disk.list(self.path):
            if name.endswith(DELETE_SUFFIX):
                self.disk.in_remover(partial(self.disk.remove_tree, self._in(name)), only_costs_space)

    def partitions(self) -> Iterator[TopicPartition]:
        """The partitions that have a directory; the metadata log is not one of them."""
        for name in self.disk.list(self.path):
            where = partition_named(name)
            if where is not None and where.topic != METADATA_TOPIC and self.disk.is_directory(self._in(name)):
                yield where

    def open_metadata_log(self, settings: LogSettings = METADATA_SETTINGS, *, snapshot_end: int = 0) -> PartitionLog:
        """`__cluster_metadata-0`, made when it isn't there. Raises DiskFailure, InconsistentTopicId, CorruptRecords.

        It is never set aside, nor cut anywhere but at its torn end: what names every topic is lost with it. Until
        begin() an undamaged directory stays as it is, so that a start that is refused can be tried again. The newest
        snapshot of the image has what was before `snapshot_end`.
        """
        if not self.was_clean:
            # The marker of a clean stop may be gone only as far as names go that a power failure brings back: with it,
            # what recovery has half done would be trusted.
            self.disk.sync_directory(self.path)
        path = self._in(str(METADATA_PARTITION))
        check_undamaged(self.disk, path, was_clean=self.was_clean, kept_end=snapshot_end)
        return self._adopt(self._open(METADATA_PARTITION, METADATA_TOPIC_ID, settings))

    def open_log(self, where: TopicPartition, topic_id: bytes, settings: LogSettings) -> PartitionLog:
        """The partition's log, made when it isn't there; `on_progress` is the caller's to set.

        A directory of another topic with the same name is set aside as stray. Raises DamagedBatch, which costs that log
        alone, and DiskFailure, which takes the directory offline.
        """
        if self.failure is not None:
            raise self.failure
        self.begin()
        self._unopened[where] = settings
        try:
            log = self._adopt(self._open_as(where, topic_id, settings))
        except DamagedBatch:
            raise
        except DiskFailure as failure:
            self.fail(failure)
            raise
        del self._unopened[where]
        return log

    @property
    def logs_count(self) -> int:
        """Of partitions, also of those that are being made."""
        return len(self.logs) - (METADATA_PARTITION in self.logs) + len(self._new)

    def clear_names(self, names: Iterable[TopicPartition], done: Callable[[], None]) -> None:
        """Logs of these names are going to be made: see, in a worker, that no older ones are back after a crash.

        Then, or at once where there were none, `done` is called. making() and open_log() do what was not done here.
        """
        if self.failure is not None:
            done()
            return
        older = filter(self._checkpoints.is_in_the_way, names)
        gone = [where for where in older if not self.disk.is_directory(self._in(str(where)))]
        self._checkpoints.begin_anew_later(gone, done)

    def making(self, where: TopicPartition, topic_id: bytes) -> Callable[[], bool]:
        """What a worker has to do before made(): the files of a log that never was. open_log has less to do then.

        May raise DiskFailure.
        """
        path = self._in(str(where))
        self.begin()
        if not self.disk.is_directory(path):
            self._checkpoints.begin_anew(where)
        self._new[where] = False
        return partial(make_files, self.disk, path, topic_id)

    def made(self, where: TopicPartition, *, is_new: bool) -> None:
        """The worker is over; not `is_new`: it did nothing, and open_log has to look."""
        if is_new:
            self._new[where] = True
        else:
            self._new.pop(where, None)

    def _open_as(self, where: TopicPartition, topic_id: bytes, settings: LogSettings) -> PartitionLog:
        try:
            return self._open(where, topic_id, settings)
        except InconsistentTopicId as other:
            path = self.set_aside(where)
            log = self._open(where, topic_id, settings)
            aside = f"that log is set aside as {path.rpartition('/')[2]}"
            log.mended.append(Mended(METADATA_FILE, f"was of topic id {uuid_text(other.found)}", aside))
            return log

    def _adopt(self, log: PartitionLog) -> PartitionLog:
        where = log.topic_partition
        self._lower_recovery_point(where, log.log_end)
        if self.recovery_points.get(where, 0) > log.recovery_point:
            if not self._overrated:
                self._clock.soon(self._lower_soon)
            self._overrated.add(where)
            log.on_sealing = self._lower_now
        log.on_failure = self.fail
        log.on_truncation = partial(self._lower_recovery_point, where)
        self.logs[where] = log
        return log

    def _open(self, where: TopicPartition, topic_id: bytes, settings: LogSettings) -> PartitionLog:
        place = LogPlace(self.disk, self._in(str(where)), where, topic_id, settings, self._clock, self._files)
        if self._new.pop(where, False):
            return new_asleep(place)
        recovery_point, log_start = self.recovery_points.get(where, 0), self.log_starts.get(where, 0)
        if self.was_clean and where in self.recovery_points:
            asleep = find_asleep(place, recovery_point=recovery_point, log_start=log_start)
            if asleep is not None:
                return asleep
        # One that is not in the file was not written out; where there is no file, the marker vouches, as in Kafka.
        is_vouched = RECOVERY_POINTS_FILE in self._checkpoints.lost
        if not self.disk.is_directory(place.directory):
            self._checkpoints.begin_anew(where)
            recovery_point, log_start, is_vouched = 0, 0, False
        is_clean = self.was_clean and (where in self.recovery_points or where == METADATA_PARTITION or is_vouched)
        return PartitionLog.open(place, recovery_point=recovery_point, log_start=log_start, clean=is_clean)

    def _lower_recovery_point(self, where: TopicPartition, end: int) -> None:
        """The log loses, or has lost, what is behind `end`: what comes there next is not to be trusted for it."""
        if self.recovery_points.get(where, 0) > end:
            self._checkpoints[RECOVERY_POINTS_FILE][where] = end
            self._checkpoints.lower(RECOVERY_POINTS_FILE)

    def _lower_now(self) -> None:
        """A log that was recovered seals its segment, maybe at the recovery point: what the start has written anew of
        its indexes is not on the medium, and would be trusted. All such logs at once: they may be thousands.
        """
        if self._overrated:
            self._note_overrated()
            self._overrated.clear()
            self._checkpoints.lower(RECOVERY_POINTS_FILE)

    def _lower_soon(self) -> None:
        """The same in a worker, as soon as others have their turn, so that hardly ever an append waits for it."""
        if self._lock is None or self.failure is not None or not self._overrated:
            return
        self._note_overrated()
        names = frozenset(self._overrated)
        self._checkpoints.save((RECOVERY_POINTS_FILE,), partial(self._lowered, names))

    def _note_overrated(self) -> None:
        for where in self._overrated & self.logs.keys():
            self._note(RECOVERY_POINTS_FILE, where, self.logs[where].recovery_point)

    def _lowered(self, names: frozenset[TopicPartition]) -> None:
        if self.failure is None:
            self._overrated -= names
            self._lower_soon()

    def left_whole(self, broker_epoch: int) -> set[TopicPartition]:
        """The partitions whose logs are as that life of the broker left them: it stopped cleanly, and they are here.

        To be asked before begin(). A directory that was put back from a copy is of another broker epoch.
        """
        if not self.was_clean or parse_marker(self.disk.read(self._in(CLEAN_FILE))) != broker_epoch:
            return set()
        return self.recovery_points.keys() & set(self.partitions())

    def set_aside_strays(self, claimed: Container[TopicPartition]) -> list[TopicPartition]:
        """Rename the directories of partitions that nobody claims; which they were."""
        strays = [where for where in self.partitions() if where not in claimed]
        for where in strays:
            self.set_aside(where)
        return strays

    def set_aside(self, where: TopicPartition) -> str:
        """Rename the directory of a partition that no topic claims; its new path. Nothing is removed."""
        self._moved.update(self._checkpoints.forget(where))
        return self._rename_away(where, STRAY_SUFFIX)

    def delete_log(self, log: PartitionLog) -> None:
        """Close the log and take it out of sight; its files go after `file.delete.delay.ms`.

        A disk that refuses takes the directory offline.
        """
        self.logs.pop(log.topic_partition, None)
        log.close(clean=False)
        self._delete(log.topic_partition, log.settings)

    def delete_unopened(self, where: TopicPartition) -> bool:
        """As delete_log, for a log that could not be opened; False where there is none of that name."""
        settings = self._unopened.pop(where, None)
        if settings is not None:
            self._delete(where, settings)
        return settings is not None

    def _delete(self, where: TopicPartition, settings: LogSettings) -> None:
        self._moved.update(self._checkpoints.forget(where))
        try:
            path = self._rename_away(where, DELETE_SUFFIX)
        except FileNotFoundError:
            return  # somebody was faster
        except DiskFailure as failure:
            self.fail(failure)
            return
        self._clock.call_at(
            self._clock.monotonic_ms() + settings.file_delete_delay_ms,
            lambda: self.disk.in_remover(partial(self.disk.remove_tree, path), only_costs_space),
        )

    def _rename_away(self, where: TopicPartition, suffix: str) -> str:
        tail = f"-{where.partition}.{self._entropy.uuid().hex()}{suffix}"
        path = self._in(where.topic[: _NAME_MAX - len(tail)] + tail)
        self.disk.rename(self._in(str(where)), path)
        return path

    # ---- upkeep

    def sync_overdue(self) -> Iterator[None]:
        """Sync the logs that have waited for `flush.ms`, no more than SYNCS_MAX at once; in steps."""
        under_way: list[tuple[PartitionLog, int]] = []
        for count, log in enumerate(list(self.logs.values()), 1):
            was_syncing = log.is_syncing
            log.sync_if_overdue()
            if log.is_syncing and not was_syncing:
                under_way.append((log, log.written_end))
                while len(under_way) >= SYNCS_MAX:
                    yield
                    # One that is written to in `produce.sync` goes from sync to sync.
                    under_way = [one for one in under_way if one[0].is_syncing and one[0].flushed_end < one[1]]
            if count % LOGS_PER_STEP == 0:
                yield

    def checkpoint(self, high_watermarks: Mapping[TopicPartition, int] = NO_OFFSETS) -> None:
        """Bring recovery points, log starts and high watermarks (else: what is written) to their files, in a worker."""
        if self.failure is None:
            self._note_offsets(high_watermarks)
            self._save((RECOVERY_POINTS_FILE, LOG_STARTS_FILE, HIGH_WATERMARKS_FILE))

    def checkpoint_recovery_points(self) -> Iterator[None]:
        """Bring recovery points to their file, in a worker; in steps, between which others are served."""
        yield from self._noting(RECOVERY_POINTS_FILE, _recovery_point)
        self._save((RECOVERY_POINTS_FILE,))

    def checkpoint_log_starts(self) -> Iterator[None]:
        """Bring log starts to their file, in a worker, where any changed; in steps."""
        yield from self._noting(LOG_STARTS_FILE, _moved_start)
        self._save((LOG_STARTS_FILE,), only_moved=True)

    def note_high_watermark(self, where: TopicPartition, high_watermark: int) -> None:
        """Keep it for the checkpoint, where the log is in this directory."""
        if where in self.logs:
            self._note(HIGH_WATERMARKS_FILE, where, high_watermark)

    def save_high_watermarks(self) -> None:
        """Bring those that were noted to their file, in a worker, where any changed."""
        self._save((HIGH_WATERMARKS_FILE,), only_moved=True)

    def high_watermark(self, where: TopicPartition) -> int:
        """As it was last written down, 0 if it never was; the log may have been cut since."""
        return self._checkpoints[HIGH_WATERMARKS_FILE].get(where, 0)

    @property
    def recovery_points(self) -> Mapping[TopicPartition, int]:
        """Up to where each log was on the medium, as last written down."""
        return self._checkpoints[RECOVERY_POINTS_FILE]

    @property
    def log_starts(self) -> Mapping[TopicPartition, int]:
        """Where logs begin of which DeleteRecords has moved the start, as last written down."""
        return self._checkpoints[LOG_STARTS_FILE]

    @property
    def cleaned_ends(self) -> Mapping[TopicPartition, int]:
        """Up to where compaction has been, exclusive (Kafka: the first dirty offset); for logs that it has seen."""
        return self._checkpoints[CLEANED_ENDS_FILE]

    def note_cleaned_end(self, where: TopicPartition, end: int) -> None:
        """Compaction has been up to `end`: write it down, in a worker."""
        if self.failure is None and where in self.logs:
            self._checkpoints[CLEANED_ENDS_FILE][where] = end
            self._checkpoints.save((CLEANED_ENDS_FILE,))

    @property
    def damage(self) -> Sequence[str]:
        """Which of its own files were damaged or missing at the start, and how: one sentence each."""
        lost_meta = [f"{self._in(FILE_NAME)} is missing: formatted anew, with its logs"] if self._lost_meta else []
        return [*lost_meta, *self._checkpoints.damage]

    def _note_offsets(self, high_watermarks: Mapping[TopicPartition, int]) -> None:
        def replicated(log: PartitionLog) -> int:
            return high_watermarks.get(log.topic_partition, log.written_end)

        for name, offset_of in (
            (RECOVERY_POINTS_FILE, _recovery_point),
            (LOG_STARTS_FILE, _moved_start),
            (HIGH_WATERMARKS_FILE, replicated),
        ):
            for _ in self._noting(name, offset_of):
                pass

    def _noting(self, name: str, offset_of: Callable[[PartitionLog], int | None]) -> Iterator[None]:
        """Take the offsets of all logs over as they are at their turn; None: the file says nothing of that log.

        What is noted of a log is true until the log is cut or gone, which takes it back: no matter when the others are
        noted.
        """
        for count, (where, log) in enumerate(list(self.logs.items()), 1):
            if self.logs.get(where) is log:
                self._note(name, where, offset_of(log))
            if count % LOGS_PER_STEP == 0:
                yield

    def _note(self, name: str, where: TopicPartition, offset: int | None) -> None:
        offsets = self._checkpoints[name]
        # The metadata log has no place in these files: Kafka recovers it whole and keeps its state in the quorum's.
        if offsets.get(where) == offset or where == METADATA_PARTITION:
            return
        self._moved.add(name)
        if offset is None:
            del offsets[where]
        else:
            offsets[where] = offset

    def _save(self, names: Sequence[str], *, only_moved: bool = False) -> None:
        """Have files written, in a worker."""
        if self.failure is not None:
            return
        self._leave_out_strangers(names)
        wanted = self._moved.intersection(names) if only_moved else names
        self._moved.difference_update(names)
        if wanted:
            self._checkpoints.save(wanted)

    def _leave_out_strangers(self, names: Sequence[str]) -> None:
        """What a start found noted of logs that are not here; those that did not open stay."""
        for name in names:
            offsets = self._checkpoints[name]
            for where in offsets.keys() - self.logs.keys() - self._unopened.keys():
                del offsets[where]
                self._moved.add(name)

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
        """Close all logs and unlock. `clean`: flush, checkpoint, leave the marker (blocks); did all end cleanly?

        Harmless twice. Queued writes must be over, otherwise the stop isn't clean. Logs that could not be opened cost
        the others nothing: the marker is left, and the next start recovers those without a recovery point.
        """
        if self._lock is None:
            return False
        if clean and self.failure is None:
            self._write_out_together()
        unclean = [log for log in self.logs.values() if not log.close(clean=clean)]
        unreadable = {log.topic_partition for log in unclean if _is_unreadable(log)} | self._unopened.keys()
        unreadable |= {log.topic_partition for log in self.logs.values() if log.is_fenced}
        is_clean = clean and all(map(_is_unreadable, unclean)) and self.failure is None
        try:
            if is_clean:
                self.write_identity()
                self._note_offsets(high_watermarks)
                self._leave_out_strangers(CHECKPOINTS_OF_A_STOP)
                for where in unreadable:
                    self._checkpoints[RECOVERY_POINTS_FILE].pop(where, None)
                self._checkpoints.write(CHECKPOINTS_OF_A_STOP)
                self.disk.replace(self._in(CLEAN_FILE), format_marker(broker_epoch))
        except DiskFailure as failure:
            self.failure = failure
            is_clean = False
        self.unlock()
        return is_clean and not unreadable

    def _write_out_together(self) -> None:
        try:
            write_out_together(self.disk, self.path, self.logs.values())
        except DiskFailure as failure:
            self.fail(failure)
        except FileNotFoundError as error:
            self.fail(DiskFailure(error.filename or self.path, "No such file or directory"))

    def unlock(self) -> None:
        """Let others have the directory; harmless twice."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _recovery_point(log: PartitionLog) -> int:
    return log.recovery_point


def _is_unreadable(log: PartitionLog) -> bool:
    """Did it fail alone, when it was looked at for the first time? Nothing was written to it."""
    return isinstance(log.failure, DamagedBatch)


def _moved_start(log: PartitionLog) -> int | None:
    return log.noted_start
