"""Requests that name many partitions are handled in turns: the same answers, and others are served in between."""

import pytest
from gate_line import GateLine
from small_broker import SmallBroker, batch

from kbroker.handlers.answer import CLOSE
from kbroker.handlers.k00_produce import APPEND_UNITS, FEW
from kbroker.handlers.registry import load_handlers
from kbroker.real.memory_disk import MemoryDisk
from kbroker.turns import UNITS_PER_TURN, WAKING_UNITS
from protocol_specs.api.k00_produce import ProduceRequest
from protocol_specs.api.k02_list_offsets import ListOffsetsRequest
from protocol_specs.api.k08_offset_commit import OffsetCommitRequest
from protocol_specs.api.k20_delete_topics import DeleteTopicsRequest
from protocol_specs.api.k21_delete_records import DeleteRecordsRequest
from protocol_specs.api.k23_offset_for_leader_epoch import OffsetForLeaderEpochRequest
from protocol_specs.errors import ErrorCode

MANY = 60
PER_TURN = UNITS_PER_TURN // APPEND_UNITS


def produce(indexes, acks=1):
    partition, topic = ProduceRequest.PartitionProduceData, ProduceRequest.TopicProduceData
    partitions = [partition(index=index, records=memoryview(batch(b"v"))) for index in indexes]
    topics = [topic(name="t", partition_data=partitions)]
    return ProduceRequest(acks=acks, timeout_ms=1000, topic_data=topics), 9


def by_time(indexes):
    partition, topic = ListOffsetsRequest.ListOffsetsPartition, ListOffsetsRequest.ListOffsetsTopic
    partitions = [partition(partition_index=index, timestamp=0) for index in indexes]
    return ListOffsetsRequest(replica_id=-1, topics=[topic(name="t", partitions=partitions)]), 9


def ends_of_epochs(indexes):
    partition = OffsetForLeaderEpochRequest.OffsetForLeaderPartition
    topic = OffsetForLeaderEpochRequest.OffsetForLeaderTopic
    partitions = [partition(partition=index, leader_epoch=0) for index in indexes]
    return OffsetForLeaderEpochRequest(replica_id=-1, topics=[topic(topic="t", partitions=partitions)]), 4


def deletion_of_records(indexes):
    partition, topic = DeleteRecordsRequest.DeleteRecordsPartition, DeleteRecordsRequest.DeleteRecordsTopic
    partitions = [partition(partition_index=index, offset=1) for index in indexes]
    return DeleteRecordsRequest(timeout_ms=1000, topics=[topic(name="t", partitions=partitions)]), 2


KINDS = [produce, by_time, ends_of_epochs, deletion_of_records]


def partitions_of(answer):
    topics = answer.responses if hasattr(answer, "responses") else answer.topics
    (topic,) = topics
    return topic.partition_responses if hasattr(topic, "partition_responses") else topic.partitions


def step(broker):
    """The next turn; False where there is none."""
    heap = broker.clock._heap
    while heap and min(heap)[0] <= broker.clock.monotonic_ms():
        first = min(heap)
        heap.remove(first)
        action, first[2].action = first[2].action, None
        if action is not None:
            action()
            return True
    return False


def ends(broker):
    return [broker.partitions.find("t", index).log.log_end for index in range(MANY)]


@pytest.mark.parametrize("kind", KINDS)
def test_logs_that_sleep_are_woken_two_in_a_turn(kind):
    """5,000 took up to a second of one turn, and several on slow cores."""
    disk = MemoryDisk()
    before = SmallBroker({"t": MANY}, disk=disk)
    for start in range(0, MANY, FEW):
        before.ask(*produce(range(start, min(start + FEW, MANY))))
    before.directories.close(clean=True)
    broker = SmallBroker(disk=disk)
    broker.hosting.host_all(broker.metadata.image)

    def asleep():
        return sum(partition.log.is_asleep for partition in broker.partitions)

    assert asleep() == MANY
    asked = broker.start(*kind(range(MANY)))
    left, most = asleep(), MANY - asleep()
    while asked.is_pending:
        assert step(broker)
        most, left = max(most, left - asleep()), asleep()
    assert left == 0
    assert most <= UNITS_PER_TURN // WAKING_UNITS
    assert len(partitions_of(asked.answer())) == MANY


