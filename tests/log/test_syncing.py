"""What a sync under way must not do to segments that are sealed, dropped or cut meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kbroker.testing.simulated_disk import SimulatedDisk

if TYPE_CHECKING:
    from collections.abc import Callable

    from log_workshop import Workshop


@pytest.fixture
def shop(make: Callable[[Any], Workshop]) -> Workshop:
    """A log whose syncs wait until they are told to run."""
    return make(SimulatedDisk(queues_work=True))


def test_segments_that_retention_dropped_are_synced_no_more(shop: Workshop) -> None:
    """Their files used to come back, empty: after a kill the log started in front of them."""
    shop.open(segment_bytes=200, retention_bytes=300, file_delete_delay_ms=1000)
    for _ in range(12):
        shop.append(1)
    assert shop.log.apply_retention() > 3
    shop.clock.advance(1000)
    shop.disk.run_queued()
    bases = [f"{segment.base_offset:020d}" for segment in shop.log.segments]
    assert [name[:20] for name in shop.names(".log")] == bases
    assert [name[:20] for name in shop.names(".timeindex")] == bases[:-1]
    assert all(name[:20] in bases for name in shop.names(".snapshot"))
    assert shop.log.failure is None
    log_start = shop.log.log_start
    shop.reopen(clean=False)
    assert shop.log.log_start == log_start


def test_a_segment_that_is_dropped_while_it_is_synced_gives_its_files_back(shop: Workshop) -> None:
    shop.open(segment_bytes=200, retention_bytes=300)
    for _ in range(12):
        shop.append(1)
        shop.disk.run_queued(1)
    shop.log.apply_retention()
    shop.disk.run_queued()
    segments = shop.log.segments
    assert len(shop.log._files) <= 3 * len(segments)
    assert shop.log.flushed_end == segments[-1].base_offset


def test_segments_that_truncation_took_are_synced_no_more(shop: Workshop) -> None:
    shop.open(segment_bytes=200)
    for _ in range(12):
        shop.append(1)
    shop.log.truncate_to(3)
    shop.disk.run_queued()
    assert [name[:20] for name in shop.names(".log")] == [f"{s.base_offset:020d}" for s in shop.log.segments]
    assert shop.log.failure is None
