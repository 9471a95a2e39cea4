"""What a broker does by the clock: retention, overdue flushes, checkpoints, forgetting silent producers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from kbroker.config import BrokerConfig
from kbroker.log.directories import LogDirectories
from kbroker.log.settings import INT64_MAX
from kbroker.replica.partition import Partition
from kbroker.server.hosting import Hosting
from kbroker.world import Clock, Timer

FLUSH_CHECK_INTERVAL_MS: Final = 1000
"""How late `flush.ms` may be where `log.flush.scheduler.interval.ms` is not set; Kafka never looks then."""

PARTITIONS_PER_TURN: Final = 20
"""Looked at before requests are served again; a log that must be woken for it, half a millisecond, is the last."""

TURN_MS: Final = 1
"""Between two turns: ten thousand partitions take half a second, and nobody waits for more than some milliseconds."""

log = logging.getLogger("kbroker.housekeeping")


def _apply_retention(partition: Partition) -> None:
    dropped = partition.log.apply_retention(partition.high_watermark)
    if dropped:
        log.info("segments over their retention", extra={"partition": str(partition), "count": dropped})


def _some_at_a_time(partitions: Iterable[Partition], chore: Callable[[Partition], object]) -> Iterator[None]:
    """The chore for each partition that is still there, in steps."""
    for count, partition in enumerate(list(partitions)):
        if count and count % PARTITIONS_PER_TURN == 0:
            yield
        if not partition.is_gone:
            chore(partition)


def _retaining(partitions: Iterable[Partition]) -> Iterator[None]:
    """Retention for each partition that is still there, in steps; most logs that sleep sleep on."""
    for count, partition in enumerate(list(partitions)):
        if count and count % PARTITIONS_PER_TURN == 0:
            yield
        if not partition.is_gone:
            was_asleep = partition.log.is_asleep
            _apply_retention(partition)
            if was_asleep and not partition.log.is_asleep:
                yield


class Housekeeping:
    """Repeats its chores on the world's clock until stopped."""

    def __init__(self, config: BrokerConfig, clock: Clock, directories: LogDirectories, hosting: Hosting) -> None:
        self._clock = clock
        self._directories = directories
        self._hosting = hosting
        self._timers: dict[str, Timer] = {}
        self._is_measuring = self._is_stopped = False
        self._repeat("retention", config["log.retention.check.interval.ms"], self.apply_retention)
        flush_check_ms = config["log.flush.scheduler.interval.ms"]
        if flush_check_ms == INT64_MAX:
            flush_check_ms = FLUSH_CHECK_INTERVAL_MS
        self._repeat("flush", flush_check_ms, self.sync_overdue)
        checkpoints: tuple[tuple[str, Callable[[], None]], ...] = (
            ("log.flush.offset.checkpoint.interval.ms", self.checkpoint_recovery_points),
            ("log.flush.start.offset.checkpoint.interval.ms", self.checkpoint_log_starts),
            ("replica.high.watermark.checkpoint.interval.ms", self.checkpoint_high_watermarks),
        )
        for name, chore in checkpoints:
            self._repeat(name, config[name], chore)
        self._repeat("producers", config["producer.id.expiration.check.interval.ms"], self.expire_producers)

    def apply_retention(self) -> None:
        """Drop segments that are over their time or size, below the high watermark; some partitions at a time."""
        if not self._is_measuring:
            self._is_measuring = True
            self._directories.measure_sleeping(self._measured)

    def _measured(self) -> None:
        """It is known now of logs that sleep whether anything of them goes."""
        self._is_measuring = False
        if not self._is_stopped:
            self._in_turns("retention turns", _retaining(self._hosting.partitions))

    def sync_overdue(self) -> None:
        """Bring logs to the medium that have waited for `flush.ms`."""
        self._in_turns("flush turns", self._directories.sync_overdue())

    def checkpoint_recovery_points(self) -> None:
        """Write down how far each log is on the medium."""
        self._in_turns("recovery points turns", self._directories.checkpoint_recovery_points())

    def checkpoint_log_starts(self) -> None:
        """Write down where logs begin that don't begin with their first segment."""
        self._in_turns("log starts turns", self._directories.checkpoint_log_starts())

    def checkpoint_high_watermarks(self) -> None:
        """Write down how far each log is replicated."""
        hosted = list(self._hosting.partitions)
        offsets = ((each.log.topic_partition, each.high_watermark) for each in hosted if not each.is_gone)
        self._in_turns("high watermarks turns", self._directories.checkpoint_high_watermarks(offsets))

    def expire_producers(self) -> None:
        """Forget producers that were silent for producer.id.expiration.ms."""
        chore = _some_at_a_time(self._hosting.partitions, lambda partition: partition.log.expire_producers())
        self._in_turns("producers turns", chore)

    def stop(self) -> None:
        """No more chores."""
        self._is_stopped = True
        for timer in self._timers.values():
            timer.cancel()

    def _in_turns(self, name: str, steps: Iterator[None]) -> None:
        """Do the first step now, and the others soon: in between, requests are served.

        A round that comes while the one before is under way is left out, or the last partitions might never be
        reached.
        """
        if name in self._timers:
            return

        def turn() -> None:
            for _ in steps:
                self._timers[name] = self._clock.call_at(self._clock.monotonic_ms() + TURN_MS, turn)
                return
            self._timers.pop(name, None)

        turn()

    def _repeat(self, name: str, interval_ms: int, chore: Callable[[], object]) -> None:
        def run() -> None:
            chore()
            schedule()

        def schedule() -> None:
            self._timers[name] = self._clock.call_at(self._clock.monotonic_ms() + max(1, interval_ms), run)

        schedule()
