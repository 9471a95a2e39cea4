"""What a clean stop says of a directory, and who may believe it."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.log.clean_marker import format_marker, parse_marker
from kbroker.log.directory import LogDirectory
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.entropy import RealEntropy
from kbroker.real.memory_disk import MemoryDisk
from kbroker.testing.virtual_clock import VirtualClock

WHERE, OTHER = TopicPartition("t", 0), TopicPartition("t", 1)


@pytest.mark.parametrize(
    ("data", "epoch"),
    [
        (format_marker(42), 42),
        (b'{"version":0,"brokerEpoch":7}', 7),  # as Kafka writes it
        (b"", None),  # before Kafka 3.7
        (b"{}", None),
        (b"[]", None),
        (b'{"brokerEpoch": "x"}', None),
        (b"\xff", None),
        (format_marker(-1), None),
    ],
)
def test_the_marker_names_a_life_of_the_broker(data: bytes, epoch: int | None) -> None:
    assert parse_marker(data) == epoch


def _open(disk: Any) -> LogDirectory:
    return LogDirectory.open(disk, "/data", VirtualClock(), RealEntropy(), node_id=1)


@pytest.fixture
def disk() -> MemoryDisk:
    """Two logs, cleanly stopped by the broker of epoch 42."""
    disk = MemoryDisk()
    directory = _open(disk)
    for where in (WHERE, OTHER):
        directory.open_log(where, bytes(16), LogSettings())
    assert directory.close(clean=True, broker_epoch=42)
    return disk


def test_a_clean_stop_leaves_all_logs_whole(disk: MemoryDisk) -> None:
    assert _open(disk).left_whole(42) == {WHERE, OTHER}


def test_a_directory_of_another_life_is_not_believed(disk: MemoryDisk) -> None:
    """It may have been put back from a copy: what came later is lost."""
    assert _open(disk).left_whole(43) == set()


def test_a_log_that_was_taken_away_is_not_whole(disk: MemoryDisk) -> None:
    disk.remove_tree("/data/t-1")
    assert _open(disk).left_whole(42) == {WHERE}


def test_after_a_crash_nothing_is_whole(disk: MemoryDisk) -> None:
    directory = _open(disk)
    directory.begin()
    directory.close(clean=False)
    assert _open(disk).left_whole(42) == set()


def test_a_log_that_waits_for_a_leader_epoch_is_not_whole(disk: MemoryDisk) -> None:
    """It has lost records of the epoch there is: the next start must not go on in that one."""
    directory = _open(disk)
    directory.open_log(WHERE, bytes(16), LogSettings()).fence()
    directory.open_log(OTHER, bytes(16), LogSettings())
    directory.close(clean=True, broker_epoch=43)
    assert _open(disk).left_whole(43) == {OTHER}
