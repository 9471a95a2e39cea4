"""All the log directories of a broker (JBOD): which can be used, which log lies where, where a new one goes.

Each directory is locked, formatted, checkpointed and stopped cleanly by itself. One that cannot be used at the start,
or fails later, is offline until the next start: its logs are not looked for, nor made again, anywhere else. The
metadata log has its own directory, or shares the first one; without that one there is no broker.
Source: Kafka's LogManager, MetaPropertiesEnsemble, KIP-112, KIP-858.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from kbroker.log.checkpoints import CorruptCheckpoint, parse_partition_metadata
from kbroker.log.directory import LOGS_PER_STEP, NO_OFFSETS, LogDirectory
from kbroker.log.dormant import measure_sleeping
from kbroker.log.meta_properties import FILE_NAME, ForeignDirectory, UnreadableProperties
from kbroker.log.nobody import nobody_told
from kbroker.log.open_files import OPEN_FILES_MAX, OpenFiles
from kbroker.log.partition_log import PartitionLog
from kbroker.log.partition_metadata import METADATA_FILE
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition, uuid_text
from kbroker.world import Clock, DirectoryLocked, Disk, DiskFailure, Entropy


class DuplicateLog(Exception):
    """One partition lies in two directories, and nobody can know which one counts; str() names both."""


class NewLog(NamedTuple):
    """A log that never was, and where it has to be; None: where most room is."""

    where: TopicPartition
    topic_id: bytes
    home: LogDirectory | None


class LogDirectories:
    """The directories of `log.dirs` in their order, those of them that can be used, and the metadata log's."""

    def __init__(
        self,
        metadata: LogDirectory,
        online: Sequence[LogDirectory],
        failures: Mapping[str, DiskFailure],
        paths: Sequence[str],
    ) -> None:
        self.metadata = metadata
        self.online = list(online)
        self.failures = dict(failures)
        self.paths = tuple(paths)
        self.on_failure: Callable[[LogDirectory, DiskFailure], None] = nobody_told
        self._all = [metadata, *(directory for directory in online if directory is not metadata)]
        self._by_path = {directory.path: directory for directory in self._all}
        self._holders: dict[TopicPartition, LogDirectory] = {}
        for directory in self._all:
            directory.on_failure = self._failing(directory)

    @classmethod
    def open(
        cls,
        disk: Disk,
        paths: Sequence[str],
        clock: Clock,
        entropy: Entropy,
        *,
        node_id: int,
        cluster_id: str | None = None,
        metadata_path: str | None = None,
        open_files_max: int = OPEN_FILES_MAX,
    ) -> LogDirectories:
        """Lock all directories, format the fresh ones, see that they belong together; `cluster_id` None or "" takes
        what is there.

        A directory that the disk refuses is left out, unless it is the metadata log's or no other is left for records.
        Raises DirectoryLocked, ForeignDirectory, DiskFailure.
        """
        paths = [_plain(path) for path in paths]
        home = _plain(metadata_path) if metadata_path else paths[0]
        if len(set(paths)) < len(paths):
            raise ForeignDirectory(f"a log directory is named twice: {', '.join(paths)}")
        files = OpenFiles(disk, open_files_max)
        opened: dict[str, LogDirectory] = {}
        failures: dict[str, DiskFailure] = {}
        try:
            for path in dict.fromkeys((home, *paths)):
                try:
                    opened[path] = LogDirectory.locked(disk, path, clock, entropy, files)
                except (DiskFailure, UnreadableProperties) as error:
                    if path == home:
                        raise
                    failures[path] = error if isinstance(error, DiskFailure) else DiskFailure(path, str(error))
            if failures.keys() >= set(paths):
                raise failures[paths[0]]
            _agree(opened, home, entropy, node_id, cluster_id)
        except (DirectoryLocked, ForeignDirectory, DiskFailure):
            for directory in opened.values():
                directory.unlock()
            raise
        online = [opened[path] for path in paths if path in opened]
        return cls(opened[home], online, failures, paths)

    # ---- identity

    @property
    def cluster_id(self) -> str:
        """Of the cluster that all of them were formatted for."""
        return self.metadata.cluster_id

    @property
    def ids(self) -> list[bytes]:
        """The directory ids of those that can be used, for the broker's registration."""
        return [directory.directory_id for directory in self.online]

    def left_whole(self, broker_epoch: int) -> dict[bytes, set[TopicPartition]]:
        """By directory id: the logs that are as that life of the broker left them; see LogDirectory.left_whole."""
        return {directory.directory_id: directory.left_whole(broker_epoch) for directory in self.online}

    def by_id(self, directory_id: bytes) -> LogDirectory | None:
        """The usable directory of that id."""
        return next((each for each in self.online if each.directory_id == directory_id), None)

    def directory_of(self, log: PartitionLog) -> LogDirectory:
        """Where a log lies."""
        return self._by_path[log.directory.rpartition("/")[0]]

    @property
    def damage(self) -> Iterator[str]:
        """The directories' own files that were damaged or missing at the start, one sentence each."""
        for directory in self._all:
            yield from directory.damage

    # ---- logs

    def begin(self) -> None:
        """From here on a crash counts; see LogDirectory.begin. One that cannot do that fails.

        Raises DiskFailure for the metadata log's.
        """
        self.metadata.begin()
        for directory in list(self.online):
            try:
                directory.begin()
            except DiskFailure as failure:
                directory.fail(failure)

    def check_held_once(self, claims: Mapping[TopicPartition, bytes]) -> None:
        """See that no partition lies in two directories, before anything is written; `claims` as for look_round().

        Raises DuplicateLog.
        """
        holders: dict[TopicPartition, LogDirectory] = {}
        for directory in self.online if len(self.online) > 1 else ():
            try:
                for where in filter(claims.__contains__, directory.partitions()):
                    _note(holders, where, directory, claims[where])
            except DiskFailure:
                continue  # look_round meets it again

    def look_round(self, claims: Mapping[TopicPartition, bytes]) -> list[TopicPartition]:
        """Find the logs that are there. `claims` are the topic ids of the partitions that this node has to hold.

        The logs of all others are set aside as strays; which they were. Where a partition lies twice, a log of another
        topic by its name is a stray too. Raises DuplicateLog.
        """
        strays = []
        for directory in list(self.online):
            try:
                strays += directory.set_aside_strays(claims)
                for where in list(directory.partitions()):
                    strays += self._found(where, directory, claims[where])
            except DiskFailure as failure:
                directory.fail(failure)
        return strays

    def _found(self, where: TopicPartition, directory: LogDirectory, topic_id: bytes) -> list[TopicPartition]:
        """Note where a log lies; the strays that came to light."""
        foreign = _note(self._holders, where, directory, topic_id)
        for each in foreign:
            each.set_aside(where)
        return [where] * len(foreign)

    def holder(self, where: TopicPartition) -> LogDirectory | None:
        """The usable directory where the partition's log lies."""
        return self._holders.get(where)

    def roomiest(self) -> LogDirectory:
        """Where a new log goes: the directory with the fewest, the first of them. Raises DiskFailure without any."""
        if not self.online:
            raise next(iter(self.failures.values()))
        return min(self.online, key=lambda each: each.logs_count)

    def make_logs(self, wanted: Sequence[NewLog], done: Callable[[], None]) -> None:
        """Have a worker make the files of logs that never were, then call `done`: open_log has less to do then.

        What cannot be made in this way is left to open_log.
        """
        names = [new.where for new in wanted]
        cleared = iter(tuple(self.online))

        def clear() -> None:
            """In one directory after the other: in most of them there is nothing to do."""
            directory = next(cleared, None)
            if directory is None:
                self._make_logs(wanted, done)
            else:
                directory.clear_names(names, clear)

        clear()

    def _make_logs(self, wanted: Sequence[NewLog], done: Callable[[], None]) -> None:
        homes: list[tuple[NewLog, LogDirectory]] = []
        works: list[Callable[[], bool]] = []
        for new in wanted:
            home = new.home or (self.roomiest() if self.online else None)
            if home is None or home.failure is not None or new.where in self._holders:
                continue
            try:
                works.append(home.making(new.where, new.topic_id))
            except DiskFailure:
                continue  # open_log meets it again
            homes.append((new, home))
            self._holders[new.where] = home

        def over(results: list[bool] | DiskFailure) -> None:
            assert isinstance(results, list), "each failure counts for its log alone"
            for (new, home), is_new in zip(homes, results, strict=True):
                home.made(new.where, is_new=is_new)
            done()

        self.metadata.disk.in_worker(lambda: [_is_done(work) for work in works], over)

    def open_log(
        self, where: TopicPartition, topic_id: bytes, settings: LogSettings, home: LogDirectory | None = None
    ) -> PartitionLog:
        """The partition's log, made where it isn't there: in `home`, or else in the roomiest. Raises DiskFailure."""
        directory = self._holders.get(where) or home or self.roomiest()
        log = directory.open_log(where, topic_id, settings)
        self._holders[where] = directory
        return log

    def delete_log(self, log: PartitionLog) -> None:
        """See LogDirectory.delete_log."""
        self._holders.pop(log.topic_partition, None)
        self.directory_of(log).delete_log(log)

    def delete_unopened(self, where: TopicPartition) -> None:
        """See LogDirectory.delete_unopened."""
        for directory in list(self.online):
            if directory.delete_unopened(where):
                self._holders.pop(where, None)

    # ---- upkeep

    def measure_sleeping(self, done: Callable[[], None]) -> None:
        """Learn how large the logs are that sleep, in a worker, then call `done`: at once where all are known."""
        logs = [log for directory in self.online for log in directory.logs.values()]
        measure_sleeping(self.metadata.disk, logs, done)

    def sync_overdue(self) -> Iterator[None]:
        """Sync the logs that have waited for `flush.ms`, one directory after the other; in steps."""
        for directory in list(self.online):
            yield from directory.sync_overdue()

    def checkpoint_recovery_points(self) -> Iterator[None]:
        """Write down up to where logs are on the medium, each directory for itself; in steps, others are served in
        between."""
        for directory in list(self.online):
            yield from directory.checkpoint_recovery_points()

    def checkpoint_log_starts(self) -> Iterator[None]:
        """Write down where logs begin that don't begin with their first segment; in steps."""
        for directory in list(self.online):
            yield from directory.checkpoint_log_starts()

    def checkpoint_high_watermarks(self, high_watermarks: Iterable[tuple[TopicPartition, int]]) -> Iterator[None]:
        """Write down up to where logs are replicated; in steps."""
        for count, (where, high_watermark) in enumerate(high_watermarks, 1):
            directory = self._holders.get(where)
            if directory is not None:
                directory.note_high_watermark(where, high_watermark)
            if count % LOGS_PER_STEP == 0:
                yield
        for directory in list(self.online):
            directory.save_high_watermarks()

    # ---- the end

    def _failing(self, directory: LogDirectory) -> Callable[[DiskFailure], None]:
        return lambda failure: self._failed(directory, failure)

    def _failed(self, directory: LogDirectory, failure: DiskFailure) -> None:
        self.failures[directory.path] = failure
        self.online = [each for each in self.online if each is not directory]
        self._holders = {where: each for where, each in self._holders.items() if each is not directory}
        self.on_failure(directory, failure)

    def close(
        self, *, clean: bool, high_watermarks: Mapping[TopicPartition, int] = NO_OFFSETS, broker_epoch: int = -1
    ) -> bool:
        """Close all logs and unlock; did every directory that opened stop cleanly? See LogDirectory.close."""
        results = [
            directory.close(clean=clean, high_watermarks=high_watermarks, broker_epoch=broker_epoch)
            for directory in self._all
        ]
        return all(results)


