"""What a process that serves does for itself."""

import sys

from kbroker.cli import running
from kbroker.real.process import SWITCH_INTERVAL_S


def test_a_busy_worker_does_not_keep_the_interpreter_from_the_loop(monkeypatch):
    """Each system call of the loop used to cost 5 ms while records were being converted."""
    before = sys.getswitchinterval()
    monkeypatch.setattr(running, "Broker", lambda config: None)
    monkeypatch.setattr(running.trio, "run", lambda *arguments: round(sys.getswitchinterval(), 6))
    try:
        assert running.run_broker(None, print, 1) == SWITCH_INTERVAL_S < 0.001
    finally:
        sys.setswitchinterval(before)
