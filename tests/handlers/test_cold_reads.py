"""Requests that need what is not in memory: a worker reads it, nobody waits, and the answer is the same."""

import pytest
from fetching import request as fetch_request
from small_broker import SmallBroker, batch

from kbroker.log.outcome import Origin
from kbroker.log.segment import TAIL_BATCHES_MAX
from kbroker.record.batch import iterate_batches, read_header
from kbroker.record.compression import Codec
from kbroker.record.markers import build_marker
from kbroker.testing.simulated_disk import SimulatedDisk
from protocol_specs.api.k02_list_offsets import ListOffsetsRequest
from protocol_specs.errors import ErrorCode

NEWEST_FETCH, NEWEST_LIST = 18, 11
LOG, INDEX, TIME_INDEX, TXN_INDEX = (
    "t-0/00000000000000000000" + suffix for suffix in (".log", ".index", ".timeindex", ".txnindex")
)


@pytest.fixture
def broker():
    """t-0 holds 40 batches of 2 KB in a sealed segment and one in the next, t-1 one batch; work waits."""
    broker = SmallBroker({"t": 2}, disk=SimulatedDisk())
    log = broker.partitions.find("t", 0).log
    for number in range(40):
        append(broker, timestamp_ms=1000 + number)
    log.roll()
    append(broker, timestamp_ms=2000)
    append(broker, partition=1, timestamp_ms=3000)
    broker.disk.queues_work = True
    return broker


def append(broker, partition=0, **kwargs):
    broker.partitions.find("t", partition).append_as_leader(memoryview(batch(b"v" * 2000, **kwargs)), 1)


def fetch(broker, offsets, version=NEWEST_FETCH, **kwargs):
    return broker.start(fetch_request(broker, offsets, version=version, **kwargs), version)


def when_warmed(broker, asked):
    """The answer, and how often workers had to be asked for it."""
    rounds = 0
    while asked.is_pending:
        assert broker.disk.run_queued(1), "somebody must be at work"
        rounds += 1
    return asked.answer(), rounds


def offsets_in(answer):
    return [
        (part.partition_index, read_header(one).base_offset)
        for topic in answer.responses
        for part in topic.partitions
        for one in iterate_batches(part.records)
    ]


def pins(broker):
    return [segment.handle.pins for partition in broker.partitions for segment in partition.log.segments]


@pytest.mark.parametrize("cold", [{LOG}, {INDEX}, {LOG, INDEX}])
def test_a_cold_index_or_header_is_read_by_a_worker_before_the_fetch_is_answered(broker, cold):
    """The loop used to wait for the medium, and every connection with it."""
    warm = fetch(broker, {0: 17}, bytes_max=5000).answer()
    broker.disk.cold = cold
    asked = fetch(broker, {0: 17}, bytes_max=5000)
    assert asked.is_pending
    answer, rounds = when_warmed(broker, asked)
    assert offsets_in(answer) == offsets_in(warm) == [(0, 17), (0, 18)]
    assert rounds <= 4
    assert not any(pins(broker))


def test_partitions_whose_data_is_warm_come_in_the_same_answer(broker):
    broker.disk.cold = {LOG}
    answer, _ = when_warmed(broker, fetch(broker, {0: 39, 1: 0}))
    assert offsets_in(answer) == [(0, 39), (1, 0)]


def test_a_fetch_at_the_end_of_a_log_needs_nothing_from_the_medium(broker):
    broker.disk.cold = {"t-"}
    assert offsets_in(fetch(broker, {0: 40, 1: 0}).answer()) == [(0, 40), (1, 0)]


def test_a_cold_fetch_that_finds_too_little_waits_for_more(broker):
    for _ in range(TAIL_BATCHES_MAX + 10):
        append(broker, partition=1)
    broker.disk.cold = {"t-1/"}
    asked = fetch(broker, {1: 17}, max_wait_ms=500, min_bytes=10_000_000, bytes_max=20_000)
    assert broker.disk.run_queued()
    assert asked.is_pending
    broker.clock.advance(500)
    assert offsets_in(asked.answer()) == [(1, offset) for offset in range(17, 26)]


def test_a_connection_that_ends_while_its_data_is_read_leaves_nothing_leased(broker):
    broker.disk.cold = {LOG}
    asked = fetch(broker, {0: 17})
    asked.abandon()
    broker.disk.run_queued()
    assert not any(pins(broker))
    assert broker.disk.run_queued() == 0


def test_a_medium_that_fails_while_it_is_warmed_fails_the_log_and_not_the_others(broker):
    broker.disk.cold = {LOG}
    asked = fetch(broker, {0: 17, 1: 0})
    broker.disk.failing[LOG] = "I/O error"
    answer, _ = when_warmed(broker, asked)
    errors = {part.partition_index: part.error_code for topic in answer.responses for part in topic.partitions}
    assert errors[0] == ErrorCode.KAFKA_STORAGE_ERROR
    assert not any(pins(broker))


def test_old_versions_are_converted_once_their_data_is_warm(broker):
    broker.disk.cold = {LOG}
    answer, rounds = when_warmed(broker, fetch(broker, {0: 17}, version=3))
    assert answer.responses[0].partitions[0].records
    assert rounds > 1


