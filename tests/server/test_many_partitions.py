"""A topic of many partitions: nobody waits until all of its logs are made, and nobody sees it before."""

from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue

import pytest

import kbroker.log.directory
from kbroker.log.directories import LogDirectories, NewLog
from kbroker.real.disk import RealDisk
from kbroker.server import hosting
from kbroker.server.hosting import LOGS_PER_TURN
from kbroker.testing import run
from protocol_specs import api
from protocol_specs.errors import ErrorCode
from tests.server.raw_peer import CREATE_TOPICS, LIST_OFFSETS, METADATA, WAIT_S, RawPeer, batch_of, request_bytes

STEPS = 3
PARTITIONS = STEPS * LOGS_PER_TURN
VERSION = 2
DELETE_TOPICS = 20


def test_others_are_served_while_the_logs_of_a_new_topic_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand partitions used to hold everybody up for more than a second."""
    begun: SimpleQueue[str] = SimpleQueue()
    may_go_on: SimpleQueue[None] = SimpleQueue()
    make_files = kbroker.log.directory.make_files

    def slow(disk: RealDisk, path: str, topic_id: bytes) -> bool:
        begun.put(path)
        may_go_on.get(timeout=WAIT_S)
        return make_files(disk, path, topic_id)

    monkeypatch.setattr(kbroker.log.directory, "make_files", slow)
    at_once: list[int] = []
    make_logs = LogDirectories.make_logs

    def counted(self: LogDirectories, wanted: Sequence[NewLog], done: Callable[[], None]) -> None:
        at_once.append(len(wanted))
        make_logs(self, wanted, done)

    monkeypatch.setattr(LogDirectories, "make_logs", counted)
    with (
        run(data_dir=str(tmp_path / "data")) as broker,
        RawPeer(broker.bootstrap) as one,
        RawPeer(broker.bootstrap) as other,
    ):
        topic = api.messages(CREATE_TOPICS)[0].CreatableTopic(name="t", num_partitions=PARTITIONS, replication_factor=1)
        one.send(request_bytes(CREATE_TOPICS, version=VERSION, topics=[topic], timeout_ms=30_000))
        for number in range(PARTITIONS):
            assert begun.get(timeout=WAIT_S).endswith(f"/t-{number}")
            assert other.ask(METADATA, topics=None).topics == []
            may_go_on.put(None)
        one.read_frame()
        assert at_once == [LOGS_PER_TURN] * STEPS
        (made,) = other.ask(METADATA, topics=None).topics
        assert len(made.partitions) == PARTITIONS
        assert one.produce("t", batch_of(b"v"), partition=PARTITIONS - 1).error_code == ErrorCode.NONE


def test_a_new_log_takes_no_descriptor_before_it_is_used(tmp_path: Path) -> None:
    """A thousand new partitions held a thousand; and their files were made on the loop."""
    with run(topics={"t": LOGS_PER_TURN + 1}, data_dir=str(tmp_path)) as broker:
        logs = [partition.log for partition in broker._broker.partitions]
        assert [log.is_asleep for log in logs] == [True] * (LOGS_PER_TURN + 1)
        with RawPeer(broker.bootstrap) as peer:
            assert peer.produce("t", batch_of(b"v"), partition=LOGS_PER_TURN).error_code == ErrorCode.NONE
        assert [log.is_asleep for log in logs] == [True] * LOGS_PER_TURN + [False]


def test_the_ends_of_logs_that_sleep_are_told_without_waking_them(tmp_path: Path) -> None:
    """A thousand were loaded one after the other, in one turn of 170 ms."""
    with run(topics={"t": 3}, data_dir=str(tmp_path)) as broker, RawPeer(broker.bootstrap) as peer:
        assert peer.produce("t", batch_of(b"v", b"v"), partition=1).error_code == ErrorCode.NONE
    message, _ = api.messages(LIST_OFFSETS)
    for isolation_level in (0, 1):
        with run(data_dir=str(tmp_path)) as broker, RawPeer(broker.bootstrap) as peer:
            logs = {partition.index: partition.log for partition in broker._broker.partitions}
            wanted = [message.ListOffsetsPartition(partition_index=index, timestamp=-1) for index in range(3)]
            topics = [message.ListOffsetsTopic(name="t", partitions=wanted)]
            answer = peer.ask(LIST_OFFSETS, replica_id=-1, isolation_level=isolation_level, topics=topics)
            found = {each.partition_index: each.offset for each in answer.topics[0].partitions}
            assert found == {0: 0, 1: 2, 2: 0}
            assert [logs[index].is_asleep for index in range(3)] == [isolation_level == 0] * 3


def test_whoever_deleted_a_topic_is_told_when_all_of_its_logs_have_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "LOGS_PER_TURN", 1)
    with run(topics={"t": PARTITIONS}, data_dir=str(tmp_path)) as broker, RawPeer(broker.bootstrap) as peer:
        (deleted,) = peer.ask(DELETE_TOPICS, 5, topic_names=["t"], timeout_ms=1000).responses
        assert deleted.error_code == ErrorCode.NONE
        assert not list(tmp_path.glob("t-?")) + list(tmp_path.glob("t-??"))


def test_a_stop_finishes_a_deletion_that_is_under_way(tmp_path: Path) -> None:
    with run(topics={"t": PARTITIONS}, data_dir=str(tmp_path)) as broker:
        broker._broker._hosting.later = lambda action: None
        with RawPeer(broker.bootstrap) as peer, RawPeer(broker.bootstrap) as other:
            peer.send(request_bytes(DELETE_TOPICS, version=5, topic_names=["t"], timeout_ms=1000))
            while other.ask(METADATA, topics=None).topics:
                pass
        assert len(list(tmp_path.glob("t-?")) + list(tmp_path.glob("t-??"))) == PARTITIONS - LOGS_PER_TURN
    assert not list(tmp_path.glob("t-?")) + list(tmp_path.glob("t-??"))
    assert (tmp_path / ".kafka_cleanshutdown").exists()
