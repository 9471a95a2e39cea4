"""Fetch requests, and what there is to fetch."""

from small_broker import batch

from kbroker.log.outcome import Origin
from kbroker.record.markers import build_marker
from protocol_specs.api.k01_fetch import FetchRequest

NEWEST = 18


def append(broker, *values, topic="t", partition=0, **kwargs):
    broker.partitions.find(topic, partition).append_as_leader(memoryview(batch(*values, **kwargs)), 1)


def request(broker, offsets, *, version=NEWEST, topic="t", bytes_max=1 << 20, **kwargs):
    """A FetchRequest of {partition: offset}; `of` overrides fields of every partition."""
    of = kwargs.pop("of", {})
    known = broker.image.topics.get(topic)
    topic_id = kwargs.pop("topic_id", known.topic_id if known else b"?" * 16)
    named = {"topic_id": topic_id} if version >= 13 else {"topic": topic}
    partitions = [
        FetchRequest.FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=bytes_max, **of)
        for index, offset in offsets.items()
    ]
    fields = {"max_wait_ms": 0, "min_bytes": 1, "max_bytes": 1 << 24, **kwargs}
    topics = [FetchRequest.FetchTopic(**named, partitions=partitions)] if partitions else []
    return FetchRequest(topics=topics, **fields)


def end_transaction(broker, producer, *, is_abort):
    marker = build_marker(producer, 0, is_abort=is_abort, coordinator_epoch=0, timestamp_ms=1_000)
    broker.partitions.find("t", 0).append_as_leader(memoryview(marker), -1, Origin.COORDINATOR)


def append_transactional(broker, producer, *values, sequence=0):
    records = batch(*values, producer_id=producer, producer_epoch=0, base_sequence=sequence, transactional=True)
    broker.partitions.find("t", 0).append_as_leader(memoryview(records), -1, Origin.TRANSACTION)
