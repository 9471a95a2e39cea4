"""The two walks of a round, for a worker: fill the map from the dirty part, then write each group of segments anew.

Both are generators of small steps (see filtering.Steps) and touch nothing that the log's own thread uses: files are
opened by name, and what is written is named .cleaned. A batch whose checksum is wrong ends the round: what the medium
changed must not get a fresh checksum.
Source: Kafka's Cleaner.buildOffsetMap, cleanSegments, cleanInto.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kbroker.log.batch_walk import batches
from kbroker.log.compaction.filtering import BATCH_UNITS, STEP_UNITS, Pace, Rules, Steps, filtered, keyed_records
from kbroker.log.compaction.offset_map import OffsetMap
from kbroker.log.compaction.swap import CLEANED_SUFFIX, discard_cleaned
from kbroker.log.index import offset_index, time_index
from kbroker.log.open_files import FileHandle, OpenFiles
from kbroker.log.segment import Segment, file_name
from kbroker.record.batch import BatchHeader, checksum_matches, read_header
from kbroker.record.compression import UNREADABLE, CorruptRecords
from kbroker.world import Disk, File

_TRANSACTION_SUFFIX = ".txnindex"


class Source(NamedTuple):
    """A segment to read: where its files are, how far it goes, and the byte from which dirty offsets are looked for."""

    stem: str
    base_offset: int
    next_base: int
    size: int
    dirty_position: int = 0


class Cleaned(NamedTuple):
    """A segment that was written: whole, synced, its files named .cleaned."""

    base_offset: int
    size: int
    first_timestamp: int
    max_timestamp: int
    last_offset_of_max: int
    bytes_read: int


def batches_from(
    file: File, size: int, position: int, window_bytes: int, pace: Pace
) -> Iterator[tuple[int, BatchHeader, memoryview]]:
    """(position, header, bytes) of each batch from `position` on. Raises CorruptRecords where there is none."""
    for found in batches(file, size, position, window_bytes=window_bytes, on_read=pace.moved):
        yield found
        position = found[0] + found[1].size
    if position < size:
        raise CorruptRecords(f"{file.path}: the batch at byte {position} is damaged")


def _check(batch: memoryview, header: BatchHeader, file: File, position: int) -> None:
    if not checksum_matches(batch, header):
        raise CorruptRecords(f"{file.path}: the checksum of the batch at byte {position} doesn't match")


def fill_map(
    disk: Disk, sources: Sequence[Source], newest: OffsetMap, first_dirty: int, window_bytes: int
) -> Steps[OffsetMap]:
    """Put every key from `first_dirty` on into the map, as far as it has room. Raises CorruptRecords, DiskFailure."""
    pace = Pace()
    for source in sources:
        file = disk.open(source.stem + ".log")
        try:
            is_full = yield from _fill_from(file, source, newest, first_dirty, window_bytes, pace)
        finally:
            file.close()
        if is_full:
            break
        newest.latest_offset = source.next_base - 1  # behind its last batch may be a gap
    yield pace.taken()
    return newest


def _fill_from(
    file: File, source: Source, newest: OffsetMap, first_dirty: int, window_bytes: int, pace: Pace
) -> Steps[bool]:
    """False: all of it is in the map. True: it was full before."""
    for position, header, batch in batches_from(file, source.size, source.dirty_position, window_bytes, pace):
        pace.units += BATCH_UNITS
        if pace.units >= STEP_UNITS:
            yield pace.taken()
        if header.last_offset < first_dirty:
            continue
        if not (header.is_control or header.is_transactional):
            _check(batch, header, file, position)
            for record in keyed_records(batch, header):
                if record.key is not None and record.offset >= first_dirty:
                    if not newest.put(record.key, record.offset):
                        return True
                    pace.units += 1
                    if pace.units >= STEP_UNITS:
                        yield pace.taken()
        newest.latest_offset = header.last_offset
    return False


class Output:
    """The segment that is being written: `.cleaned` files and the indexes for them."""

    def __init__(self, disk: Disk, directory: str, base_offset: int, interval_bytes: int) -> None:
        self._disk = disk
        self._directory = directory
        self._interval_bytes = interval_bytes
        files = OpenFiles(disk)
        stem = f"{directory}/{file_name(base_offset)}"
        segment = Segment(files, directory, base_offset, 0)
        segment.handle = FileHandle(files, f"{stem}.log{CLEANED_SUFFIX}")
        segment.offsets = offset_index(FileHandle(files, f"{stem}.index{CLEANED_SUFFIX}"))
        segment.times = time_index(FileHandle(files, f"{stem}.timeindex{CLEANED_SUFFIX}"))
        self.segment = segment
        self._unwritten: list[bytes | bytearray | memoryview] = []
        self._written = 0
        self._transactions = FileHandle(files, f"{stem}{_TRANSACTION_SUFFIX}{CLEANED_SUFFIX}")
        self._transactions_size = 0
        discard_cleaned(disk, directory, base_offset)
        segment.handle.file(create=True)

    @property
    def unwritten_bytes(self) -> int:
        """What waits to be written together."""
        return self.segment.size - self._written

    def add(self, batch: bytes | bytearray | memoryview) -> None:
        """A batch behind the last."""
        segment = self.segment
        segment.note_batch(read_header(batch), segment.size, self._interval_bytes)
        self._unwritten.append(batch)

    def write(self, pace: Pace) -> None:
        """Bring what waits to the file."""
        if self._unwritten:
            self.segment.handle.file().write_at(self._written, self._unwritten)
            pace.moved(self.unwritten_bytes)
            self._written = self.segment.size
            self._unwritten = []

    def add_transactions(self, path: str) -> None:
        """The aborted transactions of a segment that goes into this one; their batches stay, and so do the entries."""
        if self._disk.exists(path):
            data = self._disk.read(path)
            self._transactions.file(create=True).write_at(self._transactions_size, [data])
            self._transactions_size += len(data)

    def finish(self) -> None:
        """Whole and on the medium, then closed."""
        segment = self.segment
        segment.seal()
        for handle in self._handles():
            handle.file().sync()
        self._close()

    def _handles(self) -> list[FileHandle]:
        handles = [self.segment.handle, self.segment.offsets.handle, self.segment.times.handle]
        return [*handles, self._transactions] if self._transactions_size else handles

    def _close(self) -> None:
        for handle in self._handles():
            handle.close()

    def discard(self) -> None:
        """The round ends here: take the files away again."""
        self._close()
        discard_cleaned(self._disk, self._directory, self.segment.base_offset)


def clean_group(
    disk: Disk, directory: str, group: Sequence[Source], rules: Rules, *, interval_bytes: int, window_bytes: int
) -> Steps[Cleaned]:
    """Write one `.cleaned` segment of what stays of a group of neighbours. Raises CorruptRecords, DiskFailure.

    Given up (by closing the generator, or by an error), it leaves nothing behind.
    """
    pace = Pace()
    output = Output(disk, directory, group[0].base_offset, interval_bytes)
    is_done = False
    try:
        for source in group:
            must_reach = source is group[-1] and len(group) > 1
            yield from _clean_into(disk, source, output, rules, pace, window_bytes, must_reach=must_reach)
            output.add_transactions(source.stem + _TRANSACTION_SUFFIX)
        output.write(pace)
        output.finish()
        is_done = True
    finally:
        if not is_done:
            output.discard()
    yield pace.taken()
    segment = output.segment
    return Cleaned(
        segment.base_offset,
        segment.size,
        segment.first_timestamp,
        segment.max_timestamp,
        segment.last_offset_of_max,
        sum(source.size for source in group),
    )


def _clean_into(
    disk: Disk, source: Source, output: Output, rules: Rules, pace: Pace, window_bytes: int, *, must_reach: bool
) -> Steps[None]:
    """Add what stays of one segment.

    With `must_reach` its last batch stays, be it empty, if no other does: a start that completes the swap knows by the
    offsets in the new segment which old ones it replaces.
    """
    before = output.segment.size
    file = disk.open(source.stem + ".log")
    try:
        for position, header, batch in batches_from(file, source.size, 0, window_bytes, pace):
            pace.units += BATCH_UNITS
            if pace.units >= STEP_UNITS:
                yield pace.taken()
            stays: bytes | bytearray | memoryview = batch
            if header.is_control or header.is_transactional:
                rules.keeps_tombstones = rules.keeps_tombstones or not header.is_control
            elif header.base_offset <= rules.newest.latest_offset:
                _check(batch, header, file, position)
                is_last = position + header.size == source.size
                is_trace = rules.is_trace(header) or (must_reach and is_last and output.segment.size == before)
                try:
                    stays = yield from filtered(batch, header, rules, pace, is_trace=is_trace)
                except UNREADABLE as error:
                    raise CorruptRecords(f"{file.path}: the batch at byte {position}: {error}") from error
            if stays:
                output.add(stays)
                if output.unwritten_bytes >= window_bytes:
                    output.write(pace)
    finally:
        file.close()
