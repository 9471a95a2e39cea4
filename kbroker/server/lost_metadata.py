"""A metadata log that is gone while the logs of partitions are here: nobody knows any more whose they are.

Begun anew it would know no topic, and every log would be set aside as a stray. Apache Kafka 4.3 never gets so far where
the voters were in the log, because it knows none to elect; where they are configured, or the empty snapshot that names
them is left, it begins anew. Nothing here does: whoever wants that moves the logs away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from kbroker.log.directory import METADATA_PARTITION, LogDirectory
from kbroker.log.recovery import LOG_SUFFIX, batches, check_undamaged
from kbroker.names import TopicPartition
from kbroker.record.batch import checksum_matches
from kbroker.server.metadata_replay import newest_snapshot_end
from kbroker.world import Disk, DiskFailure

NAMED_MAX: Final = 20
"""So many partitions are named; the others are counted."""


class MetadataLost(Exception):
    """The metadata log holds nothing, and log directories hold partitions; str() says which."""


def check_not_lost(home: LogDirectory, directories: Iterable[LogDirectory]) -> None:
    """See that the metadata log in `home` was begun, or that no partition has a log. Changes nothing.

    Raises MetadataLost, CorruptRecords where it is known how much is lost, DiskFailure for `home`.
    """
    path = f"{home.path}/{METADATA_PARTITION}"
    if _is_begun(home.disk, path):
        return
    check_undamaged(home.disk, path, was_clean=home.was_clean)
    orphans = [f"{directory.path}/{where}" for directory in directories for where in _logs_in(directory)]
    if orphans:
        named = ", ".join(orphans[:NAMED_MAX])
        others = f" and {len(orphans) - NAMED_MAX} more" if len(orphans) > NAMED_MAX else ""
        raise MetadataLost(
            f"the metadata log is gone or empty, and without it nobody knows whose these logs are: {named}{others}; "
            f"restore {METADATA_PARTITION}, or move the logs away to begin anew"
        )


def _is_begun(disk: Disk, path: str) -> bool:
    """Does it hold a sound batch, or a snapshot of any record? Formatting leaves one of none."""
    if not disk.is_directory(path):
        return False
    return newest_snapshot_end(disk, path) > 0 or any(
        _holds_a_batch(disk, f"{path}/{name}") for name in disk.list(path) if name.endswith(LOG_SUFFIX)
    )


def _holds_a_batch(disk: Disk, path: str) -> bool:
    file = disk.open(path)
    try:
        return any(checksum_matches(batch, header) for _, header, batch in batches(file, file.size()))
    finally:
        file.close()


def _logs_in(directory: LogDirectory) -> Iterator[TopicPartition]:
    """Partitions with a segment; a directory of another kind may have such a name, too."""
    try:
        for where in directory.partitions():
            if any(name.endswith(LOG_SUFFIX) for name in directory.disk.list(f"{directory.path}/{where}")):
                yield where
    except DiskFailure:
        return  # begin() meets it again
