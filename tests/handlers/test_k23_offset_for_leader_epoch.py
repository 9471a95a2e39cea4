"""OffsetForLeaderEpoch: where epochs end, and who is refused."""

import pytest
from small_broker import SmallBroker, batch

from kbroker.handlers.k23_offset_for_leader_epoch import offset_for_leader_epoch
from kbroker.metadata.image import PartitionImage
from kbroker.world import DiskFailure
from protocol_specs.api.k23_offset_for_leader_epoch import OffsetForLeaderEpochRequest
from protocol_specs.errors import ErrorCode

Topic = OffsetForLeaderEpochRequest.OffsetForLeaderTopic
Wanted = OffsetForLeaderEpochRequest.OffsetForLeaderPartition


@pytest.fixture
def broker():
    """t-0 has two records of epoch 0, none of 1, three of 2."""
    broker = SmallBroker({"t": 2})
    partition = broker.partitions.find("t", 0)
    partition.append_as_leader(memoryview(batch(b"a", b"b")), 1)
    for _ in range(2):
        lead(partition, leader=1)
    partition.append_as_leader(memoryview(batch(b"c", b"d", b"e")), 1)
    assert partition.leader_epoch == 2
    return broker


def lead(partition, *, leader):
    partition.follow_metadata(PartitionImage((1, 2), (leader,), leader, partition.leader_epoch + 1, 1), 1)


def ask(broker, epoch, *, version=4, topic="t", partition=0, current=-1):
    wanted = Wanted(partition=partition, current_leader_epoch=current, leader_epoch=epoch)
    (answered,) = broker.ask(
        OffsetForLeaderEpochRequest(replica_id=-1, topics=[Topic(topic=topic, partitions=[wanted])]), version
    ).topics
    (part,) = answered.partitions
    assert (answered.topic, part.partition) == (topic, partition)
    return part.error_code, part.leader_epoch, part.end_offset


def test_every_version_is_served():
    handler = offset_for_leader_epoch.handler
    assert (handler.key, handler.lowest, handler.highest) == (23, 2, 4)


@pytest.mark.parametrize("version", range(2, 5))
@pytest.mark.parametrize(
    ("epoch", "found"), [(0, (0, 2)), (1, (0, 2)), (2, (2, 5)), (3, (-1, -1)), (-1, (-1, -1)), (99, (-1, -1))]
)
def test_an_epoch_ends_where_the_next_begins_and_the_last_at_the_end(broker, version, epoch, found):
    """One without a record is nobody's: the one before it answers, as in Kafka."""
    assert ask(broker, epoch, version=version) == (ErrorCode.NONE, *found)


def test_a_log_without_a_record_knows_the_epoch_of_its_leader(broker):
    assert ask(broker, 0, partition=1) == (ErrorCode.NONE, 0, 0)


@pytest.mark.parametrize(
    ("current", "error"),
    [(2, ErrorCode.NONE), (1, ErrorCode.FENCED_LEADER_EPOCH), (3, ErrorCode.UNKNOWN_LEADER_EPOCH)],
)
def test_whoever_believes_in_another_epoch_is_fenced(broker, current, error):
    assert ask(broker, 0, current=current)[0] == error


def test_other_leaders_and_unknown_partitions_are_refused(broker):
    assert ask(broker, 0, partition=7) == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1, -1)
    assert ask(broker, 0, topic="u") == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1, -1)
    lead(broker.partitions.find("t", 0), leader=2)
    assert ask(broker, 0) == (ErrorCode.NOT_LEADER_OR_FOLLOWER, -1, -1)


def test_a_failed_log_is_a_storage_error(broker):
    broker.partitions.find("t", 0).log.fail(DiskFailure("/data", "gone"))
    assert ask(broker, 0) == (ErrorCode.KAFKA_STORAGE_ERROR, -1, -1)
