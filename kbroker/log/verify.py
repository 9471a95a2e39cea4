"""Looking for damage in a log directory without changing it: what Kafka's DumpLogSegments verifies, and more.

Everything is read once, a window at a time; of a segment only its indexes are held whole. Findings come one by one, and
in between how many bytes were read, so that whoever drives it can show progress and pause it.

A directory without the marker of a clean stop is in use, or its last process died: what lies behind the recovery points
may be torn there, and the next start cuts it. Findings of that kind say so.
Source: Kafka's DumpLogSegments, LogSegment.sanityCheck, ProducerStateManager.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from enum import Enum, auto
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from kbroker.log.batch_walk import batches
from kbroker.log.checkpoints import CorruptCheckpoint, parse_epochs, parse_offsets, parse_partition_metadata
from kbroker.log.directory import CHECKPOINTS_OF_A_STOP, CLEAN_FILE, DELETE_SUFFIX, STRAY_SUFFIX
from kbroker.log.directory_checkpoints import ALL_FILES, CLEANED_ENDS_FILE, LOG_STARTS_FILE, RECOVERY_POINTS_FILE
from kbroker.log.meta_properties import FILE_NAME, ForeignDirectory, parse_meta_properties
from kbroker.log.partition_metadata import METADATA_FILE
from kbroker.log.place import partition_named
from kbroker.log.producer_state import CorruptSnapshot, Producer, ProducerState
from kbroker.log.recovery import EPOCHS_FILE, LOG_SUFFIX, SNAPSHOT_SUFFIX, holds_old_message, snapshot_offsets
from kbroker.log.segment import file_name, offsets_named
from kbroker.log.settings import INT64_MAX
from kbroker.names import INTERNAL_TOPICS, METADATA_TOPIC, TopicPartition
from kbroker.quorum.election import ElectionUnreadable, parse_election
from kbroker.record.batch import BatchHeader, checksum_matches
from kbroker.record.compression import CorruptRecords
from kbroker.record.markers import read_marker
from kbroker.record.skim import skim_records
from kbroker.world import Disk, File

_ELECTION_FILE = "quorum-state"
_OFFSET_ENTRY = struct.Struct(">ii")
_TIME_ENTRY = struct.Struct(">qi")
_LINES_BEFORE_ENTRIES = 2
"""Of a checkpoint: its version, and how many there are."""
_GOING_SUFFIXES = (DELETE_SUFFIX, STRAY_SUFFIX, "-future")
_TRANSACTION_ENTRY = struct.Struct(">hqqqq")


class Finding(NamedTuple):
    """Something is not as it should be: the file or directory, and what."""

    path: str
    problem: str


Found = Iterator[Finding | int]
"""Findings, and counts of bytes read since the last count."""


def total_bytes(disk: Disk, path: str) -> int:
    """About how many bytes a check of the directory will read."""
    total = 0
    for name in partition_names(disk, path):
        for file in disk.list(f"{path}/{name}"):
            if file.endswith(LOG_SUFFIX):
                opened = disk.open(f"{path}/{name}/{file}")
                total += opened.size()
                opened.close()
    return total


def _nothing_known(_topic: str) -> bool:
    return False


def verify_directory(
    disk: Disk, path: str, *, is_in_use: bool = False, is_plain: Callable[[str], bool] = _nothing_known
) -> Found:
    """Check everything in a log directory but what metadata records say.

    Where a broker `is_in_use` of it, only what a second look still finds counts, and what may go meanwhile is passed
    over. `is_plain`: is it known that the topic of this name is not compacted? Raises DiskFailure, FileNotFoundError
    where nothing can be read at all.
    """
    is_clean = disk.exists(f"{path}/{CLEAN_FILE}")
    yield from _meta_properties(disk, path)
    has_logs = any(not name.startswith(METADATA_TOPIC) for name in partition_names(disk, path))
    checkpoints: dict[str, Mapping[TopicPartition, int]] = {}
    for name in ALL_FILES:
        try:
            data = disk.read(f"{path}/{name}")
            if not data and is_clean and name in CHECKPOINTS_OF_A_STOP and has_logs:
                raise CorruptCheckpoint("is empty, and no clean stop leaves it so")
            checkpoints[name] = parse_offsets(data)
        except FileNotFoundError:
            checkpoints[name] = {}
            continue
        except CorruptCheckpoint as error:
            yield Finding(f"{path}/{name}", str(error))
            continue
        if len(data.splitlines()) - _LINES_BEFORE_ENTRIES > len(checkpoints[name]):
            yield Finding(f"{path}/{name}", "lists a partition twice")
    ends: dict[TopicPartition, int] = {}
    cleaned = checkpoints.get(CLEANED_ENDS_FILE)
    look = _look_twice if is_in_use else _look
    for name in partition_names(disk, path):
        topic, _, number = name.rpartition("-")
        where = TopicPartition(topic, int(number))
        recovery_point = checkpoints.get(RECOVERY_POINTS_FILE, {}).get(where, 0)
        is_cleaned = topic in INTERNAL_TOPICS or cleaned is None or where in cleaned
        log_start = checkpoints.get(LOG_STARTS_FILE, {}).get(where, 0)
        gaps = Gaps.ALLOWED if is_cleaned else Gaps.FORBIDDEN if is_plain(topic) else Gaps.UNKNOWN
        check = partial(PartitionCheck, disk, f"{path}/{name}", is_clean=is_clean, gaps=gaps, log_start=log_start)
        ends[where] = yield from look(check, recovery_point)
    names = disk.list(path)
    going = {name.rpartition(".")[0] for name in names if name.endswith(_GOING_SUFFIXES)}
    for name, offsets in checkpoints.items():
        is_settled = is_clean and not is_in_use and name != CLEANED_ENDS_FILE
        for where, offset in offsets.items():
            if where not in ends:
                problem = None if str(where) in going else _stranger(where, offsets, ends, is_settled=is_settled)
                if problem is not None:
                    yield Finding(f"{path}/{name}", problem)
            elif offset > ends[where] and (is_clean or name == RECOVERY_POINTS_FILE):
                yield Finding(f"{path}/{name}", f"{where} at {offset}, but the log ends at {ends[where]}")
    for name in names:
        if name.endswith(STRAY_SUFFIX):
            yield Finding(f"{path}/{name}", "set aside: belongs to no topic")


def _stranger(
    where: TopicPartition, listed: Collection[TopicPartition], known: Collection[TopicPartition], *, is_settled: bool
) -> str | None:
    """What is wrong with an entry of no directory.

    A clean stop leaves none, but for the cleaner's of deleted topics, which Kafka leaves too. While a broker runs, and
    after it was killed, those of deleted topics are there until the next checkpoint, and topics that came since are
    not: nothing but a name that no topic can have is damage there.
    """
    if partition_named(str(where)) != where:
        return f"{str(where)!r} is no partition: the name is damaged"
    if not is_settled:
        return None
    for own in known:
        if own not in listed and _differ_in_one(str(own), str(where)):
            return f"{where} has no directory, and {own} no entry: the name is damaged"
    return f"{where} has no directory"


def _differ_in_one(name: str, other: str) -> bool:
    return len(name) == len(other) and sum(a != b for a, b in zip(name, other, strict=True)) == 1


def _look(begin: Callable[[], PartitionCheck], recovery_point: int) -> Generator[Finding | int, None, int]:
    check = begin()
    yield from check.run(recovery_point)
    return check.end


def _look_twice(begin: Callable[[], PartitionCheck], recovery_point: int) -> Generator[Finding | int, None, int]:
    """A log that grows, and loses segments, while it is read: damage stays where it is."""
    first: list[Finding] = []
    check = begin()
    try:
        for found in check.run(recovery_point):
            if isinstance(found, Finding):
                first.append(found)
            else:
                yield found
        if first:
            check = begin()
            yield from [found for found in check.run(recovery_point) if found in first]
    except FileNotFoundError:
        return INT64_MAX  # a segment, or the topic, is gone: nobody knows where it ends
    return check.end


def partition_names(disk: Disk, path: str) -> list[str]:
    """The directories of partitions in a log directory, sorted."""
    return [
        name for name in disk.list(path) if partition_named(name) is not None and disk.is_directory(f"{path}/{name}")
    ]


def _meta_properties(disk: Disk, path: str) -> Found:
    file = f"{path}/{FILE_NAME}"
    try:
        parse_meta_properties(disk.read(file), file)
    except FileNotFoundError:
        yield Finding(file, "is missing: the directory is not formatted")
    except ForeignDirectory as error:
        yield Finding(file, str(error).removeprefix(f"{file}: "))


class Gaps(Enum):
    """May offsets be missing between a log's batches? Compaction takes them; nothing else does."""

    ALLOWED = auto()
    """Compaction has been there."""
    UNKNOWN = auto()
    """One inside a segment tells that it has."""
    FORBIDDEN = auto()
    """It never was, but a batch that lacks records tells that it was once."""


