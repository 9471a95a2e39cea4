"""Fetch requests that come again: whatever way they take, they are answered as by the handler alone."""

import pytest
from fetching import NEWEST, append, append_transactional, end_transaction, request
from gate_line import GateLine, seen
from small_broker import SmallBroker, batch

from kbroker.handlers.repeated_fetch import RepeatedFetch
from kbroker.metadata.image import PartitionImage
from kbroker.server.gate import OwedAnswer
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.wire.codec import decode
from protocol_specs.api.k01_fetch import FetchRequest, FetchResponse
from protocol_specs.api.k20_delete_topics import DeleteTopicsRequest
from protocol_specs.errors import ErrorCode

VERSIONS = range(4, NEWEST + 1)
FLEXIBLE_SINCE = 12


class Line(GateLine):
    """A connection that sends Fetch requests."""

    def frame(self, offset, *, version=NEWEST, partition=0, client=b"me", **kwargs):
        wanted = request(self.broker, {partition: offset}, version=version, **kwargs)
        return self.framed(FetchRequest, wanted, version, client)


@pytest.fixture
def broker():
    """t-0 holds 20 batches of two records in four segments, t-1 one."""
    broker = SmallBroker({"t": 2})
    for number in range(20):
        if number % 5 == 4:
            broker.partitions.find("t", 0).log.roll()
        append(broker, b"a" * (number + 1), b"b")
    append(broker, b"c", partition=1)
    return broker


@pytest.fixture
def quick(monkeypatch):
    """The correlation ids of requests that were answered without the handler."""
    ids, again = [], RepeatedFetch.again

    def noted(self, ctx, parts, correlation_ids):
        count, answers = again(self, ctx, parts, correlation_ids)
        ids.extend(int.from_bytes(one, "big", signed=True) for one in correlation_ids[:count])
        return count, answers

    monkeypatch.setattr(RepeatedFetch, "again", noted)
    return ids


def answer(data, version=NEWEST):
    body = memoryview(data)[8 + (version >= FLEXIBLE_SINCE) :]
    found, end = decode(FetchResponse, version, body)
    assert end == len(body)
    (topic,) = found.responses
    return topic.partitions[0]


def pins(broker):
    return [segment.handle.pins for partition in broker.partitions for segment in partition.log.segments]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("isolation_level", [0, 1])
@pytest.mark.parametrize("limits", [{}, {"bytes_max": 1}, {"max_bytes": 200}, {"min_bytes": 300, "max_wait_ms": 0}])
def test_the_answers_are_those_of_each_alone(broker, quick, version, isolation_level, limits):
    again, alone = Line(broker=broker), Line(broker=broker, joins=False)
    sent = []
    for line in (again, alone):
        frames = [
            line.frame(offset, version=version, isolation_level=isolation_level, **limits)
            for offset in (0, 0, 1, 2, 8, 17, 38, 39, 40, 41, -1, 1 << 62, 3)
        ]
        sent.append([line.ask(frame) for frame in frames])
    assert sent[0] == sent[1]
    assert seen(again) == seen(alone)
    assert quick == [2, 3, 4, 5, 6, 7, 8, 13], "the others have no records to give"
    assert set(pins(broker)) == {0}


def test_frames_of_one_read_are_answered_one_by_one(broker, quick):
    line = Line(broker=broker)
    results = line.hand_in(*(line.frame(offset) for offset in (0, 2, 4, 6)))
    assert [answer(line.sent(result)).records[:8] for result in results] == [
        number.to_bytes(8, "big") for number in (0, 2, 4, 6)
    ]
    assert quick == [2, 3, 4]


def test_what_grew_or_was_deleted_meanwhile_is_seen(broker, quick):
    line = Line(broker=broker)
    line.ask(line.frame(0))
    append(broker, b"new")
    broker.partitions.find("t", 0).delete_records_before(12)
    part = answer(line.ask(line.frame(12)))
    assert (part.high_watermark, part.last_stable_offset, part.log_start_offset) == (41, 41, 12)
    assert quick == [2]
    assert answer(line.ask(line.frame(0))).error_code == ErrorCode.OFFSET_OUT_OF_RANGE


def test_one_that_must_wait_waits_as_any_other(broker, quick):
    line = Line(broker=broker)
    waiting = {"max_wait_ms": 500, "min_bytes": 1}
    line.ask(line.frame(0, **waiting))
    (owed,) = line.hand_in(line.frame(40, **waiting))
    assert isinstance(owed, OwedAnswer)
    assert not owed.is_ready
    append(broker, b"new")
    assert answer(line.sent(owed)).high_watermark == 41
    assert quick == []
    line.ask(line.frame(40, **waiting))
    assert quick == [3]


def test_fewer_bytes_than_were_asked_for_are_waited_for_and_not_kept(broker, quick):
    line = Line(broker=broker)
    waiting = {"max_wait_ms": 500, "min_bytes": 200}
    line.ask(line.frame(0, **waiting))
    (owed,) = line.hand_in(line.frame(38, **waiting))
    assert isinstance(owed, OwedAnswer)
    assert not owed.is_ready
    assert set(pins(broker)) == {0}
    assert quick == []


