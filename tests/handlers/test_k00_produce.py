"""Produce: what each acks promises, and which error each wrong request gets."""

import pytest
from small_broker import SmallBroker, batch

from kbroker.handlers.answer import CLOSE
from kbroker.record.batch import Codec
from kbroker.world import DiskFailure
from protocol_specs.api.k00_produce import ProduceRequest
from protocol_specs.errors import ErrorCode

NEWEST = 13


@pytest.fixture
def broker():
    return SmallBroker({"t": 2})


def request(broker, records, *, acks=-1, topic="t", partition=0, version=NEWEST, timeout_ms=1000, **kwargs):
    known = broker.image.topics.get(topic)
    topic_id = kwargs.pop("topic_id", known.topic_id if known else b"?" * 16)
    named = {"topic_id": topic_id} if version >= 13 else {"name": topic}
    return ProduceRequest(
        acks=acks,
        timeout_ms=timeout_ms,
        topic_data=[
            ProduceRequest.TopicProduceData(
                **named, partition_data=[ProduceRequest.PartitionProduceData(index=partition, records=records)]
            )
        ],
        **kwargs,
    )


def produce(broker, records, *, version=NEWEST, client_id="client", **kwargs):
    answer = broker.ask(request(broker, records, version=version, **kwargs), version, client_id)
    return answer.responses[0].partition_responses[0]


@pytest.mark.parametrize("version", range(3, NEWEST + 1))
@pytest.mark.parametrize("acks", [1, -1])
def test_batches_get_dense_offsets_at_every_version(broker, version, acks):
    answers = [produce(broker, batch(b"a", b"b"), version=version, acks=acks) for _ in range(3)]
    assert [answer.base_offset for answer in answers] == [0, 2, 4]
    assert [answer.error_code for answer in answers] == [0, 0, 0]
    assert {answer.log_append_time_ms for answer in answers} == {-1}


def test_acks_0_is_not_answered_and_appends(broker):
    assert broker.ask(request(broker, batch(b"a"), acks=0), NEWEST) is None
    assert broker.partitions.find("t", 0).log.log_end == 1


def test_a_refused_batch_with_acks_0_closes_the_connection(broker):
    assert broker.ask(request(broker, batch(b"a"), acks=0, partition=9), NEWEST) is CLOSE


@pytest.mark.parametrize("acks", [2, -2, 100])
def test_unknown_acks_are_refused(broker, acks):
    assert produce(broker, batch(b"a"), acks=acks).error_code == ErrorCode.INVALID_REQUIRED_ACKS


