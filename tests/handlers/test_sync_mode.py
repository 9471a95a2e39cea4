"""kbroker.produce.sync and flush.messages: who is answered only after the fsync, and what a failed one means."""

from functools import partial

import pytest
from small_broker import SmallBroker, batch

from kbroker.names import OFFSETS_TOPIC
from kbroker.world import DiskFailure
from protocol_specs.api.k00_produce import ProduceRequest
from protocol_specs.api.k08_offset_commit import OffsetCommitRequest
from protocol_specs.api.k19_create_topics import CreateTopicsRequest
from protocol_specs.errors import ErrorCode


class SlowSync:
    """world.Disk of which the workers wait to be let go."""

    def __init__(self, disk):
        self._disk = disk
        self._waiting = []

    def __getattr__(self, name):
        return getattr(self._disk, name)

    def in_worker(self, work, done):
        self._waiting.append(partial(self._disk.in_worker, work, done))

    def let_go(self):
        while self._waiting:
            self._waiting.pop(0)()

    def fail(self, failure):
        """Every sync that waits ends like this."""

        def work():
            raise failure

        self._waiting = [partial(self._disk.in_worker, work, one.args[1]) for one in self._waiting]
        self.let_go()


def slow_sync_of(broker, topic, index=0):
    log = broker.partitions.find(topic, index).log
    log._syncing._disk = SlowSync(broker.disk)
    return log._syncing._disk


@pytest.fixture
def broker():
    return SmallBroker({"t": 1}, kbroker_produce_sync=True)


def produce(broker, acks, topic="t", timeout_ms=1000):
    data = ProduceRequest.PartitionProduceData(index=0, records=batch(b"v"))
    topics = [ProduceRequest.TopicProduceData(name=topic, partition_data=[data])]
    return broker.start(ProduceRequest(acks=acks, timeout_ms=timeout_ms, topic_data=topics), 9)


def told(asked):
    return asked.answer().responses[0].partition_responses[0]


@pytest.mark.parametrize("acks", [1, -1])
def test_a_producer_is_answered_after_the_fsync(broker, acks):
    disk = slow_sync_of(broker, "t")
    first, second = produce(broker, acks), produce(broker, acks)
    assert (first.is_pending, second.is_pending) == (True, True)
    disk.let_go()
    assert [told(asked).base_offset for asked in (first, second)] == [0, 1]


def test_who_wants_no_answer_waits_for_nothing(broker):
    slow_sync_of(broker, "t")
    assert produce(broker, 0).answer() is None


def test_without_the_mode_nobody_waits():
    broker = SmallBroker({"t": 1})
    slow_sync_of(broker, "t")
    assert not produce(broker, -1).is_pending


@pytest.mark.parametrize("acks", [1, -1])
def test_a_failed_fsync_is_a_storage_error(broker, acks):
    disk = slow_sync_of(broker, "t")
    asked = produce(broker, acks)
    disk.fail(DiskFailure("/data", "Input/output error"))
    answer = told(asked)
    assert (answer.error_code, answer.base_offset) == (ErrorCode.KAFKA_STORAGE_ERROR, -1)


def test_an_fsync_that_takes_longer_than_the_time_out_of_acks_all_is_a_time_out(broker):
    slow_sync_of(broker, "t")
    asked = produce(broker, -1, timeout_ms=1000)
    broker.clock.advance(1000)
    assert told(asked).error_code == ErrorCode.REQUEST_TIMED_OUT


def test_flush_messages_of_a_topic_holds_back_the_append_that_fills_it():
    broker = SmallBroker()
    config = CreateTopicsRequest.CreatableTopicConfig(name="flush.messages", value="2")
    topic = CreateTopicsRequest.CreatableTopic(name="f", num_partitions=1, replication_factor=1, configs=[config])
    broker.ask(CreateTopicsRequest(topics=[topic], timeout_ms=1000), 7)
    disk = slow_sync_of(broker, "f")
    assert not produce(broker, 1, "f").is_pending
    filling = produce(broker, 1, "f")
    assert filling.is_pending
    disk.let_go()
    assert told(filling).base_offset == 1


def test_committed_offsets_are_answered_after_the_fsync(broker):
    """Their answer promises that the group will find them again."""
    broker.create({OFFSETS_TOPIC: 1})
    commit = OffsetCommitRequest(
        group_id="g",
        generation_id_or_member_epoch=-1,
        topics=[
            OffsetCommitRequest.OffsetCommitRequestTopic(
                name="t",
                partitions=[OffsetCommitRequest.OffsetCommitRequestPartition(partition_index=0, committed_offset=7)],
            )
        ],
    )
    disk = slow_sync_of(broker, OFFSETS_TOPIC)
    first, second = broker.start(commit, 8), broker.start(commit, 8)
    assert (first.is_pending, second.is_pending) == (True, True)
    disk.let_go()
    for asked in (first, second):
        assert asked.answer().topics[0].partitions[0].error_code == 0
