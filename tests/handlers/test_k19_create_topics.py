"""CreateTopics through its handler."""

from one_broker import OneBroker

from kbroker.handlers.k19_create_topics import create_topics
from protocol_specs.api.k19_create_topics import CreateTopicsRequest


def request(*names: str, **fields):
    topics = [CreateTopicsRequest.CreatableTopic(name=name, num_partitions=2, replication_factor=1) for name in names]
    return CreateTopicsRequest(topics=topics, **fields)


def test_versions_of_kafka_4_are_served() -> None:
    handler = create_topics.handler
    assert (handler.key, handler.lowest, handler.highest) == (19, 2, 7)


def test_an_answered_topic_is_in_the_image() -> None:
    node = OneBroker()
    (result,) = node.ask(create_topics, request("orders"), 7).topics
    assert result.error_code == 0
    assert node.image.topics.by_name["orders"].topic_id == result.topic_id


def test_a_validated_topic_is_not() -> None:
    node = OneBroker()
    (result,) = node.ask(create_topics, request("orders", validate_only=True), 7).topics
    assert result.error_code == 0
    assert len(node.image.topics) == 0


def test_partitions_have_their_directory_from_the_start() -> None:
    node = OneBroker()
    node.ask(create_topics, request("orders"), 7)
    assert node.image.partition("orders", 1).directories == (b"d" * 16,)
