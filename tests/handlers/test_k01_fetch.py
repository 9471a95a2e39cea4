"""Fetch: what is given at once, what is waited for, and which error each wrong request gets."""

import random
from dataclasses import replace

import pytest
from fetching import NEWEST, append, append_transactional, end_transaction, request
from small_broker import SmallBroker, batch

from kbroker.log.partition_log import PartitionLog
from kbroker.metadata.image import PartitionImage
from kbroker.record.batch import iterate_batches, read_header
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.world import DiskFailure
from protocol_specs.api.k01_fetch import FetchRequest
from protocol_specs.errors import ErrorCode


@pytest.fixture
def broker():
    return SmallBroker({"t": 2, "u": 1})


def fetch(broker, offsets, *, version=NEWEST, **kwargs):
    answer = broker.ask(request(broker, offsets, version=version, **kwargs), version)
    assert answer.error_code == 0
    return {part.partition_index: part for topic in answer.responses for part in topic.partitions}


@pytest.mark.parametrize("version", range(4, NEWEST + 1))
def test_what_was_appended_is_given_at_every_version(broker, version):
    records = batch(b"a", b"b")
    append(broker, b"a", b"b")
    part = fetch(broker, {0: 0}, version=version)[0]
    assert (part.error_code, part.high_watermark, part.last_stable_offset) == (0, 2, 2)
    # Offsets and the leader's epoch were stamped; all that the checksum covers is as it came.
    assert bytes(part.records)[17:] == bytes(records)[17:]


def test_the_batch_that_holds_the_offset_comes_whole(broker):
    append(broker, b"a", b"b", b"c")
    append(broker, b"d")
    assert len(fetch(broker, {0: 2})[0].records) == len(batch(b"a", b"b", b"c")) + len(batch(b"d"))


def test_the_first_batch_comes_however_small_the_limits(broker):
    append(broker, b"a" * 1000)
    append(broker, b"b" * 1000)
    size = len(batch(b"a" * 1000))
    assert len(fetch(broker, {0: 0}, bytes_max=1)[0].records) == size
    assert len(fetch(broker, {0: 0}, max_bytes=1)[0].records) == size


def test_only_the_first_partition_may_exceed_the_limit(broker):
    append(broker, b"a" * 1000)
    append(broker, b"b" * 1000, partition=1)
    given = fetch(broker, {0: 0, 1: 0}, max_bytes=1)
    assert (len(given[0].records) > 0, len(given[1].records)) == (True, 0)


@pytest.mark.parametrize("offset", [-1, 3, 1 << 40])
def test_an_offset_outside_the_log_is_refused(broker, offset):
    append(broker, b"a", b"b")
    assert fetch(broker, {0: offset})[0].error_code == ErrorCode.OFFSET_OUT_OF_RANGE


def test_the_end_of_the_log_is_empty_and_no_error(broker):
    append(broker, b"a")
    part = fetch(broker, {0: 1})[0]
    assert (part.error_code, len(part.records)) == (0, 0)


