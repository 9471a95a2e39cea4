"""Reading a partition's directory: what is trusted, what is rebuilt, where a torn tail is cut.

After a clean stop sizes and indexes are trusted; an index that is missing is made again. After anything else, the
segments that reach beyond the recovery point are read batch by batch: the log ends before the first batch whose header
or checksum is wrong, what follows is dropped, and indexes, leader epochs and producer state are rebuilt from what was
read. The one that holds the recovery point is cut at its first bad batch, wherever that is, as Kafka cuts it: flushed
records behind it are lost, and the start says so. Segments that end before the recovery point: see salvage.py.
Source: Kafka's LogLoader, LogSegment.recover, ProducerStateManager.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from kbroker.log.batch_walk import WINDOW_BYTES
from kbroker.log.batch_walk import batches as batches  # for those who read a log as a start does
from kbroker.log.checkpoints import CorruptCheckpoint, parse_epochs
from kbroker.log.compaction.swap import CLEANED_SUFFIX, SWAP_SUFFIX, complete_swaps
from kbroker.log.cutting import NOTE_FILE, cutting
from kbroker.log.damage import DamagedBatch
from kbroker.log.leader_epochs import LeaderEpochs
from kbroker.log.mended import Mended
from kbroker.log.producer_state import CorruptSnapshot, ProducerState
from kbroker.log.segment import INT32_MAX, Found, Segment, file_name, is_file_name, offsets_named
from kbroker.log.settings import INT64_MAX
from kbroker.log.transactions import aborted_in, replay
from kbroker.record.batch import (
    CONTROL_BIT,
    HEADER_BYTES,
    MAGIC,
    PREFIX_BYTES,
    BatchHeader,
    checksum_matches,
    read_header,
)
from kbroker.record.compression import CorruptRecords
from kbroker.record.legacy import iterate_entries
from kbroker.world import Disk, File

EPOCHS_FILE: Final = "leader-epoch-checkpoint"
LOG_SUFFIX: Final = ".log"
SNAPSHOT_SUFFIX: Final = ".snapshot"
_LEFT_OVER = (".deleted", ".cleaned", ".tmp")
_OF_A_SEGMENT = (".index", ".timeindex", ".txnindex")
_PRODUCERS_REMEDY = "producers are read from an older one and the batches"
_EPOCHS_REMEDY = "leader epochs are read from the batches"
_OLD_PREFIX = struct.Struct(">qiIb")
"""Of a message of magic 0 or 1: offset, size of what follows, checksum, magic."""
_OLD_SIZE_MIN = 14
_TORN_BATCH_BYTES_MAX = 16 << 20
"""Larger than batches get; where a length is damaged no more than this is looked at."""
_SECTOR_BYTES = 512
"""What a medium writes whole or not at all, at least."""
_MAGIC_POSITION = 16
"""Of the magic byte in a batch."""
_LOOKED_AT_PER_BYTE = 4
"""A sound batch is looked at once; what passes for a header by chance is no more than one in thousands of MB."""


class Bases(NamedTuple):
    """The base offsets of a directory's segments, rising; and of those of which no more than an index is left, between
    others."""

    found: list[int]
    missing: list[int]


def base_offsets(disk: Disk, directory: str, mended: list[Mended], *, clean: bool = False) -> Bases:
    """Which segments there are in `directory`; files that no start needs are removed.

    A swap of cleaned segments that was interrupted is finished or undone first. `mended` is told of what a stop, be it
    `clean` or not, does not leave.
    """
    names = disk.list(directory)
    unfinished = [name for name in names if name.endswith((CLEANED_SUFFIX, SWAP_SUFFIX))]
    if unfinished:
        complete_swaps(disk, directory)
        names = disk.list(directory)
        mended.append(Mended(unfinished[0], "is of a cleaning that was interrupted", "finished or removed"))
    bases = offsets_named(names, LOG_SUFFIX)
    missing: set[int] = set()
    logs = {file_name(base) for base in bases}
    for name in names:
        stem, dot, suffix = name.partition(".")
        is_orphan = dot + suffix in _OF_A_SEGMENT and stem not in logs
        if is_orphan or (name.endswith(_LEFT_OVER) and name != NOTE_FILE):
            disk.remove(f"{directory}/{name}")
        # A crash leaves some before the first segment and behind the last one. Without any segment it is a log that was
        # made and not used: a clean stop does not sync that.
        is_inside = bool(bases) and file_name(bases[0]) < stem < file_name(bases[-1])
        if is_orphan and ((clean and bases) or is_inside):
            mended.append(Mended(name, "is of no segment", "removed"))
        if is_orphan and is_inside and is_file_name(stem):
            missing.add(int(stem))
    return Bases(bases, sorted(missing))


def recover(segment: Segment, expected: int, interval_bytes: int, epochs: LeaderEpochs) -> bool:
    """Read the whole segment, rebuild its indexes up to the first bad batch; False when it must be cut there.

    Raises DamagedBatch for a sound message of an old format, which is not damage but nothing that this broker can serve
    from its files.
    """
    segment.restart()
    segment.transactions.reset()
    file = segment.handle.file()
    size = file.size()
    for position, header, batch in batches(file, size):
        if not is_sound(header, batch, expected, segment.base_offset):
            break
        note_sound(segment, position, header, interval_bytes, epochs)
        expected = header.last_offset + 1
    segment.written = segment.size
    segment.finish_indexes()
    refuse_old_message(segment, segment.size, size)
    segment.cut_bytes = size - segment.size
    return segment.cut_bytes == 0


def note_sound(segment: Segment, position: int, header: BatchHeader, interval_bytes: int, epochs: LeaderEpochs) -> None:
    """Index the batch that was read at `position`, and learn its leader epoch."""
    segment.note_batch(header, position, interval_bytes)
    if header.partition_leader_epoch > epochs.latest:
        epochs.assign(header.partition_leader_epoch, header.base_offset)
    if header.attributes & CONTROL_BIT and header.producer_id >= 0:
        segment.transactions.has_markers = True


def refuse_old_message(segment: Segment, position: int, size: int) -> None:
    """Raise DamagedBatch where a sound message of magic 0 or 1 stands at `position` of the segment's `size` bytes."""
    if position < size and holds_old_message(segment.handle.file(), position, size):
        reason = (
            f"at byte {position} begin messages of before Kafka 0.11 (magic 0 or 1): they are left as they are, for"
            " Apache Kafka serves them and this broker does not"
        )
        raise DamagedBatch(segment.handle.path, reason, position)


