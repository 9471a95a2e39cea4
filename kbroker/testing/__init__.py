"""Brokers for tests, in any test framework.

    from kbroker.testing import run, start

    with run(topics={"orders": 3}) as broker:          # in this process, on a thread of its own; in memory
        ...                                            # broker.bootstrap

    with start(data_dir="data") as broker:             # a process of its own
        broker.kill()                                  # SIGKILL
        broker.restart()                               # same port, same data

pytest finds the fixtures `kbroker` and `kbroker_server` by itself (`kbroker.testing.plugin`). Importing this package is
cheap: nothing of a broker is imported until one is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kbroker.testing.in_process import InProcessBroker, run
    from kbroker.testing.process import BrokerProcess, StartFailed, start

__all__ = ["BrokerProcess", "InProcessBroker", "StartFailed", "run", "start"]

_HOMES = {
    "InProcessBroker": "kbroker.testing.in_process",
    "run": "kbroker.testing.in_process",
    "BrokerProcess": "kbroker.testing.process",
    "StartFailed": "kbroker.testing.process",
    "start": "kbroker.testing.process",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
