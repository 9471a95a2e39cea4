"""FindCoordinator: groups have one at once; transactions have none, and clients learn that at once too."""

import pytest
from small_broker import SmallBroker

from protocol_specs.api.k10_find_coordinator import FindCoordinatorRequest
from protocol_specs.errors import ErrorCode

NEWEST = 6
GROUP, TRANSACTION, SHARE = 0, 1, 2


@pytest.fixture
def broker():
    return SmallBroker()


def ask(broker, *keys, version=NEWEST, key_type=GROUP):
    typed = {"key_type": key_type} if version >= 1 else {}
    if version >= 4:
        return broker.ask(FindCoordinatorRequest(coordinator_keys=list(keys), **typed), version).coordinators
    return [broker.ask(FindCoordinatorRequest(key=key, **typed), version) for key in keys]


@pytest.mark.parametrize("version", range(NEWEST + 1))
def test_a_group_finds_its_coordinator_at_every_version(broker, version):
    (found,) = ask(broker, "group", version=version)
    assert (found.error_code, found.node_id, found.host, found.port) == (0, 1, "dialled", 9092)


def test_the_first_question_makes_the_offsets_topic(broker):
    assert broker.image.topics.get("__consumer_offsets") is None
    ask(broker, "group")
    topic = broker.image.topics.get("__consumer_offsets")
    assert all(broker.partitions.find(topic.name, index).is_leader for index in range(len(topic.partitions)))


def test_many_groups_are_found_at_once(broker):
    assert [(found.key, found.error_code) for found in ask(broker, "a", "b", "")] == [("a", 0), ("b", 0), ("", 0)]


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
def test_a_transactional_id_is_refused_for_good(broker, version):
    (refused,) = ask(broker, "tx", version=version, key_type=TRANSACTION)
    assert (refused.error_code, refused.node_id) == (ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, -1)
    assert "transactions are not served" in refused.error_message


@pytest.mark.parametrize("key_type", [SHARE, 3, -1])
def test_other_kinds_of_coordinators_are_an_invalid_request(broker, key_type):
    (refused,) = ask(broker, "key", key_type=key_type)
    assert refused.error_code == ErrorCode.INVALID_REQUEST


def test_why_the_offsets_topic_cannot_be_made_is_said():
    """Its settings are ranged wider than a topic's; nobody used to be told why there was no coordinator."""
    broker = SmallBroker(offsets_topic_segment_bytes="200000")
    (refused,) = ask(broker, "group")
    assert refused.error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert "segment.bytes" in refused.error_message
