"""ApiVersions: what is advertised is what the handlers say, no more."""

import pytest
from small_broker import SmallBroker

from kbroker.controller.decision import Decision
from kbroker.handlers.registry import load_handlers
from protocol_specs.api.k18_api_versions import ApiVersionsRequest
from protocol_specs.errors import ErrorCode
from protocol_specs.metadata.feature_level import FeatureLevelRecord

NEWEST = 4
NAMED = {"client_software_name": "a-client", "client_software_version": "1.0"}


@pytest.fixture
def broker():
    return SmallBroker()


def ask(broker, version=NEWEST, **kwargs):
    return broker.ask(ApiVersionsRequest(**({**NAMED, **kwargs} if version >= 3 else {})), version)


@pytest.mark.parametrize("version", range(NEWEST + 1))
def test_every_handler_is_advertised_with_its_range(broker, version):
    advertised = {(api.api_key, api.min_version, api.max_version) for api in ask(broker, version).api_keys}
    assert advertised == {(h.key, h.lowest, h.highest) for h in load_handlers().values()}


def test_ranges_stay_within_what_is_declared():
    for handler in load_handlers().values():
        assert handler.request.lowest <= handler.lowest <= handler.highest <= handler.request.highest
        assert handler.response.lowest <= handler.lowest <= handler.highest <= handler.response.highest


def test_only_features_that_are_served_are_finalized(broker):
    answer = ask(broker)
    assert [feature.name for feature in answer.finalized_features] == ["metadata.version"]
    assert answer.finalized_features_epoch >= 0


def test_a_finalized_feature_that_is_not_served_is_not_told(broker):
    """A directory of Apache Kafka's invited clients to transactions of version 2."""
    record = FeatureLevelRecord(name="transaction.version", feature_level=2)
    broker.metadata.propose(lambda image: Decision([record], None), lambda _: None)
    assert broker.image.features["transaction.version"] == 2
    assert [feature.name for feature in ask(broker).finalized_features] == ["metadata.version"]


@pytest.mark.parametrize("name", ["", "-x", "x-", "a b", "né", "a/b"])
@pytest.mark.parametrize("field", ["client_software_name", "client_software_version"])
def test_software_must_have_a_plain_name_and_version(broker, field, name):
    assert ask(broker, 3, **{field: name}).error_code == ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("name", ["x", "kafka-python", "A.b-9"])
def test_plain_names_pass(broker, name):
    assert ask(broker, 3, client_software_name=name).error_code == 0
