"""Logs that turn out shorter than they were stopped: what comes there is of a new leader epoch (KIP-320)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kbroker.log.outcome import Appended
from kbroker.log.partition_log import PartitionLog
from kbroker.log.place import LogPlace
from kbroker.log.settings import LogSettings
from kbroker.metadata.image import PartitionImage
from kbroker.names import TopicPartition
from kbroker.real.memory_disk import MemoryDisk
from kbroker.replica.partition import Partition
from kbroker.testing import run
from kbroker.testing.virtual_clock import VirtualClock
from protocol_specs.api.k08_offset_commit import OffsetCommitRequest
from protocol_specs.api.k09_offset_fetch import OffsetFetchRequest
from protocol_specs.api.k21_delete_records import DeleteRecordsRequest
from protocol_specs.api.k23_offset_for_leader_epoch import OffsetForLeaderEpochRequest
from protocol_specs.errors import ErrorCode
from tests.server.raw_peer import FIND_COORDINATOR, METADATA, WAIT_S, RawPeer, batch_of

CONFIG = {"node.id": 1}
OFFSET_COMMIT, OFFSET_FETCH, DELETE_RECORDS, OFFSET_FOR_LEADER_EPOCH = 8, 9, 21, 23
RECORDS, LEFT = 10, 7
LOG = "t-0"


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The directory of a broker that was stopped in order, with ten batches of one size in a log."""
    with run(data_dir=str(tmp_path), topics={"t": 1}, config=CONFIG) as broker, RawPeer(broker.bootstrap) as peer:
        for number in range(RECORDS):
            assert peer.produce("t", batch_of(b"old%d" % number)).base_offset == number
    return tmp_path


