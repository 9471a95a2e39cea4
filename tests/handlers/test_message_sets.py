"""Produce 0 to 2 and Fetch 0 to 3: message sets of old in and out."""

import pytest
from small_broker import SmallBroker, batch

from kbroker.handlers.answer import CLOSE
from kbroker.handlers.message_sets import CONVERTED_BYTES_MAX
from kbroker.record.batch import Codec, iterate_records, read_header
from kbroker.record.compression import compress
from kbroker.record.legacy import iterate_entries, iterate_messages, write_message
from kbroker.world import DiskFailure
from protocol_specs.api.k00_produce import ProduceRequest
from protocol_specs.api.k01_fetch import FetchRequest
from protocol_specs.errors import ErrorCode


@pytest.fixture
def broker():
    return SmallBroker({"t": 2})


def message_set(*values, magic=1, codec=0, time=1_000, key=None):
    out = bytearray()
    for offset, value in enumerate(values):
        write_message(out, magic, 0, offset, time, key, value)
    if codec:
        packed, out = compress(codec, bytes(out)), bytearray()
        write_message(out, magic, codec, len(values) - 1, time, None, packed)
    return bytes(out)


def produce_request(records, acks=1, partition=0):
    part = ProduceRequest.PartitionProduceData(index=partition, records=records)
    topic = ProduceRequest.TopicProduceData(name="t", partition_data=[part])
    return ProduceRequest(acks=acks, timeout_ms=1000, topic_data=[topic])


def produce(broker, records, *, version=2, **kwargs):
    return broker.ask(produce_request(records, **kwargs), version).responses[0].partition_responses[0]


def fetch_request(offset, *, bytes_max=1 << 20, max_wait_ms=0, min_bytes=1, partition=0, **kwargs):
    part = FetchRequest.FetchPartition(partition=partition, fetch_offset=offset, partition_max_bytes=bytes_max)
    topic = FetchRequest.FetchTopic(topic="t", partitions=[part])
    return FetchRequest(topics=[topic], max_wait_ms=max_wait_ms, min_bytes=min_bytes, **kwargs)


def fetch(broker, offset, *, version=3, **kwargs):
    return broker.ask(fetch_request(offset, **kwargs), version).responses[0].partitions[0]


def read(records):
    """(offset inside of its set, magic, timestamp, value) of every message."""
    return [
        (one.offset, entry.magic, one.timestamp, one.value)
        for entry in iterate_entries(bytes(records))
        for one in iterate_messages(entry)
    ]


def append(broker, *values, partition=0, **kwargs):
    broker.partitions.find("t", partition).append_as_leader(memoryview(batch(*values, **kwargs)), 1)


def stored(broker):
    read = broker.partitions.find("t", 0).log.read(0, 1 << 20, 1 << 60)
    return bytes(read.records.file.read_at(read.records.position, read.records.length))


# ---- Produce


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP, Codec.SNAPPY])
def test_a_set_is_stored_as_one_batch_with_dense_offsets(broker, version, magic, codec):
    answers = [produce(broker, message_set(b"a", b"b", magic=magic, codec=codec), version=version) for _ in range(2)]
    assert [(one.error_code, one.base_offset, one.log_append_time_ms) for one in answers] == [(0, 0, -1), (0, 2, -1)]
    first = stored(broker)
    assert read_header(first)._replace(crc=0, batch_length=0)[:7] == (0, 0, 0, 2, 0, codec, 1)
    times = {one.timestamp for one in iterate_records(first)}
    assert times == {1_000 if magic else -1}


def test_the_log_times_the_records_of_a_topic_that_wants_it():
    broker = SmallBroker({"t": 1}, log_message_timestamp_type="LogAppendTime")
    answer = produce(broker, message_set(b"a"))
    assert (answer.error_code, answer.log_append_time_ms) == (0, broker.clock.wall_ms())
    assert [time for _, _, time, _ in read(fetch(broker, 0).records)] == [broker.clock.wall_ms()]


@pytest.mark.parametrize("version", [0, 1, 2])
def test_no_message_at_all_is_no_error_and_no_record(broker, version):
    for records in (b"", None, message_set(b"a")[:-1]):
        answer = produce(broker, records, version=version)
        assert (answer.error_code, answer.base_offset) == (ErrorCode.NONE, -1)
    assert broker.partitions.find("t", 0).log.log_end == 0


@pytest.mark.parametrize("acks", [1, -1])
def test_a_refused_set_says_why(broker, acks):
    damaged = bytearray(message_set(b"a"))
    damaged[-1] ^= 1
    answer = produce(broker, bytes(damaged), acks=acks)
    assert (answer.error_code, answer.base_offset) == (ErrorCode.CORRUPT_MESSAGE, -1)
    twice = message_set(b"a", codec=Codec.GZIP) * 2
    assert produce(broker, twice, acks=acks).error_code == ErrorCode.INVALID_RECORD


def test_a_refused_set_with_acks_0_closes_the_connection(broker):
    assert broker.ask(produce_request(b"\0" * 40, acks=0), 1) is CLOSE
    assert broker.ask(produce_request(message_set(b"a"), acks=0), 1) is None


