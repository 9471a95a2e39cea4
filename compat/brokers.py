"""The brokers a run is made against: a foreign address, our own process, or Apache Kafka beside it.

Only a broker that the runner started can be killed and started again on the same port and data.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from compat.environments import LOGS
from compat.reference.apache_kafka import Node

HOST = "127.0.0.1"
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.02
LOG_TAIL_LINES = 5
#: A group's first rebalance need not wait for members that never come, nor a compaction for more to do.
SETTINGS: Mapping[str, str] = {"group.initial.rebalance.delay.ms": "0", "log.cleaner.backoff.ms": "200"}


class Target(Protocol):
    """What scenarios know of a broker."""

    name: str
    bootstrap: str

    def why_not_restartable(self) -> str | None:
        """A reason, or None when kill and restart work."""

    def kill(self) -> None:
        """End the process at once, as a crash would (SIGKILL)."""

    def restart(self) -> None:
        """Start it again on the same port and data, and wait until it answers."""

    def last_words(self) -> str:
        """The last line it printed, or nothing: asked when it is gone and nobody killed it."""


class BrokerDiedError(RuntimeError):
    """A broker of ours didn't come up; the message ends with what it printed last."""


class ForeignBroker:
    """An address and nothing else."""

    def __init__(self, bootstrap: str) -> None:
        self.name = bootstrap
        self.bootstrap = bootstrap

    def why_not_restartable(self) -> str | None:
        """Never: the process isn't ours."""
        return "the broker is not the runner's to kill"

    def kill(self) -> None:
        """Refused."""
        raise AssertionError("a foreign broker can't be killed")

    def restart(self) -> None:
        """Refused."""
        raise AssertionError("a foreign broker can't be restarted")

    def last_words(self) -> str:
        """Unknown here."""
        return ""


class KbrokerProcess:
    """`python -m kbroker serve` on a folder; port 0 at first, the port it got ever after."""

    name = "kbroker"

    def __init__(self, folder: Path, log: Path, settings: Mapping[str, str] = SETTINGS) -> None:
        self._folder = folder
        self._log = log
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.bootstrap = f"{HOST}:0"

    def start(self) -> None:
        """Start and wait for the ready file; raises BrokerDiedError."""
        ready = self._folder / "ready.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "kbroker", "serve", "--listen", self.bootstrap, "--ready-file", str(ready)]
        command += ["--data-dir", str(self._folder / "data")]
        for key, value in self._settings.items():
            command += ["-o", f"{key}={value}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BrokerDiedError(f"kbroker didn't get ready\n{self._log_tail()}")
            time.sleep(POLL_S)
        self.bootstrap = json.loads(ready.read_text())["bootstrap"]

    def why_not_restartable(self) -> str | None:
        """It can be restarted."""
        return None

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Start on the same port and data."""
        self.start()

    def stop(self) -> None:
        """Ask the process to end; kill it when it doesn't."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def last_words(self) -> str:
        """The last line of its output."""
        return self._log_tail(1)

    def _log_tail(self, count: int = LOG_TAIL_LINES) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-count:])


class KafkaProcess:
    """Apache Kafka from its jars, as `compat.reference` starts it."""

    def __init__(self, node: Node) -> None:
        self.name = f"Apache Kafka {node.version}"
        self._node = node
        self.bootstrap = node.bootstrap

    def why_not_restartable(self) -> str | None:
        """It can be restarted."""
        return None

    def kill(self) -> None:
        """SIGKILL."""
        assert self._node.process is not None
        os.kill(self._node.pid, signal.SIGKILL)
        self._node.process.wait()

    def restart(self) -> None:
        """Start on the same port and data."""
        self._node.start()
        self._node.wait_until_ready()

    def last_words(self) -> str:
        """The last line of its output."""
        return "".join(self._node.log_tail().splitlines()[-1:])


@contextmanager
def kbroker() -> Iterator[KbrokerProcess]:
    """Our broker on a temporary folder, stopped and removed at the end; its output stays among the logs."""
    folder = Path(tempfile.mkdtemp(prefix="compat-kbroker-"))
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / "kbroker.log"
    log.unlink(missing_ok=True)
    broker = KbrokerProcess(folder, log)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def apache_kafka(version: str) -> Iterator[KafkaProcess]:
    """This release of Apache Kafka, on a temporary folder, stopped and removed; raises ReferenceUnavailableError."""
    folder = Path(tempfile.mkdtemp(prefix="compat-kafka-"))
    node = Node(version, folder, overrides=dict(SETTINGS))
    try:
        node.format()
        node.start()
        node.wait_until_ready()
        yield KafkaProcess(node)
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)