def holds_old_message(file: File, position: int, size: int) -> bool:
    """Does a sound message of magic 0 or 1 stand at `position` of a file of `size` bytes? Kafka still reads those."""
    prefix = file.read_at(position, _OLD_PREFIX.size)
    if len(prefix) < _OLD_PREFIX.size:
        return False
    _, length, _, magic = _OLD_PREFIX.unpack(prefix)
    if magic not in (0, 1) or not _OLD_SIZE_MIN <= length <= size - position - PREFIX_BYTES:
        return False
    return all(entry.is_sound for entry in iterate_entries(file.read_at(position, PREFIX_BYTES + length)))


def stands_rightly(header: BatchHeader, expected: int, base: int) -> bool:
    """Can a batch with this header stand where offset `expected` or a later one comes, in the segment at `base`?"""
    return header.base_offset >= expected and header.last_offset_delta >= 0 and header.last_offset - base <= INT32_MAX


def is_sound(header: BatchHeader, batch: memoryview, expected: int, base: int) -> bool:
    """Does the batch stand rightly, and is what its checksum covers what was written?"""
    return stands_rightly(header, expected, base) and checksum_matches(batch, header)


def check_undamaged(disk: Disk, directory: str, *, was_clean: bool = False, kept_end: int = 0) -> None:
    """See that opening would cut nothing but a torn tail of a log without gaps. Raises CorruptRecords.

    A crash leaves a last batch cut, or zeros where bytes had not reached the medium; batches behind those may have
    reached it. Where something else breaks the row of batches and sound ones follow, the medium changed what it held:
    cutting there would lose what was promised. A clean stop leaves the last segment whole, up to the offset that its
    producer snapshot is named by; no other is looked at. What lies before `kept_end` is kept elsewhere too, by somebody
    who had it from here.
    """
    if not disk.is_directory(directory):
        return
    bases = offsets_named(disk.list(directory), LOG_SUFFIX)
    named = max(snapshot_offsets(disk, directory), default=None)
    stopped_at = 0 if not was_clean else INT64_MAX if named is None else named
    end = 0
    for base in bases[-1:] if was_clean else bases:
        file = disk.open(f"{directory}/{file_name(base)}{LOG_SUFFIX}")
        try:
            end = _check_undamaged(file, base, stopped_at)
        finally:
            file.close()
    _check_reaches(end, named or 0, kept_end, was_clean=was_clean)


