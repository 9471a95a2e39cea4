"""DeleteRecords through its handler: what moves, what is told, and what is refused."""

import pytest
from small_broker import SmallBroker, batch

from kbroker.names import OFFSETS_TOPIC
from kbroker.world import DiskFailure
from protocol_specs.api.k01_fetch import FetchRequest
from protocol_specs.api.k02_list_offsets import ListOffsetsRequest
from protocol_specs.api.k19_create_topics import CreateTopicsRequest
from protocol_specs.api.k21_delete_records import DeleteRecordsRequest
from protocol_specs.errors import ErrorCode

NEWEST = 2


@pytest.fixture
def broker():
    """t-0 holds offsets 0 to 5 in batches of two."""
    broker = SmallBroker({"t": 2, "u": 1})
    for _ in range(3):
        broker.partitions.find("t", 0).append_as_leader(memoryview(batch(b"a", b"b")), 1)
    return broker


def ask(broker, offsets, *, topic="t", version=NEWEST):
    """{partition: (error, low watermark)} of a request for (partition, offset) pairs."""
    partitions = [
        DeleteRecordsRequest.DeleteRecordsPartition(partition_index=index, offset=offset) for index, offset in offsets
    ]
    topics = [DeleteRecordsRequest.DeleteRecordsTopic(name=topic, partitions=partitions)]
    answer = broker.ask(DeleteRecordsRequest(topics=topics, timeout_ms=1000), version)
    (told,) = answer.topics
    assert (told.name, answer.throttle_time_ms) == (topic, 0)
    return {part.partition_index: (part.error_code, part.low_watermark) for part in told.partitions}


def fetch(broker, offset):
    wanted = FetchRequest.FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=1 << 20)
    topics = [FetchRequest.FetchTopic(topic="t", partitions=[wanted])]
    answer = broker.ask(FetchRequest(topics=topics, max_wait_ms=0, min_bytes=1, max_bytes=1 << 20), 12)
    return answer.responses[0].partitions[0]


@pytest.mark.parametrize("version", range(NEWEST + 1))
def test_records_before_the_offset_are_gone(broker, version):
    assert ask(broker, [(0, 3)], version=version) == {0: (0, 3)}
    assert fetch(broker, 2).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    part = fetch(broker, 3)
    assert (part.error_code, part.log_start_offset, part.high_watermark) == (0, 3, 6)
    earliest = ListOffsetsRequest.ListOffsetsPartition(partition_index=0, timestamp=-2, current_leader_epoch=-1)
    topics = [ListOffsetsRequest.ListOffsetsTopic(name="t", partitions=[earliest])]
    found = broker.ask(ListOffsetsRequest(replica_id=-1, topics=topics), 4).topics[0].partitions[0]
    assert found.offset == 3


@pytest.mark.parametrize(
    ("offset", "result"),
    [
        (0, (0, 0)),
        (6, (0, 6)),
        (-1, (0, 6)),  # up to the high watermark
        (7, (ErrorCode.OFFSET_OUT_OF_RANGE, -1)),
        (-2, (ErrorCode.OFFSET_OUT_OF_RANGE, -1)),
    ],
)
def test_the_offset_lies_in_the_log(broker, offset, result):
    assert ask(broker, [(0, offset)]) == {0: result}


def test_the_start_never_moves_back(broker):
    ask(broker, [(0, 4)])
    assert ask(broker, [(0, 2)]) == {0: (0, 4)}


def test_what_is_left_after_everything_went_is_an_empty_log_that_goes_on(broker):
    ask(broker, [(0, -1)])
    part = fetch(broker, 6)
    assert (part.error_code, part.log_start_offset, len(part.records)) == (0, 6, 0)
    broker.partitions.find("t", 0).append_as_leader(memoryview(batch(b"next")), 1)
    assert len(fetch(broker, 6).records) > 0


def test_a_partition_named_twice_is_answered_once_for_its_last_offset(broker):
    assert ask(broker, [(0, 2), (1, 0), (0, 1)]) == {0: (0, 1), 1: (0, 0)}


@pytest.mark.parametrize(("topic", "partition"), [("t", 9), ("nothing", 0), (OFFSETS_TOPIC, 0)])
def test_what_is_not_there_is_unknown(broker, topic, partition):
    assert ask(broker, [(partition, 0)], topic=topic) == {partition: (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1)}


def test_internal_topics_keep_their_records(broker):
    broker.create({OFFSETS_TOPIC: 1})
    assert ask(broker, [(0, 0)], topic=OFFSETS_TOPIC) == {0: (ErrorCode.INVALID_TOPIC_EXCEPTION, -1)}


@pytest.mark.parametrize(
    ("policy", "result"),
    [("compact", (ErrorCode.POLICY_VIOLATION, -1)), ("compact,delete", (0, 0)), ("delete", (0, 0))],
)
def test_a_topic_that_only_compacts_keeps_its_records(broker, policy, result):
    config = CreateTopicsRequest.CreatableTopicConfig(name="cleanup.policy", value=policy)
    topic = CreateTopicsRequest.CreatableTopic(name="c", num_partitions=1, replication_factor=1, configs=[config])
    broker.ask(CreateTopicsRequest(topics=[topic], timeout_ms=1000), 7)
    assert ask(broker, [(0, 0)], topic="c") == {0: result}


def test_who_does_not_lead_does_not_delete(broker):
    broker.partitions.find("t", 0).leader = 7
    assert ask(broker, [(0, 1)]) == {0: (ErrorCode.NOT_LEADER_OR_FOLLOWER, -1)}


def test_a_failed_log_is_a_storage_error(broker):
    broker.partitions.find("t", 0).log.fail(DiskFailure("/data", "gone"))
    assert ask(broker, [(0, 1)]) == {0: (ErrorCode.KAFKA_STORAGE_ERROR, -1)}
