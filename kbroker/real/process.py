"""The process itself: its number, its environment, its end; and other processes that we start."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

POLL_S: Final = 0.002
"""How often a file that another process will write is looked for."""

YOUNG_OBJECTS: Final = 2_000
"""Objects that may be made and kept between two collections. Looking at so many takes up to a millisecond, in which
nobody is served; with 20,000 it was 5 to 10 ms, ten times as seldom. Python's own choice is 700."""

SWITCH_INTERVAL_S: Final = 0.000_5
"""How long a thread may run Python while another waits for the interpreter; Python's own choice is 5 ms. The loop waits
so long after each system call while a worker is busy: with records being converted, a small request took 4.9 ms at the
median and 20 to 40 at p99; with this 0.7 and 3.4 to 5. 0.1 ms gained nothing at p99."""


def process_id() -> int:
    """The number of this process."""
    return os.getpid()


def environment() -> Mapping[str, str]:
    """The environment variables of this process."""
    return os.environ


def descriptors_max() -> int | None:
    """How many files and sockets this process may have open (the soft limit of `ulimit -n`); None: any number."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def leave_at_once(code: int) -> NoReturn:
    """End this process without cleaning up anything."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def postpone_garbage_collection() -> None:
    """No collections while a program is being loaded: nothing of it is garbage."""
    gc.disable()


def resume_garbage_collection() -> None:
    """Pass over what is there now, and collect seldom: it stops everybody, and requests leave no cycles behind."""
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 100)
    gc.enable()


def share_the_interpreter() -> None:
    """The thread that serves everybody gets the interpreter soon after it asks for it."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def forget_stdout() -> None:
    """Let what is still unwritten go nowhere: the reader of our output has left."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class ChildProcess:
    """A Python process of ours; its output goes to `output`, a file it may fill without anybody reading along."""

    def __init__(self, arguments: Sequence[str], output: str) -> None:
        with open(output, "ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
            )

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: by that signal); None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to end (SIGTERM); harmless when it has."""
        if self.exit_code is None:
            self._process.terminate()

    def kill(self) -> None:
        """End it now (SIGKILL), and wait until it is gone; harmless when it is."""
        if self.exit_code is None:
            self._process.kill()
        self._process.wait()

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code once it ended; None when it still runs after `timeout_s`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


def wait_for_text(path: str, child: ChildProcess, timeout_s: float) -> str | None:
    """The text of a file that `child` will write atomically; None when the child ended first or time ran out."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            if child.exit_code is not None:
                return None
            time.sleep(POLL_S)
    return None
