"""DeleteTopics, rule by rule."""

import pytest
from cluster import Dealt, after, cluster, config

from kbroker.controller import topics
from kbroker.controller.topics import UnwantedTopic, create_topics, delete_topics
from kbroker.metadata.image import MetadataImage
from kbroker.names import NO_UUID
from kbroker.turns import at_once
from protocol_specs.api.k19_create_topics import CreateTopicsRequest
from protocol_specs.errors import ErrorCode

A, B = ((number).to_bytes(16, "big") for number in (1, 2))
UNKNOWN = b"?" * 16


def two_topics() -> MetadataImage:
    wanted = [
        CreateTopicsRequest.CreatableTopic(name=name, num_partitions=1, replication_factor=1) for name in ("a", "b")
    ]
    return after(cluster(), at_once(create_topics(cluster(), CreateTopicsRequest(topics=wanted), config(), Dealt())))


def outcome(*unwanted: UnwantedTopic, settings=None):
    image = two_topics()
    decision = delete_topics(image, unwanted, settings or config())
    left = [*after(image, decision).topics.by_name]
    return [(each.name, each.topic_id, each.error_code) for each in decision.response.responses], left


def test_a_topic_is_deleted_by_name() -> None:
    assert outcome(UnwantedTopic("a")) == ([("a", A, 0)], ["b"])


def test_a_topic_is_deleted_by_id_and_answered_with_its_name() -> None:
    assert outcome(UnwantedTopic(None, B)) == ([("b", B, 0)], ["a"])


def test_an_unknown_name_is_refused() -> None:
    results, left = outcome(UnwantedTopic("c"), UnwantedTopic("a"))
    assert results == [("c", NO_UUID, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION), ("a", A, 0)]
    assert left == ["b"]


def test_an_unknown_id_is_refused() -> None:
    results, left = outcome(UnwantedTopic(None, UNKNOWN))
    assert results == [(None, UNKNOWN, ErrorCode.UNKNOWN_TOPIC_ID)]
    assert left == ["a", "b"]


def test_neither_name_nor_id_is_refused() -> None:
    assert outcome(UnwantedTopic(None)) == ([(None, NO_UUID, ErrorCode.INVALID_REQUEST)], ["a", "b"])


def test_name_and_id_together_are_refused() -> None:
    assert outcome(UnwantedTopic("a", A)) == ([("a", A, ErrorCode.INVALID_REQUEST)], ["a", "b"])


def test_a_name_twice_is_refused_once() -> None:
    assert outcome(UnwantedTopic("a"), UnwantedTopic("a")) == ([("a", NO_UUID, ErrorCode.INVALID_REQUEST)], ["a", "b"])


def test_an_id_twice_is_refused_once() -> None:
    assert outcome(UnwantedTopic(None, A), UnwantedTopic(None, A)) == (
        [(None, A, ErrorCode.INVALID_REQUEST)],
        ["a", "b"],
    )


def test_a_topic_named_and_identified_is_refused_both_times() -> None:
    results, left = outcome(UnwantedTopic("a"), UnwantedTopic(None, A), UnwantedTopic("b"))
    assert [error for _, _, error in results] == [42, 42, 0]
    assert left == ["a"]


def test_where_deletion_is_off_nothing_is_deleted() -> None:
    results, left = outcome(UnwantedTopic("a"), settings=config(delete_topic_enable=False))
    assert results == [("a", NO_UUID, ErrorCode.TOPIC_DELETION_DISABLED)]
    assert left == ["a", "b"]


def test_what_is_too_much_to_delete_at_once_is_refused_and_nothing_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removals were not counted, and a decision that fits no batch broke the metadata log."""
    image = two_topics()
    monkeypatch.setattr(topics, "RECORDS_PER_REQUEST_MAX", 1)
    decision = delete_topics(image, [UnwantedTopic("a"), UnwantedTopic("b"), UnwantedTopic("c")], config())
    assert decision.records == []
    assert {each.name: each.error_code for each in decision.response.responses} == {
        "a": ErrorCode.POLICY_VIOLATION,
        "b": ErrorCode.POLICY_VIOLATION,
        "c": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
