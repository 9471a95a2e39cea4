"""A thread that writes what might make the loop wait: in order, and what adjoins in one call.

Each write through a thread costs its way there and back, and the thread must wait for the interpreter after each. So
it takes all that has come and writes neighbours in one file together: the busier the disk, the fewer its calls.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

import outcome

from kbroker.world import Buffer, DiskFailure

TOGETHER_MAX: Final = 256
"""Writes that become one call; a pwritev takes 1,024 buffers, of which a batch has one or two."""

TOGETHER_BYTES_MAX: Final = 1 << 20
"""What a call with several writes may hold: half a millisecond of the page cache."""


class WriterLine:
    """world.Line: what a writer does one after the other, and nothing of it behind what failed."""

    __slots__ = ("failure", "writer")

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.failure: DiskFailure | None = None


class Write(NamedTuple):
    """One write and who is told of its end: `done(failure)`, on the state's thread."""

    line: WriterLine
    file: Any
    position: int
    buffers: Sequence[Buffer]
    size: int
    done: Callable[[DiskFailure | None], None]

    @property
    def end(self) -> int:
        """Behind its last byte in the file."""
        return self.position + self.size


class Written(NamedTuple):
    """What became of writes that were one call. With an `error` that is nobody's failure but ours the thread ends."""

    writer: Writer
    writes: Sequence[Write]
    failure: DiskFailure | None = None
    is_slow: bool = False
    error: BaseException | None = None


class Writer:
    """One thread, started with the first write. `put`, `under_way` and `close` are the state's thread's."""

    __slots__ = ("_begun", "_hand_over", "_name", "_queue", "_thread", "_write", "under_way")

    def __init__(
        self,
        name: str,
        write: Callable[[Any, int, Sequence[Buffer]], bool],
        hand_over: Callable[[Written], None],
    ) -> None:
        """`write` writes, and says whether it was made to wait; both are called in the thread."""
        self._name = name
        self._write = write
        self._hand_over = hand_over
        self._queue: SimpleQueue[Write | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._begun = 0.0
        self.under_way = 0
        """Writes whose end the caller has not counted off yet."""

    def put(self, write: Write) -> None:
        """Have it written behind all that was put here before."""
        self.under_way += 1
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"kbroker-{self._name}", daemon=True)
            self._thread.start()
        self._queue.put(write)

    def is_stuck(self, now: float, patience_s: float) -> bool:
        """Has the write that is under way at `now` (monotonic, in seconds) taken longer than that already?"""
        return 0.0 < self._begun < now - patience_s

    def close(self) -> None:
        """Write what is queued, and join the thread. Harmless twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()

    def _run(self) -> None:
        left: deque[Write | None] = deque()
        while True:
            left.append(self._queue.get())
            self._take_all(left)
            while left:
                if left[0] is None or not self._write_together(_neighbours(left)):
                    return

    def _take_all(self, left: deque[Write | None]) -> None:
        try:
            while True:
                left.append(self._queue.get_nowait())
        except Empty:
            return

    def _write_together(self, writes: Sequence[Write]) -> bool:
        """May the thread go on?"""
        first = writes[0]
        if (earlier := first.line.failure) is not None:
            self._hand_over(Written(self, writes, earlier))
            return True
        buffers = first.buffers if len(writes) == 1 else [buffer for write in writes for buffer in write.buffers]
        self._begun = time.monotonic()
        ended = outcome.capture(self._write, first.file, first.position, buffers)
        self._begun = 0.0
        if isinstance(ended, outcome.Value):
            written = Written(self, writes, None, ended.value)
        elif isinstance(error := ended.error, DiskFailure):
            written = Written(self, writes, error)
        else:
            written = Written(self, writes, error=error)
        first.line.failure = written.failure
        self._hand_over(written)
        return written.error is None


def _neighbours(left: deque[Write | None]) -> list[Write]:
    """Take the first write away, with those of its line behind it that go on in the same file where it ends."""
    first = left.popleft()
    assert first is not None
    taken, size = [first], first.size
    while left and len(taken) < TOGETHER_MAX:
        follower = left[0]
        if follower is None or follower.line is not first.line:
            break
        if follower.file is not first.file or follower.position != taken[-1].end:
            break
        size += follower.size
        if size > TOGETHER_BYTES_MAX:
            break
        taken.append(follower)
        left.popleft()
    return taken