@pytest.mark.parametrize("kind", [by_time, ends_of_epochs, deletion_of_records])
def test_the_answers_of_many_are_those_of_each(kind):
    broker, twin = SmallBroker({"t": MANY}), SmallBroker({"t": MANY})
    for each in (broker, twin):
        for start in range(0, MANY, 2 * FEW):
            each.ask(*produce(range(start, start + FEW)))
    wanted = [*range(MANY), MANY + 1]
    asked = broker.start(*kind(wanted))
    while asked.is_pending:
        assert step(broker)
    apart = [repr(one) for index in wanted for one in partitions_of(twin.ask(*kind([index])))]
    assert [repr(one) for one in partitions_of(asked.answer())] == apart


def test_a_partition_that_is_named_twice_in_different_turns_is_refused_twice():
    broker = SmallBroker({"t": MANY})
    asked = broker.start(*by_time([*range(MANY)] * 3 + [MANY - 1, 0]))
    while asked.is_pending:
        assert step(broker)
    assert {one.error_code for one in partitions_of(asked.answer())} == {ErrorCode.INVALID_REQUEST}


def test_many_batches_are_appended_in_turns():
    """5,000 took 0.6 s in one turn."""
    broker = SmallBroker({"t": MANY})
    asked = broker.start(*produce(range(MANY)))
    before = 0
    while asked.is_pending:
        assert sum(ends(broker)) - before <= PER_TURN
        before = sum(ends(broker))
        assert step(broker)
    assert ends(broker) == [1] * MANY
    assert [(one.index, one.error_code, one.base_offset) for one in partitions_of(asked.answer())] == [
        (index, 0, 0) for index in range(MANY)
    ]


def test_few_batches_are_appended_at_once():
    broker = SmallBroker({"t": MANY})
    assert len(partitions_of(broker.start(*produce(range(FEW))).answer())) == FEW


@pytest.mark.parametrize("acks", [0, 1, -1])
def test_all_is_appended_though_the_connection_goes_between_two_turns(acks):
    """With acks=0 a producer may send, and leave."""
    broker = SmallBroker({"t": MANY})
    asked = broker.start(*produce(range(MANY), acks))
    assert 0 < sum(ends(broker)) < MANY
    asked.abandon()
    while step(broker):
        pass
    assert ends(broker) == [1] * MANY


def test_a_topic_that_is_deleted_between_two_turns_takes_no_more():
    broker = SmallBroker({"t": MANY})
    asked = broker.start(*produce(range(MANY)))
    assert broker.ask(DeleteTopicsRequest(topic_names=["t"], timeout_ms=1), 5).responses[0].error_code == 0
    while asked.is_pending:
        assert step(broker)
    errors = [one.error_code for one in partitions_of(asked.answer())]
    assert errors[-1] == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert 0 < errors.count(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) < MANY


@pytest.mark.parametrize(("wanted", "answer"), [(range(MANY), None), ([*range(MANY), MANY + 1], CLOSE)])
def test_many_batches_without_acks_are_not_answered_but_for_a_refusal(wanted, answer):
    broker = SmallBroker({"t": MANY})
    asked = broker.start(*produce(wanted, acks=0))
    while asked.is_pending:
        assert step(broker)
    assert asked.answer() is answer
    assert ends(broker) == [1] * MANY


def test_no_produce_passes_one_whose_batches_are_not_all_appended():
    line = GateLine(joins=False, topics={"t": MANY})
    (owed,) = line.hand_in(line.framed(ProduceRequest, *produce(range(MANY))))
    assert owed.passing_key == -1
    assert 0 < sum(ends(line.broker)) < MANY


def test_a_long_commit_is_sorted_in_turns():
    broker = SmallBroker({"t": 2})
    partition, topic = OffsetCommitRequest.OffsetCommitRequestPartition, OffsetCommitRequest.OffsetCommitRequestTopic
    partitions = [partition(partition_index=2 + index) for index in range(3 * UNITS_PER_TURN)]
    request = OffsetCommitRequest(
        group_id="g", generation_id_or_member_epoch=-1, topics=[topic(name="t", partitions=partitions)]
    )
    asked = broker.start(*produce([0]))
    asked.ctx.is_long, asked.ctx.api_version = True, 9
    asked._follow(load_handlers()[8].handle(asked.ctx, request))
    turns = 0
    while asked.is_pending:
        assert step(broker)
        turns += 1
    assert turns == 3
    (topic_answer,) = asked._result.message.topics
    assert [one.partition_index for one in topic_answer.partitions] == [one.partition_index for one in partitions]
    assert {one.error_code for one in topic_answer.partitions} == {ErrorCode.UNKNOWN_TOPIC_OR_PARTITION}
