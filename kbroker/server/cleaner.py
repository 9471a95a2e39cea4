"""The log cleaner: whenever a compacted log is dirty enough, the filthiest is cleaned, in small steps.

    resting --log.cleaner.backoff.ms--> looking, in steps --nothing to do--> resting
                                        looking, in steps --the filthiest--> a round, step by step --> looking

A look wakes no log that is known to be clean, and where it wakes one, that ends the step. What retention takes of
compacted logs goes at a look, too, and after a round: while one is under way nothing leaves the log.

One round at a time. Its steps are done in the background, about a millisecond of Python each, and how they follow one
another is said here alone: between two of them the state's thread has the interpreter for itself, and as much longer as
`log.cleaner.io.max.bytes.per.second` asks for. What is swapped is swapped on the state's thread. A log that can't be
read is left alone from then on; a disk that refuses takes its directory offline, as everywhere.
Source: Kafka's LogCleaner, LogCleanerManager.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from kbroker.config import BrokerConfig
from kbroker.log.compaction.cleanable import Cleanable
from kbroker.log.compaction.filtering import Steps
from kbroker.log.compaction.rounds import Means, Round, Works, clean, cleanable_part, may_go_on
from kbroker.log.damage import DamagedBatch
from kbroker.log.directories import LogDirectories
from kbroker.log.partition_log import PartitionLog
from kbroker.record.compression import CorruptRecords
from kbroker.replica.partition import Partition
from kbroker.world import Clock, Disk, DiskFailure, Timer

REST_MS: Final = 1
"""Between two steps: the interpreter belongs to the broker at least half of the time."""

LOOK_UNITS: Final = 1000
"""In one step of a look. One is 0.5 us: what a partition takes of which the settings or the ends tell all."""

EXAMINED_UNITS: Final = 60
"""Of a log whose segments are looked at."""

RETENTION_UNITS: Final = 20
"""Of one whose retention is judged, and nothing goes."""

log = logging.getLogger("kbroker.cleaner")


class _Step(NamedTuple):
    """What became of one step of a work: bytes moved and more to come, its result, or why it can't go on."""

    moved: int = 0
    is_over: bool = False
    result: Any = None
    difficulty: CorruptRecords | None = None


class _Filthy(NamedTuple):
    partition: Partition
    dirty_ratio: float


