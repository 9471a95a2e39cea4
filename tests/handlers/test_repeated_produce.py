"""Produce requests that come again: whatever way they take, they are answered as by the handler alone."""

import struct
from functools import partial

import pytest
from gate_line import GateLine, seen
from small_broker import batch

from kbroker.handlers.answer import Pending
from kbroker.record.batch import Codec
from kbroker.server.gate import OwedAnswer
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.wire.codec import decode
from kbroker.wire.repeated import Repeated
from protocol_specs.api.k00_produce import ProduceRequest, ProduceResponse
from protocol_specs.api.k20_delete_topics import DeleteTopicsRequest
from protocol_specs.errors import ErrorCode

VERSIONS = range(3, 14)
FLEXIBLE_SINCE = 9


class Line(GateLine):
    """A connection that sends Produce requests."""

    def frame(self, records, *, version=13, acks=1, topic="t", index=0, client=b"me", timeout_ms=1000):
        named = {"topic_id": self.broker.image.topics.get(topic).topic_id} if version >= 13 else {"name": topic}
        data = [ProduceRequest.PartitionProduceData(index=index, records=records)]
        topics = [ProduceRequest.TopicProduceData(**named, partition_data=data)]
        request = ProduceRequest(acks=acks, timeout_ms=timeout_ms, topic_data=topics)
        return self.framed(ProduceRequest, request, version, client)


def answers(data, version=13):
    """(correlation id, error, base offset, log start) of each."""
    found = []
    while data:
        size, correlation_id = struct.unpack_from(">ii", data)
        body = memoryview(data)[8 + (version >= FLEXIBLE_SINCE) : 4 + size]
        answer, end = decode(ProduceResponse, version, body)
        assert end == len(body)
        one = answer.responses[0].partition_responses[0]
        found.append((correlation_id, one.error_code, one.base_offset, one.log_start_offset))
        data = data[4 + size :]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("acks", [0, 1, -1])
