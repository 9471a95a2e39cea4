"""Reading a partition's directory: what is trusted, what is rebuilt, where a torn tail is cut.

After a clean stop sizes and indexes are trusted; an index that is missing is made again. After anything else, the
segments that reach beyond the recovery point are read batch by batch: the log ends before the first batch whose header
or checksum is wrong, what follows is dropped, and indexes, leader epochs and producer state are rebuilt from what was
read. Segments that end before the recovery point are never cut: damage there fails the log. The one that holds the
recovery point is cut at its first bad batch, wherever that is, as Kafka cuts it.
Source: Kafka's LogLoader, LogSegment.recover, ProducerStateManager.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from kbroker.log.checkpoints import CorruptCheckpoint, parse_epochs
from kbroker.log.compaction.swap import CLEANED_SUFFIX, SWAP_SUFFIX, complete_swaps
from kbroker.log.damage import DamagedBatch
from kbroker.log.leader_epochs import LeaderEpochs
from kbroker.log.mended import Mended
from kbroker.log.open_files import OpenFiles
from kbroker.log.producer_state import CorruptSnapshot, ProducerState
from kbroker.log.segment import INT32_MAX, Segment, file_name
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
from kbroker.world import Disk, DiskFailure, File

EPOCHS_FILE: Final = "leader-epoch-checkpoint"
LOG_SUFFIX: Final = ".log"
SNAPSHOT_SUFFIX: Final = ".snapshot"
_LEFT_OVER = (".deleted", ".cleaned", ".tmp")
_OF_A_SEGMENT = (".index", ".timeindex", ".txnindex")
_PRODUCERS_REMEDY = "producers are read from an older one and the batches"
_EPOCHS_REMEDY = "leader epochs are read from the batches"
_WINDOW_BYTES = 1 << 20
_OLD_PREFIX = struct.Struct(">qiIb")
"""Of a message of magic 0 or 1: offset, size of what follows, checksum, magic."""
_OLD_SIZE_MIN = 14
_SECTOR_BYTES = 512
"""What a medium writes whole or not at all, at least."""
_MAGIC_POSITION = 16
"""Of the magic byte in a batch."""


def base_offsets(disk: Disk, directory: str, mended: list[Mended] | None = None, *, clean: bool = False) -> list[int]:
    """The base offsets of the segments in `directory`, rising; files that no start needs are removed.

    A swap of cleaned segments that was interrupted is finished or undone first. `mended` is told of what a stop, be it
    `clean` or not, does not leave.
    """
    names = disk.list(directory)
    unfinished = [name for name in names if name.endswith((CLEANED_SUFFIX, SWAP_SUFFIX))]
    if unfinished:
        complete_swaps(disk, directory)
        names = disk.list(directory)
        if mended is not None:
            mended.append(Mended(unfinished[0], "is of a cleaning that was interrupted", "finished or removed"))
    bases = sorted(int(name[:20]) for name in names if name.endswith(LOG_SUFFIX) and name[:-4].isdigit())
    logs = {file_name(base) for base in bases}
    for name in names:
        stem, dot, suffix = name.partition(".")
        is_orphan = dot + suffix in _OF_A_SEGMENT and stem not in logs
        if is_orphan or name.endswith(_LEFT_OVER):
            disk.remove(f"{directory}/{name}")
        if is_orphan and clean and mended is not None:
            mended.append(Mended(name, "is of no segment", "removed"))
    return bases


def load_segments(
    disk: Disk,
    files: OpenFiles,
    directory: str,
    *,
    clean: bool,
    recovery_point: int,
    interval_bytes: int,
    epochs: LeaderEpochs,
    created_ms: int,
    mended: list[Mended],
) -> list[Segment]:
    """All segments, the last one ready to grow; an empty list in a new directory.

    `mended` is told of indexes that should have been trusted and are made anew. Segments behind a cut one go: none
    of them was promised. Raises DamagedBatch where one that was is damaged.
    """
    bases = base_offsets(disk, directory, mended, clean=clean)
    segments: list[Segment] = []
    expected = 0
    is_read = False
    for number, base in enumerate(bases):
        segment = Segment(files, directory, base, created_ms)
        next_base = bases[number + 1] if number + 1 < len(bases) else None
        is_trusted = clean or (next_base is not None and next_base <= recovery_point)
        segments.append(segment)
        if is_trusted and segment.adopt():
            segment.next_offset = next_base if next_base is not None else base
        else:
            if is_trusted and segment.size:
                mended.append(_bad_index(disk, segment))
            if not is_trusted and not is_read:
                # The checkpoint may speak of batches that others have replaced; those that are read say it themselves.
                epochs.truncate_end(base)
                is_read = True
            try:
                is_whole = recover(segment, max(expected, base), interval_bytes, epochs, may_cut=not is_trusted)
            except DiskFailure:
                segment.retire()
                for handle in segment.handles()[1:]:
                    disk.remove(handle.path)  # half made
                raise
            if next_base is not None:
                segment.seal()
            if not is_whole:
                segment.cut_segments = len(bases) - number - 1
                for later in reversed(bases[number + 1 :]):
                    remove_segment_files(disk, directory, later)
                # Nothing of it may be back, behind what comes there next, after another crash. The damage goes last: it
                # tells a start after a crash in between to do this again.
                disk.sync_directory(directory)
                segment.handle.file().truncate(segment.size)
                segment.handle.file().sync()
                break
        expected = segment.next_offset
    _rebuild_transaction_indexes(disk, directory, segments)
    if segments:
        last = segments[-1]
        if last.size and last.next_offset == last.base_offset:
            last.adopt_end()
        last.offsets.load()
        last.times.load()
    return segments


def _bad_index(disk: Disk, segment: Segment) -> Mended:
    """Why a segment that was whole could not be adopted."""
    handle = segment.offsets.handle  # which else leads beyond the segment's end
    if segment.offsets.adopt() and not segment.times.adopt():
        handle = segment.times.handle
    elif not segment.transactions.adopt(segment.base_offset):
        handle = segment.transactions.handle
    problem = "is damaged" if disk.exists(handle.path) else "is missing"
    return Mended(handle.path.rpartition("/")[2], problem, "made anew from the batches")


def recover(
    segment: Segment, expected: int, interval_bytes: int, epochs: LeaderEpochs, *, may_cut: bool = True
) -> bool:
    """Read the whole segment, rebuild its indexes up to the first bad batch; False when it must be cut there.

    Not where `may_cut` is false: all of it was on the medium, which has changed it since. Raises DamagedBatch then, and
    for a sound message of an old format, which is not damage but nothing that this broker can serve from its files.
    """
    segment.restart()
    segment.transactions.reset()
    file = segment.handle.file()
    size = file.size()
    for position, header, batch in batches(file, size):
        if not _is_sound(header, batch, expected, segment.base_offset):
            break
        segment.note_batch(header, position, interval_bytes)
        if header.partition_leader_epoch > epochs.latest:
            epochs.assign(header.partition_leader_epoch, header.base_offset)
        if header.attributes & CONTROL_BIT and header.producer_id >= 0:
            segment.transactions.has_markers = True
        expected = header.last_offset + 1
    segment.written = segment.size
    segment.finish_indexes()
    if segment.size < size:
        if holds_old_message(file, segment.size, size):
            raise DamagedBatch(
                segment.handle.path, f"at byte {segment.size} begin messages of before Kafka 0.11 (magic 0 or 1)"
            )
        if not may_cut:
            raise DamagedBatch(segment.handle.path, f"the batch at byte {segment.size} is damaged")
        segment.cut_bytes = size - segment.size
        return False
    return True


def holds_old_message(file: File, position: int, size: int) -> bool:
    """Does a sound message of magic 0 or 1 stand at `position` of a file of `size` bytes? Kafka still reads those."""
    prefix = file.read_at(position, _OLD_PREFIX.size)
    if len(prefix) < _OLD_PREFIX.size:
        return False
    _, length, _, magic = _OLD_PREFIX.unpack(prefix)
    if magic not in (0, 1) or not _OLD_SIZE_MIN <= length <= size - position - PREFIX_BYTES:
        return False
    return all(entry.is_sound for entry in iterate_entries(file.read_at(position, PREFIX_BYTES + length)))


def batches(file: File, size: int) -> Iterator[tuple[int, BatchHeader, memoryview]]:
    """(position, header, bytes) of each batch that the file is long enough for; nothing of it is judged yet."""
    position = 0
    window, start = memoryview(b""), 0
    while position + HEADER_BYTES <= size:
        if position + HEADER_BYTES > start + len(window):
            window, start = memoryview(file.read_at(position, min(_WINDOW_BYTES, size - position))), position
        header = read_header(window, position - start)
        if header.magic != MAGIC or header.size < HEADER_BYTES or position + header.size > size:
            return
        if position + header.size > start + len(window):
            length = min(max(_WINDOW_BYTES, header.size), size - position)
            window, start = memoryview(file.read_at(position, length)), position
        yield position, header, window[position - start : position - start + header.size]
        position += header.size


def _is_sound(header: BatchHeader, batch: memoryview, expected: int, base: int) -> bool:
    return (
        header.base_offset >= expected
        and header.last_offset_delta >= 0
        and header.last_offset - base <= INT32_MAX
        and checksum_matches(batch, header)
    )


def check_undamaged(disk: Disk, directory: str) -> None:
    """See that recovery would cut nothing but a torn tail of a log without gaps. Raises CorruptRecords.

    A crash leaves a last batch cut, or zeros where bytes had not reached the medium; batches behind those may have
    reached it. Where something else breaks the row of batches and sound ones follow, the medium changed what it held:
    cutting there would lose what was promised.
    """
    if not disk.is_directory(directory):
        return
    for base in base_offsets(disk, directory):
        file = disk.open(f"{directory}/{file_name(base)}{LOG_SUFFIX}")
        try:
            _check_undamaged(file, base)
        finally:
            file.close()


def _check_undamaged(file: File, base: int) -> None:
    size, expected, end = file.size(), base, 0
    for position, header, batch in batches(file, size):
        if header.base_offset != expected or not _is_sound(header, batch, expected, base):
            break
        expected, end = header.last_offset + 1, position + header.size
    tail = file.read_at(end, size - end)
    if not _begins_torn(tail, end):
        for start in range(1, len(tail) - HEADER_BYTES + 1):
            if tail[start + _MAGIC_POSITION] == MAGIC and _begins_sound_batch(tail, start, expected, base):
                reason = f"the batch at byte {end} is damaged, and sound ones follow at byte {end + start}"
                raise CorruptRecords(f"{file.path}: {reason}")


def _begins_torn(tail: bytes, position: int) -> bool:
    """Did the first batch of `tail`, which begins at byte `position` of its file, not reach the medium wholly?

    Media write sectors: one that was never written reads as zeros, to its end or to that of the file.
    """
    if not any(tail[:HEADER_BYTES]):
        return True
    size = read_header(tail).size if len(tail) >= HEADER_BYTES else 0
    end = min(max(size, HEADER_BYTES), len(tail))
    start = 0
    while start < end:
        sector_end = start + _SECTOR_BYTES - (position + start) % _SECTOR_BYTES
        if not any(tail[start:sector_end]):
            return True
        start = sector_end
    return False


def _begins_sound_batch(data: bytes, start: int, expected: int, base: int) -> bool:
    header = read_header(data, start)
    if header.size < HEADER_BYTES or start + header.size > len(data):
        return False
    return _is_sound(header, memoryview(data)[start : start + header.size], expected, base)


def remove_segment_files(disk: Disk, directory: str, base: int) -> None:
    """Everything that belongs to the segment at `base`, its producer snapshot included; what names it goes last."""
    for suffix in (SNAPSHOT_SUFFIX, *_OF_A_SEGMENT, LOG_SUFFIX):
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
    for header in (header for segment in segments for _, header in segment.headers(0)):
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

    The offsets up to the start are used up, be their records lost or deleted. Source: Kafka's LogLoader.
    """
    if not segments or segments[-1].next_offset >= log_start:
        return False
    for segment in reversed(segments):
        segment.retire()
        remove_segment_files(disk, directory, segment.base_offset)
    disk.sync_directory(directory)
    return True


