"""ListOffsets: by timestamp and at the ends, at every version."""

import pytest
from small_broker import SmallBroker, batch

from kbroker.handlers.k02_list_offsets import list_offsets
from kbroker.log.outcome import Origin
from kbroker.turns import at_once
from protocol_specs.api.k02_list_offsets import ListOffsetsRequest
from protocol_specs.errors import ErrorCode

NEWEST = 11
LATEST, EARLIEST, LARGEST = -1, -2, -3


@pytest.fixture
def broker():
    """t-0 holds offsets 0 to 5 with timestamps 100, 300, 200, 200, 400, 350."""
    broker = SmallBroker({"t": 2})
    log = broker.partitions.find("t", 0)
    for times in ([100, 300], [200, 200], [400, 350]):
        entries = [(None, b"v", (), time) for time in times]
        log.append_as_leader(memoryview(batch(*entries)), 1)
    return broker


def ask(broker, *timestamps, version=NEWEST, topic="t", partition=0, epoch=-1, **kwargs):
    request = ListOffsetsRequest(
        replica_id=-1,
        topics=[
            ListOffsetsRequest.ListOffsetsTopic(
                name=topic,
                partitions=[
                    ListOffsetsRequest.ListOffsetsPartition(
                        partition_index=partition, timestamp=timestamp, current_leader_epoch=epoch
                    )
                    for timestamp in timestamps
                ],
            )
        ],
        **kwargs,
    )
    return broker.ask(request, version).topics[0].partitions


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
@pytest.mark.parametrize(("timestamp", "offset"), [(LATEST, 6), (EARLIEST, 0)])
def test_the_ends_are_known_at_every_version(broker, version, timestamp, offset):
    (found,) = ask(broker, timestamp, version=version)
    assert (found.error_code, found.offset, found.timestamp) == (0, offset, -1)


@pytest.mark.parametrize(
    ("timestamp", "offset", "found_timestamp"),
    [(0, 0, 100), (100, 0, 100), (101, 1, 300), (300, 1, 300), (301, 4, 400), (400, 4, 400), (401, -1, -1)],
)
def test_a_timestamp_finds_the_first_record_that_is_as_young(broker, timestamp, offset, found_timestamp):
    (found,) = ask(broker, timestamp)
    assert (found.error_code, found.offset, found.timestamp) == (0, offset, found_timestamp)


@pytest.mark.parametrize("version", [4, 7, NEWEST])
def test_the_start_of_an_empty_log_is_of_the_current_epoch(broker, version):
    """It used to be -1; Kafka notes the epoch on becoming leader, before there is a record."""
    partition = broker.partitions.find("t", 1)
    (found,) = ask(broker, EARLIEST, version=version, partition=1)
    assert (found.offset, found.leader_epoch) == (0, partition.leader_epoch)


def test_the_largest_timestamp_names_its_record(broker):
    (found,) = ask(broker, LARGEST)
    assert (found.offset, found.timestamp) == (4, 400)


def test_an_empty_log_has_no_largest_timestamp(broker):
    (found,) = ask(broker, LARGEST, partition=1)
    assert (found.error_code, found.offset, found.timestamp) == (0, -1, -1)


@pytest.mark.parametrize("deleted_before", [0, 1, 5, 6])
def test_the_largest_timestamp_counts_wherever_the_log_starts(broker, deleted_before):
    """As on Apache Kafka, while the file is there. It was not found once its record was deleted, though others were."""
    broker.partitions.find("t", 0).delete_records_before(deleted_before)
    (found,) = ask(broker, LARGEST)
    assert (found.error_code, found.offset, found.timestamp) == (0, 4, 400)


def test_of_records_without_times_the_first_is_named(broker):
    """As on Apache Kafka; nothing was found."""
    log = broker.partitions.find("t", 1)
    for _ in range(2):
        log.append_as_leader(memoryview(batch((None, b"v", (), -1))), 1)
    (found,) = ask(broker, LARGEST, partition=1)
    assert (found.error_code, found.offset, found.timestamp) == (0, 0, -1)


@pytest.mark.parametrize(("timestamp", "since"), [(LARGEST, 7), (-4, 8), (-5, 9), (-6, 11)])
def test_a_special_timestamp_is_unknown_before_its_version(broker, timestamp, since):
    (before,) = ask(broker, timestamp, version=since - 1)
    assert before.error_code == ErrorCode.UNSUPPORTED_VERSION
    (now,) = ask(broker, timestamp, version=since)
    assert now.error_code == 0


def test_without_tiers_all_is_local_and_nothing_is_remote(broker):
    assert ask(broker, -4)[0].offset == 0
    assert ask(broker, -5)[0].offset == -1


def test_the_leader_epoch_comes_along_from_version_4(broker):
    epoch = broker.partitions.find("t", 0).leader_epoch
    assert ask(broker, LATEST, version=4)[0].leader_epoch == epoch
    assert ask(broker, LATEST, version=3)[0].leader_epoch == -1


