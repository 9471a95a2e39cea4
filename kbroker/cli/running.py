"""A broker in this process until a signal ends it. Imported late: everything heavy hangs below.

The first SIGINT or SIGTERM stops in order: owed answers, flush, checkpoints, the clean-shutdown marker; one that comes
during the start does that right behind it. The second one aborts, be it a start: files stay as they are, as after a
crash. A third leaves at once.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncIterator, Callable
from types import FrameType

import trio

from kbroker.broker import Broker, MetadataUnusable
from kbroker.cli.main import EXIT_FAILED, EXIT_STARTUP, CommandFailed
from kbroker.config import BrokerConfig
from kbroker.log.directories import DuplicateLog
from kbroker.log.meta_properties import ForeignDirectory
from kbroker.real.network import PortTaken
from kbroker.real.process import leave_at_once, share_the_interpreter
from kbroker.world import DirectoryLocked, DiskFailure, JobFailed

log = logging.getLogger("kbroker.serve")

CANNOT_SERVE = (PortTaken, DirectoryLocked, DiskFailure, DuplicateLog, ForeignDirectory, MetadataUnusable)
"""What the machine or the data directory can have against serving; each says what and where in one line."""


class Forced(BaseException):
    """A further signal came while the broker's thread was busy with a slow disk."""


def run_broker(config: BrokerConfig, announce: Callable[[Broker], None], forced_exit: int) -> int:
    """Serve until stopped; 0, or `forced_exit` after a second signal. `announce` is called once clients can connect.

    Raises CommandFailed when it can't start (exit code 3) or go on (1).
    """
    share_the_interpreter()
    return trio.run(_serve, Broker(config), announce, forced_exit)


async def _serve(broker: Broker, announce: Callable[[Broker], None], forced_exit: int) -> int:
    obeyed: list[int] = []
    failures: list[CommandFailed] = []
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        _reach_a_blocked_thread(broker, obeyed, forced_exit)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_obey, broker, signals, obeyed, forced_exit)
            await _run(broker, announce, failures)
            nursery.cancel_scope.cancel()
    if failures:
        raise failures[0]
    return forced_exit if len(obeyed) > 1 else 0


async def _run(broker: Broker, announce: Callable[[Broker], None], failures: list[CommandFailed]) -> None:
    """Run to the end; what kept the broker from serving goes to `failures`, past any exception group."""
    exit_code = EXIT_STARTUP
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(broker.run)
            exit_code = EXIT_FAILED
            try:
                announce(broker)
            except CommandFailed as failure:
                failures.append(failure)
                broker.stop()
    except* Forced:
        log.warning("stopped at once: the next start will recover")
    except* JobFailed as group:
        failures.append(CommandFailed(f"a failure of ours: {_first(group)}", EXIT_FAILED))
    except* CANNOT_SERVE as group:
        failures.append(CommandFailed(str(_first(group)), exit_code))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception in a group of groups."""
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


async def _obey(broker: Broker, signals: AsyncIterator[int], obeyed: list[int], forced_exit: int) -> None:
    async for number in signals:
        obeyed.append(number)
        name = signal.Signals(number).name
        if len(obeyed) == 1:
            log.info("stopping", extra={"signal": name})
            broker.stop()
        elif len(obeyed) == 2:
            log.warning("stopping at once: the next start will recover", extra={"signal": name})
            broker.abort()
        else:
            leave_at_once(forced_exit)


def _reach_a_blocked_thread(broker: Broker, obeyed: list[int], forced_exit: int) -> None:
    """Let further signals reach a thread that is blocked by the disk, where no task of trio's can obey them.

    The handlers that open_signal_receiver found come back at its end.
    """
    received = signal.getsignal(signal.SIGTERM)
    assert callable(received)
    count = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 1 or not broker.is_blocked:
            received(number, frame)
        elif count == 2:
            obeyed.extend([number] * (2 - len(obeyed)))
            broker.leaves_disk = True
            raise Forced
        else:
            leave_at_once(forced_exit)

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