class PartitionCheck:
    """One partition's directory; `end` is its log's end, once it has run: no bound where old messages were not read."""

    def __init__(self, disk: Disk, path: str, *, is_clean: bool, gaps: Gaps = Gaps.UNKNOWN, log_start: int = 0) -> None:
        """`log_start`: as last written down."""
        self._disk = disk
        self._path = path
        self._is_clean = is_clean
        self._gaps = gaps
        self._is_dense = gaps is not Gaps.ALLOWED
        self._missing: list[Finding] = []
        self._log_start = log_start
        self._producers = ProducerState()
        self._snapshots = snapshot_offsets(disk, path)
        self._epochs: list[tuple[int, int]] = []
        self._epochs_rise = True
        self._has_old = self._is_cut = False
        self._first_base = 0
        self.end = 0

    def run(self, recovery_point: int) -> Found:
        """Everything in the directory; what lies behind `recovery_point` may be torn after a crash."""
        names = self._disk.list(self._path)
        bases = offsets_named(names, LOG_SUFFIX)
        self.end = self._first_base = bases[0] if bases else 0
        for number, base in enumerate(bases):
            is_last = number == len(bases) - 1
            may_be_torn = not self._is_clean and (is_last or bases[number + 1] > recovery_point)
            if base < self.end:
                yield Finding(self._of(base, LOG_SUFFIX), f"begins before offset {self.end}, where the one before ends")
            if base > self.end and not self._is_cut:
                problem = f"offsets {self.end} to {base - 1} are missing before it: a segment is gone"
                self._missing.append(Finding(self._of(base, LOG_SUFFIX), problem))
            self.end = max(self.end, base)
            self._is_cut = False
            yield from self._segment(base, may_be_torn=may_be_torn, is_last=is_last)
        if self._gaps is Gaps.FORBIDDEN or self._is_dense:
            yield from self._missing
        if self._has_old:
            self.end = INT64_MAX  # whatever Kafka says that it is
        yield from self._snapshots_up_to(self.end)
        for offset in self._snapshots:
            yield Finding(self._of(offset, SNAPSHOT_SUFFIX), f"is of offset {offset}; the log ends at {self.end}")
        yield from self._epochs_file(recovery_point)
        yield from self._small_files(names)

    def _of(self, base: int, suffix: str) -> str:
        return f"{self._path}/{file_name(base)}{suffix}"

    # ---- batches

    def _segment(self, base: int, *, may_be_torn: bool, is_last: bool) -> Found:
        path = self._of(base, LOG_SUFFIX)
        file = self._disk.open(path)
        try:
            yield from self._opened_segment(file, base, may_be_torn=may_be_torn, is_last=is_last)
        finally:
            file.close()

    def _opened_segment(self, file: File, base: int, *, may_be_torn: bool, is_last: bool) -> Found:
        path = file.path
        offsets = _Entries(self._disk, self._of(base, ".index"), _OFFSET_ENTRY)
        times = _Entries(self._disk, self._of(base, ".timeindex"), _TIME_ENTRY)
        aborts = _Aborts(set(), set())
        size, position, largest = file.size(), 0, -1
        problem = None
        for position, header, batch in batches(file, size):
            problem = self._header_problem(header, batch, base)
            if problem is not None:
                break
            body = self._body_problem(header, batch)
            if body is not None:
                yield Finding(path, f"at byte {position}: {body}")
            yield from self._snapshots_up_to(header.base_offset)
            yield from self._epoch(path, position, header)
            if body is None or not header.is_control:
                self._note(header, batch, aborts)
            if header.base_offset > max(self.end, base):
                self._gap(path, position, max(self.end, base), header.base_offset)
            if header.records_count <= header.last_offset_delta:
                self._is_dense = False
                self._gaps = Gaps.ALLOWED  # the topic was compacted once, and nothing else tells that any more
            largest = max(largest, header.max_timestamp)
            offsets.pass_by((header.last_offset - base, position))
            if header.max_timestamp == largest:
                times.pass_by_time(largest, header.base_offset - base, header.last_offset - base)
            self.end = header.last_offset + 1
            position += header.size
            yield header.size
        is_old = problem is None and holds_old_message(file, position, size)
        if problem is not None or position < size:
            what = problem or f"{size - position} bytes are no batch"
            fate = "; the next start cuts the log there" if may_be_torn else ""
            if is_old:
                what, fate = "messages of before Kafka 0.11 (magic 0 or 1): only Apache Kafka serves them", ""
                self._has_old = True
            self._is_cut = True
            yield Finding(path, f"at byte {position}: {what}{fate}")
            return
        yield from offsets.findings(is_last=is_last)
        yield from times.findings(is_last=is_last)
        yield from self._transactions(base, aborts)

    def _gap(self, path: str, position: int, start: int, end: int) -> None:
        """Offsets are missing before the batch at `position`; the first of a segment's gaps is told."""
        self._is_dense = False
        if self._gaps is Gaps.FORBIDDEN and not (self._missing and self._missing[-1].path == path):
            problem = f"offsets {start} to {end - 1} are missing before the batch at byte {position}"
            self._missing.append(Finding(path, problem))

    def _header_problem(self, header: BatchHeader, batch: memoryview, base: int) -> str | None:
        """What recovery would see too, and cut the log for where it may."""
        if not checksum_matches(batch, header):
            return "the checksum does not hold"
        if header.base_offset < max(self.end, base):
            return f"offset {header.base_offset} where {max(self.end, base)} or more must come"
        if header.last_offset_delta < 0 or header.records_count < 0:
            return "a count is negative"
        return None

    def _body_problem(self, header: BatchHeader, batch: memoryview) -> str | None:
        """What only the opened batch tells; it was written like that, and a start leaves it."""
        try:
            count, last = 0, -1
            for record in skim_records(batch):
                if not last < record.offset - header.base_offset <= header.last_offset_delta:
                    return f"the record at offset {record.offset} is out of order"
                count, last = count + 1, record.offset - header.base_offset
        except CorruptRecords as error:
            return str(error)
        if count != header.records_count:
            return f"{count} records where {header.records_count} are announced"
        return None

    def _epoch(self, path: str, position: int, header: BatchHeader) -> Iterator[Finding]:
        """Leader epochs move on. One that falls, under no checksum, leaves nothing to measure the file by."""
        epoch, latest = header.partition_leader_epoch, self._epochs[-1][0] if self._epochs else -1
        if epoch > latest:
            self._epochs.append((epoch, header.base_offset))
        elif 0 <= epoch < latest and self._epochs_rise:
            self._epochs_rise = False
            yield Finding(path, f"at byte {position}: leader epoch {epoch} behind {latest}: one of them is damaged")

    def _note(self, header: BatchHeader, batch: memoryview, aborts: _Aborts) -> None:
        """Producers move on; what was aborted is noted in `aborts`."""
        if header.producer_id < 0:
            return
        if not header.is_control:
            self._producers.update(header)
            return
        marker = read_marker(batch)
        if marker is None:
            return
        if marker.is_abort:
            aborts.marked.add((header.producer_id, header.base_offset))
        ended = self._producers.end_transaction(header, marker)
        if ended is not None:
            aborts.replayed.add((ended.producer_id, ended.last_offset))

    # ---- what is derived from them

    def _transactions(self, base: int, aborts: _Aborts) -> Found:
        """The entries are the aborts that the batches tell, but for those whose records went.

        Apache Kafka's cleaner takes the records of an aborted transaction and keeps its marker and its entry; retention
        takes its first segments. The marker is all that such an entry can be measured by.
        """
        path = self._of(base, ".txnindex")
        data = self._disk.read(path) if self._disk.exists(path) else b""
        if len(data) % _TRANSACTION_ENTRY.size:
            yield Finding(path, f"{len(data)} bytes are not whole entries")
            return
        entries = [*_TRANSACTION_ENTRY.iter_unpack(data)]
        listed = {(producer_id, end) for _, producer_id, _, end, _ in entries}
        begun_earlier = {
            (producer_id, end)
            for _, producer_id, start, end, _ in entries
            if not self._is_dense or start < self._first_base
        }
        for producer_id, offset in sorted((listed ^ aborts.replayed) - (begun_earlier & aborts.marked)):
            which = "lists" if (producer_id, offset) in listed else "lacks"
            yield Finding(path, f"{which} an abort of producer {producer_id} at offset {offset}")

    def _snapshots_up_to(self, offset: int) -> Found:
        while self._snapshots and self._snapshots[0] <= offset:
            at = self._snapshots.pop(0)
            path = self._of(at, SNAPSHOT_SUFFIX)
            told = ProducerState()
            try:
                told.restore(self._disk.read(path))
            except CorruptSnapshot as error:
                yield Finding(path, str(error))
                continue
            if not self._is_dense:
                continue  # compaction may have taken the batches that it was made from
            replayed = {producer.producer_id: producer for producer in self._producers}
            for producer in told:
                # One that is in no batch any more, or in a marker only, was in batches that retention took.
                left = replayed.get(producer.producer_id)
                if left is None or not (left.batches or self._first_base == 0):
                    continue
                if _last(producer) != _last(left):
                    yield Finding(path, f"producer {producer.producer_id} is not where its batches are")

    def _epochs_file(self, recovery_point: int) -> Found:
        path = f"{self._path}/{EPOCHS_FILE}"
        try:
            listed = parse_epochs(self._disk.read(path))
        except FileNotFoundError:
            listed = []
        except CorruptCheckpoint as error:
            yield Finding(path, str(error))
            return
        if not self._epochs_rise:
            return
        starts = dict(listed)
        log_start = self._log_start
        if not self._is_clean and listed:
            log_start = max(log_start, listed[0][1])  # written when the start moves, long before the start itself
        for number, (epoch, start, end) in enumerate(self._epochs_up_to(recovery_point)):
            if end <= log_start:
                continue
            # The first begins where the log starts, which may be inside its first batch, or lies in batches that went.
            # Compaction may have taken the first batches of one.
            begin = max(start, log_start)
            is_elsewhere = number and (starts.get(epoch) != begin if self._is_dense else starts.get(epoch, 0) > begin)
            if epoch not in starts or is_elsewhere:
                yield Finding(path, f"leader epoch {epoch} begins at offset {begin}, listed is {starts.get(epoch)}")

    def _epochs_up_to(self, recovery_point: int) -> Iterator[tuple[int, int, int]]:
        """Leader epochs in the batches, with their first offset and end; what a start reads anew does not count."""
        for (epoch, start), (_, end) in pairwise([*self._epochs, (0, self.end)]):
            if not self._is_clean and start >= recovery_point:
                return
            yield epoch, start, end

    def _small_files(self, names: list[str]) -> Found:
        path = f"{self._path}/{METADATA_FILE}"
        is_metadata = self._path.endswith(f"/{METADATA_TOPIC}-0")
        try:
            parse_partition_metadata(self._disk.read(path))
        except FileNotFoundError:
            # Formatting leaves who votes, and the first start begins the log.
            if not is_metadata or any(name.endswith(LOG_SUFFIX) for name in names):
                yield Finding(path, "is missing")
        except CorruptCheckpoint as error:
            yield Finding(path, str(error))
        if not is_metadata:
            return
        if _ELECTION_FILE in names:
            try:
                parse_election(self._disk.read(f"{self._path}/{_ELECTION_FILE}"))
            except ElectionUnreadable as error:
                yield Finding(f"{self._path}/{_ELECTION_FILE}", str(error))