def test_the_topics_rules_hold_for_what_a_set_becomes():
    compacted = SmallBroker({"t": 1}, log_cleanup_policy="compact")
    assert produce(compacted, message_set(b"a")).error_code == ErrorCode.INVALID_RECORD
    assert produce(compacted, message_set(b"a", key=b"k")).error_code == ErrorCode.NONE
    small = SmallBroker({"t": 1}, message_max_bytes=300)
    assert produce(small, message_set(*[b"x" * 50] * 9)).error_code == ErrorCode.MESSAGE_TOO_LARGE
    late = produce(compacted, message_set(b"a", key=b"k", time=compacted.clock.wall_ms() + 7_200_000))
    assert late.error_code == ErrorCode.INVALID_TIMESTAMP


@pytest.mark.parametrize("version", [0, 1, 2])
def test_record_batches_come_in_old_requests_too(broker, version):
    """Kafka never looked whether the magic fits the version, because of clients that sent the wrong one."""
    for codec in (Codec.NONE, Codec.ZSTD):
        assert produce(broker, batch(b"a", codec=codec), version=version).error_code == ErrorCode.NONE
    assert produce(broker, bytes(batch(b"a")) * 2, version=version).error_code == ErrorCode.INVALID_RECORD


def test_message_sets_do_not_come_in_new_requests(broker):
    assert produce(broker, message_set(b"a"), version=3).error_code == ErrorCode.INVALID_RECORD


# ---- Fetch


@pytest.mark.parametrize(("version", "magic"), [(0, 0), (1, 0), (2, 1), (3, 1)])
@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4])
def test_records_come_in_the_magic_of_the_version(broker, version, magic, codec):
    append(broker, b"a", b"b", codec=codec)
    part = fetch(broker, 0, version=version)
    assert (part.error_code, part.high_watermark) == (0, 2)
    assert {entry.codec for entry in iterate_entries(bytes(part.records))} == {codec}
    assert [(one[1], one[3]) for one in read(part.records)] == [(magic, b"a"), (magic, b"b")]


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_an_old_request_waits_like_any_other(broker, version):
    asked = broker.start(fetch_request(0, max_wait_ms=500), version)
    assert asked.is_pending
    append(broker, b"a")
    assert [one[3] for one in read(asked.answer().responses[0].partitions[0].records)] == [b"a"]
    empty = broker.start(fetch_request(1, max_wait_ms=500), version)
    broker.clock.advance(500)
    assert empty.answer().responses[0].partitions[0].records == b""


def test_an_abandoned_wait_leaves_nothing_behind(broker):
    asked = broker.start(fetch_request(0, max_wait_ms=500), 2)
    partition = broker.partitions.find("t", 0)
    assert len(partition.watches) == 1
    asked.abandon()
    assert len(partition.watches) == 0


def test_a_plain_batch_begins_at_the_offset_that_was_asked_for(broker):
    append(broker, b"a", b"b", b"c")
    assert [one[3] for one in read(fetch(broker, 2).records)] == [b"c"]


def test_the_limit_of_versions_0_to_2_is_hard_and_that_of_3_gives_one_batch(broker):
    append(broker, b"x" * 500)
    for version in (0, 1, 2):
        assert fetch(broker, 0, version=version, bytes_max=400).records == b""
    assert [one[3] for one in read(fetch(broker, 0, version=3, bytes_max=400).records)] == [b"x" * 500]


def test_one_old_request_gets_a_bounded_answer(broker):
    for _ in range(9):
        append(broker, b"x" * 900_000)
    part = fetch(broker, 0, bytes_max=1 << 30)
    assert CONVERTED_BYTES_MAX - (1 << 20) < len(part.records) <= CONVERTED_BYTES_MAX


@pytest.mark.parametrize("version", [1, 3])
def test_zstd_cannot_be_told_to_old_clients(broker, version):
    append(broker, b"a")
    append(broker, b"b", codec=Codec.ZSTD)
    assert [one[3] for one in read(fetch(broker, 0, version=version).records)] == [b"a"]
    refused = fetch(broker, 1, version=version)
    assert (refused.error_code, refused.high_watermark) == (ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, -1)
    assert refused.records == b""


def test_a_failed_read_is_told_with_an_error_that_old_clients_know(broker, monkeypatch):
    append(broker, b"a")

    def fail(file, position, length):
        raise DiskFailure(file.path, "Input/output error")

    monkeypatch.setattr("kbroker.real.memory_disk.MemoryFile.read_at", fail)
    assert fetch(broker, 0).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("fetched", [0, 1, 2, 3])
def test_what_was_produced_in_old_versions_is_fetched_in_old_versions(broker, version, fetched):
    produce(broker, message_set(b"a", b"", None, codec=Codec.LZ4), version=version)
    assert [one[3] for one in read(fetch(broker, 0, version=fetched).records)] == [b"a", b"", None]


def test_errors_of_old_fetches_are_those_of_new_ones(broker):
    assert fetch(broker, 5).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert fetch(broker, 0, partition=7).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_leases_are_given_back(broker):
    append(broker, b"a")
    segment = broker.partitions.find("t", 0).log.segments[0]
    before = segment.handle.pins
    fetch(broker, 0)
    assert segment.handle.pins == before
