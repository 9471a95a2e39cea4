"""Partitions that belong in a log directory which is here, and have none in it: somebody took it, or it was never made.

A topic is committed before its logs are made, so a kill in between leaves partitions without a directory. One that a
checkpoint names with an offset had records, and they are gone. Either way the start makes an empty log, as Apache Kafka
does, and says it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from kbroker.controller.directories import directory_of, is_online
from kbroker.log.directories import LogDirectories
from kbroker.log.directory import DELETE_SUFFIX, STRAY_SUFFIX, LogDirectory
from kbroker.metadata.image import MetadataImage
from kbroker.names import TopicPartition
from kbroker.world import Disk, DiskFailure

NAMED_MAX: Final = 20
"""So many partitions are named in a line; the others are counted."""

log = logging.getLogger("kbroker.hosting")


class MissingLog(NamedTuple):
    """A partition without a directory, and up to which offset a checkpoint says that it had one; 0: none does."""

    where: TopicPartition
    end: int


def find_missing(image: MetadataImage, node_id: int, directories: LogDirectories) -> list[MissingLog]:
    """The partitions that `image` gives to a directory that can be used, and that lie in none.

    To be asked before anything is changed: what is left of deleted topics goes then. A directory that the disk refuses
    has nothing missing: it goes offline when it is used.
    """
    here: set[TopicPartition] = set()
    set_aside: dict[str, set[str]] = {}
    for directory in directories.online:
        try:
            here.update(directory.partitions())
            set_aside[directory.path] = set_aside_in(directory.disk, directory.path)
        except DiskFailure:
            return []  # what it held could be anywhere
    return [
        MissingLog(where, max((_noted(each, where, set_aside[each.path]) for each in directories.online), default=0))
        for where, wanted in assigned_to(image, node_id)
        if where not in here
        and (directories.by_id(wanted) is not None or (is_online(wanted, ()) and not directories.failures))
    ]


def assigned_to(image: MetadataImage, node_id: int) -> Iterator[tuple[TopicPartition, bytes]]:
    """The partitions with a replica on the node, and the id of the directory where each belongs."""
    for topic in image.topics.by_name.values():
        for index, partition in enumerate(topic.partitions):
            if node_id in partition.replicas:
                yield TopicPartition(topic.name, index), directory_of(partition, node_id)


def set_aside_in(disk: Disk, path: str) -> set[str]:
    """The names of partitions of which a directory waits for its removal: checkpoints may still speak of that one."""
    return {name.rpartition(".")[0] for name in disk.list(path) if name.endswith((DELETE_SUFFIX, STRAY_SUFFIX))}


def noted_end(where: TopicPartition, checkpoints: Iterable[Mapping[TopicPartition, int]]) -> int:
    """Up to which offset any of the checkpoints says that the log went; 0: none does."""
    return max((offsets.get(where, 0) for offsets in checkpoints), default=0)


def say_missing(missing: Sequence[MissingLog]) -> None:
    """One line for those that had records, one for those of which nothing tells that they had."""
    lost = [f"{each.where} to offset {each.end}" for each in missing if each.end]
    if lost:
        log.error("directories with records are gone: their logs begin anew", extra=_named(lost))
    unknown = [str(each.where) for each in missing if not each.end]
    if unknown:
        log.warning("partitions have no directory: their logs begin empty", extra=_named(unknown))


def _named(partitions: Sequence[str]) -> dict[str, object]:
    others = {"others": len(partitions) - NAMED_MAX} if len(partitions) > NAMED_MAX else {}
    return {"count": len(partitions), "partitions": ", ".join(partitions[:NAMED_MAX]), **others}


def _noted(directory: LogDirectory, where: TopicPartition, set_aside: set[str]) -> int:
    if str(where) in set_aside:
        return 0
    return max(noted_end(where, (directory.recovery_points, directory.log_starts)), directory.high_watermark(where))
