"""OffsetFetch in its versions."""

from __future__ import annotations

import pytest

from kbroker.handlers.k08_offset_commit import offset_commit
from kbroker.handlers.k09_offset_fetch import offset_fetch
from kbroker.names import OFFSETS_TOPIC
from protocol_specs.api.k09_offset_fetch import OffsetFetchRequest
from protocol_specs.errors import ErrorCode
from tests.handlers.group_node import TOPIC_ID, GroupNode
from tests.handlers.test_k08_offset_commit import commit

Topic = OffsetFetchRequest.OffsetFetchRequestTopic
Group = OffsetFetchRequest.OffsetFetchRequestGroup
TopicOfGroup = OffsetFetchRequest.OffsetFetchRequestTopics


@pytest.fixture
def node() -> GroupNode:
    """Group "g" has committed 5 and 6 for partitions 0 and 1 of "t"."""
    made = GroupNode()
    made.ask(offset_commit, commit(9, partitions=(0, 1)), 9)
    return made


def fetch(version: int, topic: str | None = "t", partitions: tuple[int, ...] = (0,), groups: tuple[str, ...] = ("g",)):
    indexes = list(partitions)
    if version < 8:
        topics = None if topic is None else [Topic(name=topic, partition_indexes=indexes)]
        return OffsetFetchRequest(group_id=groups[0], topics=topics)
    named = {"topic_id": TOPIC_ID if topic == "t" else b"?" * 16} if version >= 10 else {"name": topic}
    topics = None if topic is None else [TopicOfGroup(**named, partition_indexes=indexes)]
    return OffsetFetchRequest(groups=[Group(group_id=group, topics=topics) for group in groups])


def rows(version: int, response) -> list[tuple[int, int, str, int]]:
    topics = response.topics if version < 8 else response.groups[0].topics
    return [
        (partition.partition_index, partition.committed_offset, partition.metadata, partition.error_code)
        for topic in topics
        for partition in topic.partitions
    ]


@pytest.mark.parametrize("version", range(1, 11))
def test_every_version_reads_what_was_committed_and_minus_one_for_the_rest(node, version):
    response = node.ask(offset_fetch, fetch(version, partitions=(1, 0, 9)), version)
    assert rows(version, response) == [(1, 6, "note", 0), (0, 5, "note", 0), (9, -1, "", 0)]


@pytest.mark.parametrize("version", range(2, 11))
def test_null_asks_for_everything_the_group_has(node, version):
    assert rows(version, node.ask(offset_fetch, fetch(version, topic=None), version)) == [
        (0, 5, "note", 0),
        (1, 6, "note", 0),
    ]


@pytest.mark.parametrize("version", range(1, 11))
def test_an_unknown_group_has_no_offsets_and_no_error(node, version):
    response = node.ask(offset_fetch, fetch(version, groups=("h",)), version)
    assert rows(version, response) == [(0, -1, "", 0)]


@pytest.mark.parametrize("version", range(1, 11))
def test_a_missing_coordinator_is_an_error_where_the_version_has_a_place_for_it(node, version):
    node.replicas(isr=(1,), leader=2)
    response = node.ask(offset_fetch, fetch(version), version)
    error = ErrorCode.NOT_COORDINATOR
    if version == 1:
        assert rows(version, response) == [(0, -1, "", error)]
    elif version < 8:
        assert (response.error_code, response.topics) == (error, [])
    else:
        assert [(group.group_id, group.error_code, group.topics) for group in response.groups] == [("g", error, [])]


@pytest.mark.parametrize("version", [8, 9, 10])
def test_several_groups_are_asked_at_once(node, version):
    response = node.ask(offset_fetch, fetch(version, groups=("h", "g", "i")), version)
    offsets = [group.topics[0].partitions[0].committed_offset for group in response.groups]
    assert ([group.group_id for group in response.groups], offsets) == (["h", "g", "i"], [-1, 5, -1])


def test_no_group_asked_for_is_none_answered(node):
    assert node.ask(offset_fetch, OffsetFetchRequest(groups=[]), 9).groups == []


def test_an_unknown_topic_id_is_an_error_of_its_partitions(node):
    response = node.ask(offset_fetch, fetch(10, topic="u", partitions=(0, 3)), 10)
    unknown = ErrorCode.UNKNOWN_TOPIC_ID
    assert rows(10, response) == [(0, -1, "", unknown), (3, -1, "", unknown)]
    assert response.groups[0].topics[0].topic_id == b"?" * 16


def test_all_offsets_by_id_leave_out_topics_that_are_gone(node):
    node.with_topics(OFFSETS_TOPIC)
    assert node.ask(offset_fetch, fetch(10, topic=None), 10).groups[0].topics == []
    assert len(node.ask(offset_fetch, fetch(9, topic=None), 9).groups[0].topics) == 1


@pytest.mark.parametrize("version", range(1, 10))
def test_what_was_committed_for_a_deleted_topic_is_not_given_to_another_of_its_name(node, version):
    """Its offsets go in turns; a topic made meanwhile used to be read from where the old one had been."""
    node.with_topics(OFFSETS_TOPIC, "t", topic_id=b"another topic id")
    assert rows(version, node.ask(offset_fetch, fetch(version, partitions=(1,)), version)) == [(1, -1, "", 0)]
    if version > 1:
        assert rows(version, node.ask(offset_fetch, fetch(version, topic=None), version)) == []


def test_a_stable_fetch_waits_for_the_commits_under_way_and_another_reads_what_is_committed(node):
    node.replicas(isr=(1, 2))
    node.start(offset_commit, commit(9, topic="t", partitions=(1,), retention_time_ms=-1), 9)
    request = fetch(9, partitions=(1,))
    assert rows(9, node.ask(offset_fetch, request, 9)) == [(1, 6, "note", 0)]
    request.require_stable = True
    asked = node.start(offset_fetch, request, 9)
    assert asked.waits
    node.replicas(isr=(1,))
    assert rows(9, asked.answer()) == [(1, 6, "note", 0)]