def lose_the_end(data: Path) -> None:
    """Cut the last three batches off."""
    segment = data / LOG / f"{0:020}.log"
    os.truncate(segment, segment.stat().st_size // RECORDS * LEFT)


def end_of_epoch(peer: RawPeer, epoch: int) -> tuple[int, int]:
    """The answer to a consumer that asks where it ended."""
    message: Any = OffsetForLeaderEpochRequest
    wanted = message.OffsetForLeaderPartition(partition=0, current_leader_epoch=-1, leader_epoch=epoch)
    topics = [message.OffsetForLeaderTopic(topic="t", partitions=[wanted])]
    answer = peer.ask(OFFSET_FOR_LEADER_EPOCH, 3, replica_id=-1, topics=topics).topics[0].partitions[0]
    assert answer.error_code == 0
    return answer.leader_epoch, answer.end_offset


def leader_epoch(peer: RawPeer) -> int:
    epoch: int = peer.ask(METADATA, topics=None).topics[0].partitions[0].leader_epoch
    return epoch


def fetch(peer: RawPeer) -> int:
    """Of a record that is lost."""
    error: int = peer.fetch("t", LEFT + 1).error_code
    return error


def produce(peer: RawPeer) -> int:
    error: int = peer.produce("t", batch_of(b"new")).error_code
    return error


def delete(peer: RawPeer) -> int:
    """Up to a record that is lost."""
    wanted = DeleteRecordsRequest.DeleteRecordsPartition(partition_index=0, offset=LEFT + 1)
    topics = [DeleteRecordsRequest.DeleteRecordsTopic(name="t", partitions=[wanted])]
    error: int = peer.ask(DELETE_RECORDS, 1, topics=topics, timeout_ms=1000).topics[0].partitions[0].error_code
    return error


@pytest.mark.parametrize("first", [produce, fetch, delete])
def test_what_comes_behind_a_lost_end_is_of_a_new_leader_epoch(first: Callable[[RawPeer], int], stopped: Path) -> None:
    """It took the offsets of lost records in their own epoch: a consumer behind the loss read on past it unawares."""
    lose_the_end(stopped)
    with run(data_dir=str(stopped), config=CONFIG) as broker, RawPeer(broker.bootstrap) as peer:
        assert first(peer) == ErrorCode.NOT_LEADER_OR_FOLLOWER, "what finds the loss is refused, and tried again"
        peer.wait_until_led("t")
        assert peer.produce("t", batch_of(b"new")).base_offset == LEFT
        assert leader_epoch(peer) == 1
        assert (end_of_epoch(peer, 0), end_of_epoch(peer, 1)) == ((0, LEFT), (1, LEFT + 1))
    with run(data_dir=str(stopped), config=CONFIG) as broker, RawPeer(broker.bootstrap) as peer:
        assert leader_epoch(peer) == 1, "once"
        assert (end_of_epoch(peer, 0), end_of_epoch(peer, 1)) == ((0, LEFT), (1, LEFT + 1))


def test_a_loss_that_the_start_finds_is_followed_by_a_new_leader_epoch_too(stopped: Path) -> None:
    """A log without its producer snapshot does not sleep."""
    lose_the_end(stopped)
    (stopped / LOG / f"{RECORDS:020}.snapshot").unlink()
    with run(data_dir=str(stopped), config=CONFIG) as broker, RawPeer(broker.bootstrap) as peer:
        peer.wait_until_led("t")
        assert peer.produce("t", batch_of(b"new")).base_offset == LEFT
        assert leader_epoch(peer) == 1
        assert end_of_epoch(peer, 0) == (0, LEFT)


def test_groups_go_on_behind_a_lost_end_of_their_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They would be unavailable: what replays the log finds that it does not lead any more."""
    config = CONFIG | {"offsets.topic.num.partitions": 1}
    with run(data_dir=str(tmp_path), topics={"t": 1}, config=config) as broker, RawPeer(broker.bootstrap) as peer:
        peer.ask(FIND_COORDINATOR, 3, key="g")
        for offset in (5, 6):
            wait_for(partial(commit, peer, offset))
    segment = tmp_path / "__consumer_offsets-0" / f"{0:020}.log"
    os.truncate(segment, segment.stat().st_size // 2)
    with run(data_dir=str(tmp_path), config=config) as broker, RawPeer(broker.bootstrap) as peer:
        wait_for(lambda: int(committed(peer).error_code))
        assert committed(peer).topics[0].partitions[0].committed_offset == 5
        assert commit(peer, 7) == 0
        assert committed(peer).topics[0].partitions[0].committed_offset == 7
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "a log is damaged"
    ]


def commit(peer: RawPeer, offset: int) -> int:
    wanted = OffsetCommitRequest.OffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
    topics = [OffsetCommitRequest.OffsetCommitRequestTopic(name="t", partitions=[wanted])]
    answer = peer.ask(OFFSET_COMMIT, 7, group_id="g", generation_id_or_member_epoch=-1, member_id="", topics=topics)
    error: int = answer.topics[0].partitions[0].error_code
    return error


def committed(peer: RawPeer) -> Any:
    topics = [OffsetFetchRequest.OffsetFetchRequestTopic(name="t", partition_indexes=[0])]
    return peer.ask(OFFSET_FETCH, 5, group_id="g", topics=topics)


def wait_for(ask: Callable[[], int]) -> None:
    """As a client that looks for its coordinator until there is one."""
    deadline = time.monotonic() + WAIT_S
    while error := ask():
        assert time.monotonic() < deadline, ErrorCode(error).name


@pytest.mark.parametrize("is_found_by_the_start", [False, True])
def test_a_partition_whose_log_lost_its_end_leads_from_the_next_leader_epoch_on(is_found_by_the_start: bool) -> None:
    """Not with another image of the same epoch, as a changed setting brings it, nor with the first."""
    where = TopicPartition("t", 0)
    log = PartitionLog.open(LogPlace(MemoryDisk(), "/data/t-0", where, bytes(16), LogSettings(), VirtualClock()))
    partition = Partition("t", bytes(16), 0, 1, log)
    image = PartitionImage((1,), (1,), 1, 4, 0)
    if not is_found_by_the_start:
        partition.follow_metadata(image, 1)
    partition.lost_end()
    for epoch, leads in ((4, False), (4, False), (5, True)):
        partition.follow_metadata(image._replace(leader_epoch=epoch), 1)
        assert partition.is_leader is leads
        appended = partition.append_as_leader(memoryview(batch_of(b"new", timestamp_ms=1)), -1)
        assert isinstance(appended, Appended) is leads
    assert log.epochs.entries() == [(5, 0)]
