"""A segment that was whole on the medium, and whose indexes or end are not as they were left: read again, and kept.

    sound batches         indexed, served
    damage among them     stays as it is: a read that meets a bad header gets CORRUPT_MESSAGE, a bad body goes to the
                          consumer, whose checksum sees it
    a torn end            of the log's last segment: cut, for nothing sound comes behind it

Only what a batch's own length leads to is taken for a batch: bytes that look like one may be a record's value. Where
the lengths lead nowhere, nothing more of the segment is indexed; and where something sound still follows, nothing of
it is cut. Kafka cuts such a segment, goes on behind the damage, or refuses to start.
Source: Kafka's LogSegment.recover, LogLoader.
"""

from __future__ import annotations

from typing import NamedTuple

from kbroker.log.batch_walk import batches
from kbroker.log.leader_epochs import LeaderEpochs
from kbroker.log.recovery import (
    begins_torn,
    find_sound_batch,
    is_sound,
    note_sound,
    refuse_old_message,
    stands_rightly,
)
from kbroker.log.segment import Segment
from kbroker.log.settings import INT64_MAX
from kbroker.world import Disk


class Salvaged(NamedTuple):
    """What reading a segment again came to."""

    damaged_at: int | None
    """The byte where damage begins that stays."""
    sound_end: int
    """Behind the offset of its last sound batch."""


def salvage(
    disk: Disk, segment: Segment, interval_bytes: int, epochs: LeaderEpochs, end: int, *, is_last: bool
) -> Salvaged:
    """Make the indexes of a segment anew that reached offset `end`; cut what is torn at the end of the last one.

    Raises DamagedBatch for messages of an old format.
    """
    file = segment.handle.file()
    size = file.size()
    damaged = _read(disk, segment, interval_bytes, epochs, INT64_MAX if is_last else end)
    sound_bytes, sound_end = segment.size, segment.next_offset
    if is_last and damaged and damaged[-1] >= sound_bytes and _is_torn(segment, damaged[-1], size):
        segment.cut_bytes = size - sound_bytes
        # No note of it (see cutting.py): nothing in it is sound, and nothing passes for a batch if it should be back.
        file.truncate(sound_bytes)
        file.sync()
        damaged = [position for position in damaged if position < sound_bytes]
    segment.size = segment.written = size - segment.cut_bytes
    if not is_last or (damaged and not segment.cut_bytes):
        segment.next_offset = max(end, sound_end)
    return Salvaged(damaged[0] if damaged else None, sound_end)


def _read(disk: Disk, segment: Segment, interval_bytes: int, epochs: LeaderEpochs, end: int) -> list[int]:
    """Index every sound batch before offset `end`; the bytes where others begin. Its size is that of the sound part."""
    has_transactions = segment.transactions.adopt(segment.base_offset)
    segment.restart()
    segment.transactions.reset()
    file = segment.handle.file()
    size, walked, expected = file.size(), 0, segment.base_offset
    damaged: list[int] = []
    for position, header, batch in batches(file, size):
        walked = position + header.size
        if is_sound(header, batch, expected, segment.base_offset) and header.last_offset < end:
            note_sound(segment, position, header, interval_bytes, epochs)
            expected = header.last_offset + 1
        else:
            damaged.append(position)
    segment.replace_indexes(disk)
    refuse_old_message(segment, walked, size)
    if walked < size:
        damaged.append(walked)
    if damaged and has_transactions:
        # It knows of markers that can't be read any more.
        segment.transactions.adopt(segment.base_offset)
        segment.transactions.is_stale = False
    return damaged


def _is_torn(segment: Segment, position: int, size: int) -> bool:
    """Is nothing sound behind the last sound batch, and the batch at `position` not only changed, but incomplete?"""
    file = segment.handle.file()
    if find_sound_batch(file, segment.size + 1, size, segment.next_offset, segment.base_offset) is not None:
        return False
    last = next(batches(file, size, position), None)
    if last is None or not stands_rightly(last[1], segment.next_offset, segment.base_offset):
        return True
    return position + last[1].size < size or begins_torn(file, position, size)