@pytest.mark.parametrize(
    ("version", "where", "error"),
    [
        (12, {"topic": "missing", "offsets": {0: 0}}, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (12, {"offsets": {7: 0}}, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (13, {"topic": "missing", "offsets": {0: 0}}, ErrorCode.UNKNOWN_TOPIC_ID),
        (13, {"offsets": {7: 0}}, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    ],
)
def test_a_partition_that_is_not_there_is_refused(broker, version, where, error):
    (part,) = fetch(broker, version=version, **where).values()
    assert (part.error_code, part.high_watermark) == (error, -1)


def elect(broker, leader_epoch):
    broker.partitions.find("t", 0).follow_metadata(
        broker.image.partition("t", 0)._replace(leader_epoch=leader_epoch), min_isr=1
    )


@pytest.mark.parametrize(
    ("epoch", "error"), [(-1, 0), (5, 0), (4, ErrorCode.FENCED_LEADER_EPOCH), (6, ErrorCode.UNKNOWN_LEADER_EPOCH)]
)
def test_the_leader_epoch_is_fenced(broker, epoch, error):
    elect(broker, 5)
    assert fetch(broker, {0: 0}, of={"current_leader_epoch": epoch})[0].error_code == error


def test_a_fenced_client_is_told_who_leads_from_version_16(broker):
    elect(broker, 5)
    told = fetch(broker, {0: 0}, version=16, of={"current_leader_epoch": 4})[0].current_leader
    assert (told.leader_id, told.leader_epoch) == (1, 5)
    assert fetch(broker, {0: 0}, version=15, of={"current_leader_epoch": 4})[0].current_leader.leader_id == -1


def test_a_reader_from_a_lost_history_is_told_where_it_parts(broker):
    append(broker, b"a")
    epoch = broker.partitions.find("t", 0).leader_epoch
    part = fetch(broker, {0: 5}, version=12, of={"last_fetched_epoch": epoch})[0]
    assert (part.error_code, part.diverging_epoch.epoch, part.diverging_epoch.end_offset) == (0, epoch, 1)
    assert len(part.records) == 0


def test_the_epoch_of_an_elected_leader_is_known_before_its_first_batch(broker):
    """A reader that named it was told OFFSET_OUT_OF_RANGE until something was appended."""
    part = fetch(broker, {0: 0}, version=12, of={"last_fetched_epoch": 0})[0]
    assert (part.error_code, part.diverging_epoch.epoch) == (0, -1)


def test_a_replica_that_nobody_assigned_is_refused(broker):
    stated = {"replica_state": FetchRequest.ReplicaState(replica_id=5, replica_epoch=-1)}
    assert fetch(broker, {0: 0}, **stated)[0].error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER


def test_read_committed_gets_an_empty_list_of_aborted_transactions(broker):
    append(broker, b"a")
    assert fetch(broker, {0: 0}, isolation_level=1)[0].aborted_transactions == []
    assert fetch(broker, {0: 0})[0].aborted_transactions is None


def aborted(part):
    return [(entry.producer_id, entry.first_offset) for entry in part.aborted_transactions]


def test_readers_of_committed_records_stop_at_open_transactions_and_are_told_which_were_aborted(broker):
    """Aborted and open transactions in a log that another broker wrote were given as committed records."""
    append_transactional(broker, 7, b"aborted")
    append(broker, b"plain")
    append_transactional(broker, 8, b"open")
    end_transaction(broker, 7, is_abort=True)
    part = fetch(broker, {0: 0}, isolation_level=1)[0]
    assert (part.high_watermark, part.last_stable_offset, aborted(part)) == (4, 2, [(7, 0)])
    assert [read_header(one).base_offset for one in iterate_batches(part.records)] == [0, 1]
    part = fetch(broker, {0: 0}, isolation_level=0)[0]
    assert (part.high_watermark, part.last_stable_offset, part.aborted_transactions) == (4, 2, None)
    assert len(list(iterate_batches(part.records))) == 4
    end_transaction(broker, 8, is_abort=False)
    part = fetch(broker, {0: 2}, isolation_level=1)[0]
    # Offset 2 is behind the aborted record, but before its marker: the reader must go on skipping.
    assert (part.last_stable_offset, aborted(part), len(list(iterate_batches(part.records)))) == (5, [(7, 0)], 3)


def test_only_aborted_transactions_that_touch_what_is_given_are_told(broker):
    for sequence in range(3):
        append_transactional(broker, 7, b"aborted", sequence=sequence)
        end_transaction(broker, 7, is_abort=True)
    assert aborted(fetch(broker, {0: 0}, isolation_level=1)[0]) == [(7, 0), (7, 2), (7, 4)]
    assert aborted(fetch(broker, {0: 2}, isolation_level=1, bytes_max=1)[0]) == [(7, 2)]
    assert aborted(fetch(broker, {0: 6}, isolation_level=1)[0]) == []


def test_a_waiting_reader_of_committed_records_is_woken_by_the_marker(broker):
    append_transactional(broker, 7, b"open")
    asked = broker.start(request(broker, {0: 0}, max_wait_ms=1000, isolation_level=1), NEWEST)
    append(broker, b"behind the open transaction")
    assert asked.is_pending
    end_transaction(broker, 7, is_abort=False)
    (topic,) = asked.answer().responses
    assert len(list(iterate_batches(topic.partitions[0].records))) == 3


def test_an_index_of_aborted_transactions_that_was_damaged_refuses_those_who_need_it_alone(broker):
    """As Kafka does, whose consumers ask again on such an error. The whole log directory went offline."""
    append_transactional(broker, 7, b"aborted")
    end_transaction(broker, 7, is_abort=True)
    index = broker.partitions.find("t", 0).log.segments[0].transactions.handle
    index.file().write_at(0, [b"\x7f"])
    assert fetch(broker, {0: 0}, isolation_level=1)[0].error_code == ErrorCode.UNKNOWN_SERVER_ERROR
    assert fetch(broker, {0: 0}, isolation_level=0)[0].error_code == ErrorCode.NONE


def test_with_nothing_to_give_the_answer_waits_and_comes_with_the_next_record(broker):
    asked = broker.start(request(broker, {0: 0}, max_wait_ms=500), NEWEST)
    assert asked.is_pending
    append(broker, b"a")
    assert len(asked.answer().responses[0].partitions[0].records) == len(batch(b"a"))


def test_the_wait_ends_with_its_time(broker):
    asked = broker.start(request(broker, {0: 0}, max_wait_ms=500), NEWEST)
    broker.clock.advance(499)
    assert asked.is_pending
    broker.clock.advance(1)
    assert len(asked.answer().responses[0].partitions[0].records) == 0


def test_min_bytes_are_gathered_over_appends_and_partitions(broker):
    asked = broker.start(request(broker, {0: 0, 1: 0}, max_wait_ms=500, min_bytes=250), NEWEST)
    append(broker, b"x" * 100)
    assert asked.is_pending
    append(broker, b"x" * 100, partition=1)
    parts = asked.answer().responses[0].partitions
    assert [len(part.records) > 0 for part in parts] == [True, True]


@pytest.fixture
def reads(monkeypatch):
    """The logs that were read, in order."""
    logs, read = [], PartitionLog.read
    monkeypatch.setattr(PartitionLog, "read", lambda log, *limits, **how: logs.append(log) or read(log, *limits, **how))
    return logs


def test_progress_of_one_partition_does_not_read_the_others_again(reads):
    """With min_bytes each append used to read all that the waiting reader wants: 1.2 ms where it wants 200.

    Then each read what it was an append to. Now all is read once, when the answer is sent.
    """
    broker = SmallBroker({"t": 20})
    asked = broker.start(
        request(broker, dict.fromkeys(range(20), 0), max_wait_ms=500, min_bytes=3 * len(batch(b"a"))), NEWEST
    )
    reads.clear()
    for partition in (3, 3, 5):
        assert asked.is_pending
        assert not reads
        append(broker, b"a", partition=partition)
    assert not reads
    given = {part.partition_index: len(part.records) for part in asked.answer().responses[0].partitions}
    assert {index for index, size in given.items() if size} == {3, 5}


def test_appends_that_cannot_be_enough_read_nothing(broker, reads):
    """A connection could park 1,000 requests that are never enough: each append by anybody took 37 ms then."""
    asked = [broker.start(request(broker, {0: 0}, max_wait_ms=500, min_bytes=1 << 30), NEWEST) for _ in range(10)]
    reads.clear()
    for _ in range(50):
        append(broker, b"x" * 100)
    assert reads == []
    assert all(one.is_pending for one in asked)


@pytest.mark.parametrize("seed", range(40))
def test_a_wait_ends_when_there_is_enough_between_the_offsets_and_the_ends(seed):
    """However segments roll, transactions end and writes wait, it is counted as if nothing had been counted before.

    A partition that made progress in a way that only reading told of used to be read alone: what was counted of the
    others was forgotten, and the reader waited for somebody else's append.
    """
    chance = random.Random(seed)
    disk = SimulatedDisk()
    broker = SmallBroker({"t": 3}, disk=disk)
    for partition in broker.partitions:
        partition.log.settings = replace(partition.log.settings, segment_bytes=chance.choice((400, 1000, 1 << 20)))
    is_committed, bytes_max = seed % 2, chance.choice((150, 1 << 20))
    wished = {"bytes_max": bytes_max, "isolation_level": is_committed, "min_bytes": 600, "max_wait_ms": 500}
    asked = broker.start(request(broker, dict.fromkeys(range(3), 0), **wished), NEWEST)
    disk.run_queued()
    disk.queues_writes = seed >= 2
    sequence = 0
    for _ in range(40):
        choice = chance.randrange(4)
        if choice == 0:
            disk.run_queued(chance.randrange(4))
        elif choice == 1 and not disk.queues_writes:
            append_transactional(broker, 7, b"y" * 50, sequence=sequence)
            sequence += 1
            if chance.random() < 0.5:
                end_transaction(broker, 7, is_abort=False)
        else:
            append(broker, b"x" * chance.randrange(100), partition=chance.randrange(3))
        parts = [counted(broker.partitions.find("t", index), bytes_max, is_committed) for index in range(3)]
        assert asked.is_pending == (None not in parts and sum(parts) < 600)
        if not asked.is_pending:
            break


def counted(partition, bytes_max, is_committed):
    """The bytes from offset 0 to where a reader may see; None where that is in a later segment."""
    end = partition.last_stable_offset if is_committed else partition.high_watermark
    first = partition.log.segments[0]
    if end > first.next_offset or (end == first.next_offset and len(partition.log.segments) > 1):
        return None
    data = first.handle.file().read_at(0, first.size)
    seen = [one for one in iterate_batches(data) if read_header(one).base_offset < end]
    return min(sum(map(len, seen)), bytes_max)


def test_where_the_end_does_not_move_no_place_is_looked_up(broker, monkeypatch):
    """500 readers of committed records behind an open transaction cost 2.2 ms an append."""
    append(broker, b"a" * 100)
    append_transactional(broker, 7, b"x")
    asked = broker.start(request(broker, {0: 0}, isolation_level=1, max_wait_ms=500, min_bytes=10_000), NEWEST)
    places, place_of = [], PartitionLog.place_of
    monkeypatch.setattr(PartitionLog, "place_of", lambda log, offset: places.append(offset) or place_of(log, offset))
    for _ in range(5):
        append(broker, b"b")
    assert places == []
    assert asked.is_pending
    end_transaction(broker, 7, is_abort=False)
    assert len(places) == 1


def test_whoever_reads_an_older_segment_waits_for_nothing(broker):
    """A reader with min_bytes waited max_wait_ms at the end of each segment: 500 s for a thousand small ones."""
    log = broker.partitions.find("t", 0).log
    for _ in range(3):
        append(broker, b"x" * 100)
        log.roll()
    append(broker, b"x" * 100)
    waits = {"max_wait_ms": 500, "min_bytes": 10_000}
    assert [broker.start(request(broker, {0: offset}, **waits), NEWEST).is_pending for offset in range(4)] == [
        *(False, False, False, True)
    ]


def test_a_wait_ends_with_the_transaction_that_was_open_when_it_began(broker):
    append_transactional(broker, 7, b"x" * 500)
    committed = {"isolation_level": 1, "min_bytes": 400, "max_wait_ms": 500}
    asked = broker.start(request(broker, {0: 0}, **committed), NEWEST)
    assert asked.is_pending
    end_transaction(broker, 7, is_abort=False)
    assert len(asked.answer().responses[0].partitions[0].records) > 500


def test_a_wait_ends_when_its_offset_is_deleted(broker):
    append(broker, b"a", b"b", b"c")
    asked = broker.start(request(broker, {0: 1}, max_wait_ms=500, min_bytes=1000), NEWEST)
    partition = broker.partitions.find("t", 0)
    partition.delete_records_before(2)
    append(broker, b"d")
    assert asked.answer().responses[0].partitions[0].error_code == ErrorCode.OFFSET_OUT_OF_RANGE


def test_a_wait_ends_when_its_partition_is_led_elsewhere(broker):
    asked = broker.start(request(broker, {0: 0}, max_wait_ms=500, min_bytes=1000), NEWEST)
    partition = broker.partitions.find("t", 0)
    partition.follow_metadata(PartitionImage((1, 2), (2,), 2, partition.leader_epoch + 1, 1), 1)
    assert asked.answer().responses[0].partitions[0].error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER


def test_what_was_gathered_to_look_keeps_no_lease(broker):
    asked = broker.start(request(broker, {0: 0, 1: 0}, max_wait_ms=500, min_bytes=1000), NEWEST)
    append(broker, b"a")
    append(broker, b"a", partition=1)
    assert asked.is_pending
    assert [broker.partitions.find("t", index).log.segments[-1].handle.pins for index in (0, 1)] == [0, 0]


def test_a_waiting_reader_hears_of_the_end_of_its_topic(broker):
    from protocol_specs.api.k20_delete_topics import DeleteTopicsRequest

    asked = broker.start(request(broker, {0: 0}, max_wait_ms=500), NEWEST)
    broker.ask(DeleteTopicsRequest(topic_names=["t"]), 5)
    assert asked.answer().responses[0].partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_ID


@pytest.mark.parametrize("min_bytes", [1, 1000])
def test_a_waiting_reader_hears_of_the_failure_of_its_log(broker, min_bytes):
    """With min_bytes of 1 it used to wait until its time was over."""
    asked = broker.start(request(broker, {0: 0, 1: 0}, max_wait_ms=500, min_bytes=min_bytes), NEWEST)
    broker.partitions.find("t", 1).log.fail(DiskFailure("/data", "Input/output error"))
    parts = asked.answer().responses[0].partitions
    assert [part.error_code for part in parts] == [ErrorCode.KAFKA_STORAGE_ERROR] * 2


def test_an_abandoned_wait_leaves_nothing_behind(broker):
    asked = broker.start(request(broker, {0: 0}, max_wait_ms=500), NEWEST)
    asked.abandon()
    assert len(broker.partitions.find("t", 0).watches) == 0
    assert broker.clock.advance(1000) == 0


def test_an_error_does_not_wait(broker):
    assert not broker.start(request(broker, {0: 99}, max_wait_ms=500), NEWEST).is_pending


def test_an_unknown_topic_among_others_does_not_end_the_wait(broker):
    """It used to: a consumer that still follows a deleted topic would have asked without a pause."""
    asked = request(broker, {0: 0}, version=12, max_wait_ms=500)
    missing = FetchRequest.FetchPartition(partition=0, partition_max_bytes=100)
    asked.topics.append(FetchRequest.FetchTopic(topic="gone", partitions=[missing]))
    started = broker.start(asked, 12)
    assert started.is_pending
    broker.clock.advance(500)
    assert [topic.partitions[0].error_code for topic in started.answer().responses] == [0, 3]


def test_only_unknown_partitions_are_answered_at_once(broker):
    assert not broker.start(request(broker, {9: 0}, max_wait_ms=500), NEWEST).is_pending


@pytest.mark.parametrize("version", [4, 12, NEWEST])
def test_an_unknown_partition_has_an_empty_list_of_aborted_transactions(broker, version):
    """Kafka's default; null for a partition that is known and refused."""
    assert fetch(broker, {9: 0}, version=version)[9].aborted_transactions == []
    assert fetch(broker, {0: 99}, version=version, isolation_level=1)[0].aborted_transactions is None


def test_a_last_fetched_epoch_that_no_log_had_is_out_of_range(broker):
    """It used to be answered as a divergence with epoch -1, which says nothing."""
    append(broker, b"a")
    assert fetch(broker, {0: 1}, of={"last_fetched_epoch": 5})[0].error_code == ErrorCode.OFFSET_OUT_OF_RANGE


@pytest.mark.parametrize("version", [4, 9, 10])
def test_a_zstd_topic_is_given_to_every_version(version):
    """Versions below 10 used to be refused; kafka-python 2.0 reads zstd at version 4."""
    broker = SmallBroker({"t": 1}, compression_type="zstd")
    append(broker, b"a")
    assert fetch(broker, {0: 0}, version=version)[0].error_code == 0


def test_a_session_mentions_only_what_is_new(broker):
    append(broker, b"a")
    opened = broker.ask(request(broker, {0: 0, 1: 0}, session_epoch=0), NEWEST)
    assert opened.session_id > 0
    assert len(opened.responses[0].partitions) == 2
    again = broker.ask(request(broker, {}, session_id=opened.session_id, session_epoch=1), NEWEST)
    # Partition 0 is still asked for from offset 0, so it gives its record again; partition 1 has no news.
    assert [part.partition_index for part in again.responses[0].partitions] == [0]


def test_a_session_error_answers_for_the_whole(broker):
    answer = broker.ask(request(broker, {}, session_id=77, session_epoch=4), NEWEST)
    assert answer.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND


def test_a_stopping_broker_may_answer_early(broker):
    asked = broker.start(request(broker, {0: 0}, max_wait_ms=500), NEWEST)
    asked._result.hurry()
    assert len(asked.answer().responses[0].partitions[0].records) == 0


@pytest.mark.parametrize("version", [6, 12, NEWEST])
def test_a_partition_whose_log_could_not_be_opened_is_a_storage_error(broker, version):
    """It used to be unknown, although Metadata names this broker as its leader."""
    broker.directory.failure = DiskFailure("/data", "Input/output error")
    broker.create({"late": 1})
    assert broker.image.partition("late", 0).leader == broker.node_id
    assert fetch(broker, {0: 0}, topic="late", version=version)[0].error_code == ErrorCode.KAFKA_STORAGE_ERROR