class _Aborts(NamedTuple):
    """Of one segment: (producer id, offset of the marker) of its aborts."""

    replayed: set[tuple[int, int]]
    """Those whose records came before."""
    marked: set[tuple[int, int]]


def _last(producer: Producer) -> tuple[int, ...]:
    return (producer.epoch, *(producer.batches[-1][:2] if producer.batches else ()))


class _Entries:
    """An index file beside the batches that it must lead to, in their order."""

    def __init__(self, disk: Disk, path: str, entry: struct.Struct) -> None:
        self._path = path
        self._size = entry.size
        self._is_missing = not disk.exists(path)
        data = b"" if self._is_missing else disk.read(path)
        self._surplus = len(data) % entry.size
        used = len(data.rstrip(b"\0"))  # Kafka allocates in advance
        end = min(len(data) - self._surplus, -(-used // entry.size) * entry.size)
        self._left = entry.iter_unpack(data[:end])
        self._next: tuple[int, ...] | None = next(self._left, None)

    def pass_by(self, entry: tuple[int, int]) -> None:
        """A batch: (relative last offset, position)."""
        if self._next == entry:
            self._next = next(self._left, None)

    def pass_by_time(self, largest: int, first: int, last: int) -> None:
        """The batch with the largest timestamp so far, and its relative offsets."""
        if self._next is not None and self._next[0] == largest and first <= self._next[1] <= last:
            self._next = next(self._left, None)

    def findings(self, *, is_last: bool) -> Iterator[Finding]:
        """After the last batch: an entry that none of them answers to."""
        if self._surplus:
            yield Finding(self._path, f"{self._surplus} bytes behind the last whole entry")
        if self._next is not None:
            yield Finding(self._path, f"the entry {self._next[0]}, {self._next[1]} leads to no batch")
        if self._is_missing and not is_last:
            yield Finding(self._path, "is missing")