@pytest.mark.parametrize(
    ("version", "where", "error"),
    [
        (12, {"topic": "missing"}, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (12, {"partition": 2}, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (13, {"topic": "missing"}, ErrorCode.UNKNOWN_TOPIC_ID),
        (13, {"partition": 2}, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    ],
)
def test_a_partition_that_is_not_there_is_refused(broker, version, where, error):
    answer = produce(broker, batch(b"a"), version=version, **where)
    assert (answer.error_code, answer.base_offset) == (error, -1)


def test_internal_topics_are_written_by_the_admin_client_only():
    broker = SmallBroker({"__consumer_offsets": 1})
    refused = produce(broker, batch((b"k", b"v")), topic="__consumer_offsets", version=9)
    assert refused.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
    allowed = produce(broker, batch((b"k", b"v")), topic="__consumer_offsets", version=9, client_id="__admin_client")
    assert allowed.error_code == ErrorCode.NONE


def test_internal_topics_are_refused_by_id_too():
    broker = SmallBroker({"__consumer_offsets": 1})
    refused = produce(broker, batch((b"k", b"v")), topic="__consumer_offsets", version=13)
    assert refused.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION


def test_a_transactional_id_is_refused_for_good(broker):
    answer = produce(broker, batch(b"a"), transactional_id="tx")
    assert answer.error_code == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def test_zstd_needs_version_7(broker):
    records = batch(b"a", codec=Codec.ZSTD)
    assert produce(broker, records, version=6).error_code == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
    assert produce(broker, records, version=7).error_code == ErrorCode.NONE


@pytest.mark.parametrize("records", [None, b""])
def test_no_batch_at_all_is_invalid(broker, records):
    assert produce(broker, records).error_code == ErrorCode.INVALID_RECORD


def test_a_damaged_batch_is_corrupt_and_says_so(broker):
    records = batch(b"abc")
    records[-2] ^= 1
    answer = produce(broker, records)
    assert (answer.error_code, answer.base_offset) == (ErrorCode.CORRUPT_MESSAGE, -1)
    assert "checksum" in answer.error_message


def test_too_few_in_sync_replicas_write_nothing():
    broker = SmallBroker({"t": 1})
    partition = broker.partitions.find("t", 0)
    image = broker.image.partition("t", 0)
    partition.follow_metadata(image._replace(replicas=(1, 2, 3)), min_isr=2)
    assert produce(broker, batch(b"a")).error_code == ErrorCode.NOT_ENOUGH_REPLICAS
    assert produce(broker, batch(b"a"), acks=1).base_offset == 0


@pytest.fixture
def replicated(broker):
    """Partition 0 with a second replica in sync that never fetches."""
    image = broker.image.partition("t", 0)
    broker.partitions.find("t", 0).follow_metadata(image._replace(replicas=(1, 2), isr=(1, 2)), min_isr=1)
    return broker


def test_acks_all_waits_for_every_replica_in_sync_until_the_time_is_up(replicated):
    asked = replicated.start(request(replicated, batch(b"a"), timeout_ms=200), NEWEST)
    replicated.clock.advance(199)
    assert asked.is_pending
    replicated.clock.advance(1)
    answer = asked.answer().responses[0].partition_responses[0]
    assert answer.error_code == ErrorCode.REQUEST_TIMED_OUT


def test_a_time_out_tells_where_the_records_lie(replicated):
    """As Apache Kafka does, where nothing was told: they are in the log, and may yet be replicated."""
    produce(replicated, batch(b"a", b"b"), acks=1)
    replicated.partitions.find("t", 0).log.delete_before(1)
    asked = replicated.start(request(replicated, batch(b"c"), timeout_ms=200), NEWEST)
    replicated.clock.advance(200)
    answer = asked.answer().responses[0].partition_responses[0]
    assert (answer.error_code, answer.base_offset, answer.log_start_offset) == (ErrorCode.REQUEST_TIMED_OUT, 2, 1)


def test_acks_all_is_answered_when_the_isr_shrinks_to_those_who_have_it(replicated):
    asked = replicated.start(request(replicated, batch(b"a")), NEWEST)
    replicated.partitions.find("t", 0).follow_metadata(replicated.image.partition("t", 0), min_isr=1)
    assert asked.answer().responses[0].partition_responses[0].base_offset == 0


def test_acks_1_does_not_wait_for_others(replicated):
    assert produce(replicated, batch(b"a"), acks=1).base_offset == 0


def test_a_reader_does_not_see_what_is_not_replicated(replicated):
    produce(replicated, batch(b"a"), acks=1)
    assert replicated.partitions.find("t", 0).high_watermark == 0


def test_an_idempotent_repetition_gets_its_first_offsets(broker):
    records = batch(b"a", b"b", producer_id=7, producer_epoch=0, base_sequence=0)
    first = produce(broker, bytearray(records))
    again = produce(broker, bytearray(records))
    assert (first.base_offset, again.base_offset) == (0, 0)
    assert broker.partitions.find("t", 0).log.log_end == 2


def test_a_gap_in_an_idempotent_sequence_is_refused(broker):
    produce(broker, batch(b"a", producer_id=7, producer_epoch=0, base_sequence=0))
    answer = produce(broker, batch(b"b", producer_id=7, producer_epoch=0, base_sequence=2))
    assert answer.error_code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


@pytest.mark.parametrize(("sequence", "epoch", "told"), [(2, 0, 0), (0, -1, 0)])
def test_a_refused_producer_is_told_where_the_log_starts(broker, sequence, epoch, told):
    """As Apache Kafka does for all but unreadable batches; -1 was told."""
    produce(broker, batch(b"a", producer_id=7, producer_epoch=0, base_sequence=0))
    refused = produce(broker, batch(b"b", producer_id=7, producer_epoch=epoch, base_sequence=sequence))
    assert (refused.error_code != 0, refused.log_start_offset) == (True, told)


def _magic_1(records):
    records[16] = 1
    return records


@pytest.mark.parametrize(
    "records", [b"", b"ten bytes!", batch(b"a")[:-1], batch(b"a") * 2, _magic_1(batch(b"a"))], ids=range(5)
)
def test_what_is_not_one_record_batch_is_refused_without_a_log_start(broker, records):
    """As by Apache Kafka, which sees that in the request; the log's was told."""
    answer = produce(broker, records)
    assert (answer.error_code, answer.log_start_offset) == (ErrorCode.INVALID_RECORD, -1)


def test_every_partition_of_a_request_stands_alone(broker):
    asked = request(broker, batch(b"a"))
    asked.topic_data[0].partition_data.append(ProduceRequest.PartitionProduceData(index=5, records=batch(b"b")))
    asked.topic_data[0].partition_data.append(ProduceRequest.PartitionProduceData(index=1, records=batch(b"c")))
    answers = broker.ask(asked, NEWEST).responses[0].partition_responses
    assert [(answer.index, answer.error_code) for answer in answers] == [
        (0, ErrorCode.NONE),
        (5, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (1, ErrorCode.NONE),
    ]


def test_the_broker_times_the_records_of_a_log_append_time_topic():
    broker = SmallBroker({"t": 1}, log_message_timestamp_type="LogAppendTime")
    assert produce(broker, batch(b"a")).log_append_time_ms == broker.clock.wall_ms()


@pytest.mark.parametrize("version", [3, 12, NEWEST])
def test_a_partition_whose_log_could_not_be_opened_is_a_storage_error(broker, version):
    """It used to be unknown, although Metadata names this broker as its leader."""
    broker.directory.failure = DiskFailure("/data", "Input/output error")
    broker.create({"late": 1})
    assert broker.image.partition("late", 0).leader == broker.node_id
    assert produce(broker, batch(b"a"), topic="late", version=version).error_code == ErrorCode.KAFKA_STORAGE_ERROR