@pytest.mark.parametrize("settings", [{}, {"log_message_timestamp_type": "LogAppendTime"}, {"compression_type": "lz4"}])
def test_the_answers_of_requests_that_come_together_are_those_of_each_alone(version, acks, settings):
    joined, alone = Line(**settings), Line(joins=False, **settings)
    for line in (joined, alone):
        line.broker.partitions.find("t", 0).delete_records_before(-1)
    sent = []
    for line in (joined, alone):
        frames = [
            line.frame(batch(b"v" * (number % 7 * 40)), version=version, acks=acks, index=number // 5 % 2)
            for number in range(60)
        ]
        wrong = bytearray(frames[31])
        wrong[-9] ^= 1
        frames[31] = wrong
        if acks == 0:
            del frames[31]
        sent.append(line.ask(*frames[:2]) + line.ask(*frames[2:50]) + line.ask(*frames[50:]))
    assert sent[0] == sent[1]
    assert seen(joined) == seen(alone)
    for index in (0, 1):
        ends = [
            (line.partition(index=index).high_watermark, line.partition(index=index).log.size_bytes)
            for line in (joined, alone)
        ]
        assert ends[0] == ends[1]


def test_they_are_appended_together():
    """Sixty requests in a row used to be sixty writes."""
    line = Line(disk=SimulatedDisk())
    frames = [line.frame(batch(b"v")) for _ in range(60)]
    line.ask(*frames[:2])
    before = line.broker.disk.steps
    assert [base for _, _, base, _ in answers(line.ask(*frames[2:]))] == list(range(2, 60))
    assert line.broker.disk.steps == before + 1


def test_a_large_request_is_alone_in_its_run():
    line = Line()
    large, small = batch(b"v" * 70_000), batch(b"v")
    results = line.hand_in(*(line.frame(records) for records in (small, small, large, large, small)))
    assert len(results) == 5, "one learned, one small, two large, and what is behind them"


def test_who_waits_for_records_is_told_of_a_run():
    line = Line()
    line.ask(line.frame(batch(b"v")))
    told = []
    line.partition().watches.add(self := object(), lambda: told.append(line.partition().high_watermark))
    line.ask(*(line.frame(batch(b"v")) for _ in range(5)))
    assert told == [6]
    line.partition().watches.remove(self)


@pytest.mark.parametrize("acks", [1, -1])
def test_answers_of_a_run_that_is_queued_come_when_it_is_written(acks):
    disk = SimulatedDisk()
    line = Line(disk=disk)
    frames = [line.frame(batch(b"v"), acks=acks) for _ in range(9)]
    line.ask(frames[0])
    disk.queues_writes = True
    results = line.hand_in(*frames[1:])
    assert [type(result) for result in results] == [OwedAnswer]
    assert results[0].held_bytes == sum(map(len, frames[1:]))
    assert not results[0].is_ready
    disk.run_queued()
    assert [base for _, _, base, _ in answers(line.sent(results[0]))] == list(range(1, 9))


def test_correlation_ids_that_wrapped_come_back_as_they_were():
    """They were read without their sign and found no room in the answer: appended, no answer, connection closed."""
    disk = SimulatedDisk()
    line = Line(disk=disk)
    line.ask(line.frame(batch(b"v")))
    line.ids = -(1 << 31)
    disk.queues_writes = True
    (owed,) = line.hand_in(*(line.frame(batch(b"v")) for _ in range(3)))
    disk.run_queued()
    assert [one[:3] for one in answers(line.sent(owed))] == [(line.ids - 2 + n, 0, 1 + n) for n in range(3)]


@pytest.mark.parametrize("settings", [{"compression_type": "lz4"}, {"log_flush_interval_messages": 1}])
def test_where_nothing_becomes_a_run_nobody_looks_for_more_of_it(settings, monkeypatch):
    """All that had come was looked at for each of them: 64 requests of one read cost 183 us each instead of 92."""
    line = Line(**settings)
    line.ask(*(line.frame(batch(b"v")) for _ in range(2)))
    assert line.partition().log.log_end == 2
    looked_at, find = [], Repeated.find

    def counted(self, frame):
        looked_at.append(frame)
        return find(self, frame)

    monkeypatch.setattr(Repeated, "find", counted)
    line.ask(*(line.frame(batch(b"v")) for _ in range(64)))
    assert len(looked_at) == 64


def test_one_that_is_no_run_keeps_only_the_next_from_having_company():
    line = Line()
    frames = [bytearray(line.frame(batch(b"v"))) for _ in range(12)]
    frames[3][-9] ^= 1
    results = line.hand_in(*frames)
    assert [len(answers(line.sent(result))) for result in results] == [1, 2, 1, 1, 7]


@pytest.mark.parametrize("acks", [1, -1])
def test_a_queued_run_whose_write_fails_is_refused_request_by_request(acks):
    disk = SimulatedDisk()
    line = Line(disk=disk)
    line.ask(line.frame(batch(b"v"), acks=acks))
    disk.queues_writes = True
    (owed,) = line.hand_in(*(line.frame(batch(b"v"), acks=acks) for _ in range(3)))
    disk.failing["t-0"] = "No space left on device"
    disk.run_queued()
    error = ErrorCode.KAFKA_STORAGE_ERROR
    assert answers(line.sent(owed)) == [(2, error, -1, -1), (3, error, -1, -1), (4, error, -1, -1)]


def test_a_run_whose_write_fails_at_once_is_refused_like_any_append():
    disk = SimulatedDisk()
    line = Line(disk=disk)
    line.ask(line.frame(batch(b"v")))
    disk.failing["t-0"] = "No space left on device"
    found = answers(line.ask(*(line.frame(batch(b"v")) for _ in range(3))))
    assert {error for _, error, _, _ in found} == {ErrorCode.KAFKA_STORAGE_ERROR}


def test_acks_all_of_a_queued_run_times_out_as_each_alone_would():
    disk = SimulatedDisk()
    line = Line(disk=disk)
    line.ask(line.frame(batch(b"v"), acks=-1))
    disk.queues_writes = True
    (owed,) = line.hand_in(*(line.frame(batch(b"v"), acks=-1) for _ in range(2)))
    line.broker.clock.advance(999)
    assert not owed.is_ready
    line.broker.clock.advance(1)
    assert {error for _, error, _, _ in answers(line.sent(owed))} == {ErrorCode.REQUEST_TIMED_OUT}


def test_a_topic_made_anew_under_the_same_name_gets_the_records():
    line = Line()
    frames = partial(line.frame, batch(b"v"), version=9)
    line.ask(*(frames() for _ in range(4)))
    old = line.partition()
    deleted = line.broker.ask(DeleteTopicsRequest(topic_names=["t"], timeout_ms=1000), 4)
    assert deleted.responses[0].error_code == ErrorCode.NONE
    ((_, error, _, _),) = answers(line.ask(frames()), 9)
    assert error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    line.broker.create({"t": 2})
    found = answers(line.ask(*(frames() for _ in range(4))), 9)
    assert [(error, base) for _, error, base, _ in found] == [(0, number) for number in range(4)]
    assert (old.log.log_end, line.partition().log.log_end) == (4, 4)
    assert line.partition() is not old


@pytest.mark.parametrize("acks", [1, -1])
def test_idempotent_requests_are_judged_one_by_one(acks):
    line = Line()
    made = [batch(b"v", producer_id=5, producer_epoch=0, base_sequence=number) for number in (0, 1, 2, 3, 3, 5, 4)]
    found = answers(line.ask(*(line.frame(records, acks=acks) for records in made)))
    assert [(error, base) for _, error, base, _ in found] == [
        (0, 0), (0, 1), (0, 2), (0, 3), (0, 3), (ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1), (0, 4),
    ]  # fmt: skip


@pytest.mark.parametrize("version", [3, 6])
def test_zstd_is_refused_where_the_version_does_not_know_it(version):
    line = Line()
    line.ask(line.frame(batch(b"v"), version=version), line.frame(batch(b"v"), version=version))
    ((_, error, _, _),) = answers(line.ask(line.frame(batch(b"v", codec=Codec.ZSTD), version=version)), version)
    assert error == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE


def test_a_failure_of_ours_answers_nothing_and_closes(monkeypatch, caplog):
    line = Line()
    line.ask(line.frame(batch(b"v")))

    def fails(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(type(line.partition()), "append_run", fails)
    assert line.hand_in(line.frame(batch(b"v"))) == [([], True)]
    assert "a handler failed" in caplog.text


def test_a_pending_run_settles_once_and_not_before(monkeypatch):
    """A Pending's build runs when the answer is about to be sent: it tells the log start of then."""
    disk = SimulatedDisk()
    line = Line(disk=disk)
    line.ask(line.frame(batch(b"v"), acks=-1))
    disk.queues_writes = True
    (owed,) = line.hand_in(line.frame(batch(b"v"), acks=-1))
    assert isinstance(owed.pending, Pending)
    owed.pending.abandon()
    disk.run_queued()
    assert not owed.is_ready
    assert len(line.partition().watches) == 0
