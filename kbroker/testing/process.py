"""A broker in a process of its own: what a client of any language sees, and what can be killed."""

from __future__ import annotations

import atexit
import json
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from kbroker.config import split_address
from kbroker.real.files import FileUnreadable, read_text, remove
from kbroker.real.process import ChildProcess, wait_for_text

START_S_MAX: Final = 30.0
"""How long a start may take, recovery of a folder included."""

STOP_S_MAX: Final = 30.0
"""How long an orderly stop may take before the process is killed."""


class StartFailed(Exception):
    """The process ended, or was not ready in time; str() ends with what it printed."""


class BrokerProcess:
    """A broker's process: `bootstrap`, `pid`, `data_dir` (None in memory). A context manager that stops it."""

    def __init__(self, arguments: list[str], data_dir: str | None, listen: str) -> None:
        self.data_dir = data_dir
        self.bootstrap = ""
        self._listen = listen
        self._arguments = arguments
        self._folder = tempfile.TemporaryDirectory(prefix="kbroker-")
        self._ready_file = f"{self._folder.name}/ready.json"
        self._output_file = f"{self._folder.name}/output.txt"
        self._child: ChildProcess | None = None

    @property
    def pid(self) -> int:
        """The number of the process that runs now, or ran last."""
        assert self._child is not None
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Is the process alive?"""
        return self._child is not None and self._child.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """How the process ended (negative: by that signal); None while it runs."""
        return None if self._child is None else self._child.exit_code

    def output(self) -> str:
        """Everything that the process printed so far, over all its lives."""
        try:
            return read_text(self._output_file)
        except FileUnreadable:
            return ""

    def start(self) -> None:
        """Start it and return once clients can connect. Raises StartFailed."""
        assert not self.is_running
        remove(self._ready_file)
        flags = ["--listen", self._listen, "--ready-file", self._ready_file]
        self._child = ChildProcess(["-m", "kbroker", "serve", *flags, *self._arguments], self._output_file)
        atexit.register(self._child.kill)
        text = wait_for_text(self._ready_file, self._child, START_S_MAX)
        if text is None:
            code = self._child.exit_code
            self.kill()
            why = "it was not ready in time" if code is None else f"it left with exit code {code}"
            raise StartFailed(f"{why}:\n{self.output()}")
        self.bootstrap = json.loads(text)["bootstrap"]
        self._listen = self.bootstrap

    def stop(self) -> int:
        """End in order (SIGTERM) and return the exit code; killed when that takes too long."""
        assert self._child is not None
        self._child.terminate()
        if self._child.wait(STOP_S_MAX) is None:
            self.kill()
        atexit.unregister(self._child.kill)
        code = self._child.exit_code
        assert code is not None
        return code

    def kill(self) -> None:
        """End it with SIGKILL, wherever it is; harmless when it is gone."""
        assert self._child is not None
        self._child.kill()
        atexit.unregister(self._child.kill)

    def restart(self) -> None:
        """Start again on the same port with the same data; ends it in order first where it still runs."""
        if self.is_running:
            self.stop()
        self.start()

    def close(self) -> None:
        """Stop it and forget its output; harmless twice."""
        if self.is_running:
            self.stop()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def start(
    *,
    topics: Mapping[str, int] | None = None,
    config: Mapping[str, Any] | None = None,
    data_dir: str | None = None,
    mode: str = "test",
    port: int = 0,
) -> BrokerProcess:
    """A broker in its own process, ready for clients; close it, or use it as a context manager. Raises StartFailed.

    `topics` maps names to partition counts, `config` Kafka's names to values; without `data_dir` it lives in memory.
    """
    listen = f"127.0.0.1:{port}"
    split_address(listen)
    arguments = ["--mode", mode, "--data-dir", "memory:" if data_dir is None else str(data_dir)]
    for name, partitions in (topics or {}).items():
        arguments += ["--topic", f"{name}:{partitions}"]
    for name, value in (config or {}).items():
        arguments += ["-o", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    broker = BrokerProcess(arguments, None if data_dir is None else str(data_dir), listen)
    try:
        broker.start()
    except StartFailed:
        broker.close()
        raise
    return broker
