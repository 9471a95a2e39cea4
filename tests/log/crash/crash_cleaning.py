"""A round of cleaning as the cleaner drives it, some works at a time: the log's owner does other things in between."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from crash_model import Topic

from kbroker.log.compaction.rounds import Means, Works, clean, cleanable_part, may_go_on
from kbroker.log.directory import LogDirectory
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.world import DiskFailure

MEANS = Means(1 << 16, 1.0, 600)


class Cleaning:
    """One round, between two of its works."""

    def __init__(self, log: Any, topic: Topic, end: int, directory: LogDirectory, works: Works) -> None:
        self._log = log
        self._topic = topic
        self._end = end
        self._directory = directory
        self._works = works
        self._result: Any = None

    @classmethod
    def of(cls, log: Any, topic: Topic, disk: SimulatedDisk, directory: LogDirectory, now_ms: int) -> Cleaning | None:
        """A round for the log; None where nothing is dirty."""
        if log.cleaning.first_dirty is None:
            log.cleaning.first_dirty = directory.cleaned_ends.get(log.topic_partition)
        part = cleanable_part(log, log.written_end, now_ms)
        if not part.dirty_bytes:
            return None
        return cls(log, topic, part.end, directory, clean(log, disk, part, MEANS, now_ms))

    def go_on(self, works: int) -> bool:
        """Do so many works; is there more to do?"""
        for _ in range(works):
            if not may_go_on(self._log):
                self.give_up()
                return False
            try:
                steps = self._works.send(self._result)
            except StopIteration as done:
                self._directory.note_cleaned_end(self._log.topic_partition, done.value.end)
                return False
            self._result = _exhausted(steps)
            # What the round reads has reached the medium; now records may go.
            self._topic.cleaned_end = max(self._topic.cleaned_end, self._end)
        return True

    def give_up(self) -> None:
        """The round ends here, as the cleaner ends it."""
        with suppress(DiskFailure):  # the log may be gone
            self._works.close()


def _exhausted(steps: Any) -> Any:
    try:
        while True:
            next(steps)
    except StopIteration as done:
        return done.value
