"""The brokers that are compared: kbroker as a process, Apache Kafka from its jars, or any other by address and pid."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from compat.reference.apache_kafka import DEFAULT_VERSION, Node
from tests.bench.loads import POLL_S, START_TIMEOUT_S, Target, first_record
from tests.bench.processes import resident_mb

HOST = "127.0.0.1"
HEAP = "1G"
#: Deleted topics must give back their dirty pages before the next round, so files go at once in both brokers.
OPTIONS = {"log.segment.delete.delay.ms": "100", "log.retention.check.interval.ms": "60000"}
#: What a started broker still does by itself (timers, checkpoints) has settled by then.
IDLE_S = 2.0
STOP_TIMEOUT_S = 20.0
TAIL_LINES = 25


@dataclass(frozen=True)
class Contender:
    """A broker in the comparison; `start_once` is None where it can't be started by us."""

    name: str
    run: Callable[[], AbstractContextManager[Target]]
    start_once: Callable[[], dict[str, float]] | None


def kbroker() -> Contender:
    """This project, as `python -m kbroker serve`."""
    return Contender("kbroker", _kbroker_running, _kbroker_start)


def apache_kafka() -> Contender:
    """Apache Kafka from its Maven jars."""
    return Contender(f"Apache Kafka {DEFAULT_VERSION}", _kafka_running, _kafka_start)


def foreign(address: str) -> Contender:
    """A running broker given as HOST:PORT=PID; raises ValueError when it isn't written so."""
    place, _, pid = address.partition("=")
    host, _, port = place.rpartition(":")
    target = Target(host, int(port), int(pid))

    @contextmanager
    def run() -> Iterator[Target]:
        yield target

    return Contender(place, run, None)


@contextmanager
def _kbroker_running() -> Iterator[Target]:
    with tempfile.TemporaryDirectory(prefix="bench-kbroker-") as name:
        folder = Path(name)
        with _process(_kbroker_command(folder, 0), folder / "output") as process:
            ready = folder / "ready.json"
            _wait_until(ready.exists, process, folder / "output")
            host, _, port = json.loads(ready.read_text())["bootstrap"].rpartition(":")
            yield Target(host, int(port), process.pid)


@contextmanager
def watched_kbroker(slow: str, turns: list[Path]) -> Iterator[Target]:
    """This project with its loop watched (see observed.py); the file that will say how it went is added to `turns`."""
    with tempfile.TemporaryDirectory(prefix="bench-kbroker-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with tempfile.NamedTemporaryFile(prefix="bench-turns-", delete=False) as file:
            turns.append(Path(file.name))
        command = _kbroker_command(folder, 0)
        at = command.index("kbroker")
        command[at : at + 1] = ["tests.bench.observed", file.name, *([slow] if slow else []), "--"]
        with _process(command, folder / "output") as process:
            ready = folder / "ready.json"
            _wait_until(ready.exists, process, folder / "output")
            host, _, port = json.loads(ready.read_text())["bootstrap"].rpartition(":")
            yield Target(host, int(port), process.pid)


@contextmanager
def _kafka_running() -> Iterator[Target]:
    with _formatted_kafka() as node:
        node.start()
        node.wait_until_ready()
        yield Target(HOST, node.port, node.pid)


def _kbroker_start() -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="bench-kbroker-") as name:
        folder = Path(name)
        port = _free_port()
        start = time.perf_counter()
        with _process(_kbroker_command(folder, port), folder / "output") as process:
            return _after_start(start, port, process.pid)


def _kafka_start() -> dict[str, float]:
    with _formatted_kafka() as node:
        start = time.perf_counter()
        node.start()
        return _after_start(start, node.port, node.pid)


def _after_start(start: float, port: int, pid: int) -> dict[str, float]:
    """Seconds from process start until a record came back, and MB resident after a rest."""
    first_record(HOST, port)
    elapsed = time.perf_counter() - start
    time.sleep(IDLE_S)
    return {"start_s": elapsed, "idle_mb": resident_mb(pid)}


@contextmanager
def _formatted_kafka() -> Iterator[Node]:
    with tempfile.TemporaryDirectory(prefix="bench-kafka-", ignore_cleanup_errors=True) as name:
        node = Node(DEFAULT_VERSION, Path(name), HEAP, None, OPTIONS)
        node.format()
        try:
            yield node
        finally:
            node.stop()


def _kbroker_command(folder: Path, port: int) -> list[str]:
    command = [sys.executable, "-m", "kbroker", "serve", "--listen", f"{HOST}:{port}"]
    command += ["--data-dir", str(folder / "data"), "--ready-file", str(folder / "ready.json")]
    for key, value in OPTIONS.items():
        command += ["-o", f"{key}={value}"]
    return command


@contextmanager
def _process(command: list[str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    except RuntimeError as problem:
        if process.poll() is None:
            raise
        raise RuntimeError(f"{problem}; the broker had exited with {process.returncode}:\n{_tail(output)}") from problem
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the broker did not become ready:\n{_tail(output)}")
        time.sleep(POLL_S)


def _tail(output: Path) -> str:
    return "\n".join(output.read_text(errors="replace").splitlines()[-TAIL_LINES:])


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])
