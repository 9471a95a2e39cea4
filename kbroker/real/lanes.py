"""Threads that work off a queue, started one by one while work waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Lane:
    """A queue and at most `threads_max` threads for it; actions begin in their order. Called on one thread."""

    __slots__ = ("_is_dropping", "_name", "_queue", "_threads", "_threads_max", "under_way")

    def __init__(self, name: str, threads_max: int) -> None:
        self._name = name
        self._threads_max = threads_max
        self._threads: list[threading.Thread] = []
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._is_dropping = False
        self.under_way = 0
        """Actions queued or running whose end the caller has not counted off yet."""

    def put(self, action: Callable[[], None]) -> None:
        """Have a thread do it; `under_way` counts one more, until the caller counts one less."""
        self.under_way += 1
        if self.under_way > len(self._threads) and len(self._threads) < self._threads_max:
            name = f"kbroker-{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        self._queue.put(action)

    def _run(self) -> None:
        while (action := self._queue.get()) is not None and not self._is_dropping:
            action()

    def close(self, *, drops: bool = False) -> None:
        """Let the threads finish what is queued, or what is under way if the rest `drops`, and join them.

        Harmless twice.
        """
        self._is_dropping = drops
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []
