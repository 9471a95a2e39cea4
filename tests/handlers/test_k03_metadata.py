"""Metadata: who is there, what is where, and topics that come into being by being asked for."""

import pytest
from small_broker import SmallBroker

from kbroker.auth.operations import NOT_ASKED
from protocol_specs.api.k03_metadata import MetadataRequest
from protocol_specs.errors import ErrorCode

NEWEST = 13


@pytest.fixture
def broker():
    return SmallBroker({"t": 2, "u": 1})


def ask(broker, *names, version=NEWEST, ids=(), **kwargs):
    topics = [MetadataRequest.MetadataRequestTopic(name=name) for name in names]
    topics += [MetadataRequest.MetadataRequestTopic(name=None, topic_id=topic_id) for topic_id in ids]
    if version >= 4:
        kwargs.setdefault("allow_auto_topic_creation", False)
    return broker.ask(MetadataRequest(topics=topics, **kwargs), version)


def ask_all(broker, version=NEWEST):
    return broker.ask(MetadataRequest(topics=None if version else []), version)


@pytest.mark.parametrize("version", range(NEWEST + 1))
def test_all_topics_are_listed_at_every_version(broker, version):
    answer = ask_all(broker, version)
    assert sorted((topic.name, len(topic.partitions)) for topic in answer.topics) == [("t", 2), ("u", 1)]
    assert [(node.node_id, node.host, node.port) for node in answer.brokers] == [(1, "dialled", 9092)]


@pytest.mark.parametrize("version", range(NEWEST + 1))
def test_a_named_topic_is_described_at_every_version(broker, version):
    (topic,) = ask(broker, "t", version=version).topics
    first = topic.partitions[0]
    assert (topic.error_code, topic.name, topic.is_internal) == (0, "t", False)
    assert (first.leader_id, first.replica_nodes, first.isr_nodes, first.offline_replicas) == (1, [1], [1], [])


def test_an_empty_list_is_none_from_version_1(broker):
    assert ask(broker, version=1).topics == []


def test_the_cluster_is_named(broker):
    answer = ask(broker)
    assert (answer.cluster_id, answer.controller_id) == ("a-cluster", 1)


@pytest.mark.parametrize("version", [4, 9, NEWEST])
@pytest.mark.parametrize("name", ["", "..", "a b", "x" * 250])
def test_a_name_that_no_topic_can_have_is_invalid_also_where_nothing_is_created(broker, name, version):
    """It used to be unknown, which clients ask for again and again."""
    (topic,) = ask(broker, name, version=version).topics
    assert (topic.error_code, topic.name) == (ErrorCode.INVALID_TOPIC_EXCEPTION, name)


def test_a_topic_asked_for_twice_is_described_once(broker):
    assert [topic.name for topic in ask(broker, "t", "u", "t").topics] == ["t", "u"]


def test_topics_are_found_by_id(broker):
    topic_id = broker.image.topics.get("t").topic_id
    (topic,) = ask(broker, ids=[topic_id]).topics
    assert (topic.name, topic.topic_id) == ("t", topic_id)


def test_an_unknown_id_is_refused_without_a_name(broker):
    (topic,) = ask(broker, ids=[b"?" * 16]).topics
    assert (topic.error_code, topic.name) == (ErrorCode.UNKNOWN_TOPIC_ID, None)


@pytest.mark.parametrize("version", [10, 11])
def test_ids_before_version_12_are_an_invalid_request(broker, version):
    answer = ask(broker, ids=[broker.image.topics.get("t").topic_id], version=version)
    assert [topic.error_code for topic in answer.topics] == [ErrorCode.INVALID_REQUEST]


@pytest.mark.parametrize("version", range(NEWEST + 1))
def test_a_missing_topic_is_ready_in_the_answer_that_asks_for_it(broker, version):
    allowed = {"allow_auto_topic_creation": True} if version >= 4 else {}
    (topic,) = ask(broker, "fresh", version=version, **allowed).topics
    assert (topic.error_code, len(topic.partitions), topic.partitions[0].leader_id) == (0, 1, 1)
    assert broker.partitions.find("fresh", 0).is_leader


def test_a_client_may_forbid_the_creation(broker):
    (topic,) = ask(broker, "fresh").topics
    assert topic.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert broker.image.topics.get("fresh") is None


def test_a_broker_may_forbid_the_creation():
    broker = SmallBroker(auto_create_topics_enable="false")
    (topic,) = ask(broker, "fresh", allow_auto_topic_creation=True).topics
    assert topic.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "é", "x" * 250])
def test_an_impossible_name_is_refused(broker, name):
    (topic,) = ask(broker, name, allow_auto_topic_creation=True).topics
    assert (topic.error_code, topic.name) == (ErrorCode.INVALID_TOPIC_EXCEPTION, name)


def test_the_offsets_topic_is_internal_and_has_its_own_shape(broker):
    (topic,) = ask(broker, "__consumer_offsets", allow_auto_topic_creation=True).topics
    assert (topic.is_internal, len(topic.partitions)) == (True, broker.config["offsets.topic.num.partitions"])


def test_a_topic_asked_for_twice_is_created_once(broker):
    answer = ask(broker, "fresh", "fresh", allow_auto_topic_creation=True)
    assert [topic.error_code for topic in answer.topics] == [0]


def test_operations_are_told_when_asked_for(broker):
    silent = ask(broker, "t", version=8)
    assert (silent.cluster_authorized_operations, silent.topics[0].topic_authorized_operations) == (
        NOT_ASKED,
        NOT_ASKED,
    )
    told = ask(
        broker,
        "t",
        version=8,
        include_cluster_authorized_operations=True,
        include_topic_authorized_operations=True,
    )
    # Without an authorizer everything is allowed (bits of AclOperation that fit the resource).
    assert (told.cluster_authorized_operations, told.topics[0].topic_authorized_operations) == (8096, 3576)


def test_a_partition_without_a_leader_says_so(broker):
    image = broker.image
    fenced = {
        1: type(image.brokers[1])(
            **{**{name: getattr(image.brokers[1], name) for name in image.brokers[1].__slots__}, "fenced": True}
        )
    }
    broker.metadata.image = type(image)(
        **{**{name: getattr(image, name) for name in image.__slots__}, "brokers": fenced}
    )
    (topic,) = ask(broker, "u").topics
    assert (topic.partitions[0].error_code, topic.partitions[0].leader_id) == (ErrorCode.LEADER_NOT_AVAILABLE, -1)
    assert topic.partitions[0].offline_replicas == [1]
