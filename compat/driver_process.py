"""A driver on the runner's side: its process, requests with a deadline, and its surely reached end."""

from __future__ import annotations

import contextlib
import json
import queue
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: The driver gives up by itself a little before the runner kills it, so that its message says how far it came.
GRACE_S = 3.0
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
#: The line of a traceback that says what happened, in Python and in Java.
ERROR_LINE = re.compile(r"[\w.]+(Error|Exception)\b|Exception in thread|panic:")


class DriverError(Exception):
    """The client reported an error; the message is one line."""


class DriverLostError(DriverError):
    """The driver ended or fell silent; it was killed and another has to be started."""


class DriverProcess:
    """One running driver; requests are answered in order."""

    def __init__(self, command: Sequence[str], bootstrap: str, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, encoding="utf-8"
            )
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._sent = 0
        self._answered = 0
        try:
            self.hello: dict[str, Any] = self.call("hello", START_TIMEOUT_S, bootstrap=bootstrap)
        except DriverError:
            self.kill()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs and owes no answer."""
        return self._process.poll() is None and self._answered == self._sent

    @property
    def is_answered(self) -> bool:
        """Whether an answer waits to be received."""
        return not self._answers.empty()

    def call(self, do: str, timeout_s: float, **arguments: Any) -> dict[str, Any]:
        """Ask and wait; raises DriverError for the client's errors, DriverLostError when the driver is no more."""
        self.send(do, timeout_s, **arguments)
        return self.receive(timeout_s)

    def send(self, do: str, timeout_s: float, **arguments: Any) -> None:
        """Ask without waiting: the broker can be killed meanwhile. `receive` must follow."""
        self._sent += 1
        request = {"id": self._sent, "do": do, "timeout_s": max(1.0, timeout_s - GRACE_S), **arguments}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise DriverLostError(self._last_words("the driver ended")) from None

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """The answer to the oldest request that has none yet."""
        deadline = time.monotonic() + timeout_s
        try:
            line = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            self.kill()
            raise DriverLostError(f"no answer within {timeout_s:.0f} s; the driver was killed") from None
        if line is None:
            raise DriverLostError(self._last_words("the driver ended"))
        answer = json.loads(line)
        self._answered += 1
        assert answer["id"] == self._answered, f"the driver answered {answer['id']} before {self._answered}"
        if "error" in answer:
            raise DriverError(answer["error"])
        result: dict[str, Any] = answer["ok"]
        return result

    def kill(self) -> None:
        """End the process now."""
        self._process.kill()
        self._finish()

    def close(self) -> None:
        """Let the process end with its input; kill it when it doesn't."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(STOP_TIMEOUT_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._process.kill()
        self._finish()

    def _finish(self) -> None:
        self._process.wait()
        assert self._process.stdin is not None
        # What was never read by a driver that is gone can't be flushed.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._reader.join(STOP_TIMEOUT_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as answers:
            for line in answers:
                self._answers.put(line)
        self._answers.put(None)

    def _last_words(self, what: str) -> str:
        self._process.wait()
        lines = self._log.read_text(errors="replace").strip().splitlines()
        errors = [line for line in lines if ERROR_LINE.match(line)]
        return f"{what}: {(errors or lines)[-1]}" if lines else f"{what} with status {self._process.returncode}"
