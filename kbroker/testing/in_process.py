"""A broker in this process, on a thread of its own with its own trio loop; in memory unless a folder is named.

Fit for any caller: plain code, asyncio, another trio loop. Its end leaves no thread, socket, file or task behind.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import outcome
import trio

from kbroker.broker import Broker
from kbroker.config import MEMORY, BrokerConfig

CALLER: Final = 4
"""Frames from a warning about a configuration up to the code that wrote it: run(), its context manager, the `with`."""

START_S_MAX: Final = 30.0
"""How long recovery of a folder may keep the caller waiting."""


class InProcessBroker:
    """A running broker: where it is, and how to end it. Its methods may be called from any thread but its own."""

    def __init__(self, config: BrokerConfig) -> None:
        self.config = config
        self.bootstrap = ""
        self._broker = Broker(config)
        self._token: trio.lowlevel.TrioToken | None = None
        self._is_up = threading.Event()
        self._ended: outcome.Outcome[None] | None = None
        self._thread = threading.Thread(target=self._live, name="kbroker", daemon=True)

    @property
    def is_running(self) -> bool:
        """Is its thread alive?"""
        return self._thread.is_alive()

    def start(self) -> None:
        """Return once clients can connect; a handle starts once. Raises what kept the broker from starting."""
        self._thread.start()
        self._is_up.wait(START_S_MAX)
        if not self.bootstrap:
            self.stop()
            raise TimeoutError(f"the broker was not up after {START_S_MAX} s")

    def stop(self) -> None:
        """End in order: owed answers, flush, clean-shutdown marker; harmless twice. Raises what went wrong in it."""
        self._end(self._broker.stop)

    def abort(self) -> None:
        """End as a crash would, without flush or marker; harmless twice. Raises what went wrong in the broker."""
        self._end(self._broker.abort)

    def _end(self, how: Callable[[], None]) -> None:
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(how)
        self._thread.join()
        ended, self._ended = self._ended, None
        if ended is not None:
            _unwrap(ended)

    def _live(self) -> None:
        self._ended = outcome.capture(trio.run, self._run)
        self._is_up.set()

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._broker.run)
            self.bootstrap = self._broker.bootstrap
            self._is_up.set()


def _unwrap(ended: outcome.Outcome[None]) -> None:
    """Raise what ended the broker; one failure without the groups that nurseries wrap it in."""
    failure = ended.error if isinstance(ended, outcome.Error) else None
    while isinstance(failure, BaseExceptionGroup) and len(failure.exceptions) == 1:
        failure = failure.exceptions[0]
    if failure is not None:
        raise failure


@contextmanager
def run(
    *,
    topics: Mapping[str, int] | None = None,
    config: Mapping[str, Any] | None = None,
    data_dir: str | None = None,
    mode: str = "test",
) -> Iterator[InProcessBroker]:
    """A broker inside the block. `topics` maps names to partition counts; `config` Kafka's names to values.

    Raises ConfigError, PortTaken, DirectoryLocked; at the end what went wrong inside the broker.
    """
    broker = InProcessBroker(config_of_test(topics=topics, config=config, data_dir=data_dir, mode=mode))
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def config_of_test(
    *,
    topics: Mapping[str, int] | None = None,
    config: Mapping[str, Any] | None = None,
    data_dir: str | None = None,
    mode: str = "test",
) -> BrokerConfig:
    """The configuration of a test's broker: a free port of the loopback address unless `config` says otherwise."""
    values: dict[str, Any] = {
        "listeners": "PLAINTEXT://127.0.0.1:0",
        "log.dirs": MEMORY if data_dir is None else str(data_dir),
        "kbroker.topics": [f"{name}:{partitions}" for name, partitions in (topics or {}).items()],
    }
    resolved = BrokerConfig.of({**values, **(config or {})}, mode=mode)
    for remark in resolved.remarks.warnings:
        warnings.warn(remark, stacklevel=CALLER)
    return resolved
