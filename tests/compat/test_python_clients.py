"""The Python clients of this environment against a real process of ours, over real sockets: the suite's own scenarios.

Nothing is fetched and no second environment is made; `python -m compat` runs the same scenarios through more clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from compat.clients import CLIENTS, OTHER
from compat.runner import ClientSession
from compat.scenarios import SCENARIOS
from kbroker.testing import BrokerProcess, start

#: What each client says it can't do, by scenario: a new reason, or one that is gone, has to be looked at.
SKIPS = {
    ("kafka-python-3", "headers-null"): "kafka-python takes only bytes as a header's value",
    ("kafka-python-3", "null-record"): "kafka-python wants a key or a value",
    ("aiokafka", "null-record"): "aiokafka wants a key or a value",
}
if find_spec("snappy") is None:
    for codec in ("codec-snappy", "exchange-snappy"):
        SKIPS["kafka-python-3", codec] = "kafka-python needs python-snappy for this codec, which isn't installed"


class Ours:
    """The process that `kbroker.testing` starts, as the scenarios know a broker."""

    name = "kbroker"

    def __init__(self, process: BrokerProcess) -> None:
        self._process = process
        self.bootstrap = process.bootstrap

    def why_not_restartable(self) -> str | None:
        """It can be restarted."""
        return None

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def restart(self) -> None:
        """On the same port and data."""
        self._process.restart()

    def last_words(self) -> str:
        """The last line of its output."""
        return "".join(self._process.output().splitlines()[-1:])


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ours]:
    config = {"log.cleaner.backoff.ms": 200}
    with start(data_dir=str(tmp_path_factory.mktemp("data")), config=config) as process:
        yield Ours(process)


@pytest.fixture(scope="module", params=["kafka-python-3", "confluent-kafka", "aiokafka"])
def session(
    request: pytest.FixtureRequest, broker: Ours, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClientSession]:
    client = CLIENTS[request.param]
    logs = tmp_path_factory.mktemp("logs")
    opened = ClientSession(client.name, client.command_here(), broker, logs, CLIENTS[OTHER].command_here)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_client_finds_what_kafka_promises(session: ClientSession, name: str) -> None:
    outcome = session.run(SCENARIOS[name])
    reason = SKIPS.get((outcome.client, name), "")
    assert (outcome.status, outcome.reason) == ("skip" if reason else "pass", reason)
    if reason:
        pytest.skip(reason)
