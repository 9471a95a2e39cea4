"""A node's folder, whoever serves it: one server.properties, one data directory, both owners by turns.

with folder.served_by("kafka") as broker:      Apache Kafka from its jars
with folder.served_by("kbroker") as broker:    python -m kbroker serve server.properties
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from compat.brokers import HOST, BrokerDiedError
from compat.reference.apache_kafka import Node, answers_api_versions, tool

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.02
LOG_TAIL_LINES = 8
HEAP = "768M"
CLUSTER_ID = "a2Jyb2tlci1pbnRlcmNoYQ"


class Broker:
    """A process that serves a folder."""

    def __init__(self, process: subprocess.Popen[bytes], bootstrap: str) -> None:
        self.process = process
        self.bootstrap = bootstrap

    def kill(self) -> None:
        """SIGKILL: what a crash leaves."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """An orderly stop; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode


class NodeFolder:
    """`server.properties` and `data/` in one folder; the ports stay, whoever listens."""

    def __init__(self, folder: Path, overrides: Mapping[str, str], ports: tuple[int, int] | None = None) -> None:
        self._node = Node("4.3.1", folder, HEAP, overrides=overrides)
        if ports is not None:
            self._node.port, self._node.controller_port = ports
        self.path = folder

    @property
    def data(self) -> Path:
        """`log.dirs`."""
        return self._node.data_dir

    @property
    def properties(self) -> Path:
        """The file that both are started with."""
        return self.path / "server.properties"

    def format(self, owner: str) -> None:
        """Format for a dynamic quorum of one, by the storage tool of `owner`; raises BrokerDiedError."""
        self._node.configure()
        arguments = ["format", "--standalone", "-t", CLUSTER_ID, "-c", str(self.properties)]
        if owner == "kafka":
            done = tool("kafka.tools.StorageTool", *arguments)
        else:
            command = [sys.executable, "-m", "kbroker", "storage", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BrokerDiedError(f"{owner} could not format {self.data}: {done.stdout}{done.stderr}")

    def copied_to(self, folder: Path, overrides: Mapping[str, str]) -> NodeFolder:
        """A copy of data and ports; the original must not be served meanwhile."""
        shutil.copytree(self.data, folder / "data")
        copy = NodeFolder(folder, overrides, (self._node.port, self._node.controller_port))
        copy._node.configure()
        return copy

    @contextmanager
    def served_by(self, owner: str) -> Iterator[Broker]:
        """Start, wait until it answers, stop at the end; raises BrokerDiedError, also when it stops badly."""
        broker = self._start(owner)
        try:
            yield broker
            was_killed = broker.process.poll() is not None
            code = broker.stop()
            if not was_killed and code not in (0, 143):
                raise BrokerDiedError(f"{owner} stopped with {code}\n{self._log_tail()}")
        finally:
            broker.stop()

    def _start(self, owner: str) -> Broker:
        if owner == "kafka":
            self._node.start()
            assert self._node.process is not None
            process = self._node.process
        else:
            command = [sys.executable, "-m", "kbroker", "serve", str(self.properties)]
            with self._node.log_file.open("ab") as log:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers_api_versions(HOST, self._node.port):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise BrokerDiedError(f"{owner} doesn't serve {self.data}\n{self._log_tail()}")
            time.sleep(POLL_S)
        return Broker(process, self._node.bootstrap)

    def _log_tail(self) -> str:
        return "\n".join(self._node.log_file.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
