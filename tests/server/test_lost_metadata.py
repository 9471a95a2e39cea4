"""A metadata log that holds nothing sound, while logs of partitions are here, refuses the start."""

from __future__ import annotations

import pytest

from kbroker.log.directory import METADATA_PARTITION, LogDirectory
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.record.batch import build_batch
from kbroker.server.lost_metadata import MetadataLost, check_not_lost
from kbroker.testing.counting_entropy import CountingEntropy
from kbroker.testing.simulated_disk import Loss, SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock


def _open(disk: SimulatedDisk) -> LogDirectory:
    return LogDirectory.open(disk, "/data", VirtualClock(), CountingEntropy(), node_id=1)


@pytest.fixture
def disk() -> SimulatedDisk:
    """A killed broker's: one batch in the metadata log, and the log of one partition."""
    disk = SimulatedDisk()
    directory = _open(disk)
    directory.begin()
    directory.open_metadata_log().append_as_leader(build_batch([(None, b"v")], timestamp_ms=1), 0)
    directory.open_log(TopicPartition("t", 0), b"t" * 16, LogSettings())
    return disk.restarted(Loss.PROCESS_DIED)


def test_a_metadata_log_of_one_sound_batch_was_begun(disk: SimulatedDisk) -> None:
    directory = _open(disk)
    check_not_lost(directory, [directory])


def test_a_metadata_log_of_which_no_batch_has_its_checksum_is_lost(disk: SimulatedDisk) -> None:
    """Recovery cuts it away, and what begins anew then knows no topic."""
    file = disk.open(f"/data/{METADATA_PARTITION}/{0:020d}.log")
    file.write_at(file.size() - 1, [b"\xff"])
    directory = _open(disk)
    with pytest.raises(MetadataLost, match="these logs are: /data/t-0;"):
        check_not_lost(directory, [directory])
