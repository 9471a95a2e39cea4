"""One Apache Kafka node (KRaft, broker and controller in one) on 127.0.0.1, started and surely stopped.

    with running("4.3.1", overrides={"num.partitions": "3"}) as kafka:
        client.connect(kafka.bootstrap)

As a command it prints the address and waits: `python -m compat.reference.apache_kafka --version 4.3.1`.
"""

from __future__ import annotations

import argparse
import base64
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from compat.reference.jars import ReferenceUnavailableError, fetch, is_available, java_command

__all__ = ["Node", "ReferenceUnavailableError", "fetch", "is_available", "running", "tool"]

HOST = "127.0.0.1"
DEFAULT_VERSION = "4.3.1"
#: A cold JVM on two busy cores has been seen to take 15 s; a minute tells slow from broken.
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
POLL_S = 0.01
LOG_TAIL_LINES = 15

_BASE_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
}
_LOG4J2 = """status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %m (%c)%n
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
"""
_LOG4J1 = """log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %m (%c)%n
"""


@dataclass
class Node:
    """A formatted data folder and, between `start` and `stop`, the process that serves it."""

    version: str
    folder: Path
    heap: str = "1G"
    cpus: Sequence[int] | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    controller_port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """HOST:PORT of the plain listener."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The broker's process id; an error before `start`."""
        assert self.process is not None, "the node has not been started"
        return self.process.pid

    @property
    def data_dir(self) -> Path:
        """Where the partitions' folders lie (`log.dirs`)."""
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        """What the process printed: warnings and worse."""
        return self.folder / "server.log"

    def format(self) -> None:
        """Choose ports, write the properties and format the storage; raises ReferenceUnavailableError on failure."""
        self.configure()
        arguments = ["format", "--standalone", "-t", _cluster_id(), "-c", str(self._properties)]
        done = tool("kafka.tools.StorageTool", *arguments, version=self.version)
        if done.returncode != 0:
            raise ReferenceUnavailableError(
                f"Apache Kafka could not format its storage: {(done.stderr or done.stdout)!r}"
            )

    def configure(self) -> None:
        """Choose ports, unless they are given, and write the properties."""
        if not self.port:
            self.port, self.controller_port = _free_ports(2)
        self._write_configuration()

    def start(self) -> None:
        """Start the process; returns at once, see `wait_until_ready`."""
        options = [f"-Xmx{self.heap}", f"-Xms{self.heap}", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]
        options += ["-Djava.awt.headless=true", *self._logging_options()]
        command = java_command(self.version, options, "kafka.Kafka", str(self._properties))
        if self.cpus is not None:
            command = ["taskset", "-c", ",".join(map(str, self.cpus)), *command]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_until_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return once the node answers ApiVersions; raises ReferenceUnavailableError when it died or stays silent.

        The process is checked too: another program on the same port must not pass for this node.
        """
        deadline = time.monotonic() + timeout_s
        while not answers_api_versions(HOST, self.port):
            self._check_alive()
            if time.monotonic() > deadline:
                raise ReferenceUnavailableError(
                    f"Apache Kafka did not answer within {timeout_s:.0f} s\n{self.log_tail()}"
                )
            time.sleep(POLL_S)
        self._check_alive()

    def stop(self) -> None:
        """End the process by its id: asked first, killed when it takes too long. Safe to call twice."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log_tail(self) -> str:
        """The last lines the process printed."""
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _check_alive(self) -> None:
        assert self.process is not None, "the node has not been started"
        status = self.process.poll()
        if status is not None:
            raise ReferenceUnavailableError(f"Apache Kafka {self.version} exited with {status}\n{self.log_tail()}")

    def _write_configuration(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = {
            **_BASE_PROPERTIES,
            "controller.quorum.bootstrap.servers": f"{HOST}:{self.controller_port}",
            "listeners": f"PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.port}",
            "log.dirs": str(self.data_dir),
            **self.overrides,
        }
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        (self.folder / "log4j2.properties").write_text(_LOG4J2)
        (self.folder / "log4j.properties").write_text(_LOG4J1)

    def _logging_options(self) -> list[str]:
        return [
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
            f"-Dlog4j.configuration=file:{self.folder / 'log4j.properties'}",
        ]


@contextmanager
def running(
    version: str = DEFAULT_VERSION,
    overrides: Mapping[str, str] | None = None,
    heap: str = "1G",
    cpus: Sequence[int] | None = None,
) -> Iterator[Node]:
    """A fresh node that answers, in a temporary folder; stopped and removed at the end, whatever happens.

    `overrides` are Kafka properties, `heap` is Java's notation (fixed size), `cpus` the cores it may use.
    Raises ReferenceUnavailableError when Java, Maven or the jars are missing or the node doesn't start.
    """
    folder = Path(tempfile.mkdtemp(prefix="apache-kafka-"))
    node = Node(version, folder, heap, cpus, dict(overrides or {}))
    try:
        node.format()
        node.start()
        node.wait_until_ready()
        yield node
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)


def tool(
    class_name: str,
    *arguments: str,
    version: str = DEFAULT_VERSION,
    stdin: str | None = None,
    timeout_s: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a tool class of Kafka's jars to its end, e.g. `org.apache.kafka.tools.TopicCommand`; output is captured."""
    command = java_command(version, ["-Xmx256M", "-XX:TieredStopAtLevel=1"], class_name, *arguments)
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False)


def answers_api_versions(host: str, port: int, timeout_s: float = 2.0) -> bool:
    """Whether an ApiVersions v0 request over a plain socket is answered without an error."""
    client_id = b"probe"
    body = struct.pack(">hhih", 18, 0, 7, len(client_id)) + client_id
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = connection.makefile("rb").read(10)
    except OSError:
        return False
    return len(answer) == 10 and struct.unpack(">iih", answer)[1:] == (7, 0)


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def _cluster_id() -> str:
    """16 random bytes, base64url without padding; never with a leading dash, which the tool takes for an option."""
    while True:
        text = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Start a node, print its address, wait for SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="compat.reference.apache_kafka", description=main.__doc__)
    parser.add_argument("--version", default=DEFAULT_VERSION)
    parser.add_argument("--heap", default="1G")
    parser.add_argument("-o", "--override", action="append", default=[], metavar="KEY=VALUE")
    chosen = parser.parse_args(arguments)
    # SIGINT too: a shell starts its background jobs with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with running(chosen.version, dict(item.split("=", 1) for item in chosen.override), chosen.heap) as node:
            print(node.bootstrap, flush=True)
            signal.pause()
    except ReferenceUnavailableError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