def _check_reaches(end: int, named: int, kept_end: int, *, was_clean: bool) -> None:
    """See that the log ends where it did, at least as far as that is known and matters.

    After a clean stop it is known, by the offset that the newest producer snapshot is `named` by, and nothing is lost
    where all is kept. After a crash nobody knows how far the log went behind `kept_end`, which it had reached; nor can
    a crash have taken all of a log that came to a producer snapshot.
    """
    if was_clean:
        promised = named if kept_end < named else 0
    else:
        promised = max(kept_end, 0 if end else named)
    if end < promised:
        known = "ended at the last clean stop" if was_clean else "had reached when a snapshot was taken"
        raise CorruptRecords(f"ends at offset {end}, before {promised}, which it {known}: put the lost segments back")


def _check_undamaged(file: File, base: int, stopped_at: int) -> int:
    """The offset behind the last sound batch."""
    size, expected, end = file.size(), base, 0
    for position, header, batch in batches(file, size):
        if header.base_offset != expected or not is_sound(header, batch, expected, base):
            break
        expected, end = header.last_offset + 1, position + header.size
    if end == size or (expected >= stopped_at and begins_torn(file, end, size)):
        return expected
    follows = find_sound_batch(file, end + 1, size, expected, base)
    if follows is not None:
        raise CorruptRecords(
            f"{file.path}: the batch at byte {end} is damaged, and sound ones follow at byte {follows}"
        )
    if expected < stopped_at:
        raise CorruptRecords(f"{file.path}: the batch at byte {end} is damaged, and was whole at the last clean stop")
    return expected


def begins_torn(file: File, position: int, size: int) -> bool:
    """Did the batch at `position` of a file of `size` bytes not reach the medium wholly?

    Media write sectors: one that was never written reads as zeros, to its end or to that of the file.
    """
    tail = file.read_at(position, min(size - position, _TORN_BATCH_BYTES_MAX))
    if not any(tail[:HEADER_BYTES]):
        return True
    batch_size = read_header(tail).size if len(tail) >= HEADER_BYTES else 0
    end = min(max(batch_size, HEADER_BYTES), len(tail))
    start = 0
    while start < end:
        sector_end = start + _SECTOR_BYTES - (position + start) % _SECTOR_BYTES
        if not any(tail[start:sector_end]):
            return True
        start = sector_end
    return False


def find_sound_batch(file: File, start: int, size: int, expected: int, base: int) -> int | None:
    """The first byte from `start` on where a sound batch begins whose offset is `expected` or a later one.

    A record's value may hold as many headers as fit in it, each of a batch that reaches to the end of the file. No more
    bytes are looked at than some times those that there are; where that is not enough, the byte of the first one that
    may be sound: whoever asks lets it stand.
    """
    plausible = _plausible_magic(expected, base)
    bytes_left = WINDOW_BYTES + _LOOKED_AT_PER_BYTE * (size - start)
    while start + HEADER_BYTES <= size:
        window = file.read_at(start, min(WINDOW_BYTES, size - start))
        for match in plausible.finditer(window):
            at = match.start() - _MAGIC_POSITION
            header, position = read_header(window, at), start + at
            may_be_sound = HEADER_BYTES <= header.size <= size - position and stands_rightly(header, expected, base)
            bytes_left -= header.size if may_be_sound else HEADER_BYTES
            if bytes_left < 0 or (may_be_sound and _is_sound_at(file, position, header)):
                return position
        start += len(window) - HEADER_BYTES + 1
    return None


