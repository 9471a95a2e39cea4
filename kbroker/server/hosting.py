"""From images to partitions: what this broker hosts follows what the metadata log says, and nothing else.

image published -> new assignments get a log -> leadership, epoch and ISR are taken over -> gone topics are deleted

A deleted topic is out of sight with the image that lacks it; its logs are closed and renamed some at a time, before
whoever deleted it is told, and before any new log is made.

A partition that belongs to a log directory that is not here (offline, or no longer configured) is not hosted and
nowhere made again: it answers KAFKA_STORAGE_ERROR until the directory is back.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from kbroker.config import BrokerConfig
from kbroker.controller.configs import log_settings, min_insync_replicas
from kbroker.controller.directories import ASSIGNMENTS_MAX, Placed, directory_of, is_online
from kbroker.log.damage import DamagedBatch
from kbroker.log.directories import LogDirectories, NewLog
from kbroker.log.directory import LogDirectory
from kbroker.log.kept_log import KeptLog
from kbroker.log.partition_log import PartitionLog
from kbroker.log.settings import LogSettings
from kbroker.metadata.delta import MetadataDelta
from kbroker.metadata.image import MetadataImage, ResourceType, TopicImage, Topics
from kbroker.names import TopicPartition
from kbroker.replica.partition import Partition
from kbroker.replica.partitions import Partitions
from kbroker.server.missing_logs import MissingLog, find_missing, say_missing
from kbroker.world import DiskFailure

log = logging.getLogger("kbroker.hosting")


LOGS_PER_TURN: Final = 16
"""Made, or let go, before requests are served again; their files by a worker, the rest takes 0.1 ms each."""


class LostEnd(NamedTuple):
    """A replica whose log ends before where it was cleanly stopped."""

    topic_id: bytes
    partition: int


class _NewPartition(NamedTuple):
    topic: TopicImage
    number: int
    settings: LogSettings
    min_isr: int


class Hosting:
    """Keeps `partitions` in step with the published image; owns the logs of the directories.

    `on_placed(placed)` hears of replicas whose directory is not the one that the image names, `on_lost(lost)` of those
    that can't go on in their leader epoch, at most ASSIGNMENTS_MAX at once.
    """

    def __init__(self, config: BrokerConfig, directories: LogDirectories) -> None:
        self.partitions = Partitions()
        self.on_placed: Callable[[Sequence[Placed]], None] = _nobody_told
        self.on_lost: Callable[[Sequence[LostEnd]], None] = _nobody_told
        self.later: Callable[[Callable[[], None]], object] | None = None
        """Runs an action once others were served; None while nobody is: what takes turns is done at once."""
        self._config = config
        self._directories = directories
        self._node_id = config.node_id
        self._placed: list[Placed] = []
        self._lost: list[LostEnd] = []
        self._absent = 0
        # At the start, before anything was changed: partitions whose directory should be there.
        self._missing: Sequence[MissingLog] = []
        self._ahead: dict[tuple[str, int], Partition] = {}
        # Of deleted topics: logs that have their names yet, those that were never opened without one.
        self._leaving: deque[tuple[TopicPartition, PartitionLog | None]] = deque()
        self._waiting: list[Callable[[], None]] = []

    def examine(self, image: MetadataImage) -> None:
        """See that host_all() can be sure which logs are meant, before anything is written. Raises DuplicateLog."""
        self._directories.check_held_once(self._claims(image))
        self._missing = find_missing(image, self._node_id, self._directories)

    def host_all(self, image: MetadataImage) -> None:
        """At start: open the log of every partition that the image assigns to us; set aside logs of no topic.

        Raises DuplicateLog.
        """
        for stray in self._directories.look_round(self._claims(image)):
            log.warning("no topic claims this log: set aside", extra={"partition": str(stray)})
        say_missing(self._missing)
        self._missing = []
        self._host(image, image.topics.by_name.values())
        if self._absent:
            log.error("partitions whose log directory is not here cannot be served", extra={"count": self._absent})

    def _claims(self, image: MetadataImage) -> dict[TopicPartition, bytes]:
        """The topic ids of the partitions that the image assigns to us."""
        return {
            TopicPartition(topic.name, index): topic.topic_id
            for topic in image.topics.by_name.values()
            for index, assigned in enumerate(topic.partitions)
            if self._node_id in assigned.replicas
        }

    def follow(self, delta: MetadataDelta, image: MetadataImage) -> None:
        """After a commit: host what is new, let go of what is gone, take over changed settings."""
        self._take_out(delta.deleted_topics)
        self._host(image, delta.changed_topics, known=delta.base.topics)
        changed = delta.changed_configs
        if any(kind == ResourceType.BROKER for kind, _ in changed):
            self._reconfigure(image, image.topics.by_name)
        else:
            self._reconfigure(image, {name for kind, name in changed if kind == ResourceType.TOPIC})

    def open_ahead(self, delta: MetadataDelta, image: MetadataImage, ready: Callable[[], None]) -> None:
        """Before a commit is published: make the logs of the topics that it creates, then call `ready`.

        Some at a time, their files in a worker, and none before the logs of the commit before are let go.
        """
        new = self._new_partitions(delta, image)

        def step() -> None:
            several = list(islice(new, LOGS_PER_TURN))
            if several:
                self._directories.make_logs([*filter(None, map(self._new_log, several))], lambda: made(several))
            else:
                ready()

        def made(several: list[_NewPartition]) -> None:
            for each in several:
                self._open_new(each)
            if self.later is None:
                step()
            else:
                self.later(step)

        self.when_let_go(step)

    def _new_partitions(self, delta: MetadataDelta, image: MetadataImage) -> Iterator[_NewPartition]:
        for topic in delta.changed_topics:
            if topic.name not in delta.base.topics:
                settings = self.settings(image, topic.name)
                min_isr = min_insync_replicas(image, self._config, topic.name)
                for index, assigned in enumerate(topic.partitions):
                    if self._node_id in assigned.replicas:
                        yield _NewPartition(topic, index, settings, min_isr)

    def _new_log(self, new: _NewPartition) -> NewLog | None:
        """None where the directory that it belongs to is not here."""
        wanted = directory_of(new.topic.partitions[new.number], self._node_id)
        home = self._directories.by_id(wanted)
        if home is None and not is_online(wanted, ()):
            return None
        return NewLog(TopicPartition(new.topic.name, new.number), new.topic.topic_id, home)

    def _open_new(self, new: _NewPartition) -> None:
        topic, index = new.topic, new.number
        partition = self._made(topic, index, new.settings, is_new=True)
        if partition is not None:
            partition.follow_metadata(topic.partitions[index], new.min_isr)
            self._ahead[topic.name, index] = partition

    def forsake(self, directory: LogDirectory) -> None:
        """The directory failed: its partitions are not hosted any more; who waits was told by their logs."""
        for partition in self.partitions:
            if partition.log.topic_partition in directory.logs:
                self.partitions.remove(partition)

    def settings(self, image: MetadataImage, topic: str) -> LogSettings:
        """The resolved settings of a topic's logs."""
        return log_settings(image, self._config, topic)

    def high_watermarks(self) -> dict[TopicPartition, int]:
        """Of every hosted partition, for the checkpoint."""
        return {
            TopicPartition(partition.topic, partition.index): partition.high_watermark for partition in self.partitions
        }

    def _host(self, image: MetadataImage, topics: Iterable[TopicImage], known: Topics | None = None) -> None:
        """`known` are the topics of the image before; None at the start, where no partition is new."""
        for topic in topics:
            settings = None
            min_isr = min_insync_replicas(image, self._config, topic.name)
            is_new = known is not None and known.get_by_id(topic.topic_id) is None
            for index, assigned in enumerate(topic.partitions):
                if self._node_id not in assigned.replicas:
                    continue
                partition = self.partitions.find(topic.name, index)
                if partition is None and (partition := self._ahead.pop((topic.name, index), None)) is not None:
                    if partition.log.failure is None:  # else its directory went offline meanwhile
                        self.partitions.add(partition)
                    continue
                if partition is None:
                    settings = settings or self.settings(image, topic.name)
                    partition = self._open(topic, index, settings, is_new=is_new)
                if partition is not None:
                    partition.follow_metadata(assigned, min_isr)
        placed, self._placed = self._placed, []
        for start in range(0, len(placed), ASSIGNMENTS_MAX):
            self.on_placed(placed[start : start + ASSIGNMENTS_MAX])
        lost, self._lost = self._lost, []
        for start in range(0, len(lost), ASSIGNMENTS_MAX):
            self.on_lost(lost[start : start + ASSIGNMENTS_MAX])

    def _open(self, topic: TopicImage, index: int, settings: LogSettings, *, is_new: bool) -> Partition | None:
        partition = self._made(topic, index, settings, is_new=is_new)
        if partition is not None:
            self.partitions.add(partition)
        return partition

    def _made(self, topic: TopicImage, index: int, settings: LogSettings, *, is_new: bool) -> Partition | None:
        name = TopicPartition(topic.name, index)
        wanted = directory_of(topic.partitions[index], self._node_id)
        home = self._directories.by_id(wanted)
        if home is None and self._directories.holder(name) is None:
            is_unplaced = is_online(wanted, ())
            if not is_unplaced or (self._directories.failures and not is_new):
                self._absent += 1
                return None
        try:
            opened = self._directories.open_log(name, topic.topic_id, settings, home)
        except DamagedBatch as damage:
            log.error("a partition cannot be opened", extra={"partition": str(name), "reason": str(damage)})
            return None
        except DiskFailure:
            return None  # of the whole directory, which was said
        directory = self._directories.directory_of(opened)
        if directory.directory_id != wanted:
            self._placed.append(Placed(topic.topic_id, index, directory.directory_id))
        say_what_was_found(opened)
        partition = Partition(topic.name, topic.topic_id, index, self._node_id, opened)
        # Written down by an earlier start; the log may have been cut since.
        checkpointed = directory.high_watermark(name)
        partition.high_watermark = min(max(checkpointed, opened.log_start), opened.log_end)
        opened.on_progress = partition.progressed
        opened.on_woken = partial(self._woken, partition)
        if opened.has_lost_end:
            partition.lost_end()
            self._lost.append(LostEnd(topic.topic_id, index))
        return partition

    def _woken(self, partition: Partition, woken: KeptLog) -> None:
        """A log was looked at for the first time; it may be shorter than it was when it was stopped."""
        say_what_was_found(woken)
        partition.high_watermark = min(partition.high_watermark, woken.log_end)
        if woken.has_lost_end:
            partition.lost_end()
            self.on_lost([LostEnd(partition.topic_id, partition.index)])

    # ---- deleted topics

    def _take_out(self, topics: Iterable[TopicImage]) -> None:
        """They are hosted no longer; some of their logs go now, the others soon."""
        for topic in topics:
            for index in range(len(topic.partitions)):
                partition = self.partitions.find_by_id(topic.topic_id, index)
                self._leaving.append((TopicPartition(topic.name, index), partition.log if partition else None))
                if partition is not None:
                    self.partitions.remove(partition)
        # Those of the commit before have gone: this one has waited for that, see open_ahead.
        self._let_go()

    def _let_go(self) -> None:
        """Close and rename some of the logs of deleted topics."""
        for _ in range(LOGS_PER_TURN if self.later else len(self._leaving)):
            if self._leaving:
                self._let_go_of(*self._leaving.popleft())
        if self._leaving and self.later:
            self.later(self._let_go)
            return
        waiting, self._waiting = self._waiting, []
        for action in waiting:
            action()

    def _let_go_of(self, where: TopicPartition, gone: PartitionLog | None) -> None:
        if gone is None:
            self._directories.delete_unopened(where)
        elif self._directories.directory_of(gone).failure is None:  # else it is not ours any more
            self._directories.delete_log(gone)

    def let_go_of_all(self) -> None:
        """At a clean stop: the logs of deleted topics that are left, at once. Who waits for it is not told."""
        while self._leaving:
            self._let_go_of(*self._leaving.popleft())

    def when_let_go(self, action: Callable[[], None]) -> None:
        """Call `action` when no log of a deleted topic has its name any more: now, if it is so."""
        if self._leaving:
            self._waiting.append(action)
        else:
            action()

    def _reconfigure(self, image: MetadataImage, topics: Iterable[str]) -> None:
        for topic in filter(None, map(image.topics.by_name.get, topics)):
            settings = self.settings(image, topic.name)
            min_isr = min_insync_replicas(image, self._config, topic.name)
            for index, assigned in enumerate(topic.partitions):
                partition = self.partitions.find(topic.name, index)
                if partition is not None:
                    partition.log.settings = settings
                    partition.follow_metadata(assigned, min_isr)


