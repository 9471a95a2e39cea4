"""A disk that refuses under a running broker: told at once, everywhere, and nothing acknowledged is lost."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import kbroker.broker
from kbroker.real import network
from kbroker.real.clock import RealClock
from kbroker.real.disk import RealDisk
from kbroker.real.entropy import RealEntropy
from kbroker.testing import InProcessBroker, run
from kbroker.testing.in_process import config_of_test
from kbroker.world import DirectoryLocked, DiskFailure, World
from protocol_specs import api
from protocol_specs.errors import ErrorCode
from tests.server.raw_peer import (
    CREATE_TOPICS,
    LIST_OFFSETS,
    METADATA,
    WAIT_S,
    RawPeer,
    answer_of,
    batch_of,
    fetch_request,
    produce_request,
    request_bytes,
)

TOPICS = {"broken": 1, "other": 1}
STORAGE_ERROR = ErrorCode.KAFKA_STORAGE_ERROR


class FailingCalls:
    """Writes and syncs of files whose path holds `piece` fail with `number`, once `piece` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.piece: str | None = None
        self.number = errno.ENOSPC
        self.failed = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        for name in ("pwrite", "pwritev", "fsync"):
            monkeypatch.setattr(os, name, self._failing(getattr(os, name)))

    def also_truncates(self) -> None:
        """A start that recovers a log makes its indexes anew."""
        self._monkeypatch.setattr(os, "ftruncate", self._failing(os.ftruncate))

    def _failing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def attempt(descriptor: int, *arguments: Any) -> Any:
            if self.piece is not None and self.piece in os.readlink(f"/proc/self/fd/{descriptor}"):
                assert self.may_go_on.wait(WAIT_S)
                self.failed.set()
                raise OSError(self.number, os.strerror(self.number))
            return call(descriptor, *arguments)

        return attempt


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> FailingCalls:
    return FailingCalls(monkeypatch)


@pytest.fixture
def queueing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write goes through the disk's writer thread."""

    def make_world(post: Any, *, in_memory: bool) -> World:
        return World(RealClock(), RealDisk(post, slow_write_s=0), RealEntropy(), network)

    monkeypatch.setattr(kbroker.broker, "make_world", make_world)


def _latest(peer: RawPeer, topic: str) -> Any:
    message, _ = api.messages(LIST_OFFSETS)
    wanted = message.ListOffsetsPartition(partition_index=0, timestamp=-1)
    topics = [message.ListOffsetsTopic(name=topic, partitions=[wanted])]
    return peer.ask(LIST_OFFSETS, replica_id=-1, topics=topics).topics[0].partitions[0]


def _offline_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def _two_directories(tmp_path: Path) -> dict[str, Any]:
    """The metadata log and what comes first in one, the second partition in the other."""
    return {"data_dir": str(tmp_path / "a"), "config": {"log.dirs": f"{tmp_path / 'a'},{tmp_path / 'b'}"}}


def _partition_of(peer: RawPeer, topic: str) -> Any:
    topics = peer.ask(METADATA, topics=None).topics
    return next(each for each in topics if each.name == topic).partitions[0]


def _when(peer: RawPeer, topic: str, *, leader: int) -> Any:
    """The partition's metadata once `leader` leads."""
    deadline = time.monotonic() + WAIT_S
    while (partition := _partition_of(peer, topic)).leader_id != leader:
        assert time.monotonic() < deadline, partition
    return partition


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("acks", [1, -1])
def test_a_write_that_fails_takes_its_directory_offline_the_rest_lives_and_a_restart_has_all_that_was_acknowledged(
    number: int, acks: int, tmp_path: Path, failing: FailingCalls, caplog: pytest.LogCaptureFixture
) -> None:
    failing.number = number
    where = _two_directories(tmp_path)
    topics = {"other": 1, "broken": 1, "here": 1, "there": 1}
    with run(**where, topics=topics) as broker, RawPeer(broker.bootstrap) as peer:
        assert sorted(each.name for each in (tmp_path / "b").glob("*-0")) == ["broken-0", "there-0"]
        for topic in topics:
            assert peer.produce(topic, batch_of(b"kept"), acks=acks).error_code == 0
        failing.piece = f"/broken-0/{0:020}.log"
        assert peer.produce("broken", batch_of(b"lost"), acks=acks).error_code == STORAGE_ERROR
        failing.piece = None
        for topic in ("broken", "there"):
            refused = peer.produce(topic, batch_of(b"refused"), acks=acks)
            assert (refused.error_code, refused.base_offset) == (STORAGE_ERROR, -1)
            assert peer.fetch(topic, 0).error_code == STORAGE_ERROR
            assert _latest(peer, topic).error_code == STORAGE_ERROR
            partition = _when(peer, topic, leader=-1)
            assert partition.error_code == ErrorCode.LEADER_NOT_AVAILABLE
            assert partition.offline_replicas == [1]
        for topic in ("other", "here"):
            assert peer.produce(topic, batch_of(b"more"), acks=acks).base_offset == 1
            assert [record.value for record in peer.records(topic)] == [b"kept", b"more"]
        assert _offline_lines(caplog) == ["the log directory is offline"]
        assert os.strerror(number) in str(caplog.records[-1].__dict__["reason"])
        peer.send(_create("new"))
        assert answer_of(CREATE_TOPICS, peer.read_frame()).topics[0].error_code == 0
        assert peer.produce("new", batch_of(b"new"), acks=acks).base_offset == 0
        assert (tmp_path / "a" / "new-0").is_dir(), "where there is a directory to go to"
    assert (tmp_path / "a" / ".kafka_cleanshutdown").exists()
    assert not (tmp_path / "b" / ".kafka_cleanshutdown").exists()
    with run(**where) as broker, RawPeer(broker.bootstrap) as peer:
        for topic, end in {"other": 2, "broken": 1, "here": 2, "there": 1, "new": 1}.items():
            assert _partition_of(peer, topic).leader_id == 1
            assert len(peer.records(topic)) == end
            assert peer.produce(topic, batch_of(b"again")).base_offset == end


