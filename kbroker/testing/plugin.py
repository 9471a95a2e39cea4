"""The pytest plugin: fixtures `kbroker` (a fresh broker per test) and `kbroker_server` (one per session).

    def test_orders(kbroker):
        producer = Producer({"bootstrap.servers": kbroker.bootstrap})

    @pytest.mark.kbroker(topics={"orders": 3}, config={"message.max.bytes": 2000})
    def test_small_messages(kbroker): ...

pytest imports this in every run of everybody who has us installed: nothing of a broker until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kbroker.testing.in_process import InProcessBroker


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "kbroker(topics, config): topics and configs of this test's `kbroker` broker")


@pytest.fixture(scope="session")
def kbroker_server() -> Iterator[InProcessBroker]:
    """One broker in memory for the whole session; name your topics so that tests don't meet."""
    from kbroker.testing.in_process import run

    with run() as broker:
        yield broker


@pytest.fixture
def kbroker(request: pytest.FixtureRequest) -> Iterator[InProcessBroker]:
    """A broker in memory for this test alone; the marker `kbroker` gives topics and configs."""
    from kbroker.testing.in_process import run

    marker = request.node.get_closest_marker("kbroker")
    if marker is not None and marker.args:
        raise pytest.UsageError("the kbroker marker takes keywords: @pytest.mark.kbroker(topics={...}, config={...})")
    with run(**({} if marker is None else marker.kwargs)) as broker:
        yield broker
