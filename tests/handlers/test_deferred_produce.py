"""Produce where bodies are opened in a worker: what is answered, when, and to whom."""

from collections import deque

import pytest
from small_broker import SmallBroker, batch
from test_k00_produce import request

from kbroker.handlers.answer import CLOSE
from kbroker.record.batch import Codec
from kbroker.record.legacy import write_message
from kbroker.world import DiskFailure
from protocol_specs.api.k00_produce import ProduceRequest
from protocol_specs.errors import ErrorCode

NEWEST = 13


class Workers:
    """Disk.in_worker whose work is done when the test says so."""

    def __init__(self, broker):
        self.waiting = deque()
        for partition in broker.partitions:
            partition.log.epochs.saving()  # as if in its file: to bring it there is work for another test
        broker.disk.in_worker = lambda work, done: self.waiting.append((work, done))

    def finish(self, count=None):
        for _ in range(len(self.waiting) if count is None else count):
            work, done = self.waiting.popleft()
            done(work())


@pytest.fixture
def broker():
    return SmallBroker({"t": 2}, compression_type="lz4", compression_lz4_level=10)


@pytest.fixture
def workers(broker):
    return Workers(broker)


def answered(asked):
    return asked.answer().responses[0].partition_responses[0]


@pytest.mark.parametrize("acks", [1, -1])
def test_the_answer_comes_when_the_body_was_opened_and_the_batch_is_written(broker, workers, acks):
    asked = broker.start(request(broker, batch(b"a", b"b"), acks=acks), NEWEST)
    assert asked.is_pending
    workers.finish()
    answer = answered(asked)
    assert (answer.error_code, answer.base_offset, answer.log_append_time_ms, answer.log_start_offset) == (0, 0, -1, 0)


def test_requests_of_several_connections_are_appended_in_the_order_of_their_coming(broker, workers):
    asked = [broker.start(request(broker, batch(b"v", codec=codec)), NEWEST) for codec in (0, 3, 1, 3)]
    assert [one.is_pending for one in asked] == [True] * 4
    for _ in range(2):
        workers.finish(1)
    assert [answered(one).base_offset for one in asked] == [0, 1, 2, 3]


def test_acks_0_is_owed_until_it_is_appended_and_then_answered_with_nothing(broker, workers):
    asked = broker.start(request(broker, batch(b"a"), acks=0), NEWEST)
    assert asked.is_pending
    workers.finish()
    assert asked.answer() is None
    assert broker.partitions.find("t", 0).log.log_end == 1


def test_acks_0_that_fails_in_the_worker_closes_the_connection(broker, workers):
    asked = broker.start(request(broker, batch(b"a", codec=Codec.GZIP)[:-4] + b"junk", acks=0), NEWEST)
    assert asked.answer() is CLOSE  # the checksum is looked at before
    with_gap = batch((b"k", b"v", (), 5, 0), (b"k", b"v", (), 5, 0), codec=Codec.GZIP)
    far = batch(b"a", timestamp_ms=broker.clock.wall_ms() * 2)
    asked = [broker.start(request(broker, records, acks=0), NEWEST) for records in (far, with_gap)]
    workers.finish()
    workers.finish()
    assert asked[0].answer() is CLOSE


def test_one_partition_of_a_request_fails_and_the_others_stand(broker, workers):
    asked = request(broker, batch(b"a", timestamp_ms=broker.clock.wall_ms() * 2))
    asked.topic_data[0].partition_data.append(ProduceRequest.PartitionProduceData(index=1, records=batch(b"c")))
    asked.topic_data[0].partition_data.append(
        ProduceRequest.PartitionProduceData(index=1, records=batch(b"d", codec=Codec.LZ4))
    )
    asked.topic_data[0].partition_data.append(ProduceRequest.PartitionProduceData(index=9, records=batch(b"e")))
    pending = broker.start(asked, NEWEST)
    workers.finish()
    answers = pending.answer().responses[0].partition_responses
    assert [(answer.index, answer.error_code, answer.base_offset) for answer in answers] == [
        (0, ErrorCode.INVALID_TIMESTAMP, -1),
        (1, ErrorCode.NONE, 0),
        (1, ErrorCode.NONE, 1),
        (9, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1),
    ]
    assert [error.batch_index for error in answers[0].record_errors] == [0]


def test_what_takes_too_long_is_timed_out_for_acks_all_and_appended_all_the_same(broker, workers):
    asked = broker.start(request(broker, batch(b"a"), timeout_ms=200), NEWEST)
    broker.clock.advance(200)
    answer = answered(asked)
    assert (answer.error_code, answer.base_offset) == (ErrorCode.REQUEST_TIMED_OUT, -1)
    workers.finish()
    assert broker.partitions.find("t", 0).log.log_end == 1


def test_a_connection_that_ends_leaves_no_watch_behind_and_its_batch_is_appended(broker, workers):
    partition = broker.partitions.find("t", 0)
    watching = len(partition.watches)
    asked = broker.start(request(broker, batch(b"a")), NEWEST)
    asked.abandon()
    assert len(partition.watches) == watching
    workers.finish()
    assert (partition.log.log_end, len(partition.queue.waiting)) == (1, 0)


@pytest.mark.parametrize("acks", [1, -1])
def test_a_partition_that_is_deleted_meanwhile_answers_at_once(broker, workers, acks):
    asked = broker.start(request(broker, batch(b"a"), acks=acks), NEWEST)
    broker.partitions.remove(broker.partitions.find("t", 0))
    assert answered(asked).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    workers.finish()


@pytest.mark.parametrize("acks", [0, 1, -1])
def test_a_log_that_fails_meanwhile_answers_at_once(broker, workers, acks):
    asked = broker.start(request(broker, batch(b"a"), acks=acks), NEWEST)
    broker.partitions.find("t", 0).log.fail(DiskFailure("/data", "Input/output error"))
    if acks:
        assert answered(asked).error_code == ErrorCode.KAFKA_STORAGE_ERROR
    else:
        assert asked.answer() is CLOSE
    workers.finish()


def test_a_repetition_that_waits_is_known_for_one_when_its_turn_comes(broker, workers):
    records = batch(b"a", producer_id=7, producer_epoch=0, base_sequence=0)
    asked = [broker.start(request(broker, bytearray(records)), NEWEST) for _ in range(2)]
    workers.finish(1)
    workers.finish(1)
    assert [answered(one).base_offset for one in asked] == [0, 0]
    assert broker.partitions.find("t", 0).log.log_end == 1


def test_a_large_message_set_of_old_is_converted_in_a_worker(broker, workers):
    messages = bytearray()
    for offset in range(60):
        write_message(messages, 1, 0, offset, 5, None, b"v" * 100)
    asked = broker.start(request(broker, bytes(messages), version=2), 2)
    assert asked.is_pending
    workers.finish(1)
    workers.finish()
    assert answered(asked).base_offset == 0
    assert broker.partitions.find("t", 0).log.log_end == 60
