"""What a crash leaves of a day is opened, compared with the model, and used for a while."""

from __future__ import annotations

import os
from random import Random

from crash_checks import check_log
from crash_day import Day, Open, nobody_told
from crash_model import Given, Topic

from kbroker.testing.simulated_disk import Crashed, Loss, SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.world import DiskFailure

FUZZING = bool(os.environ.get("KBROKER_FUZZ"))
SEEDS = range(100) if FUZZING else range(6)
CHORES = 120 if FUZZING else 60
"""Things that a day does; a crash at each of their steps."""
SECOND_CRASH_STEPS = 40
"""A recovery makes about so many steps; the second crash comes at one of them, or not at all."""


class Sweep:
    """Crashes one day at every step; `points` counts the crashes."""

    def __init__(self, seed: int) -> None:
        self.day = Day(seed)
        self.random = Random(seed)
        self.points = 0

    def run(self) -> int:
        self.day.disk.on_step = self.crash_here
        self.day.start()
        self.day.create()
        self.day.work(CHORES)
        self.day.disk.run_queued()
        self.day.disk.on_step = nobody_told
        return self.points

    def crash_here(self, path: str) -> None:
        self.day.promises()
        for loss in Loss:
            self.points += 1
            disk = self.day.disk.restarted(loss, below=self.random.randrange)
            try:
                self.survive(disk, self.day.topics, loss)
            except (DiskFailure, FileNotFoundError) as error:
                raise AssertionError("the step that is made here did not fail") from error

    def survive(self, disk: SimulatedDisk, topics: dict[str, Topic], loss: Loss) -> None:
        """Open; maybe crash while at it and open again; compare; go on for a while; crash once more; compare."""
        disk.crash_at = 1 + self.random.randrange(SECOND_CRASH_STEPS)
        try:
            opened = self.open(disk, topics)
            disk.crash_at = None
        except Crashed:
            self.points += 1
            second = self.random.choice(list(Loss))
            loss = Loss.POWER_FAILED if Loss.POWER_FAILED in (loss, second) else loss
            disk = disk.restarted(second, below=self.random.randrange)
            opened = self.open(disk, topics)
        found = self.compare(opened, topics, loss)
        if self.random.randrange(4) == 0:
            self.go_on(disk, topics, found, opened)

    def open(self, disk: SimulatedDisk, topics: dict[str, Topic]) -> Open:
        return Open(disk, topics, self.random, VirtualClock(self.day.clock.wall_ms()))

    def compare(self, opened: Open, topics: dict[str, Topic], loss: Loss) -> dict[str, list[Given]]:
        return {
            name: check_log(opened.logs[name], topic, topic.written if loss is Loss.PROCESS_DIED else topic.flushed)
            for name, topic in topics.items()
        }

    def go_on(self, disk: SimulatedDisk, topics: dict[str, Topic], found: dict[str, list[Given]], opened: Open) -> None:
        """Another day on what was left, with its own model."""
        rebased = {name: topic.rebased(found[name], opened.logs[name]) for name, topic in topics.items()}
        disk = disk.restarted(Loss.PROCESS_DIED)
        next_day = Day(self.random.randrange(1 << 30), disk, rebased)
        next_day.clock = VirtualClock(self.day.clock.wall_ms())
        next_day.start()
        for topic in rebased.values():
            topic.go_on_after(next_day.logs[topic.name])
        next_day.work(12)
        next_day.promises()
        self.points += 1
        loss = self.random.choice(list(Loss))
        again = self.open(next_day.disk.restarted(loss, below=self.random.randrange), next_day.topics)
        self.compare(again, next_day.topics, loss)
