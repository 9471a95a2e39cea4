"""A compacted log on a memory disk."""

from __future__ import annotations

import pytest
from cleaning_shop import COMPACT, CleaningShop

from kbroker.real.memory_disk import MemoryDisk


@pytest.fixture
def shop() -> CleaningShop:
    workshop = CleaningShop(MemoryDisk())
    workshop.open(cleanup_policy=COMPACT, delete_retention_ms=1000, file_delete_delay_ms=10)
    return workshop
