"""`kbroker serve` as a process: ready, signals, exit codes; what only a real process shows."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

WAIT_S = 20.0
METADATA_V1_ALL = bytes.fromhex("0003000100000001000178ffffffff")


class Serving:
    """A `kbroker serve` process and the ways to watch it."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.ready_file = folder / "ready.json"
        command = [sys.executable, "-m", "kbroker", "serve", "--ready-file", str(self.ready_file), *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ready(self) -> dict[str, object]:
        """What the ready file says, once it is there."""
        deadline = time.monotonic() + WAIT_S
        while not self.ready_file.exists():
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return json.loads(self.ready_file.read_text())

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Signal it; exit code, stdout, stderr."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, out, err


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[list[Serving]]:
    started: list[Serving] = []
    yield started
    for one in started:
        one.process.kill()
        one.process.communicate()


def _answers(bootstrap: object) -> bool:
    host, _, port = str(bootstrap).rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=WAIT_S) as connection:
        connection.sendall(len(METADATA_V1_ALL).to_bytes(4, "big") + METADATA_V1_ALL)
        return len(connection.recv(4)) == 4


def test_it_says_ready_serves_and_stops_in_order(tmp_path: Path, serving: list[Serving]) -> None:
    data = tmp_path / "data"
    one = Serving(tmp_path, "--listen", "localhost:0", "--data-dir", str(data), "--topic", "orders:2")
    serving.append(one)
    ready = one.ready()
    assert ready["pid"] == one.process.pid
    assert ready["data_dir"] == str(data)
    assert _answers(ready["bootstrap"])
    code, out, err = one.end(signal.SIGTERM)
    assert (code, "Traceback" in err) == (0, False)
    lines = out.splitlines()
    assert len(lines) <= 6
    assert lines[-1] == f"kbroker ready on {ready['bootstrap']}"
    assert (data / ".kafka_cleanshutdown").exists()
    assert (data / "orders-1").is_dir()
    assert not one.ready_file.exists()


def test_a_second_broker_on_the_same_data_or_port_leaves_with_3(tmp_path: Path, serving: list[Serving]) -> None:
    data = tmp_path / "data"
    one = Serving(tmp_path, "--listen", "127.0.0.1:0", "--data-dir", str(data))
    serving.append(one)
    bootstrap = str(one.ready()["bootstrap"])
    command = [sys.executable, "-m", "kbroker", "serve"]
    for flags, reason in (
        (["--listen", "127.0.0.1:0", "--data-dir", str(data)], "is locked by another process"),
        (["--listen", bootstrap, "--data-dir", "memory:"], f"cannot listen on {bootstrap}: "),
    ):
        done = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=WAIT_S)
        assert (done.returncode, done.stdout) == (3, "")
        assert reason in done.stderr
        assert "Traceback" not in done.stderr
    assert one.end(signal.SIGINT)[0] == 0


def test_the_second_signal_forces_and_leaves_no_marker(tmp_path: Path, serving: list[Serving]) -> None:
    """Both signals are pending at once: the orderly stop has no time to finish in between."""
    data = tmp_path / "data"
    one = Serving(tmp_path, "--listen", "127.0.0.1:0", "--data-dir", str(data))
    serving.append(one)
    one.ready()
    one.process.send_signal(signal.SIGSTOP)
    one.process.send_signal(signal.SIGINT)
    one.process.send_signal(signal.SIGTERM)
    code, _, err = one.end(signal.SIGCONT)
    assert code == 1
    assert "at once: the next start will recover" in err
    assert not (data / ".kafka_cleanshutdown").exists()


def test_a_ready_file_that_cannot_be_written_is_a_failed_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kbroker", "serve", "--mode", "test", "--listen", "127.0.0.1:0"]
    missing = str(tmp_path / "missing" / "ready.json")
    done = subprocess.run([*command, "--ready-file", missing], capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 3
    assert "No such file or directory" in done.stderr


def test_a_banner_that_cannot_be_written_is_a_failed_start() -> None:
    """Whoever started the broker would wait for its last line for ever; it used to be a traceback."""
    command = [sys.executable, "-m", "kbroker", "serve", "--listen", "127.0.0.1:0", "--data-dir", "memory:"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=WAIT_S, check=False)
    assert (done.returncode, done.stderr) == (3, "kbroker: stdout: No space left on device\n")
