"""The ends of a broker's process: asked to stop, it owes nobody anything; killed, it lost nothing that it promised."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kbroker.testing import BrokerProcess, run, start
from protocol_specs import api
from protocol_specs.errors import ErrorCode
from tests.server.raw_peer import (
    FETCH,
    INIT_PRODUCER_ID,
    JOIN_GROUP,
    METADATA,
    PRODUCE,
    WAIT_S,
    RawPeer,
    answer_of,
    batch_of,
    fetch_request,
    join_request,
    produce_request,
)

MARKER = ".kafka_cleanshutdown"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A broker with a folder and two topics."""
    with start(data_dir=str(tmp_path / "data"), topics={"t": 1, "u": 1}) as process:
        yield process


def _wait_for_exit(broker: BrokerProcess) -> None:
    """Until the process has ended."""
    begun = time.monotonic()
    while broker.is_running:
        assert time.monotonic() - begun < WAIT_S
        time.sleep(0.005)


def _is_answered(peer: RawPeer) -> bool:
    """Does one more answer come before the end?"""
    try:
        head = peer.read(4)
        return len(head) == 4 and len(peer.read(size := int.from_bytes(head, "big"))) == size
    except ConnectionResetError:
        return False  # what the broker has not read is told to a peer in this way


def _member_who_waits(broker: BrokerProcess) -> tuple[RawPeer, RawPeer]:
    """A first member of a group, and a second one who waits for the first to join again."""
    first, second = RawPeer(broker.bootstrap), RawPeer(broker.bootstrap)
    deadline = time.monotonic() + WAIT_S
    while True:
        first.send(join_request("g"))
        error = answer_of(JOIN_GROUP, first.read_frame()).error_code
        if error == 0:
            break
        assert time.monotonic() < deadline, ErrorCode(error)
        first.ask(10, key="g")
    second.send(join_request("g"))
    return first, second


