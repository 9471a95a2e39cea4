"""The offset checkpoints that the logs of one directory share: what the last start found, and how new ones are written.

    recovery-point-offset-checkpoint    up to where each log has been fsynced
    log-start-offset-checkpoint         logs whose start DeleteRecords has moved
    replication-offset-checkpoint       high watermarks
    cleaner-offset-checkpoint           up to where compaction has been

A damaged file counts as missing: recovery then reads more (but nothing after a clean stop, whose marker vouches for all
logs), deleted records may be seen again, compaction begins anew, and the start says which file it was (`damage`), or
which one a clean stop had left and is gone. Kafka means to do the same, but its failure handler takes the whole
directory offline as well, and again at every start.
Source: Kafka's OffsetCheckpointFile, LogManager, ReplicaManager, LogCleanerManager.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

from kbroker.log.checkpoints import CorruptCheckpoint, format_offsets, parse_offsets
from kbroker.names import TopicPartition
from kbroker.world import Disk, DiskFailure

RECOVERY_POINTS_FILE: Final = "recovery-point-offset-checkpoint"
LOG_STARTS_FILE: Final = "log-start-offset-checkpoint"
HIGH_WATERMARKS_FILE: Final = "replication-offset-checkpoint"
CLEANED_ENDS_FILE: Final = "cleaner-offset-checkpoint"
ALL_FILES: Final = (RECOVERY_POINTS_FILE, LOG_STARTS_FILE, HIGH_WATERMARKS_FILE, CLEANED_ENDS_FILE)

Offsets = dict[TopicPartition, int]


class DirectoryCheckpoints:
    """Offsets by file and partition. What is set here reaches the files by write(), save() or forgotten names."""

    def __init__(
        self, disk: Disk, path: str, on_failure: Callable[[DiskFailure], None], expected: Collection[str] = ()
    ) -> None:
        """`expected` are the files that the last stop has left for sure, with a line in them at least."""
        self._disk = disk
        self._path = path
        self._on_failure = on_failure
        self._expected = expected
        self.damage: list[str] = []
        self.lost: set[str] = set()
        """Files that were damaged, or missing though the last stop has left them."""
        self._damaged: list[str] = []
        self._files: dict[str, Offsets] = {name: self._read(name) for name in ALL_FILES}
        # Names that the medium may still hold, in the checkpoints or as directories, although their logs are gone.
        self._forgotten: set[TopicPartition] = set()
        self._forgotten_in: set[str] = set()
        # Those of them that a worker, who is at it at this moment, knows nothing of.
        self._forgotten_since: set[TopicPartition] = set()
        # The files among those that a worker writes at this moment.
        self._being_mended: set[str] = set()
        self._is_under_way = False
        # What the next worker writes, and who waits for it.
        self._again: set[str] = set()
        self._waiting: list[Callable[[], None]] = []

    def __getitem__(self, name: str) -> Offsets:
        """The offsets of a file, as they will be written: whoever changes them here says when, by save() or write()."""
        return self._files[name]

    def _read(self, name: str) -> Offsets:
        path = f"{self._path}/{name}"
        try:
            data = self._disk.read(path)
            if not data and name in self._expected:
                raise CorruptCheckpoint("empty")
            return parse_offsets(data)
        except FileNotFoundError:
            if name in self._expected:
                self.damage.append(f"{path} is missing")
                self.lost.add(name)
            return {}
        except CorruptCheckpoint as error:
            self.damage.append(f"{path} is damaged ({error}): counts as missing")
            self.lost.add(name)
            self._damaged.append(name)
            return {}

    # ---- names

    def forget(self, where: TopicPartition) -> list[str]:
        """The log is gone, and with it whatever is noted of it: which files have said something."""
        names = [name for name, offsets in self._files.items() if offsets.pop(where, None) is not None]
        self._forgotten_in.update(names)
        self._forgotten.add(where)
        self._forgotten_since.add(where)
        return names

    def is_in_the_way(self, where: TopicPartition) -> bool:
        """Was there a log of that name, which may be back after a crash?"""
        return where in self._forgotten or any(where in offsets for offsets in self._files.values())

    def begin_anew_later(self, names: Iterable[TopicPartition], done: Callable[[], None]) -> None:
        """As begin_anew for those of `names` that are in the way, by a worker; then, or at once, `done` is called.

        So it is where the disk refuses: `on_failure` was told before.
        """
        older = [where for where in names if self.is_in_the_way(where)]
        for where in older:
            self.forget(where)
        if not older:
            done()
            return
        self._waiting.append(done)
        if not self._is_under_way:
            self._save()

    def begin_anew(self, where: TopicPartition) -> None:
        """A log is going to be made: neither an older one by its name nor its offsets may be back after a crash."""
        if not self.is_in_the_way(where):
            return
        self.forget(where)
        outdated = self._forgotten_in | self._being_mended
        self.write(sorted(outdated))
        # The rename that took the older log away.
        self._disk.sync_directory(self._path)
        if self._is_under_way:
            # What a worker writes at this moment may still bring the old offsets back.
            self._again |= outdated
        else:
            self._forgotten.clear()
            self._forgotten_in.clear()

    # ---- writing

    def mend(self) -> None:
        """Write what was damaged anew, as it counts, in the calling thread. Raises DiskFailure."""
        self.write(self._damaged)
        self._damaged.clear()

    def write(self, names: Iterable[str]) -> None:
        """Bring files to the medium in the calling thread. Raises DiskFailure."""
        for name in names:
            self._disk.replace(*self._contents(name))

    def lower(self, name: str) -> None:
        """Bring a file whose offsets became less to the medium, before anything else happens. Raises DiskFailure."""
        self.write([name])
        if self._is_under_way:
            # What a worker writes at this moment may bring the old offsets back.
            self._again.add(name)

    def save(self, names: Iterable[str], done: Callable[[], None] | None = None) -> None:
        """Bring files to the medium in a worker, one batch after the other; a failure goes to `on_failure`.

        Then `done` is called, in either case.
        """
        self._again.update(names)
        if done is not None:
            self._waiting.append(done)
        if not self._is_under_way:
            self._save()

    def _save(self) -> None:
        self._is_under_way = True
        waiting, self._waiting = self._waiting, []
        written = self._again | (self._forgotten_in if waiting else set())
        self._again = set()
        self._being_mended = self._forgotten_in & written
        self._forgotten_in -= self._being_mended
        forgotten = frozenset() if self._forgotten_in else frozenset(self._forgotten)
        self._forgotten_since = set()
        offsets = [(f"{self._path}/{name}", dict(self._files[name])) for name in sorted(written)]

        def work() -> None:
            for path, values in offsets:
                self._disk.replace(path, format_offsets(values))
            if waiting:
                # The renames that took the older logs away.
                self._disk.sync_directory(self._path)

        self._disk.in_worker(work, lambda result: self._saved(result, forgotten, waiting))

    def _saved(
        self, result: DiskFailure | None, forgotten: frozenset[TopicPartition], waiting: list[Callable[[], None]]
    ) -> None:
        self._is_under_way = False
        if isinstance(result, DiskFailure):
            waiting += self._waiting
            self._waiting = []
            self._on_failure(result)
        else:
            self._being_mended = set()
            self._forgotten -= forgotten - self._forgotten_since
            if self._again or self._waiting:
                self._save()
        for done in waiting:
            done()

    def _contents(self, name: str) -> tuple[str, bytes]:
        return f"{self._path}/{name}", format_offsets(self._files[name])
