"""The in-process broker: up in a blink, usable from plain code, gone without a trace."""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from kbroker.broker import Broker
from kbroker.config import ConfigError
from kbroker.real.network import PortTaken
from kbroker.testing import InProcessBroker, run
from kbroker.wire import codec
from kbroker.world import DirectoryLocked
from protocol_specs import api
from protocol_specs.headers import RequestHeader

METADATA = 3


def topics_of(bootstrap: str) -> dict[str, int]:
    """Topic names and partition counts, by a Metadata request of our own over a fresh connection."""
    request, response = api.messages(METADATA)
    header = codec.encode(RequestHeader, 1, RequestHeader(request_api_key=METADATA, request_api_version=1))
    frame = header + codec.encode(request, 1, request(topics=None))
    host, _, port = bootstrap.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(len(frame).to_bytes(4, "big") + frame)
        answer: Any = codec.decode(response, 1, _frame_of(connection)[4:])[0]
    return {topic.name: len(topic.partitions) for topic in answer.topics}


def _frame_of(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        size = int.from_bytes(stream.read(4), "big")
        return stream.read(size)


def _traces() -> tuple[set[str], set[str], int]:
    """Threads, what descriptors point to, and trio tasks' brokers still alive."""
    gc.collect()
    descriptors = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            descriptors.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
        except FileNotFoundError:
            continue
    brokers = sum(isinstance(thing, Broker) for thing in gc.get_objects())
    return {thread.name for thread in threading.enumerate()}, descriptors, brokers


LISTENERS: list[list[str]] = []


@pytest.fixture
def looked_for() -> Iterator[list[str]]:
    """What is imported, compiled, listed or opened while a test runs; an audit hook stays for the process's life."""
    if not LISTENERS:
        sys.addaudithook(_note)
    seen: list[str] = []
    LISTENERS.append(seen)
    yield seen
    LISTENERS[:] = [[]]


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event in {"import", "compile", "open", "os.listdir", "os.scandir"}:
        LISTENERS[-1].append(f"{event} {arguments[0]}")


def test_topics_are_there_when_it_is_up() -> None:
    with run(topics={"orders": 3, "audit": 1}) as broker:
        assert topics_of(broker.bootstrap) == {"orders": 3, "audit": 1}
        assert broker.is_running
    assert not broker.is_running


def test_configs_reach_the_broker() -> None:
    with run(config={"num.partitions": 4}) as broker:
        assert broker.config["num.partitions"] == 4


def test_a_bad_config_is_told_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match=r"num\.partitions=x"), run(config={"num.partitions": "x"}):
        raise AssertionError("not reached")


def test_its_end_leaves_nothing_behind() -> None:
    """Threads, sockets, files, tasks: after a first run, which warms caches, all is as before."""
    with run(topics={"t": 1}) as broker:
        topics_of(broker.bootstrap)
    del broker
    before = _traces()
    with run(topics={"t": 3}) as broker:
        topics_of(broker.bootstrap)
        assert _traces() != before
    del broker
    assert _traces() == before


def test_its_end_leaves_nothing_behind_on_disk_either(tmp_path: Path) -> None:
    with run():
        pass
    before = _traces()
    for _ in range(2):
        with run(data_dir=str(tmp_path / "data"), topics={"t": 3}) as broker:
            assert topics_of(broker.bootstrap) == {"t": 3}
        del broker
    assert _traces() == before
    assert (tmp_path / "data" / ".kafka_cleanshutdown").exists()


def test_an_aborted_broker_leaves_nothing_but_its_files(tmp_path: Path) -> None:
    with run():
        pass
    before = _traces()
    with run(data_dir=str(tmp_path / "data"), topics={"t": 1}) as broker:
        broker.abort()
        assert not broker.is_running
    del broker
    assert _traces() == before
    assert not (tmp_path / "data" / ".kafka_cleanshutdown").exists()
    with run(data_dir=str(tmp_path / "data")) as broker:
        assert topics_of(broker.bootstrap) == {"t": 1}


def test_a_further_broker_looks_for_nothing_that_the_first_one_found(looked_for: list[str]) -> None:
    """What keeps it within the few milliseconds that `make bench` shows: no listing, import or compilation again.

    Each broker used to list the handlers' package anew, a third of its start.
    """
    with run(topics={"t": 1}) as broker:
        topics_of(broker.bootstrap)
    looked_for.clear()
    with run(topics={"t": 1}) as broker:
        topics_of(broker.bootstrap)
        assert looked_for == []


def test_several_brokers_share_nothing() -> None:
    with run(topics={"a": 1}) as one, run(topics={"b": 2}) as two:
        assert topics_of(one.bootstrap) == {"a": 1}
        assert topics_of(two.bootstrap) == {"b": 2}


def test_a_taken_port_is_an_exception_of_the_caller() -> None:
    with run() as one:
        taken = {"listeners": f"PLAINTEXT://{one.bootstrap}"}
        with pytest.raises(PortTaken, match="cannot listen"), run(config=taken):
            raise AssertionError("not reached")


def test_a_locked_folder_is_an_exception_of_the_caller(tmp_path: Path) -> None:
    with run(data_dir=str(tmp_path)), pytest.raises(DirectoryLocked), run(data_dir=str(tmp_path)):
        raise AssertionError("not reached")


async def test_it_runs_beside_another_trio_loop() -> None:
    with run(topics={"t": 1}) as broker:
        assert await trio.to_thread.run_sync(topics_of, broker.bootstrap) == {"t": 1}


def test_stopping_twice_is_harmless() -> None:
    with run() as broker:
        broker.stop()
        broker.stop()


@pytest.mark.kbroker(topics={"marked": 2}, config={"num.partitions": 7})
def test_the_fixture_takes_topics_and_configs_from_its_marker(kbroker: InProcessBroker) -> None:
    assert topics_of(kbroker.bootstrap) == {"marked": 2}
    assert kbroker.config["num.partitions"] == 7


def test_the_fixture_is_a_fresh_broker_every_time(kbroker: InProcessBroker) -> None:
    assert topics_of(kbroker.bootstrap) == {}


def test_the_session_has_one_server(kbroker_server: InProcessBroker, request: pytest.FixtureRequest) -> None:
    assert kbroker_server.is_running
    assert request.getfixturevalue("kbroker_server") is kbroker_server


def test_a_misspelt_config_is_a_warning_where_it_was_written() -> None:
    with pytest.warns(UserWarning, match=r"message\.max\.bytes") as warned, run(config={"message.max.byte": 5}):
        pass
    assert warned[0].filename == __file__