def test_a_stop_answers_all_who_wait_and_leaves_with_0_long_before_they_would(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    idle = [RawPeer(broker.bootstrap) for _ in range(100)]
    readers = [RawPeer(broker.bootstrap) for _ in range(5)]
    for reader in readers:
        reader.send(fetch_request("t", 0, max_wait_ms=60_000))
    first, joiner = _member_who_waits(broker)
    large = batch_of(bytes(900_000))
    producers = [RawPeer(broker.bootstrap) for _ in range(3)]
    for producer in producers:
        producer.send(produce_request("u", large) * 2)
        # The first answer shows that the second request is under way, or about to be.
        assert answer_of(PRODUCE, producer.read_frame()).responses[0].partition_responses[0].error_code == 0
    os.kill(broker.pid, signal.SIGTERM)
    for reader in readers:
        assert answer_of(FETCH, reader.read_frame()).responses[0].partitions[0].error_code == 0
    assert answer_of(JOIN_GROUP, joiner.read_frame()).error_code == ErrorCode.NOT_COORDINATOR
    acknowledged = len(producers) + sum(map(_is_answered, producers))
    _wait_for_exit(broker)
    assert broker.exit_code == 0
    assert (tmp_path / "data" / MARKER).exists()
    for peer in [*idle, *readers, first, joiner, *producers]:
        peer.socket.close()
    broker.start()
    with RawPeer(broker.bootstrap) as peer:
        assert len(peer.records("u")) >= acknowledged


def test_a_peer_that_takes_nothing_does_not_keep_a_broker_from_stopping(broker: BrokerProcess) -> None:
    with RawPeer(broker.bootstrap, 8192) as deaf, RawPeer(broker.bootstrap) as peer:
        for _ in range(8):
            assert peer.produce("t", batch_of(bytes(900_000))).error_code == 0
        deaf.send(fetch_request("t", 0) * 3)
        assert len(deaf.read(1000)) == 1000
        os.kill(broker.pid, signal.SIGTERM)
        _wait_for_exit(broker)
    assert broker.exit_code == 0


SERVE_WITH_A_LONG_DRAIN = """
import sys
import kbroker.server.listener
from kbroker.cli.main import main

kbroker.server.listener.DRAIN_S_MAX = 60
main(sys.argv[1:])
"""


def test_a_second_signal_forces_and_leaves_what_was_acknowledged(tmp_path: Path) -> None:
    data = tmp_path / "data"
    flags = ["serve", "--mode", "test", "--listen", "127.0.0.1:0", "--data-dir", str(data), "--topic", "t:1"]
    command = [sys.executable, "-c", SERVE_WITH_A_LONG_DRAIN, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        bootstrap = next(line.split()[-1] for line in process.stdout if line.startswith("kbroker ready on"))
        with RawPeer(bootstrap, 8192) as deaf, RawPeer(bootstrap) as peer:
            for _ in range(8):
                assert peer.produce("t", batch_of(bytes(900_000))).error_code == 0
            deaf.send(fetch_request("t", 0) * 3)
            assert len(deaf.read(1000)) == 1000
            # The deaf peer keeps the drain going while the second signal comes.
            process.send_signal(signal.SIGTERM)
            assert peer.is_closed_by_broker()
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert not (data / MARKER).exists()
    with run(data_dir=str(data)) as broker, RawPeer(broker.bootstrap) as peer:
        assert len(peer.records("t")) == 8


SERVE_ON_A_SLOW_DISK = """
import os, sys, time
from kbroker.cli.main import main

fsync = os.fsync

def slow(descriptor):
    if os.path.exists(sys.argv[1]):
        open(sys.argv[2], "w").close()
        time.sleep(60)
    fsync(descriptor)

os.fsync = slow
main(sys.argv[3:])
"""


def test_a_second_signal_forces_even_while_a_slow_disk_takes_what_is_flushed(tmp_path: Path) -> None:
    """It used to wait for the end of the flush, which then wrote the marker."""
    slow, flushing, data = tmp_path / "slow", tmp_path / "flushing", tmp_path / "data"
    flags = ["serve", "--mode", "test", "--listen", "127.0.0.1:0", "--data-dir", str(data), "--topic", "t:1"]
    command = [sys.executable, "-c", SERVE_ON_A_SLOW_DISK, str(slow), str(flushing), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        bootstrap = next(line.split()[-1] for line in process.stdout if line.startswith("kbroker ready on"))
        with RawPeer(bootstrap) as peer:
            assert peer.produce("t", batch_of(b"kept")).error_code == 0
        slow.touch()
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        while not flushing.exists():
            assert time.monotonic() - begun < WAIT_S
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert not (data / MARKER).exists()
    with run(data_dir=str(data)) as broker, RawPeer(broker.bootstrap) as peer:
        assert [record.value for record in peer.records("t")] == [b"kept"]


def test_a_second_signal_ends_a_start_that_a_slow_disk_holds_up(tmp_path: Path) -> None:
    """Signals used to be heard when the start was over, and then as one."""
    slow, flushing, data = tmp_path / "slow", tmp_path / "flushing", tmp_path / "data"
    flags = ["serve", "--mode", "test", "--listen", "127.0.0.1:0", "--data-dir", str(data)]
    command = [sys.executable, "-c", SERVE_ON_A_SLOW_DISK, str(slow), str(flushing), *flags]
    slow.touch()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        begun = time.monotonic()
        while not flushing.exists():
            assert time.monotonic() - begun < WAIT_S
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "ready" not in out
    with run(data_dir=str(data), topics={"t": 1}) as broker, RawPeer(broker.bootstrap) as peer:
        assert peer.records("t") == []


class Producer:
    """Sends numbered records, one batch a request, as an idempotent producer; knows what was acknowledged."""

    def __init__(self, bootstrap: str, topic: str, acks: int) -> None:
        self.topic, self.acks, self.bootstrap = topic, acks, bootstrap
        with RawPeer(bootstrap) as peer:
            given = peer.ask(INIT_PRODUCER_ID, transactional_id=None, transaction_timeout_ms=-1)
        self.producer_id, self.epoch = given.producer_id, given.producer_epoch
        self.next = 0
        self.size = 1

    def batch(self) -> bytes:
        """The batch that begins with record `next`."""
        values = [b"%d" % number + bytes(self.size) for number in range(self.next, self.next + 3)]
        ids = {"producer_id": self.producer_id, "producer_epoch": self.epoch, "base_sequence": self.next}
        return batch_of(*values, **ids)

    def run(self, randomness: random.Random) -> None:
        """Send until the broker is gone; the batch without an answer is sent again by the next run."""
        try:
            with RawPeer(self.bootstrap) as peer:
                while True:
                    answer = peer.produce(self.topic, self.batch(), acks=self.acks)
                    assert answer.error_code == 0, ErrorCode(answer.error_code)
                    assert answer.base_offset == self.next
                    self.next += 3
                    self.size = randomness.choice((1, 100, 100, 60_000))
        except (OSError, AssertionError) as error:
            if isinstance(error, AssertionError) and "closed" not in str(error):
                raise


def _numbers(broker: BrokerProcess, topic: str) -> list[int]:
    with RawPeer(broker.bootstrap) as peer:
        return [int(bytes(record.value or b"").rstrip(b"\0")) for record in peer.records(topic)]


def test_a_killed_broker_has_every_acknowledged_record_and_nothing_twice(tmp_path: Path) -> None:
    """Ten kills under load, each at some moment; both producers go on with the batch that was not answered."""
    randomness = random.Random(10)
    failures: list[BaseException] = []
    with start(data_dir=str(tmp_path / "data"), topics={"leader": 1, "all": 1}) as broker:
        producers = [Producer(broker.bootstrap, "leader", 1), Producer(broker.bootstrap, "all", -1)]
        for _ in range(10):
            before = [producer.next for producer in producers]
            threads = [_started(producer, randomness, failures) for producer in producers]
            begun = time.monotonic()
            while not all(producer.next > old for producer, old in zip(producers, before, strict=True)):
                assert time.monotonic() - begun < WAIT_S, failures
                time.sleep(0.001)
            time.sleep(randomness.uniform(0.005, 0.08))
            broker.kill()
            for thread in threads:
                thread.join()
            broker.restart()
            assert failures == []
            for producer in producers:
                found = _numbers(broker, producer.topic)
                assert found == list(range(len(found)))
                # At most the batch under way is there without having been acknowledged.
                assert len(found) - producer.next in (0, 3)
        for producer in producers:
            with RawPeer(broker.bootstrap) as peer:
                again = peer.produce(producer.topic, producer.batch(), acks=producer.acks)
                assert (again.error_code, again.base_offset) == (0, producer.next)
            assert _numbers(broker, producer.topic) == list(range(producer.next + 3))


def _started(producer: Producer, randomness: random.Random, failures: list[BaseException]) -> threading.Thread:
    seed = randomness.random()

    def live() -> None:
        try:
            producer.run(random.Random(seed))
        except AssertionError as failure:
            failures.append(failure)

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    return thread


def test_metadata_that_was_answered_survives_a_kill(tmp_path: Path) -> None:
    with start(data_dir=str(tmp_path / "data")) as broker:
        for number in range(3):
            with RawPeer(broker.bootstrap) as peer:
                message, _ = api.messages(METADATA)
                name = f"made-{number}"
                wanted: Any = [message.MetadataRequestTopic(name=name)]
                answer = peer.ask(METADATA, topics=wanted, allow_auto_topic_creation=True)
                assert answer.topics[0].error_code == 0
            broker.kill()
            broker.restart()
            with RawPeer(broker.bootstrap) as peer:
                assert {topic.name for topic in peer.ask(METADATA, topics=None).topics} >= {
                    f"made-{earlier}" for earlier in range(number + 1)
                }


def _leader_epoch(broker: BrokerProcess) -> int:
    with RawPeer(broker.bootstrap) as peer:
        epoch: int = peer.ask(METADATA, topics=None).topics[0].partitions[0].leader_epoch
        return epoch


def test_a_leader_epoch_ends_with_a_crash_and_not_with_a_clean_stop(broker: BrokerProcess) -> None:
    """Every start elected a leader for every partition, and replayed the elections of all starts before it."""
    assert _leader_epoch(broker) == 0
    broker.restart()
    assert _leader_epoch(broker) == 0
    broker.kill()
    broker.restart()
    assert _leader_epoch(broker) == 1