def test_aborted_transactions_are_looked_up_without_waiting(broker):
    broker.disk.queues_work = False
    log = broker.partitions.find("t", 1).log
    aborted = batch(b"v", producer_id=7, producer_epoch=0, base_sequence=0, transactional=True)
    log.append_as_leader(memoryview(aborted), 1, origin=Origin.TRANSACTION)
    marker = build_marker(7, 0, is_abort=True, coordinator_epoch=0, timestamp_ms=1)
    log.append_as_leader(memoryview(marker), 1, origin=Origin.COORDINATOR)
    log.roll()
    broker.disk.queues_work = True
    broker.disk.cold = {".txnindex"}
    asked = fetch(broker, {1: 0}, isolation_level=1)
    assert asked.is_pending
    answer, _ = when_warmed(broker, asked)
    (part,) = answer.responses[0].partitions
    assert [(entry.producer_id, entry.first_offset) for entry in part.aborted_transactions] == [(7, 1)]
    assert not any(pins(broker))


def test_what_is_never_in_memory_is_answered_all_the_same(broker):
    """A machine that forgets at once must not keep a client for ever."""
    broker.disk.cold = {LOG}
    broker.disk.note_warm = lambda path, start, end: None
    answer, rounds = when_warmed(broker, fetch(broker, {0: 17}))
    assert offsets_in(answer)[0] == (0, 17)
    assert rounds < 20


@pytest.mark.parametrize("cold", [{LOG}, {INDEX}, {TIME_INDEX}, {"t-0"}])
def test_a_search_by_time_does_not_wait_either(broker, cold):
    broker.disk.cold = cold
    wanted = ListOffsetsRequest.ListOffsetsPartition(partition_index=0, timestamp=1017)
    topics = [ListOffsetsRequest.ListOffsetsTopic(name="t", partitions=[wanted])]
    asked = broker.start(ListOffsetsRequest(replica_id=-1, topics=topics), NEWEST_LIST)
    assert asked.is_pending
    answer, _ = when_warmed(broker, asked)
    (found,) = answer.topics[0].partitions
    assert (found.offset, found.timestamp) == (17, 1017)


def list_offsets(broker, timestamp, partition=0):
    wanted = ListOffsetsRequest.ListOffsetsPartition(partition_index=partition, timestamp=timestamp)
    topics = [ListOffsetsRequest.ListOffsetsTopic(name="t", partitions=[wanted])]
    return broker.start(ListOffsetsRequest(replica_id=-1, topics=topics), NEWEST_LIST)


@pytest.mark.parametrize("kwargs", [{"codec": Codec.GZIP}, {}])
def test_a_batch_that_takes_long_to_open_for_a_search_by_time_is_opened_by_a_worker(broker, kwargs):
    """Unpacking 1 MB for one client used to keep the others waiting."""
    values = [(None, b"v" * 1000, (), 5000 + number) for number in range(30)]
    broker.partitions.find("t", 1).append_as_leader(memoryview(batch(*values, **kwargs)), 1)
    asked = list_offsets(broker, 5017, partition=1)
    assert asked.is_pending
    assert pins(broker)[-1] == 1
    answer, rounds = when_warmed(broker, asked)
    (found,) = answer.topics[0].partitions
    assert (found.offset, found.timestamp, rounds) == (18, 5017, 1)
    assert not any(pins(broker))


def test_a_small_batch_is_opened_at_once(broker):
    (found,) = list_offsets(broker, 1017).answer().topics[0].partitions
    assert (found.offset, found.timestamp) == (17, 1017)


def test_what_was_found_in_a_batch_is_forgotten_with_it(broker):
    partition = broker.partitions.find("t", 1)

    def search(values):
        entries = [(None, b"v" * 20_000, (), time) for time in values]
        partition.append_as_leader(memoryview(batch(*entries)), 1)
        answer, _ = when_warmed(broker, list_offsets(broker, 5000, partition=1))
        return answer.topics[0].partitions[0].offset

    assert search([1, 5000]) == 2
    partition.log.truncate_to(1)
    assert search([5000, 1]) == 1


def test_a_failing_medium_is_told_to_whoever_searches(broker):
    partition = broker.partitions.find("t", 1)
    partition.append_as_leader(memoryview(batch(b"v" * 20_000, timestamp_ms=5000)), 1)
    asked = list_offsets(broker, 5000, partition=1)
    broker.disk.failing["t-1"] = "I/O error"
    answer, _ = when_warmed(broker, asked)
    assert answer.topics[0].partitions[0].error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert not any(pins(broker))


def test_a_medium_that_fails_while_a_search_is_warmed_is_not_warmed_again(broker):
    """The try that follows may wait, and meets the failure itself."""
    broker.disk.cold = {"t-0"}
    asked = list_offsets(broker, 1017)
    broker.disk.failing["t-0"] = "I/O error"
    answer, rounds = when_warmed(broker, asked)
    assert (answer.topics[0].partitions[0].error_code, rounds) == (ErrorCode.KAFKA_STORAGE_ERROR, 1)
    assert not any(pins(broker))
