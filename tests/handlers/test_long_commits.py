"""Offset commits of so many partitions that they take turns, between which their topics are deleted."""

from __future__ import annotations

from typing import Any

import pytest
from gate_line import GateLine
from test_long_requests import Told, step

from kbroker.wire.codec import decode
from protocol_specs.api.k08_offset_commit import OffsetCommitRequest, OffsetCommitResponse
from protocol_specs.api.k09_offset_fetch import OffsetFetchRequest
from protocol_specs.api.k20_delete_topics import DeleteTopicsRequest
from protocol_specs.errors import ErrorCode

MANY = 1500
NAME_VERSION, ID_VERSION = 9, 10
NOTHING_COMMITTED = -1


def small_line() -> GateLine:
    line = GateLine(joins=False, topics={"first": 1, "t": 1, "__consumer_offsets": 1})
    while step(line.broker.clock):
        pass
    return line


def commit(line: GateLine, version: int = NAME_VERSION) -> bytes:
    """Offset 777 of the topic "first", then offset 5 of the one of "t", again and again."""
    partition, topic = OffsetCommitRequest.OffsetCommitRequestPartition, OffsetCommitRequest.OffsetCommitRequestTopic

    def named(name: str) -> dict[str, Any]:
        return {"name": name} if version < ID_VERSION else {"topic_id": line.broker.image.topics.get(name).topic_id}

    partitions = [
        partition(partition_index=0, committed_offset=5, committed_metadata="noted in words") for _ in range(MANY)
    ]
    first = [partition(partition_index=0, committed_offset=777, committed_metadata="")]
    topics = [topic(**named("first"), partitions=first), topic(**named("t"), partitions=partitions)]
    request = OffsetCommitRequest(group_id="g", generation_id_or_member_epoch=-1, member_id="", topics=topics)
    return line.framed(OffsetCommitRequest, request, version)


def committed(line: GateLine, topic: str) -> int:
    wanted = OffsetFetchRequest.OffsetFetchRequestTopic(name=topic, partition_indexes=[0])
    answer = line.broker.ask(OffsetFetchRequest(group_id="g", topics=[wanted]), 7)
    return answer.topics[0].partitions[0].committed_offset


def delete(line: GateLine, topic: str) -> None:
    assert line.broker.ask(DeleteTopicsRequest(topic_names=[topic]), 5).responses[0].error_code == 0


def errors(line: GateLine, told: Told, version: int) -> list[list[int]]:
    answer, _ = decode(OffsetCommitResponse, version, line.sent(told.owed)[9:])
    return [[partition.error_code for partition in topic.partitions] for topic in answer.topics]


def turns_of_a_commit() -> int:
    line = small_line()
    told = Told(line, commit(line))
    count = told.turns()
    assert count > MANY // 200
    return count


@pytest.mark.parametrize(
    ("version", "error"),
    [(NAME_VERSION, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION), (ID_VERSION, ErrorCode.UNKNOWN_TOPIC_ID)],
)
def test_a_topic_that_is_deleted_while_its_commit_is_sorted_keeps_no_offset(version: int, error: ErrorCode) -> None:
    """Its offset was written behind the deletion of its offsets, and given to the topic that was made anew."""
    refused = []
    for turns_before in range(turns_of_a_commit()):
        line = small_line()
        told = Told(line, commit(line, version))
        for _ in range(turns_before):
            step(line.broker.clock)
        if told.owed.is_ready:
            break
        delete(line, "first")
        told.turns()
        while step(line.broker.clock):
            pass
        line.broker.create({"first": 1})
        first, others = errors(line, told, version)
        refused.append(first == [error])
        assert first in ([error], [0])
        assert others == [0] * MANY
        assert committed(line, "first") == NOTHING_COMMITTED
        assert committed(line, "t") == 5
    assert refused.count(True) > MANY // 200


def test_a_commit_of_which_everything_is_deleted_meanwhile_is_refused_wholly() -> None:
    line = small_line()
    told = Told(line, commit(line))
    for _ in range(turns_of_a_commit() // 2):
        step(line.broker.clock)
    delete(line, "first")
    delete(line, "t")
    told.turns()
    missing = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert errors(line, told, NAME_VERSION) == [[missing], [missing] * MANY]


def test_a_commit_that_came_whole_is_carried_out_in_whatever_turn_its_connection_goes() -> None:
    """A consumer that sent its last commit and closed lost it, unless it closed late enough."""
    for turns_before in range(turns_of_a_commit()):
        line = small_line()
        told = Told(line, commit(line))
        for _ in range(turns_before):
            step(line.broker.clock)
        told.owed.abandon()
        while step(line.broker.clock):
            pass
        assert (committed(line, "first"), committed(line, "t")) == (777, 5)