def _plain(path: str) -> str:
    return path.rstrip("/") if len(path) > 1 else path


def _agree(
    opened: Mapping[str, LogDirectory], home: str, entropy: Entropy, node_id: int, cluster_id: str | None
) -> None:
    """Refuse what doesn't belong, then claim what is fresh. Raises ForeignDirectory, DiskFailure.

    Only a fresh home is written at once; the others when they begin, for the start may be refused yet.
    """
    formatted = [directory for directory in opened.values() if directory.is_formatted]
    if formatted and not opened[home].is_formatted:
        # Its disk may not be mounted; a fresh metadata log would turn every log into a stray.
        raise ForeignDirectory(
            f"{home} has no {FILE_NAME} although {formatted[0].path} has one: the metadata log's directory must not be "
            "a new one (see metadata.log.dir)"
        )
    if not formatted and opened[home].has_metadata:
        raise ForeignDirectory(
            f"{home} holds a metadata log and no {FILE_NAME}: the cluster's id is lost, and a new one would be another "
            "cluster's; restore the file"
        )
    seen: dict[bytes, str] = {}
    for path, directory in opened.items():
        if path != home and directory.has_metadata_log:
            raise ForeignDirectory(f"{path} holds a metadata log, and {home} is its directory (see metadata.log.dir)")
        if directory.meta is None:
            continue
        directory.check_identity(cluster_id or opened[home].cluster_id, node_id)
        other = seen.setdefault(directory.meta.directory_id or path.encode(), path)
        if other != path:
            raise ForeignDirectory(f"{other} and {path} have the same directory id: one is a copy of the other")
    owner = opened[home].cluster_id if formatted else cluster_id or uuid_text(entropy.uuid())
    for directory in opened.values():
        directory.claim(owner, node_id)
    if not formatted:
        opened[home].write_identity()


def _note(
    holders: dict[TopicPartition, LogDirectory], where: TopicPartition, directory: LogDirectory, topic_id: bytes
) -> list[LogDirectory]:
    """Note where a log lies; where it lies twice, the directories in which it is another topic's.

    Raises DuplicateLog, DiskFailure.
    """
    other = holders.setdefault(where, directory)
    if other is directory:
        return []
    foreign = [each for each in (other, directory) if not _is_of_topic(each, where, topic_id)]
    if not foreign:
        raise DuplicateLog(
            f"{where} lies in both {other.path} and {directory.path}: remove one of the two, most likely the one "
            "whose disk failed last"
        )
    if other in foreign:
        del holders[where]
        if directory not in foreign:
            holders[where] = directory
    return foreign


def _is_of_topic(directory: LogDirectory, where: TopicPartition, topic_id: bytes) -> bool:
    try:
        data = directory.disk.read(f"{directory.path}/{where}/{METADATA_FILE}")
        return parse_partition_metadata(data) == topic_id
    except (FileNotFoundError, CorruptCheckpoint):
        return True  # it claims nothing else


def _is_done(work: Callable[[], bool]) -> bool:
    try:
        return work()
    except DiskFailure:
        return False  # open_log meets it again, and takes the directory offline
