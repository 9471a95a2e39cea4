"""A failure of ours where no request is to blame: the broker says what it was and ends as if it had been killed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kbroker.broker import Broker
from kbroker.log.syncing import Syncing
from kbroker.real.disk import RealDisk
from kbroker.testing import InProcessBroker, run
from kbroker.testing.in_process import config_of_test
from kbroker.world import JobFailed
from tests.server.raw_peer import WAIT_S, RawPeer, batch_of, produce_request

SYNCED = {"log.flush.interval.messages": 2}
"""The second record of a log waits for its sync, which is a worker's."""


def _ours(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("ours")


def _worker(monkeypatch: pytest.MonkeyPatch, broker: InProcessBroker) -> str:
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        return _ours() if "/t-0/" in os.readlink(f"/proc/self/fd/{descriptor}") else fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    return "kbroker.log.syncing.Syncing"


def _writer(monkeypatch: pytest.MonkeyPatch, broker: InProcessBroker) -> str:
    disk: Any = broker._broker.disk
    disk._wary_until = float("inf")  # all writes are a writer thread's
    monkeypatch.setattr(disk._small_writer, "_write", _ours)
    return f"writing {broker.config.data_dir}/t-0/{0:020}.log"


def _what_follows(monkeypatch: pytest.MonkeyPatch, broker: InProcessBroker) -> str:
    monkeypatch.setattr(Syncing, "_finished", _ours)
    return "what follows the work of a thread"


def _timer(monkeypatch: pytest.MonkeyPatch, broker: InProcessBroker) -> str:
    disk, clock = broker._broker.disk, broker._broker.clock
    disk.in_worker(lambda: None, lambda _: clock.call_at(clock.monotonic_ms(), _ours) and None)
    return "what a timer was set for"


@pytest.mark.parametrize("arrange", [_worker, _writer, _what_follows, _timer])
def test_it_ends_the_broker_with_one_line_and_its_traceback_and_the_next_start_recovers(
    arrange: Callable[[pytest.MonkeyPatch, InProcessBroker], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a worker met was printed by its thread, and trio's loop crashed with a TrioInternalError."""
    broker = InProcessBroker(config_of_test(data_dir=str(tmp_path), topics={"t": 1}, config=SYNCED))
    broker.start()
    with RawPeer(broker.bootstrap) as peer:
        assert peer.produce("t", batch_of(b"kept")).error_code == 0
        with monkeypatch.context() as patch:
            job = arrange(patch, broker)
            peer.send(produce_request("t", batch_of(b"unknown")))
            assert peer.is_closed_by_broker()
            with pytest.raises(JobFailed) as raised:
                broker.stop()
    assert raised.value.job.startswith(job)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (line.levelname, line.getMessage()) == ("CRITICAL", "a failure of ours: stopping as if killed")
    assert (line.__dict__["job"], line.__dict__["error"]) == (raised.value.job, "ZeroDivisionError: ours")
    assert line.exc_info is not None
    assert line.exc_info[1] is raised.value.__cause__
    assert not (tmp_path / ".kafka_cleanshutdown").exists()
    with run(data_dir=str(tmp_path)) as again, RawPeer(again.bootstrap) as peer:
        assert peer.records("t")[0].value == b"kept"


def test_what_a_stop_waits_for_and_fails_leaves_no_clean_marker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = InProcessBroker(config_of_test(data_dir=str(tmp_path), topics={"t": 1}))
    broker.start()
    is_awaited = threading.Event()
    drain = RealDisk.drain

    def draining(disk: RealDisk) -> None:
        is_awaited.set()
        drain(disk)

    def work() -> None:
        assert is_awaited.wait(WAIT_S)
        _ours()

    monkeypatch.setattr(RealDisk, "drain", draining)
    broker._broker.disk.in_worker(work, lambda _: None)
    with pytest.raises(JobFailed):
        broker.stop()
    assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == ["CRITICAL"]
    assert not (tmp_path / ".kafka_cleanshutdown").exists()


def test_nothing_that_other_threads_have_ended_is_followed_up_after_it() -> None:
    """What had been acknowledged in that state would be a promise that nobody can keep."""
    told: list[str] = []
    broker = Broker(config_of_test())
    broker._follow_work(lambda: told.append("before"))
    broker._follow_work(_ours)
    broker._follow_work(lambda: told.append("after"))
    assert told == ["before"]


SERVE_WITH_A_BUG = """
import os, sys
from kbroker.cli.main import main

fsync = os.fsync

def failing(descriptor):
    return 1 // 0 if "/t-0/" in os.readlink(f"/proc/self/fd/{descriptor}") else fsync(descriptor)

os.fsync = failing
main(sys.argv[1:])
"""


def test_the_command_leaves_with_1_and_one_traceback(tmp_path: Path) -> None:
    flags = ["--mode", "test", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path), "--topic", "t:1"]
    command = [sys.executable, "-c", SERVE_WITH_A_BUG, "serve", *flags, "-o", "log.flush.interval.messages=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        bootstrap = next(line.split()[-1] for line in process.stdout if line.startswith("kbroker ready on"))
        with RawPeer(bootstrap) as peer:
            peer.send(produce_request("t", batch_of(b"unknown")))
            assert peer.is_closed_by_broker()
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    (critical,) = [line for line in err.splitlines() if " CRITICAL " in line]
    assert "job=kbroker.log.syncing." in critical
    assert critical.endswith(' error="ZeroDivisionError: integer division or modulo by zero"')
    assert err.count("Traceback") == 1
    assert "TrioInternalError" not in err
    assert err.splitlines()[-1].startswith("kbroker: a failure of ours: kbroker.log.syncing.")
