"""InitProducerId for idempotence."""

import pytest
from one_broker import OneBroker

from kbroker.handlers.k22_init_producer_id import init_producer_id
from protocol_specs.api.k22_init_producer_id import InitProducerIdRequest, InitProducerIdResponse


def ask(node: OneBroker, version: int = 5, **fields):
    response = node.ask(init_producer_id, InitProducerIdRequest(**{"transactional_id": None, **fields}), version)
    InitProducerIdResponse.build_version(version, response)
    return response.error_code, response.producer_id, response.producer_epoch


def test_the_unstable_version_is_not_served() -> None:
    handler = init_producer_id.handler
    assert (handler.key, handler.lowest, handler.highest) == (22, 0, 5)


@pytest.mark.parametrize("version", range(6))
def test_every_producer_gets_an_id_of_its_own_with_epoch_0(version: int) -> None:
    node = OneBroker()
    assert [ask(node, version) for _ in range(3)] == [(0, 0, 0), (0, 1, 0), (0, 2, 0)]


def test_a_producer_that_brings_its_id_gets_a_fresh_one() -> None:
    node = OneBroker()
    ask(node)
    assert ask(node, producer_id=0, producer_epoch=3) == (0, 1, 0)


def test_an_empty_transactional_id_is_an_invalid_request() -> None:
    assert ask(OneBroker(), transactional_id="") == (42, -1, -1)


@pytest.mark.parametrize("given", [{"producer_id": 1}, {"producer_epoch": 1}])
def test_an_id_and_an_epoch_come_together_or_not_at_all(given: dict[str, int]) -> None:
    assert ask(OneBroker(), **given) == (42, -1, -1)


def test_a_transactional_id_is_refused_at_once() -> None:
    node = OneBroker()
    assert ask(node, transactional_id="t", transaction_timeout_ms=1000) == (53, -1, -1)
    assert node.image.next_producer_id == -1