def _open_in(directory: Path) -> list[str]:
    """The files below it that this process has open."""
    opened = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the listing itself
            opened.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sorted(path.removeprefix(f"{directory}/") for path in opened if path.startswith(f"{directory}/"))


def _wait_until_closed(directory: Path) -> None:
    """What a worker has open at this moment, it closes by itself."""
    deadline = time.monotonic() + WAIT_S
    while opened := _open_in(directory):
        assert time.monotonic() < deadline, opened


@pytest.mark.parametrize("fixture", ["failing", "queueing"])
def test_a_directory_that_failed_is_let_go_of(
    fixture: str, tmp_path: Path, failing: FailingCalls, request: pytest.FixtureRequest
) -> None:
    """Its files and its lock were held until the broker's stop: the disk could neither be unmounted nor looked at."""
    request.getfixturevalue(fixture)
    where, broken = _two_directories(tmp_path), tmp_path / "b"
    topics = {"other": 1, "broken": 1, "here": 1, "there": 1}
    with (
        run(**where, topics=topics) as broker,
        RawPeer(broker.bootstrap) as peer,
        RawPeer(broker.bootstrap) as reader,
    ):
        for topic in ("broken", "there"):
            assert peer.produce(topic, batch_of(b"kept")).error_code == 0
        assert {".lock", f"broken-0/{0:020}.log", f"there-0/{0:020}.log"} <= {*_open_in(broken)}
        with pytest.raises(DirectoryLocked):
            RealDisk().lock(str(broken / ".lock"))
        reader.send(fetch_request("there", 1, max_wait_ms=60_000))
        failing.piece = "/broken-0/"
        assert peer.produce("broken", batch_of(b"lost")).error_code == STORAGE_ERROR
        assert answer_of(1, reader.read_frame()).responses[0].partitions[0].error_code == STORAGE_ERROR
        _when(peer, "broken", leader=-1)
        _wait_until_closed(broken)
        RealDisk().lock(str(broken / ".lock")).release()
        assert peer.fetch("there", 0).error_code == STORAGE_ERROR
        assert peer.produce("other", batch_of(b"more")).error_code == 0
        _wait_until_closed(broken)
    failing.piece = None
    with run(**where) as broker, RawPeer(broker.bootstrap) as peer:
        for topic in ("broken", "there"):
            assert [record.value for record in peer.records(topic)] == [b"kept"]


