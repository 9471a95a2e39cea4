"""What a broker does by the clock, on a clock that the test moves."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.config import BrokerConfig
from kbroker.log.directories import LogDirectories
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.entropy import RealEntropy
from kbroker.real.memory_disk import MemoryDisk
from kbroker.record.batch import build_batch
from kbroker.server.hosting import Hosting
from kbroker.server.housekeeping import Housekeeping
from kbroker.testing.virtual_clock import VirtualClock


@pytest.mark.parametrize(("settings", "checked_ms"), [({}, 1000), ({"log.flush.scheduler.interval.ms": 150}, 150)])
def test_what_waited_for_flush_ms_is_flushed(settings: dict[str, Any], checked_ms: int) -> None:
    """Nobody looked: flush.ms and log.flush.interval.ms did nothing."""
    clock = VirtualClock()
    config = BrokerConfig.of(settings)
    directories = LogDirectories.open(MemoryDisk(), ["/data"], clock, RealEntropy(), node_id=config.node_id)
    chores = Housekeeping(config, clock, directories, Hosting(config, directories))
    late = directories.open_log(TopicPartition("late", 0), bytes(16), LogSettings(flush_ms=100))
    never = directories.open_log(TopicPartition("never", 0), bytes(16), LogSettings())
    for log in (late, never):
        log.append_as_leader(build_batch([(b"k", b"v")], timestamp_ms=clock.wall_ms()), 0)
    clock.advance(checked_ms - 1)
    assert (late.flushed_end, never.flushed_end) == (0, 0)
    clock.advance(1)
    assert (late.flushed_end, never.flushed_end) == (1, 0)
    chores.stop()
    late.append_as_leader(build_batch([(b"k", b"v")], timestamp_ms=clock.wall_ms()), 0)
    clock.advance(10 * checked_ms)
    assert late.flushed_end == 1
