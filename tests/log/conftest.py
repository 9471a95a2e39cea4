"""A log to append to and to reopen, over any disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from log_workshop import Workshop

from kbroker.real.memory_disk import MemoryDisk


@pytest.fixture
def make() -> Callable[[Any], Workshop]:
    return Workshop


@pytest.fixture
def shop() -> Workshop:
    """A new log on a memory disk."""
    workshop = Workshop(MemoryDisk())
    workshop.open()
    return workshop
