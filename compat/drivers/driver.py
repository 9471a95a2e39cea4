"""The standard streams' side of every Python driver: one JSON object a line in, one a line out.

A request is `{"id": 7, "do": "consume", "timeout_s": 20, ...arguments}`; the answer is `{"id": 7, "ok": {...}}` or
`{"id": 7, "error": "one line"}`. Bytes travel as base64, a null stays null. What a client library prints goes to
standard error. An exception that the driver didn't name in `errors` ends the process with its traceback: the runner
reports the last line and starts another. Runs on Python 3.8 too: the oldest client needs it.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import time


class TooSlowError(Exception):
    """The time the runner gave to a command has run out; the message says how far it came."""


def encoded(data):
    """Bytes as base64 text; None stays None."""
    return None if data is None else base64.b64encode(bytes(data)).decode()


def decoded(text):
    """The bytes behind base64 text; None stays None."""
    return None if text is None else base64.b64decode(text)


def record_out(partition, offset, timestamp, key, value, headers):
    """A consumed record as the runner reads it; `headers` is a list of (name, bytes or None), `timestamp` in ms."""
    return {
        "partition": partition,
        "offset": offset,
        "timestamp": timestamp,
        "key": encoded(key),
        "value": encoded(value),
        "headers": [[name, encoded(data)] for name, data in headers or []],
    }


class Driver:
    """What the drivers share: a deadline for the command that runs, and the group members that are alive.

    A subclass has one method for each command it knows; `open_member(group, topic)` returns an object with `poll()`
    (the records of a short wait), `assignment()` (partition numbers) and `close()`, all called from one thread.
    """

    errors: tuple = ()

    def __init__(self):
        self.bootstrap = ""
        self.deadline = 0.0
        self.members = {}

    def left_s(self):
        """Seconds until the deadline of the running command, at least a tenth."""
        return max(0.1, self.deadline - time.monotonic())

    def collect(self, poll, count):
        """Exactly `count` records from repeated `poll()`; raises TooSlowError at the deadline."""
        records = []
        while len(records) < count:
            if time.monotonic() > self.deadline:
                raise TooSlowError(f"{len(records)} of {count} records arrived")
            records.extend(poll())
        return records[:count]

    def member_start(self, member, group, topic):
        """Let a new member join; it polls on a thread of its own until `member_close`."""
        self.members[member] = Member(lambda: self.open_member(group, topic), self.errors)
        return {}

    def member_seen(self, member):
        """The partitions the member owns now, and the records it saw since the last call."""
        return self.members[member].seen()

    def member_close(self, member):
        """Let the member leave its group; returns what it saw last."""
        return self.members.pop(member).close(self.left_s())


class Member:
    """A consumer of a group that is polled on its own thread, so that several can rebalance with each other."""

    def __init__(self, open_consumer, errors):
        self._open = open_consumer
        self._errors = errors
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._records = []
        self._assignment = []
        self._error = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def seen(self):
        """A snapshot, and the records since the last one."""
        with self._lock:
            records, self._records = self._records, []
            return {"assignment": self._assignment, "records": records, "error": self._error}

    def close(self, timeout_s):
        """Leave the group, wait for the thread, return the last snapshot."""
        self._closing.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TooSlowError("the member didn't leave its group")
        return self.seen()

    def _run(self):
        try:
            consumer = self._open()
            while not self._closing.is_set():
                records = consumer.poll()
                with self._lock:
                    self._records.extend(records)
                    self._assignment = sorted(consumer.assignment())
            consumer.close()
        except self._errors as error:
            with self._lock:
                self._error = repr(error)


def serve(driver):
    """Answer requests from standard input until it ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        number, command = request.pop("id"), request.pop("do")
        driver.deadline = time.monotonic() + request.pop("timeout_s")
        try:
            answer = {"id": number, "ok": getattr(driver, command)(**request)}
        except (TooSlowError, *driver.errors) as error:
            answer = {"id": number, "error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(answer) + "\n")
        out.flush()
    # A client's threads may hang on a broker that is gone; nothing is owed any more.
    os._exit(0)