def test_what_is_not_replicated_is_not_found(broker):
    partition = broker.partitions.find("t", 0)
    partition.high_watermark = 2
    assert ask(broker, LATEST)[0].offset == 2
    assert ask(broker, 301)[0].offset == -1


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ({"topic": "missing"}, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ({"partition": 2}, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ({"epoch": 99}, ErrorCode.UNKNOWN_LEADER_EPOCH),
    ],
)
def test_a_wrong_partition_or_epoch_is_refused(broker, where, error):
    (found,) = ask(broker, LATEST, **where)
    assert (found.error_code, found.offset) == (error, -1)


def test_a_partition_named_twice_is_an_invalid_request(broker):
    assert {found.error_code for found in ask(broker, LATEST, EARLIEST)} == {ErrorCode.INVALID_REQUEST}


class CountedName(str):
    """A topic's name that knows how often it was compared with others."""

    __slots__ = ()
    __hash__ = str.__hash__
    comparisons = 0

    def __eq__(self, other):
        CountedName.comparisons += 1
        return str.__eq__(self, other)


def test_names_are_not_compared_each_with_every_other(broker):
    """One repetition had every name counted anew: a request of 8000 names took seconds."""
    partition = ListOffsetsRequest.ListOffsetsPartition(partition_index=0, timestamp=LATEST)
    names = [CountedName(f"t{number % 200}") for number in range(201)]
    topics = [ListOffsetsRequest.ListOffsetsTopic(name=name, partitions=[partition]) for name in names]
    asked = broker.start(ListOffsetsRequest(topics=[]), NEWEST)
    answer = at_once(list_offsets(asked.ctx, ListOffsetsRequest(topics=topics))).message
    assert CountedName.comparisons < 1_000
    refused = [each.name for each in answer.topics if each.partitions[0].error_code == ErrorCode.INVALID_REQUEST]
    assert refused == ["t0", "t0"]


def test_a_partition_whose_log_could_not_be_opened_has_no_offsets_now(broker):
    """It used to be unknown, as if the topic had never been."""
    broker.partitions.remove(broker.partitions.find("t", 0))
    assert ask(broker, LATEST)[0].error_code == ErrorCode.KAFKA_STORAGE_ERROR


@pytest.mark.parametrize("version", [2, 4, NEWEST])
def test_readers_of_committed_records_see_no_further_than_the_last_stable_offset(broker, version):
    """It was the high watermark, whatever transactions a log held that another broker wrote."""
    partition = broker.partitions.find("t", 0)
    records = batch((None, b"v", (), 900), producer_id=7, producer_epoch=0, base_sequence=0, transactional=True)
    partition.append_as_leader(memoryview(records), -1, Origin.TRANSACTION)
    committed = [ask(broker, timestamp, version=version, isolation_level=1)[0].offset for timestamp in (LATEST, 900)]
    assert committed == [6, -1]
    assert [ask(broker, timestamp, version=version)[0].offset for timestamp in (LATEST, 900)] == [7, 6]


@pytest.fixture
def segmented():
    """t-0 has segments from 0, 2 and 4 with youngest records of 300, 200 and 400."""
    broker = SmallBroker({"t": 2})
    log = broker.partitions.find("t", 0).log
    for times in ([100, 300], [200, 200], [400, 350]):
        log.roll()
        broker.partitions.find("t", 0).append_as_leader(memoryview(batch(*[(None, b"v", (), t) for t in times])), 1)
    return broker


def starts(broker, timestamp, count=100, replica_id=-1, partition=0):
    wanted = ListOffsetsRequest.ListOffsetsPartition(
        partition_index=partition, timestamp=timestamp, max_num_offsets=count
    )
    topic = ListOffsetsRequest.ListOffsetsTopic(name="t", partitions=[wanted])
    (found,) = broker.ask(ListOffsetsRequest(replica_id=replica_id, topics=[topic]), 0).topics[0].partitions
    return found.error_code or found.old_style_offsets


@pytest.mark.parametrize(
    ("timestamp", "offsets"),
    [
        (LATEST, [6, 4, 2, 0]),
        (EARLIEST, [0]),
        (400, [4, 2, 0]),
        (399, [2, 0]),
        (300, [2, 0]),
        (199, []),
        (0, []),
        (1 << 60, [6, 4, 2, 0]),
    ],
)
def test_version_0_lists_where_segments_start(segmented, timestamp, offsets):
    assert starts(segmented, timestamp) == offsets
    assert starts(segmented, timestamp, count=1) == offsets[:1]
    assert starts(segmented, timestamp, count=-1) == []


def test_version_0_shows_consumers_no_more_than_they_may_read(segmented):
    partition = segmented.partitions.find("t", 0)
    partition.high_watermark = 3
    assert starts(segmented, LATEST) == [3, 2, 0]
    assert starts(segmented, LATEST, count=2) == [3]
    assert starts(segmented, LATEST, replica_id=-2) == [6, 4, 2, 0]


def test_version_0_of_an_empty_log_is_its_start(segmented):
    assert starts(segmented, LATEST, partition=1) == [0]
    segmented.partitions.find("t", 0).log.delete_before(3)
    assert starts(segmented, LATEST) == [6, 4, 3]
    assert starts(segmented, EARLIEST) == [3]


def test_version_0_knows_the_two_marks_of_its_time(segmented):
    assert starts(segmented, LARGEST) == ErrorCode.UNSUPPORTED_VERSION
    assert starts(segmented, LATEST, partition=9) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