def test_whoever_reads_to_the_end_by_turns_is_not_learned_anew_every_time(broker, monkeypatch):
    line, made, init = Line(broker=broker), [], RepeatedFetch.__init__

    def counted(self, *args):
        made.append(self)
        init(self, *args)

    monkeypatch.setattr(RepeatedFetch, "__init__", counted)
    for _ in range(20):
        line.ask(line.frame(38), line.frame(40))
    assert len(made) == 1


def test_aborted_transactions_are_the_handlers_business(broker, quick):
    append_transactional(broker, 7, b"x")
    end_transaction(broker, 7, is_abort=True)
    append(broker, b"y")
    line = Line(broker=broker)
    for isolation_level in (0, 1):
        found = [answer(line.ask(line.frame(38, isolation_level=isolation_level))) for _ in range(3)]
        told = [[(one.producer_id, one.first_offset) for one in part.aborted_transactions or ()] for part in found]
        assert told == [[(7, 40)] * isolation_level] * 3
    assert quick == [2, 3]
    assert set(pins(broker)) == {0}


def test_committed_readers_stop_at_an_open_transaction(broker, quick):
    append_transactional(broker, 7, b"x")
    line = Line(broker=broker)
    parts = [answer(line.ask(line.frame(38, isolation_level=1))) for _ in range(2)]
    assert {(len(part.records), part.high_watermark, part.last_stable_offset) for part in parts} == {
        (len(batch(b"a" * 20, b"b")), 41, 40)
    }
    assert quick == [2]


@pytest.mark.parametrize(("epoch", "error"), [(5, ErrorCode.UNKNOWN_LEADER_EPOCH), (-2, ErrorCode.FENCED_LEADER_EPOCH)])
def test_a_wrong_leader_epoch_is_refused_every_time(broker, quick, epoch, error):
    line = Line(broker=broker)
    for _ in range(3):
        assert answer(line.ask(line.frame(0, of={"current_leader_epoch": epoch}))).error_code == error
    assert quick == []


def test_a_partition_that_is_led_elsewhere_is_refused(broker, quick):
    line = Line(broker=broker)
    line.ask(line.frame(0))
    partition = broker.partitions.find("t", 0)
    partition.follow_metadata(PartitionImage((1, 2), (2,), 2, partition.leader_epoch + 1, 1), 1)
    assert answer(line.ask(line.frame(0))).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert quick == []


def test_the_brokers_own_limit_holds(quick):
    broker = SmallBroker({"t": 1}, fetch_max_bytes=1024)
    for _ in range(10):
        append(broker, b"a" * 500)
    line = Line(broker=broker)
    sizes = {len(answer(line.ask(line.frame(0, bytes_max=1 << 20))).records) for _ in range(3)}
    assert sizes == {len(batch(b"a" * 500))}
    assert quick == [2, 3]


@pytest.mark.parametrize("version", [11, NEWEST])
def test_a_topic_made_anew_under_the_same_name_is_read(broker, quick, version):
    line = Line(broker=broker)
    for _ in range(2):
        line.ask(line.frame(0, version=version))
    old = request(broker, {0: 0}, version=version)
    broker.ask(DeleteTopicsRequest(topic_names=["t"], timeout_ms=1000), 4)
    gone = answer(line.ask(line.framed(FetchRequest, old, version)), version)
    unknown = ErrorCode.UNKNOWN_TOPIC_ID if version == NEWEST else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert gone.error_code == unknown
    broker.create({"t": 2})
    append(broker, b"of another topic")
    for _ in range(3):
        assert answer(line.ask(line.frame(0, version=version)), version).high_watermark == 1
    assert len(quick) == 3


@pytest.mark.parametrize(
    "special",
    [
        {"session_epoch": 0},
        {"isolation_level": 0, "of": {"last_fetched_epoch": 0}},
        {"replica_state": FetchRequest.ReplicaState(replica_id=-2, replica_epoch=-1)},
    ],
)
def test_requests_that_ask_for_more_are_not_learned(broker, special):
    line = Line(broker=broker)
    for _ in range(3):
        line.ask(line.frame(0, **special))
    assert line.memory.is_empty


def test_several_partitions_are_not_learned(broker):
    line = Line(broker=broker)
    for _ in range(3):
        line.ask(line.framed(FetchRequest, request(broker, {0: 0, 1: 0}), NEWEST))
    assert line.memory.is_empty


def test_what_is_cold_is_read_by_a_worker_as_ever(quick):
    broker = SmallBroker({"t": 1}, disk=SimulatedDisk())
    for _ in range(40):
        append(broker, b"v" * 2000)
    broker.partitions.find("t", 0).log.roll()
    line = Line(broker=broker)
    line.ask(line.frame(0, bytes_max=5000))
    broker.disk.queues_work = True
    broker.disk.cold = {"t-0/00000000000000000000.log"}
    (owed,) = line.hand_in(line.frame(17, bytes_max=5000))
    assert isinstance(owed, OwedAnswer)
    while not owed.is_ready:
        assert broker.disk.run_queued(1), "somebody must be at work"
    assert answer(line.sent(owed)).records[:8] == (17).to_bytes(8, "big")
    assert quick == []
    assert set(pins(broker)) == {0}


def test_the_correlation_id_comes_back_with_its_sign(broker, quick):
    line = Line(broker=broker)
    line.ask(line.frame(0))
    line.ids = -(1 << 31)
    data = line.ask(line.frame(0))
    assert int.from_bytes(data[4:8], "big", signed=True) == line.ids
    assert quick == [line.ids]
