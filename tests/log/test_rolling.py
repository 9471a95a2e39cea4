"""When a segment is full by its age."""

from __future__ import annotations

import pytest

from kbroker.log.open_files import OpenFiles
from kbroker.log.segment import Segment
from kbroker.log.settings import LogSettings
from kbroker.real.memory_disk import MemoryDisk


def test_segments_that_began_together_roll_apart_within_the_jitter() -> None:
    """The whole of segment.jitter.ms used to be subtracted, the same for all."""
    files = OpenFiles(MemoryDisk())
    settings = LogSettings(segment_ms=1000, segment_jitter_ms=400)
    rolls = []
    for number in range(50):
        segment = Segment(files, f"/data/t-{number}", 0, 0)
        segment.size = 1
        rolls.append(next(ms for ms in range(2000) if segment.must_roll_before(10, 1, -1, ms, settings)))
        assert not segment.must_roll_before(10, 1, -1, 1000, LogSettings(segment_ms=1000))
        assert segment.must_roll_before(10, 1, -1, 1001, LogSettings(segment_ms=1000))
    assert 600 < min(rolls) < 650
    assert 950 < max(rolls) <= 1001
    assert len(set(rolls)) > 40


@pytest.mark.parametrize(
    ("settings", "rolls_ms"),
    [
        (LogSettings(segment_ms=1000, max_compaction_lag_ms=300, cleanup_policy=frozenset({"compact"})), 301),
        (LogSettings(segment_ms=200, max_compaction_lag_ms=300, cleanup_policy=frozenset({"compact"})), 201),
        (LogSettings(segment_ms=1000, max_compaction_lag_ms=300), 1001),
    ],
)
def test_a_compacted_segment_grows_no_longer_than_the_largest_compaction_lag(
    settings: LogSettings, rolls_ms: int
) -> None:
    """It grew for segment.ms, a week, out of the cleaner's reach. Source: Kafka's LogConfig.maxSegmentMs."""
    segment = Segment(OpenFiles(MemoryDisk()), "/data/t-0", 0, 0)
    segment.size = 1
    assert not segment.must_roll_before(10, 1, -1, rolls_ms - 1, settings)
    assert segment.must_roll_before(10, 1, -1, rolls_ms, settings)