@pytest.mark.parametrize("metadata_dir", [None, "metadata"])
@pytest.mark.parametrize("acks", [1, -1])
def test_the_last_directory_that_fails_ends_the_broker_after_its_last_answers(
    acks: int, metadata_dir: str | None, tmp_path: Path, failing: FailingCalls, caplog: pytest.LogCaptureFixture
) -> None:
    """With the metadata log elsewhere it went on, and the next CreateTopics was an error of ours."""
    config = {} if metadata_dir is None else {"metadata.log.dir": str(tmp_path / metadata_dir)}
    tmp_path /= "data"
    broker = InProcessBroker(config_of_test(data_dir=str(tmp_path), topics=TOPICS, config=config))
    broker.start()
    with RawPeer(broker.bootstrap) as peer, RawPeer(broker.bootstrap) as reader:
        assert peer.produce("broken", batch_of(b"kept"), acks=acks).error_code == 0
        reader.ask(METADATA, topics=None)
        reader.send(fetch_request("other", 0, max_wait_ms=60_000))
        for _ in range(3):  # by then the broker has read it: what it never read it doesn't owe
            peer.ask(METADATA, topics=None)
        failing.piece = f"/broken-0/{0:020}.log"
        assert peer.produce("broken", batch_of(b"lost"), acks=acks).error_code == STORAGE_ERROR
        assert answer_of(1, reader.read_frame()).responses[0].partitions[0].error_code == STORAGE_ERROR
        assert peer.is_closed_by_broker()
    with pytest.raises(DiskFailure, match="No space left on device"):
        broker.stop()
    assert _offline_lines(caplog) == ["the log directory is offline"]
    assert not (tmp_path / ".kafka_cleanshutdown").exists()
    failing.piece = None
    with run(data_dir=str(tmp_path), config=config) as again, RawPeer(again.bootstrap) as peer:
        assert [record.value for record in peer.records("broken")] == [b"kept"]
        assert peer.produce("broken", batch_of(b"again")).base_offset == 1


@pytest.mark.usefixtures("queueing")
def test_queued_writes_that_fail_answer_all_who_wait_at_once(
    tmp_path: Path, failing: FailingCalls, caplog: pytest.LogCaptureFixture
) -> None:
    where = _two_directories(tmp_path)
    with run(**where, topics={"other": 1, "broken": 1}) as broker:
        peers = [RawPeer(broker.bootstrap) for _ in range(6)]
        assert peers[0].produce("broken", batch_of(b"kept")).error_code == 0
        failing.piece = f"/broken-0/{0:020}.log"
        failing.may_go_on.clear()
        for number, peer in enumerate(peers):
            topic = "broken" if number < 5 else "other"
            peer.send(produce_request(topic, batch_of(b"queued"), acks=(-1, 1)[number % 2]))
        reader = RawPeer(broker.bootstrap)
        reader.send(fetch_request("broken", 1, max_wait_ms=60_000))
        assert peers[0].socket.gettimeout() == WAIT_S
        failing.may_go_on.set()
        errors = [answer_of(0, peer.read_frame()).responses[0].partition_responses[0].error_code for peer in peers]
        assert errors == [STORAGE_ERROR] * 5 + [0]
        assert answer_of(1, reader.read_frame()).responses[0].partitions[0].error_code == STORAGE_ERROR
        assert _offline_lines(caplog) == ["the log directory is offline"]
        for peer in [*peers, reader]:
            peer.socket.close()
    failing.piece = None
    with run(**where) as broker, RawPeer(broker.bootstrap) as peer:
        assert [record.value for record in peer.records("broken")] == [b"kept"]


