"""DeleteTopics through its handler."""

import pytest
from one_broker import OneBroker

from kbroker.handlers.k19_create_topics import create_topics
from kbroker.handlers.k20_delete_topics import delete_topics
from protocol_specs.api.k19_create_topics import CreateTopicsRequest
from protocol_specs.api.k20_delete_topics import DeleteTopicsRequest, DeleteTopicsResponse


def with_topic(**settings) -> OneBroker:
    node = OneBroker(**settings)
    topic = CreateTopicsRequest.CreatableTopic(name="orders", num_partitions=1, replication_factor=1)
    node.ask(create_topics, CreateTopicsRequest(topics=[topic]), 7)
    assert "orders" in node.image.topics
    return node


def request(version: int, name: str | None = "orders", topic_id: bytes = bytes(16)):
    if version < 6:
        return DeleteTopicsRequest(topic_names=[name])
    return DeleteTopicsRequest(topics=[DeleteTopicsRequest.DeleteTopicState(name=name, topic_id=topic_id)])


def test_versions_of_kafka_4_are_served() -> None:
    handler = delete_topics.handler
    assert (handler.key, handler.lowest, handler.highest) == (20, 1, 6)


@pytest.mark.parametrize("version", range(1, 7))
def test_every_version_deletes_by_name(version: int) -> None:
    node = with_topic()
    response = node.ask(delete_topics, request(version), version)
    assert [(each.name, each.error_code) for each in response.responses] == [("orders", 0)]
    assert len(node.image.topics) == 0
    DeleteTopicsResponse.build_version(version, response)


def test_version_6_deletes_by_id() -> None:
    node = with_topic()
    topic_id = node.image.topics.by_name["orders"].topic_id
    (result,) = node.ask(delete_topics, request(6, None, topic_id), 6).responses
    assert (result.name, result.error_code) == ("orders", 0)
    assert len(node.image.topics) == 0


@pytest.mark.parametrize(("version", "error"), [(1, 42), (2, 42), (3, 73), (5, 73), (6, 73)])
def test_disabled_deletion_is_an_invalid_request_before_version_3(version: int, error: int) -> None:
    node = with_topic(delete_topic_enable=False)
    (result,) = node.ask(delete_topics, request(version), version).responses
    assert result.error_code == error
    assert "orders" in node.image.topics
