"""librdkafka as it speaks to Kafka 0.8 and 0.9, against a real process of ours: message sets in and out.

With `broker.version.fallback` it asks for no ApiVersions and uses Produce 0 and 1, Fetch 0 and 1, ListOffsets 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from compat import wire
from kbroker.testing import BrokerProcess, start

RECORDS = [(b"key-%d" % number if number % 3 else None, b"%d: " % number + b"or not " * 50) for number in range(200)]
TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerProcess]:
    with start() as process:
        yield process


def _options(broker: BrokerProcess, release: str) -> dict[str, Any]:
    # It warns that 3.x will speak to no such broker any more.
    fallback = {"api.version.request": False, "broker.version.fallback": release, "log_level": 3}
    return {"bootstrap.servers": broker.bootstrap, **fallback}


def _produce(broker: BrokerProcess, release: str, topic: str, codec: str) -> list[int | None]:
    told: list[int | None] = []
    producer = Producer({**_options(broker, release), "compression.codec": codec, "linger.ms": 5})
    for key, value in RECORDS:
        producer.produce(
            topic, value, key, partition=0, on_delivery=lambda error, message: told.append(error or message.offset())
        )
    assert producer.flush(TIMEOUT_S) == 0
    return told


def _consume(consumer: Consumer) -> list[tuple[int | None, bytes | None, bytes | None]]:
    found: list[tuple[int | None, bytes | None, bytes | None]] = []
    while len(found) < len(RECORDS):
        messages = consumer.consume(len(RECORDS) - len(found), timeout=TIMEOUT_S)
        assert messages, f"nothing more after {len(found)} records"
        for message in messages:
            assert message.error() is None
            found.append((message.offset(), message.key(), message.value()))
    return found


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4"])
@pytest.mark.parametrize("release", ["0.8.2", "0.9.0"])
def test_an_old_client_keeps_compression_and_reads_what_it_wrote(
    broker: BrokerProcess, release: str, codec: str
) -> None:
    topic = f"old-{release}-{codec}"
    wire.create_topic(broker.bootstrap, topic, 1)
    assert _produce(broker, release, topic, codec) == list(range(len(RECORDS)))
    assert {batch.codec for batch in wire.stored_batches(broker.bootstrap, topic)} == {codec}
    consumer = Consumer({**_options(broker, release), "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert _consume(consumer) == [(offset, key, value) for offset, (key, value) in enumerate(RECORDS)]
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=TIMEOUT_S) == (0, len(RECORDS))
    consumer.close()


def test_a_group_of_old_clients_commits_and_goes_on(broker: BrokerProcess) -> None:
    topic = "old-group"
    wire.create_topic(broker.bootstrap, topic, 1)
    _produce(broker, "0.9.0", topic, "gzip")
    options = {**_options(broker, "0.9.0"), "group.id": "g", "auto.offset.reset": "earliest"}
    consumer = Consumer({**options, "enable.auto.commit": False})
    consumer.subscribe([topic])
    assert [offset for offset, _, _ in _consume(consumer)] == list(range(len(RECORDS)))
    consumer.commit(asynchronous=False)
    (committed,) = consumer.committed([TopicPartition(topic, 0)], timeout=TIMEOUT_S)
    assert committed.offset == len(RECORDS)
    consumer.close()