def test_a_directory_that_is_not_here_keeps_its_partitions_for_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Kafka makes them again, empty, and refuses to start once the directory is back."""
    where = _two_directories(tmp_path)
    topics = {"other": 1, "broken": 1}
    with run(**where, topics=topics) as broker, RawPeer(broker.bootstrap) as peer:
        for topic in topics:
            assert peer.produce(topic, batch_of(b"kept")).error_code == 0
    with run(data_dir=str(tmp_path / "a")) as broker, RawPeer(broker.bootstrap) as peer:
        assert [record.value for record in peer.records("other")] == [b"kept"]
        assert peer.produce("broken", batch_of(b"refused")).error_code == STORAGE_ERROR
        partition = _partition_of(peer, "broken")
        assert (partition.leader_id, partition.error_code) == (-1, ErrorCode.LEADER_NOT_AVAILABLE)
        assert not (tmp_path / "a" / "broken-0").exists()
        assert _offline_lines(caplog) == ["partitions whose log directory is not here cannot be served"]
    (tmp_path / "b").rename(tmp_path / "unmounted")
    (tmp_path / "b").write_text("no directory")
    with run(**where) as broker, RawPeer(broker.bootstrap) as peer:
        assert peer.produce("broken", batch_of(b"refused")).error_code == STORAGE_ERROR
        assert peer.produce("other", batch_of(b"more")).base_offset == 1
    (tmp_path / "b").unlink()
    (tmp_path / "unmounted").rename(tmp_path / "b")
    with run(**where) as broker, RawPeer(broker.bootstrap) as peer:
        assert [record.value for record in peer.records("broken")] == [b"kept"]
        assert peer.produce("broken", batch_of(b"more")).base_offset == 1


def test_a_disk_that_is_still_full_at_the_start_takes_its_directory_offline_again(
    tmp_path: Path, failing: FailingCalls, caplog: pytest.LogCaptureFixture
) -> None:
    """The partition alone was given up, and new ones were put beside it; a second line blamed a missing directory."""
    where = _two_directories(tmp_path)
    broker = InProcessBroker(config_of_test(**where, topics=TOPICS))
    broker.start()
    held = next(each.name.removesuffix("-0") for each in (tmp_path / "b").glob("*-0"))
    with RawPeer(broker.bootstrap) as peer:
        assert peer.produce(held, batch_of(b"kept")).error_code == 0
    broker.abort()
    failing.piece = f"/b/{held}-0/"
    failing.also_truncates()
    with run(**where) as again, RawPeer(again.bootstrap) as peer:
        assert peer.produce(held, batch_of(b"refused")).error_code == STORAGE_ERROR
        assert _offline_lines(caplog) == ["the log directory is offline"]
        peer.send(_create("new"))
        assert answer_of(CREATE_TOPICS, peer.read_frame()).topics[0].error_code == 0
        assert (tmp_path / "a" / "new-0").is_dir(), "where there is a directory to go to"
    failing.piece = None
    with run(**where) as again, RawPeer(again.bootstrap) as peer:
        assert [record.value for record in peer.records(held)] == [b"kept"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_metadata_log_that_fails_ends_the_broker(
    number: int, tmp_path: Path, failing: FailingCalls, caplog: pytest.LogCaptureFixture
) -> None:
    failing.number = number
    broker = InProcessBroker(config_of_test(data_dir=str(tmp_path), topics=TOPICS))
    broker.start()
    with RawPeer(broker.bootstrap) as peer:
        failing.piece = "/__cluster_metadata-0/"
        peer.send(_create("new"))
        assert peer.is_closed_by_broker()
    with pytest.raises(DiskFailure, match=os.strerror(number)):
        broker.stop()
    assert "the metadata log failed: stopping" in _offline_lines(caplog)
    failing.piece = None
    with run(data_dir=str(tmp_path)) as broker, RawPeer(broker.bootstrap) as peer:
        assert {topic.name for topic in peer.ask(METADATA, topics=None).topics} == set(TOPICS)


def _create(topic: str) -> bytes:
    message, _ = api.messages(CREATE_TOPICS)
    wanted = message.CreatableTopic(name=topic, num_partitions=1, replication_factor=1)
    return request_bytes(CREATE_TOPICS, topics=[wanted], timeout_ms=10_000)


SERVE_ON_A_DISK_THAT_FILLS = """
import errno, os, sys
from kbroker.cli.main import main

fsync = os.fsync

def full(descriptor):
    if os.path.exists(sys.argv[1]) and "__cluster_metadata" in os.readlink(f"/proc/self/fd/{descriptor}"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    fsync(descriptor)

os.fsync = full
main(sys.argv[2:])
"""


def test_the_command_says_so_in_one_line_and_leaves_with_1(tmp_path: Path) -> None:
    ready, full = tmp_path / "ready", tmp_path / "full"
    flags = ["serve", "--mode", "test", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data")]
    command = [sys.executable, "-c", SERVE_ON_A_DISK_THAT_FILLS, str(full), *flags, "--ready-file", str(ready)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        bootstrap = next(line.split()[-1] for line in process.stdout if line.startswith("kbroker ready on"))
        full.touch()
        with RawPeer(bootstrap) as peer:
            peer.send(_create("new"))
            assert peer.is_closed_by_broker()
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("kbroker: ")
    assert "No space left on device" in err.splitlines()[-1]


@pytest.mark.parametrize("version", [0, 4])
def test_a_log_that_cannot_be_loaded_when_it_is_first_used_is_told_to_whoever_asks_for_offsets(
    version: int, tmp_path: Path
) -> None:
    """In version 0 the stand-in of such a log was looked at, which has one segment, and no error came."""
    where = _two_directories(tmp_path)
    with run(**where, topics={"other": 1, "broken": 1}) as broker, RawPeer(broker.bootstrap) as peer:
        assert peer.produce("broken", batch_of(b"kept")).error_code == 0
    with run(**where) as broker, RawPeer(broker.bootstrap) as peer:
        shutil.rmtree(tmp_path / "b" / "broken-0")
        message, _ = api.messages(LIST_OFFSETS)
        wanted = message.ListOffsetsPartition(partition_index=0, timestamp=1)
        topics = [message.ListOffsetsTopic(name="broken", partitions=[wanted])]
        answer = peer.ask(LIST_OFFSETS, version, replica_id=-1, topics=topics).topics[0].partitions[0]
        assert answer.error_code == STORAGE_ERROR