def _is_sound_at(file: File, position: int, header: BatchHeader) -> bool:
    return checksum_matches(memoryview(file.read_at(position, header.size)), header)


def _plausible_magic(expected: int, base: int) -> re.Pattern[bytes]:
    """Finds the magic byte of what may be a header in the segment at `base`: behind an upper half of the offset that is
    right and a length that is not negative, before a last delta that is not negative and the rest of the header."""
    halves = b"|".join(
        re.escape(half) for half in {(at >> 32).to_bytes(4, "big") for at in (expected, base + INT32_MAX)}
    )
    magic = bytes([MAGIC])
    before = b"(?<=(?:" + halves + b").{4}[\0-\x7f].{7}" + magic + b")"
    return re.compile(b"(?s)" + magic + before + b"(?=.{6}[\0-\x7f].{%d})" % (HEADER_BYTES - _MAGIC_POSITION - 8))


def remove_segment_files(disk: Disk, directory: str, base: int) -> None:
    """Everything that belongs to the segment at `base`, its producer snapshot included."""
    for suffix in (LOG_SUFFIX, *_OF_A_SEGMENT, SNAPSHOT_SUFFIX):
        disk.remove(f"{directory}/{file_name(base)}{suffix}")


def load_epochs(disk: Disk, directory: str, mended: list[Mended]) -> LeaderEpochs:
    """The checkpointed epochs; none when the file is missing or damaged (recovery adds what it reads)."""
    try:
        return LeaderEpochs(parse_epochs(disk.read(f"{directory}/{EPOCHS_FILE}")))
    except FileNotFoundError:
        return LeaderEpochs()
    except CorruptCheckpoint as error:
        mended.append(Mended(EPOCHS_FILE, f"is damaged ({error})", _EPOCHS_REMEDY))
        return LeaderEpochs()


def complete_epochs(
    epochs: LeaderEpochs, segments: Sequence[Segment], log_start: int, promised_end: int, mended: list[Mended]
) -> None:
    """Let `epochs` begin where the log does, with those that its batches tell; the checkpoint knew those that begin
    before `promised_end`, unless it was lost.
    """
    known = {entry[0] for entry in epochs.entries()}
    _add_first_epochs(epochs, segments)
    epochs.truncate_start(log_start)
    is_lacking = any(epoch not in known and start < promised_end for epoch, start in epochs.entries())
    if is_lacking and not any(each.file == EPOCHS_FILE for each in mended):
        mended.append(Mended(EPOCHS_FILE, "is missing, or lacks some", _EPOCHS_REMEDY))


def _add_first_epochs(epochs: LeaderEpochs, segments: Sequence[Segment]) -> None:
    """Add the epochs of batches before the first one that the checkpoint knows of: it was lost, or says more was gone.

    Batches of old formats have none; where the first batch is one of those, nothing more is read. Raises DiskFailure.
    """
    known = epochs.entries()
    first = known[0][1] if known else INT64_MAX
    if not segments or segments[0].base_offset >= first:
        return
    found = LeaderEpochs()
    for header in (header for segment in segments for _, header in segment.readable_headers(0)):
        if header.base_offset >= first or header.partition_leader_epoch < 0:
            break
        if header.partition_leader_epoch > found.latest:
            found.assign(header.partition_leader_epoch, header.base_offset)
    if found.entries():
        epochs.clear()
        for epoch, start in (*found.entries(), *(entry for entry in known if entry[0] > found.latest)):
            epochs.assign(epoch, start)


def remove_if_before(disk: Disk, directory: str, segments: Sequence[Segment], log_start: int) -> bool:
    """Does the log end before its checkpointed start? Then none of it may be seen again: all goes, newest first.

    The offsets up to the start are used up, be their records lost or deleted; what a crash brings back goes again.
    Source: Kafka's LogLoader.
    """
    if not segments or segments[-1].next_offset >= log_start:
        return False
    for segment in reversed(segments):
        segment.retire()
        remove_segment_files(disk, directory, segment.base_offset)
    return True


