"""Many produces that wait for one partition: who is told of what, and how often they are looked at."""

from types import SimpleNamespace

import pytest
from small_broker import SmallBroker, batch
from test_k00_produce import request

from kbroker.handlers import produce_outcome
from kbroker.metadata.image import PartitionImage
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.world import DiskFailure
from protocol_specs.api.k00_produce import ProduceRequest
from protocol_specs.errors import ErrorCode

NEWEST = 13
MANY = 300


@pytest.fixture
def looks(monkeypatch):
    """How often somebody asked whether a promise holds."""
    counted = SimpleNamespace(count=0)

    def holds(*arguments, holds=produce_outcome.holds):
        counted.count += 1
        return holds(*arguments)

    monkeypatch.setattr(produce_outcome, "holds", holds)
    return counted


def slow(**settings):
    """A broker whose disk queues, and its partition 0."""
    disk = SimulatedDisk()
    broker = SmallBroker({"t": 3}, disk=disk, **settings)
    disk.run_queued()
    disk.queues_writes = disk.queues_work = True
    return broker, broker.partitions.find("t", 0)


def start(broker, count, **wishes):
    return [broker.start(request(broker, batch(b"v"), **wishes), NEWEST) for _ in range(count)]


def codes(asked):
    asked[0].ctx.node.clock.advance(0)  # many are told in turns
    return [one.answer().responses[0].partition_responses[0].error_code for one in asked]


@pytest.mark.parametrize("acks", [1, -1])
def test_writes_that_end_one_by_one_look_at_each_who_waits_a_few_times(looks, acks):
    """Each used to look at everybody who waited: 2,000 requests behind a disk that stalled took 2.6 s of the loop."""
    broker, partition = slow()
    asked = start(broker, MANY, acks=acks)
    broker.disk.run_queued()
    assert codes(asked) == [ErrorCode.NONE] * MANY
    assert looks.count <= 8 * MANY
    assert len(partition.watches) == 0


def test_an_append_does_not_look_at_all_who_wait_for_the_fsync(looks):
    """With 1,000 waiting for it each further append took 1.5 ms."""
    broker, _ = slow(kbroker_produce_sync=True)
    broker.disk.queues_writes = False
    asked = start(broker, MANY, acks=1)
    assert all(one.is_pending for one in asked)
    assert looks.count <= 3 * MANY
    broker.disk.run_queued()
    assert codes(asked) == [ErrorCode.NONE] * MANY
    assert looks.count <= 8 * MANY


def test_a_request_of_many_partitions_waits_for_one_after_the_other(looks):
    broker, _ = slow()
    asked = request(broker, batch(b"v"))
    for index in range(1, MANY):
        asked.topic_data[0].partition_data.append(
            ProduceRequest.PartitionProduceData(index=index % 3, records=batch(b"v"))
        )
    pending = broker.start(asked, NEWEST)
    broker.clock.advance(0)
    pending.send()
    looks.count = 0
    for _ in range(MANY):
        assert pending.is_pending
        broker.disk.run_queued(1)
    broker.disk.run_queued()
    pending.send()
    broker.clock.advance(0)
    answers = pending.answer().responses[0].partition_responses
    assert [(answer.error_code, answer.base_offset) for answer in answers] == [(0, at // 3) for at in range(MANY)]
    assert looks.count <= 8 * MANY
    assert all(len(partition.watches) == 0 for partition in broker.partitions)


@pytest.mark.parametrize("acks", [1, -1])
def test_a_log_that_fails_tells_all_who_wait_of_it(acks):
    broker, partition = slow()
    asked = start(broker, 5, acks=acks)
    partition.log.fail(DiskFailure("/data", "No space left on device"))
    assert codes(asked) == [ErrorCode.KAFKA_STORAGE_ERROR] * 5


@pytest.mark.parametrize("acks", [1, -1])
def test_a_partition_that_is_deleted_tells_all_who_wait(acks):
    broker, partition = slow()
    asked = start(broker, 5, acks=acks)
    broker.partitions.remove(partition)
    assert codes(asked) == [ErrorCode.NOT_LEADER_OR_FOLLOWER] * 5


def test_who_leads_no_longer_tells_those_who_wait_for_everyone_in_sync():
    """They used to wait until their time was up. Kafka's DelayedProduce ends here too."""
    broker, partition = slow()
    written, replicated = start(broker, 3, acks=1), start(broker, 3, acks=-1)
    partition.follow_metadata(PartitionImage((1, 2), (2,), 2, partition.leader_epoch + 1, 1), 1)
    assert codes(replicated) == [ErrorCode.NOT_LEADER_OR_FOLLOWER] * 3
    assert all(one.is_pending for one in written)
    broker.disk.run_queued()
    assert codes(written) == [ErrorCode.NONE] * 3


def test_those_whose_time_is_up_and_those_who_left_hold_nobody_up():
    broker, partition = slow()
    late, left = start(broker, 3, timeout_ms=10), start(broker, 3)
    patient = start(broker, 3, timeout_ms=60_000)
    for one in left:
        one.abandon()
    broker.clock.advance(1_000)
    assert codes(late) == [ErrorCode.REQUEST_TIMED_OUT] * 3
    assert len(partition.watches) == 3
    broker.disk.run_queued()
    assert codes(patient) == [ErrorCode.NONE] * 3
    assert all(one.is_pending for one in left)


def test_duplicates_wait_for_the_end_of_the_batch_that_they_repeat():
    """It is older than what was appended since: they are before that in the row."""
    broker, _ = slow()
    first = batch(b"v", producer_id=5, producer_epoch=0, base_sequence=0)
    asked = [broker.start(request(broker, first), NEWEST), *start(broker, 3)]
    again = broker.start(request(broker, first), NEWEST)
    broker.disk.run_queued(1)
    while asked[0].is_pending:
        broker.disk.run_queued(1)
    assert not again.is_pending
    assert asked[-1].is_pending
    assert again.answer().responses[0].partition_responses[0].base_offset == 0