def snapshot_offsets(disk: Disk, directory: str) -> list[int]:
    """The offsets that producer snapshots exist for, rising."""
    names = disk.list(directory)
    return sorted(int(name[:20]) for name in names if name.endswith(SNAPSHOT_SUFFIX) and name[:20].isdigit())


def lost_end(
    disk: Disk, directory: str, segments: Sequence[Segment], recovery_point: int, log_start: int
) -> Mended | None:
    """Does the log end before what a clean stop wrote down? Then others have been at the files since.

    What is there is served, as Kafka does, but read as after a crash. Gives the segments' files back in that case.
    """
    end = segments[-1].next_offset if segments else log_start
    stopped_at = max(recovery_point, *snapshot_offsets(disk, directory), 0)
    if end >= stopped_at:
        return None
    remedy = f"served up to offset {end}, read as after a crash"
    if not segments:
        return Mended("every segment", f"up to offset {stopped_at} is missing", remedy)
    for segment in segments:
        segment.retire()
    file = segments[-1].handle.path.rpartition("/")[2]
    return Mended(file, f"ends at offset {end}, not at {stopped_at} as when it was stopped", remedy)


def _rebuild_transaction_indexes(disk: Disk, directory: str, segments: Sequence[Segment]) -> None:
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
    is_ahead = False
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
        if tidies:
            disk.remove(path)
            is_ahead = is_ahead or offset > end
    if is_ahead:
        # Batches that come there next are others: what it says may not be back after a crash.
        disk.sync_directory(directory)
    if clean and not found and start < end:
        found.append(Mended(file_name(end) + SNAPSHOT_SUFFIX, "is missing", _PRODUCERS_REMEDY))
    if mended is not None:
        mended += found
    for segment in segments:
        if segment.next_offset > start and segment.base_offset < end:
            _replay(segment, start, end, state)
    return state


def _remove_strays(disk: Disk, directory: str, segments: Sequence[Segment], newest: int) -> None:
    """The snapshots of earlier clean stops: older than the newest, and at the base of no segment."""
    bases = {segment.base_offset for segment in segments}
    for offset in snapshot_offsets(disk, directory):
        if offset < newest and offset not in bases:
            disk.remove(f"{directory}/{file_name(offset)}{SNAPSHOT_SUFFIX}")


def _replay(segment: Segment, start: int, end: int, state: ProducerState) -> None:
    found = segment.find(max(start, segment.base_offset))
    if found is None:
        return
    for position, header in segment.headers(found.position):
        if header.last_offset >= end:
            return
        if header.producer_id >= 0 and header.base_offset >= start:
            replay(segment, position, header, state)
