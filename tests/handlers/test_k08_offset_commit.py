"""OffsetCommit in its versions."""

from __future__ import annotations

import pytest

from kbroker.handlers.k08_offset_commit import offset_commit
from protocol_specs.api.k08_offset_commit import OffsetCommitRequest
from protocol_specs.errors import ErrorCode
from tests.handlers.group_node import TOPIC_ID, GroupNode

Topic = OffsetCommitRequest.OffsetCommitRequestTopic
Partition = OffsetCommitRequest.OffsetCommitRequestPartition
VERSIONS = range(1, 11)


def commit(version: int, topic: str = "t", partitions: tuple[int, ...] = (0,), **fields):
    named = {"topic_id": TOPIC_ID if topic == "t" else b"?" * 16} if version >= 10 else {"name": topic}
    fields.setdefault("generation_id_or_member_epoch", -1)
    return OffsetCommitRequest(
        group_id="g",
        topics=[
            Topic(
                **named,
                partitions=[
                    Partition(partition_index=index, committed_offset=5 + index, committed_metadata="note")
                    for index in partitions
                ],
            )
        ],
        **fields,
    )


def errors(response) -> list[int]:
    return [partition.error_code for topic in response.topics for partition in topic.partitions]


def held(node: GroupNode, partition: int = 0):
    runner = node.groups.runner_of("g")
    return runner.shard.offsets.get("g", "t", partition)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_commits_with_the_topics_current_id(version):
    node = GroupNode()
    assert errors(node.ask(offset_commit, commit(version), version)) == [0]
    assert (held(node).offset, held(node).topic_id, held(node).metadata) == (5, TOPIC_ID, "note")


@pytest.mark.parametrize("version", VERSIONS)
def test_partitions_that_are_not_there_are_refused_one_by_one(version):
    node = GroupNode()
    response = node.ask(offset_commit, commit(version, partitions=(7, 1, -1)), version)
    missing = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert errors(response) == [missing, 0, missing]
    assert [partition.partition_index for partition in response.topics[0].partitions] == [7, 1, -1]
    assert held(node, 1).offset == 6


@pytest.mark.parametrize("version", VERSIONS)
def test_a_topic_that_is_not_there_is_refused_as_the_version_names_it(version):
    node = GroupNode()
    error = ErrorCode.UNKNOWN_TOPIC_ID if version >= 10 else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert errors(node.ask(offset_commit, commit(version, topic="u"), version)) == [error]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_unknown_group_with_a_generation_is_an_error_by_version(version):
    request = commit(version, generation_id_or_member_epoch=3, member_id="m")
    error = ErrorCode.GROUP_ID_NOT_FOUND if version >= 9 else ErrorCode.ILLEGAL_GENERATION
    assert errors(GroupNode().ask(offset_commit, request, version)) == [error]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_retention_time_dates_the_offset(version):
    node = GroupNode()
    node.ask(offset_commit, commit(version, retention_time_ms=1_000), version)
    assert held(node).expire_timestamp_ms == node.clock.wall_ms() + 1_000


def test_the_answer_waits_for_the_record_to_be_committed():
    node = GroupNode()
    node.replicas(isr=(1, 2))
    asked = node.start(offset_commit, commit(9), 9)
    assert asked.waits
    assert held(node) is None
    node.replicas(isr=(1,))
    assert errors(asked.answer()) == [0]


def test_a_null_note_is_an_empty_one():
    node = GroupNode()
    request = commit(9)
    request.topics[0].partitions[0].committed_metadata = None
    node.ask(offset_commit, request, 9)
    assert held(node).metadata == ""


@pytest.mark.parametrize(("date_ms", "kept"), [(1_234, 1_234), (-1, None)])
def test_version_1_may_date_an_offset(date_ms, kept):
    node = GroupNode()
    request = commit(1)
    request.topics[0].partitions[0].commit_timestamp = date_ms
    assert errors(node.ask(offset_commit, request, 1)) == [0]
    now_ms = node.clock.wall_ms()
    assert held(node).commit_timestamp_ms == (now_ms if kept is None else kept)
