"""Where a log lies, and what is known of one before any of its files is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kbroker.log.open_files import OpenFiles
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.world import Clock, Disk

_PARTITION: Final = re.compile(r"([a-zA-Z0-9._-]+)-(0|[1-9][0-9]{0,9})")


def partition_named(name: str) -> TopicPartition | None:
    """The partition whose directory has this name; None for what people put beside them.

    Other spellings of a number are none: "backup-2026-11-05" is no directory that a broker makes.
    """
    found = _PARTITION.fullmatch(name)
    return TopicPartition(found[1], int(found[2])) if found is not None else None


class LogPlace(NamedTuple):
    """A log's directory, whose log it is, and what of the world it uses. A log that stands alone brings no `files`."""

    disk: Disk
    directory: str
    topic_partition: TopicPartition
    topic_id: bytes
    settings: LogSettings
    clock: Clock
    files: OpenFiles | None = None


class OldestSegment(NamedTuple):
    """What retention asks of a segment; times in ms since 1970."""

    size: int
    next_offset: int
    newest_ms: int
    """The largest timestamp of its records, -1 when none has a time."""
    created_ms: int

    def largest_timestamp(self) -> int:
        """See Segment."""
        return self.newest_ms

    def modified_ms(self) -> int:
        """See Segment."""
        return self.created_ms


class Measured(NamedTuple):
    """What the files of a log that sleeps tell from outside; sizes in bytes, without indexes."""

    size_bytes: int
    oldest_size: int
    oldest_newest_ms: int


@dataclass(slots=True)
class Asleep:
    """What is known of a log that nobody has used since a clean stop or since it was made. Offsets."""

    recovery_point: int
    log_start: int
    """As it was last written down."""
    first_base: int
    first_end: int
    """Where the oldest segment ends."""
    last_base: int
    segments_count: int
    since_ms: int
    """When it was found, ms since 1970."""
    measured: Measured | None = None
    """Known once somebody asked; its files do not change before it wakes."""
    epochs: list[tuple[int, int]] = field(default_factory=list)
    """(leader epoch, start offset) pairs that came without a batch."""

    @property
    def oldest(self) -> OldestSegment | None:
        """None as long as nobody has measured it."""
        if self.measured is None:
            return None
        return OldestSegment(self.measured.oldest_size, self.first_end, self.measured.oldest_newest_ms, self.since_ms)
