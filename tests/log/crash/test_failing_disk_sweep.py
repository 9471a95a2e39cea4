"""A directory's day on a disk that is full from some step on, fails at it once, or can't be used there any more; then
an end, room, and a start."""

from __future__ import annotations

from enum import Enum
from random import Random

import pytest
from crash_day import Day, DayIsOver, nobody_told
from crash_sweep import CHORES, FUZZING, SEEDS, Sweep

from kbroker.testing.simulated_disk import Loss
from kbroker.world import DiskFailure

CHORES_IN_TROUBLE = 5
"""Things that a broker does whose directory is offline: its metadata log goes on for a while."""
STEPS_MAX = 100 if FUZZING else 25
"""So many steps of a day meet trouble, chosen by its seed."""


class Kind(Enum):
    """What comes over a disk."""

    FULL = "full"
    ONCE = "one step fails"
    BAD = "a file or directory can't be used, nor even read"


class Trouble:
    """Follows the steps of a day, and makes them fail from number `at` on."""

    def __init__(self, day: Day, at: int, kind: Kind) -> None:
        self.steps = 0
        self._day = day
        self._at = at
        self._kind = kind

    def __call__(self, path: str) -> None:
        self.steps += 1
        if self.steps == self._at:
            self._day.is_in_trouble = True
            self._day.disk.torn = Random(self._at).randrange
            self._day.disk.is_full = self._kind is Kind.FULL
            if self._kind is Kind.BAD:
                self._day.disk.failing = {path: "Input/output error"}
            if self._kind is not Kind.FULL:
                raise DiskFailure(path, "Input/output error")


class TroubleSweep(Sweep):
    """One day again and again, with trouble at another step each time."""

    def __init__(self, seed: int, kind: Kind) -> None:
        super().__init__(seed)
        self._seed = seed
        self._kind = kind

    def run(self) -> int:
        """How many days ended in trouble."""
        steps = self.live(1 << 30).steps
        for at in self.random.sample(range(1, steps + 1), min(steps, STEPS_MAX)):
            self.live(at)
            assert self.day.is_in_trouble
            self.points += 1
            try:
                self.end()
            except (DiskFailure, FileNotFoundError) as error:
                raise AssertionError(f"a start after trouble at step {at} was refused") from error
            except AssertionError as error:
                error.add_note(f"trouble at step {at}")
                raise
        return self.points

    def live(self, at: int) -> Trouble:
        """A day with trouble at that step."""
        self.day = day = Day(self._seed)
        trouble = Trouble(day, at, self._kind)
        day.disk.on_step = trouble
        left = CHORES_IN_TROUBLE
        try:
            day.start()
            day.create()
            for _ in range(CHORES):
                day.work(1)
                left -= day.opened.directory.failure is not None
                if not left:
                    break
            day.disk.run_queued()
        except DayIsOver:
            pass
        return trouble

    def end(self) -> None:
        """The broker stops while the trouble lasts, is killed, or loses its power; then all is well again."""
        day = self.day
        loss = self.random.choice(list(Loss))
        if day.logs and self.random.random() < 0.4:
            day.stop()
        day.promises()
        day.disk.on_step = nobody_told
        for name, log in day.logs.items():
            if name in day.topics and log.failure is not None:
                day.topics[name].dropped_end = log.log_start
        self.survive(day.disk.restarted(loss, below=self.random.randrange), day.topics, loss)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_directory_on_a_disk_in_trouble_keeps_its_promises_and_starts_again(seed: int, kind: Kind) -> None:
    assert TroubleSweep(seed, kind).run() >= 20
