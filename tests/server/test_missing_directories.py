"""Partitions whose directories are gone: their logs begin anew, and the start says so."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from kbroker.log.directories import LogDirectories
from kbroker.metadata.delta import MetadataDelta
from kbroker.metadata.image import DIRECTORY_UNASSIGNED, MetadataImage
from kbroker.names import TopicPartition
from kbroker.real.memory_disk import MemoryDisk
from kbroker.server.missing_logs import NAMED_MAX, MissingLog, find_missing
from kbroker.testing import run
from kbroker.testing.counting_entropy import CountingEntropy
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.world import DiskFailure
from protocol_specs.metadata.partition import PartitionRecord
from protocol_specs.metadata.topic import TopicRecord
from tests.server.raw_peer import RawPeer, batch_of

LOST = "directories with records are gone: their logs begin anew"
UNMADE = "partitions have no directory: their logs begin empty"
CHECKPOINTS = "*-offset-checkpoint"
MANY = NAMED_MAX + 5


def _grow(data: Path, *, partitions: int = 2, is_killed: bool = False) -> None:
    """Three records in each partition of a topic; what is killed has written no checkpoint."""
    config = {"node.id": 1}
    with run(data_dir=str(data), topics={"t": partitions}, config=config) as broker, RawPeer(broker.bootstrap) as peer:
        for index in range(partitions):
            for _ in range(3):
                assert peer.produce("t", batch_of(b"v"), partition=index).error_code == 0
        if is_killed:
            broker.abort()
    for file in data.glob(CHECKPOINTS) if is_killed else ():
        file.unlink()


def _said(data: Path, caplog: pytest.LogCaptureFixture, **config: Any) -> list[tuple[int, str, int, str]]:
    """What a start says: level, sentence, how many partitions, which."""
    caplog.clear()
    with run(data_dir=None if config else str(data), config={"node.id": 1, **config}):
        pass
    said = [record for record in caplog.records if record.getMessage() in (LOST, UNMADE)]
    return [(each.levelno, each.getMessage(), each.__dict__["count"], each.__dict__["partitions"]) for each in said]


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_directory_that_is_gone_with_its_records_is_an_error(
    is_killed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The start made an empty log without a word."""
    _grow(tmp_path, is_killed=is_killed)
    if is_killed:
        (tmp_path / "replication-offset-checkpoint").write_bytes(b"0\n2\nt 0 3\nt 1 2\n")
    shutil.rmtree(tmp_path / "t-1")
    assert _said(tmp_path, caplog) == [(logging.ERROR, LOST, 1, f"t-1 to offset {2 if is_killed else 3}")]
    assert _said(tmp_path, caplog) == [], "said once"
    with run(data_dir=str(tmp_path), config={"node.id": 1}) as broker, RawPeer(broker.bootstrap) as peer:
        assert [len(peer.records("t", partition=index)) for index in range(2)] == [3, 0]


def test_a_directory_of_which_nothing_tells_that_it_held_records_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A kill after a topic was committed, and before its logs were made, leaves the same."""
    _grow(tmp_path, is_killed=True)
    assert _said(tmp_path, caplog) == [], "all are there"
    (tmp_path / ".kafka_cleanshutdown").unlink()
    for file in tmp_path.glob(CHECKPOINTS):
        file.write_bytes(b"0\n2\nt 0 0\nt 1 0\n")
    shutil.rmtree(tmp_path / "t-1")
    assert _said(tmp_path, caplog) == [(logging.WARNING, UNMADE, 1, "t-1")]


def test_what_checkpoints_say_of_a_deleted_topic_is_not_held_against_the_next_of_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _grow(tmp_path, is_killed=True)
    (tmp_path / "replication-offset-checkpoint").write_bytes(b"0\n2\nt 0 3\nt 1 3\n")
    (tmp_path / "t-1").rename(tmp_path / "t-1.0123456789abcdef0123456789abcdef-delete")
    assert _said(tmp_path, caplog) == [(logging.WARNING, UNMADE, 1, "t-1")]


def test_many_that_are_gone_are_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _grow(tmp_path, partitions=MANY)
    for directory in tmp_path.glob("t-*"):
        shutil.rmtree(directory)
    named = ", ".join(f"t-{index} to offset 3" for index in range(NAMED_MAX))
    assert _said(tmp_path, caplog) == [(logging.ERROR, LOST, MANY, named)]
    assert [record.__dict__["others"] for record in caplog.records if record.getMessage() == LOST] == [5]


def test_a_log_that_lies_in_another_directory_or_whose_directory_is_not_here_is_not_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"log.dirs": f"{tmp_path / 'a'},{tmp_path / 'b'}"}
    with run(topics={"t": 2}, config={"node.id": 1, **config}) as broker, RawPeer(broker.bootstrap) as peer:
        for index in range(2):
            assert peer.produce("t", batch_of(b"v"), partition=index).error_code == 0
    (moved,) = (tmp_path / "b").glob("t-*")
    moved.rename(tmp_path / "a" / moved.name)
    assert _said(tmp_path, caplog, **config) == []
    (tmp_path / "a" / moved.name).rename(moved)
    assert _said(tmp_path, caplog, **config) == []
    shutil.rmtree(tmp_path / "b")
    assert _said(tmp_path, caplog, **config) == []
    assert any("whose log directory is not here" in record.getMessage() for record in caplog.records)


def _unplaced() -> MetadataImage:
    """One partition that no directory is known of."""
    topic_id = b"t" * 16
    delta = MetadataDelta(MetadataImage())
    delta.replay(TopicRecord(name="t", topic_id=topic_id))
    delta.replay(
        PartitionRecord(
            partition_id=0, topic_id=topic_id, replicas=[1], isr=[1], leader=1, directories=[DIRECTORY_UNASSIGNED]
        )
    )
    return delta.apply(1, 1)


@pytest.mark.parametrize("checkpoint", ["recovery-point-offset", "log-start-offset", "replication-offset"])
def test_each_checkpoint_tells_of_records_that_are_gone(checkpoint: str) -> None:
    disk = MemoryDisk()
    disk.make_directory("/a")
    disk.replace(f"/a/{checkpoint}-checkpoint", b"0\n1\nt 0 3\n")
    directories = LogDirectories.open(disk, ["/a"], VirtualClock(), CountingEntropy(), node_id=1)
    assert find_missing(_unplaced(), 1, directories) == [MissingLog(TopicPartition("t", 0), 3)]


@pytest.mark.parametrize("is_one_offline", [False, True])
def test_a_log_that_was_never_placed_may_lie_in_a_directory_that_is_offline(is_one_offline: bool) -> None:
    directories = LogDirectories.open(MemoryDisk(), ["/a", "/b"], VirtualClock(), CountingEntropy(), node_id=1)
    if is_one_offline:
        directories.failures["/b"] = DiskFailure("/b", "was offline at the start")
    expected = [] if is_one_offline else [MissingLog(TopicPartition("t", 0), 0)]
    assert find_missing(_unplaced(), 1, directories) == expected
