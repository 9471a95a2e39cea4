"""One round of cleaning: the map, the groups, the swaps; what the log's own thread does between a worker's steps.

A round is a generator of works: each work is a generator of small steps that a worker exhausts, whose result is sent
back. Whoever drives it asks `may_go_on` whenever it is back on the log's thread, and closes the round if not.
Source: Kafka's Cleaner.doClean.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kbroker.log.compaction.cleanable import Cleanable, cleanable, grouped
from kbroker.log.compaction.cleaning import Cleaned, Source, clean_group, fill_map
from kbroker.log.compaction.filtering import Rules, Steps
from kbroker.log.compaction.offset_map import OffsetMap
from kbroker.log.compaction.swap import begin_swap
from kbroker.log.segment import Segment, file_name
from kbroker.world import Disk

if TYPE_CHECKING:
    from kbroker.log.partition_log import PartitionLog


class Means(NamedTuple):
    """What a round may use, from `log.cleaner.*`. Sizes in bytes."""

    dedupe_buffer_size: int = 128 << 20
    load_factor: float = 0.9
    io_buffer_size: int = 512 << 10

    @property
    def window_bytes(self) -> int:
        """Half of the buffer reads, the other half writes."""
        return max(self.io_buffer_size // 2, 1)


class Round(NamedTuple):
    """What a round did. Offsets absolute, sizes in bytes; `end` is where the log is dirty from now on."""

    start: int
    end: int
    keys: int
    bytes_before: int
    bytes_after: int


Works = Generator[Steps[Any], Any, Round]


def cleanable_part(log: PartitionLog, high_watermark: int, now_ms: int) -> Cleanable:
    """What of the log could be cleaned now. May raise DiskFailure."""
    segments = log.segments
    # What is full but not synced yet counts as growing: a worker writes its indexes.
    growing = next((at for at, segment in enumerate(segments) if not segment.is_complete), len(segments) - 1)
    return cleanable(
        segments[: growing + 1],
        log.settings,
        checkpoint=log.cleaning.first_dirty,
        log_start=log.log_start,
        log_end=log.log_end,
        stable_end=log.last_stable_end(high_watermark),
        now_ms=now_ms,
    )


def may_go_on(log: PartitionLog) -> bool:
    """Is the log still open, whole and uncut?"""
    return not (log.is_closed or log.failure is not None or log.cleaning.is_aborted)


def clean(log: PartitionLog, disk: Disk, part: Cleanable, means: Means, now_ms: int) -> Works:
    """Clean the part; a round that is closed early leaves a valid log. May raise DiskFailure, CorruptRecords."""
    progress = log.cleaning
    progress.is_under_way = True
    progress.is_aborted = False
    try:
        return (yield from _clean(log, disk, part, means, now_ms))
    finally:
        progress.is_under_way = False


def _clean(log: PartitionLog, disk: Disk, part: Cleanable, means: Means, now_ms: int) -> Works:
    segments = [segment for segment in log.segments if segment.base_offset < part.end]
    sources = _sources(segments, part)
    unflushed = [source for source in sources if source.next_base > log.flushed_end]
    if unflushed:
        yield _sync(disk, log.directory, unflushed)
    newest = OffsetMap(means.dedupe_buffer_size, means.load_factor)
    dirty = [source for source in sources if source.next_base > part.first_dirty]
    yield fill_map(disk, dirty, newest, part.first_dirty, means.window_bytes)
    settings = log.settings
    rules = Rules(newest, now_ms, settings.delete_retention_ms, part.end, _last_offsets(log, part.end))
    end = newest.latest_offset + 1
    before = after = first = 0
    for group in grouped([segment for segment in segments if segment.base_offset < end], settings, part.end):
        last = first + len(group)
        done: Cleaned = yield clean_group(
            disk,
            log.directory,
            sources[first:last],
            rules,
            interval_bytes=settings.index_interval_bytes,
            window_bytes=means.window_bytes,
        )
        yield from _swap(log, disk, group, done)
        first, before, after = last, before + done.bytes_read, after + done.size
    log.cleaning.first_dirty = end
    return Round(part.first_dirty, end, len(newest), before, after)


def _swap(log: PartitionLog, disk: Disk, group: Sequence[Segment], done: Cleaned) -> Generator[Steps[None], None, None]:
    """Put the cleaned segment in its place. Closed in the middle, it leaves the rest to the next start."""
    begin_swap(disk, log.directory, done.base_offset)
    log.cleaning.swap_base = done.base_offset
    try:
        yield _sync_names(disk, log.directory)
        log.replace_segments(group, [done])
    finally:
        log.cleaning.swap_base = None
    # The next group may be named .cleaned only when no .swap can come back beside it: a start would undo that.
    yield _sync_names(disk, log.directory)


def _sync(disk: Disk, directory: str, sources: Sequence[Source]) -> Steps[None]:
    """Bring to the medium what is going to be read: soon a newer record may be all that is left of its key."""
    for source in sources:
        file = disk.open(source.stem + ".log")
        try:
            file.sync()
        finally:
            file.close()
        yield 0
    disk.sync_directory(directory)


def _sync_names(disk: Disk, directory: str) -> Steps[None]:
    yield 0
    disk.sync_directory(directory)


def _sources(segments: Sequence[Segment], part: Cleanable) -> list[Source]:
    bases = [*(segment.base_offset for segment in segments), part.end]
    sources = []
    for segment, next_base in zip(segments, bases[1:], strict=True):
        entry = None
        if segment.base_offset < part.first_dirty < next_base:
            entry = segment.offsets.floor(part.first_dirty - segment.base_offset)
        stem = f"{segment.directory}/{file_name(segment.base_offset)}"
        sources.append(Source(stem, segment.base_offset, next_base, segment.written, entry[1] if entry else 0))
    return sources


def _last_offsets(log: PartitionLog, end: int) -> dict[int, int]:
    """The last batch of each producer, as far as the round can meet it."""
    return {
        producer.producer_id: producer.batches[-1].last_offset
        for producer in log.producers
        if producer.batches and producer.batches[-1].last_offset < end
    }


def exhaust(works: Works) -> Round:
    """A whole round at once, in the calling thread: for tools and tests."""
    try:
        steps = next(works)
        while True:
            steps = works.send(_result(steps))
    except StopIteration as done:
        round_: Round = done.value
        return round_


def _result(steps: Steps[Any]) -> Any:
    try:
        while True:
            next(steps)
    except StopIteration as done:
        return done.value