def say_what_was_found(opened: KeptLog) -> None:
    """One line each when a log was cut, when files beside its batches had to be made anew, when it cannot be read.

    After a clean stop a log is looked at when it is first used.
    """
    extra: dict[str, object] = {"partition": str(opened.topic_partition)}
    if isinstance(opened.failure, DamagedBatch):
        log.error("a partition cannot be opened", extra=extra | {"reason": str(opened.failure)})
        return
    _say_what_was_cut(opened)
    if opened.mended:
        first, *others = opened.mended
        extra |= {"reason": str(first)} | ({"others": len(others)} if others else {})
        if first.is_loss:
            log.error("a log is damaged", extra=extra)
        else:
            log.warning("a log was mended", extra=extra)


def _say_what_was_cut(opened: KeptLog) -> None:
    """One line when recovery ended a log before its last byte: the tail of a crash, or damage."""
    cut_bytes, cut_segments = opened.cut
    if cut_bytes or cut_segments:
        log.warning(
            "a log was cut behind its last sound batch",
            extra={
                "partition": str(opened.topic_partition),
                "end": opened.log_end,
                "bytes": cut_bytes,
                "segments": cut_segments,
            },
        )


def _nobody_told(replicas: Sequence[object]) -> None:
    """What became of them stays our secret."""
