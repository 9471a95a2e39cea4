"""The broker as a process of its own, and what pytest pays for having us installed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kbroker.testing import StartFailed, start


def test_a_killed_broker_comes_back_on_its_port_with_its_topics(tmp_path: Path) -> None:
    from kbroker.testing.in_process import run  # the in-process broker reads what the process left behind

    data = str(tmp_path / "data")
    with start(data_dir=data, topics={"orders": 2}) as broker:
        first, bootstrap = broker.pid, broker.bootstrap
        broker.kill()
        assert broker.exit_code == -signal.SIGKILL
        broker.restart()
        assert (broker.bootstrap, broker.pid != first, broker.is_running) == (bootstrap, True, True)
        assert broker.stop() == 0
        # The first one may have been killed between its ready file and its last line.
        assert broker.output().count(f"kbroker ready on {bootstrap}") in (1, 2)
        assert "Traceback" not in broker.output()
    with run(data_dir=data) as reader:
        assert reader.is_running
    assert (tmp_path / "data" / "orders-1").is_dir()


def test_leaving_the_block_stops_the_process() -> None:
    with start(config={"auto.create.topics.enable": False}) as broker:
        pid = broker.pid
        assert broker.data_dir is None
    assert broker.exit_code == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_start_that_fails_quotes_what_the_process_said() -> None:
    with pytest.raises(StartFailed, match=r"exit code 4[\s\S]*num\.partitions=x: it must be a whole number"):
        start(config={"num.partitions": "x"})


def test_the_plugin_imports_nothing_heavy_until_a_fixture_is_used() -> None:
    """Every pytest run of everybody who has us installed pays for what it imports."""
    code = (
        "import sys, pytest; before = set(sys.modules); import kbroker.testing.plugin, kbroker.testing\n"
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith('kbroker.testing')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['kbroker']"