def snapshot_offsets(disk: Disk, directory: str) -> list[int]:
    """The offsets that producer snapshots exist for, rising."""
    names = disk.list(directory)
    return offsets_named(names, SNAPSHOT_SUFFIX)


def rebuild_transaction_indexes(disk: Disk, directory: str, segments: Sequence[Segment]) -> None:
    """Of segments that were read anew: which of their markers ended a transaction that began before?"""
    state = None
    for number, segment in enumerate(segments):
        index = segment.transactions
        if state is None and index.has_markers:
            state = load_producers(disk, directory, segments[:number], segment.base_offset, tidies=False)
        if state is not None:
            found = aborted_in(segment, state)
        if index.is_stale:
            index.rewrite(disk, found if index.has_markers else ())


def load_producers(
    disk: Disk,
    directory: str,
    segments: Sequence[Segment],
    end: int,
    *,
    tidies: bool = True,
    clean: bool = False,
    mended: list[Mended] | None = None,
) -> ProducerState:
    """The state at offset `end`: the newest good snapshot up to there, then every later batch.

    One from before the first segment knows nothing of batches that left the log after it: none is better, as in Kafka.
    Snapshots beyond `end`, damaged ones, and those that neither a segment nor a start needs are removed if it `tidies`.
    `mended` is told of damaged ones, and when the one is missing that a `clean` stop leaves.
    """
    state = ProducerState()
    found: list[Mended] = []
    start = segments[0].base_offset if segments else 0
    ahead: list[str] = []
    for offset in reversed(snapshot_offsets(disk, directory)):
        path = f"{directory}/{file_name(offset)}{SNAPSHOT_SUFFIX}"
        if start <= offset <= end:
            try:
                state.restore(disk.read(path))
            except CorruptSnapshot as error:
                found.append(Mended(file_name(offset) + SNAPSHOT_SUFFIX, f"is damaged ({error})", _PRODUCERS_REMEDY))
            else:
                start = max(start, offset)
                if tidies:
                    _remove_strays(disk, directory, segments, offset)
                break
        if offset > end:
            ahead.append(path)
        elif tidies:
            disk.remove(path)
    if ahead and tidies:
        _remove_for_good(disk, directory, ahead)
    if clean and not found and start < end:
        found.append(Mended(file_name(end) + SNAPSHOT_SUFFIX, "is missing", _PRODUCERS_REMEDY))
    if mended is not None:
        mended += found
    for segment in segments:
        if segment.next_offset > start and segment.base_offset < end:
            _replay(segment, start, end, state)
    return state


def _remove_for_good(disk: Disk, directory: str, paths: Sequence[str]) -> None:
    """Batches that come there next are others: what these say may not be back after a crash."""
    with cutting(disk, directory):
        for path in paths:
            disk.remove(path)
        disk.sync_directory(directory)


def _remove_strays(disk: Disk, directory: str, segments: Sequence[Segment], newest: int) -> None:
    """The snapshots of earlier clean stops: older than the newest, and at the base of no segment."""
    bases = {segment.base_offset for segment in segments}
    for offset in snapshot_offsets(disk, directory):
        if offset < newest and offset not in bases:
            disk.remove(f"{directory}/{file_name(offset)}{SNAPSHOT_SUFFIX}")


def _replay(segment: Segment, start: int, end: int, state: ProducerState) -> None:
    try:
        found = segment.find(max(start, segment.base_offset))
    except DamagedBatch as damage:
        found = Found(start, damage.position)  # what is readable behind it counts
    if found is None:
        return
    for position, header in segment.readable_headers(found.position):
        if header.last_offset >= end:
            return
        if header.producer_id >= 0 and header.base_offset >= start:
            with suppress(DamagedBatch):  # a marker whose body is: its transaction stays open
                replay(segment, position, header, state)
