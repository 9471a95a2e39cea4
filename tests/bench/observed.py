"""A broker whose loop is watched and whose disk may be slow: `python -m tests.bench.observed FILE [SLOW] -- serve ...`.

SLOW is `write=MB/S,sync=MS,read=MS`: writes take as long as that many MB a second would, wherever they are made; a sync
and a read of what the page cache does not hold take so much longer. It is put under the disk's own files, so that the
broker's rules meet it as they would meet a medium. At the end FILE holds, as JSON, the longest turns of the loop.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio

from kbroker.cli.main import main
from kbroker.real.disk import RealFile

LONGEST_KEPT = 200
#: A turn that is longer than this shows where it was.
TRACED_S = 0.006
LOOK_S = 0.002
SLOW_WRITE_S = SLOW_COLLECTION_S = 0.004
#: What nobody may be kept waiting for longer; `beside.py` takes off what the machine was away.
LATE_S = 0.01
#: Runs while nobody is served yet or any more, too.
START_AND_STOP = "kbroker.broker.Broker.run"


class Turns(trio.abc.Instrument):
    """How long tasks kept the loop, and how much of that they wanted the processor and did not have it."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self.count = 0
        self.longest: list[tuple[float, int, dict[str, Any]]] = []
        self.slow_writes: list[tuple[int, float]] = []
        self.collections: list[tuple[int, float]] = []
        self._number = itertools.count()
        self._begun = (0.0, 0.0, 0.0)
        self._schedule = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self.first_step = self.last_step = 0.0
        self.late: list[tuple[float, float, float, float]] = []
        self._since = 0.0
        self._seen = ""

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """A task has the loop from now on."""
        self._begun = time.perf_counter(), time.thread_time(), self._preempted_s()
        self._seen = ""
        self._since = self._begun[0]

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """It has given it back."""
        self._since = 0.0
        now = time.perf_counter()
        begun, cpu, preempted = self._begun
        preempted = self._preempted_s() - preempted
        self.count += 1
        if task.name == START_AND_STOP:
            self.first_step = self.first_step or now
            return
        self.last_step = now
        own = now - begun - preempted
        if own > LATE_S:
            self.late.append((begun, now, own, time.thread_time() - cpu))
        if len(self.longest) < LONGEST_KEPT or own > self.longest[0][0]:
            about = {"begun": begun, "ended": now, "own_s": own, "cpu_s": time.thread_time() - cpu}
            push = heapq.heappush if len(self.longest) < LONGEST_KEPT else heapq.heapreplace
            push(self.longest, (own, next(self._number), {**about, "at": self._seen or task.name}))

    def _preempted_s(self) -> float:
        """Seconds that the loop's thread was ready and another process had the processor."""
        return int(os.pread(self._schedule, 64, 0).split()[1]) / 1e9

    def watch_writes(self) -> None:
        """Note the writes that the loop itself made and that took long: their bytes and milliseconds."""
        quick, loop = RealFile.write_at, threading.get_ident()

        def write_at(file: RealFile, position: int, buffers: Any) -> None:
            begun = time.perf_counter()
            quick(file, position, buffers)
            elapsed = time.perf_counter() - begun
            if elapsed > SLOW_WRITE_S and threading.get_ident() == loop:
                self.slow_writes.append((sum(map(len, buffers)), round(elapsed * 1e3, 1)))

        RealFile.write_at = write_at  # type: ignore[method-assign]  # watched

    def watch_collections(self) -> None:
        """Note the garbage collections that took long: their generation and milliseconds."""
        begun = 0.0

        def note(phase: str, about: dict[str, int]) -> None:
            nonlocal begun
            if phase == "start":
                begun = time.perf_counter()
            elif (elapsed := time.perf_counter() - begun) > SLOW_COLLECTION_S:
                self.collections.append((about["generation"], round(elapsed * 1e3, 1)))

        gc.callbacks.append(note)

    def watch(self, thread: int) -> None:
        """For ever: note where a long turn of `thread` is."""
        while True:
            time.sleep(LOOK_S)
            if self._since and not self._seen and time.perf_counter() - self._since > TRACED_S:
                stack = traceback.extract_stack(sys._current_frames()[thread])[-5:]
                self._seen = " < ".join(f"{Path(at.filename).name}:{at.lineno} {at.name}" for at in reversed(stack))


def slow_down(slow: str) -> None:
    """Make RealFile as slow as the description says."""
    wanted = {key: float(value) for key, _, value in (part.partition("=") for part in slow.split(","))}

    def slower(name: str, delay_s: Callable[[Any, tuple[Any, ...]], float]) -> None:
        quick = getattr(RealFile, name)

        def method(self: Any, *arguments: Any) -> Any:
            time.sleep(delay_s(self, arguments))
            return quick(self, *arguments)

        setattr(RealFile, name, method)

    if "switch" in wanted:
        sys.setswitchinterval(wanted["switch"] / 1e3)
    if "write" in wanted:
        slower("write_at", lambda file, given: sum(map(len, given[1])) / wanted["write"] / 1e6)
    if "sync" in wanted:
        slower("sync", lambda file, given: wanted["sync"] / 1e3)
    if "read" in wanted:
        slower("read_at", lambda file, given: 0 if file.is_warm(*given) else wanted["read"] / 1e3)
        slower("_fetch", lambda file, given: wanted["read"] / 1e3)


def run(arguments: Sequence[str]) -> None:
    """Serve, watched."""
    ours, command = list(arguments), []
    if "--" in ours:
        at = ours.index("--")
        ours, command = ours[:at], ours[at + 1 :]
    if len(ours) > 1:
        slow_down(ours[1])
    turns = Turns()
    turns.watch_writes()
    turns.watch_collections()
    threading.Thread(target=turns.watch, args=(threading.get_ident(),), daemon=True).start()
    trio.run = partial(trio.run, instruments=[turns])
    sys.argv = ["kbroker", *command]
    try:
        main()
    finally:
        longest = [about for _, _, about in sorted(turns.longest, reverse=True)]
        served_s = turns.last_step - turns.first_step
        report = {"served_s": served_s, "late": turns.late, "longest": longest}
        report |= {"slow_writes": turns.slow_writes, "collections": turns.collections}
        Path(ours[0]).write_text(json.dumps(report))


if __name__ == "__main__":
    run(sys.argv[1:])
