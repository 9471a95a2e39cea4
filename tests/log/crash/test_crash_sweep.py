"""A directory's day stopped at every step it makes on the disk, by a dying process and by a failing power supply."""

from __future__ import annotations

import pytest
from crash_sweep import SEEDS, Sweep


@pytest.mark.parametrize("seed", SEEDS)
def test_a_directory_stopped_at_any_step_keeps_its_promises_and_invents_nothing(seed: int) -> None:
    assert Sweep(seed).run() > 150