class LogCleaner:
    """Cleans the compacted ones among `partitions` until stopped. Every method runs on the state's thread."""

    def __init__(
        self,
        config: BrokerConfig,
        clock: Clock,
        disk: Disk,
        directories: LogDirectories,
        partitions: Iterable[Partition],
    ) -> None:
        self._config = config
        self._clock = clock
        self._disk = disk
        self._directories = directories
        self._partitions = partitions
        self._timer: Timer | None = None
        self._filthiest: _Filthy | None = None
        self._partition: Partition | None = None
        self._log: PartitionLog | None = None
        self._works: Works | None = None
        self._steps: Steps[Any] | None = None
        self._means = Means()
        self._is_stopped = False
        if config["log.cleaner.enable"] and config["log.cleaner.threads"] > 0:
            self._rest()

    def stop(self) -> None:
        """No step begins any more; a round under way is given up, and leaves a valid log. Harmless twice."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            # No step is under way: the round was between two of them.
            self._give_up()

    # ---- choosing

    def _rest(self) -> None:
        self._call_in(self._config["log.cleaner.backoff.ms"], self._look)

    def _call_in(self, delay_ms: int, action: Any) -> None:
        self._timer = self._clock.call_at(self._clock.monotonic_ms() + max(REST_MS, delay_ms), action)

    def _look(self) -> None:
        self._filthiest = None
        self._look_on(self._looking())

    def _look_on(self, steps: Iterator[None]) -> None:
        """The next step of a look; in between, others are served."""
        self._timer = None
        for _ in steps:
            self._call_in(REST_MS, lambda: self._look_on(steps))
            return
        chosen, self._filthiest = self._filthiest, None
        if chosen is None:
            self._rest()
        else:
            self._begin(chosen.partition)

    def _looking(self) -> Iterator[None]:
        """Find the log with the largest dirty share among those that are dirty enough."""
        units = 0
        for partition in list(self._partitions):
            units += 1
            candidate = partition.log
            if candidate.settings.is_compacted and _is_usable(candidate):
                was_asleep = candidate.is_asleep
                if not was_asleep and _may_be_over(candidate):
                    units += LOOK_UNITS if _apply_retention(partition) else RETENTION_UNITS
                if self._may_be_dirty(candidate):
                    units += EXAMINED_UNITS
                    self._compare(partition)
                if was_asleep and not candidate.is_asleep:
                    units += LOOK_UNITS
            if units >= LOOK_UNITS:
                units = 0
                yield

    def _may_be_dirty(self, candidate: PartitionLog) -> bool:
        """The quick answer for most logs, asleep or not: has it a full segment where the last round did not come?"""
        if candidate.segments_count == 1 or candidate.cleaning.uncleanable:
            return False
        noted = self._directories.directory_of(candidate).cleaned_ends.get(candidate.topic_partition)
        clean_end = noted if candidate.cleaning.first_dirty is None else candidate.cleaning.first_dirty
        if clean_end is None or clean_end < (noted or 0):
            return True  # never cleaned, or cut since
        return not max(candidate.last_base, candidate.log_start) <= clean_end <= candidate.log_end

    def _compare(self, partition: Partition) -> None:
        part = self._examined(partition)
        if part is None or not part.is_enough(partition.log.settings):
            return
        if self._filthiest is None or part.dirty_ratio > self._filthiest.dirty_ratio:
            self._filthiest = _Filthy(partition, part.dirty_ratio)

    def _examined(self, partition: Partition) -> Cleanable | None:
        """What could be cleaned of it; None where that cannot be known, which is dealt with."""
        candidate = partition.log
        try:
            return self._part(candidate, partition.high_watermark, self._clock.wall_ms())
        except DamagedBatch as damage:
            self._set_aside(candidate, str(damage))
        except (DiskFailure, FileNotFoundError) as error:
            candidate.broken(error)
        return None

    def _part(self, candidate: PartitionLog, high_watermark: int, now_ms: int) -> Cleanable:
        directory, where = self._directories.directory_of(candidate), candidate.topic_partition
        noted = directory.cleaned_ends.get(where)
        if candidate.cleaning.first_dirty is None:
            candidate.cleaning.first_dirty = noted
        part = cleanable_part(candidate, high_watermark, now_ms)
        if noted is not None and part.first_dirty < noted:
            # The log was cut: what came there since is dirty, also for the next start.
            directory.note_cleaned_end(where, part.first_dirty)
        return part

    # ---- a round

    def _begin(self, chosen: Partition) -> None:
        """A round, unless the log has gone or changed since it was looked at."""
        part = self._examined(chosen) if _is_usable(chosen.log) else None
        if part is None or not part.is_enough(chosen.log.settings):
            self._call_in(REST_MS, self._look)
            return
        config = self._config
        self._means = Means(
            config["log.cleaner.dedupe.buffer.size"],
            config["log.cleaner.io.buffer.load.factor"],
            config["log.cleaner.io.buffer.size"],
        )
        self._partition, self._log = chosen, chosen.log
        self._works = clean(chosen.log, self._disk, part, self._means, self._clock.wall_ms())
        self._advance(None)

    def _advance(self, result: Any) -> None:
        """Give the round what its work came to, and begin the next work."""
        assert self._works is not None
        try:
            steps = self._works.send(result)
        except StopIteration as done:
            self._finished(done.value)
        except (DiskFailure, FileNotFoundError) as error:
            self._fail(error)
        else:
            self._steps = steps
            self._step(steps)

    def _step(self, steps: Steps[Any]) -> None:
        def work() -> _Step:
            try:
                return _Step(next(steps))
            except StopIteration as done:
                return _Step(is_over=True, result=done.value)
            except CorruptRecords as difficulty:
                return _Step(difficulty=difficulty)
            except FileNotFoundError as error:
                raise DiskFailure(error.filename or "a segment", "No such file or directory") from error

        self._disk.in_background(work, self._stepped)

    def _stepped(self, step: _Step | DiskFailure) -> None:
        assert self._log is not None
        if self._is_stopped or not may_go_on(self._log):
            self._give_up()
        elif isinstance(step, DiskFailure):
            self._fail(step)
        elif step.difficulty is not None:
            self._set_aside(self._log, str(step.difficulty))
            self._give_up()
        elif step.is_over:
            self._call_in(REST_MS, lambda: self._go_on(step))
        else:
            rate = self._config["log.cleaner.io.max.bytes.per.second"]
            self._call_in(int(step.moved * 1000 / rate), lambda: self._go_on(step))

    def _go_on(self, step: _Step) -> None:
        self._timer = None
        assert self._log is not None
        assert self._steps is not None
        if not may_go_on(self._log):
            self._give_up()
        elif step.is_over:
            self._advance(step.result)
        else:
            self._step(self._steps)

    def _give_up(self) -> None:
        """The round ends in the middle: its unfinished files go."""
        try:
            if self._steps is not None:
                self._steps.close()
            if self._works is not None:
                self._works.close()
        except DiskFailure:
            pass  # the log is gone or failed, or a start removes what is left
        self._end()

    def _fail(self, error: DiskFailure | FileNotFoundError) -> None:
        assert self._log is not None
        if not self._log.is_closed:
            self._log.broken(error)
        self._give_up()

    def _set_aside(self, damaged: PartitionLog, reason: str) -> None:
        damaged.cleaning.uncleanable = reason
        log.error(
            "a log cannot be cleaned and is left alone",
            extra={"partition": str(damaged.topic_partition), "reason": reason},
        )

    def _finished(self, done: Round) -> None:
        assert self._partition is not None
        cleaned = self._partition.log
        log.info(
            "a log was cleaned",
            extra={
                "partition": str(cleaned.topic_partition),
                "start": done.start,
                "end": done.end,
                "bytes_before": done.bytes_before,
                "bytes_after": done.bytes_after,
            },
        )
        self._directories.directory_of(cleaned).note_cleaned_end(cleaned.topic_partition, done.end)
        # A log that is filled as fast as it is cleaned might never be met between two rounds.
        if _may_be_over(cleaned):
            _apply_retention(self._partition)
        self._partition = self._log = self._works = self._steps = None
        # Kafka rests only where it found nothing.
        self._call_in(REST_MS, self._look)

    def _end(self) -> None:
        self._partition = self._log = self._works = self._steps = None
        if not self._is_stopped:
            self._rest()


def _is_usable(candidate: PartitionLog) -> bool:
    return not candidate.is_closed and candidate.failure is None


def _may_be_over(compacted: PartitionLog) -> bool:
    """Did DeleteRecords free something in it, or does its policy say delete, too?"""
    return compacted.has_moved_start or "delete" in compacted.settings.cleanup_policy


def _apply_retention(partition: Partition) -> bool:
    """Drop of a compacted log what is over its retention; did anything go?

    Source: Kafka's LogCleanerManager.deletableLogs.
    """
    dropped = partition.log.apply_retention(partition.high_watermark)
    if dropped:
        extra = {"partition": str(partition.log.topic_partition), "count": dropped}
        log.info("segments over their retention", extra=extra)
    return dropped > 0
