"""The loads that need a stock client: lz4 batches as librdkafka makes them, and end-to-end latency through it."""

from __future__ import annotations

import hashlib
import json
import statistics
import time

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.bench import machine
from tests.bench.loads import Connection, Target, create_topic, delete_topic, timed
from tests.bench.packets import BrokerRefusedError

VALUE_BYTES = 1024
POLL_TIMEOUT_S = 10.0
WARM_UP_MESSAGES = 50


def timed_lz4(target: Target, topic: str, records: int) -> dict[str, float]:
    """Broker CPU seconds per GB (10^9 bytes, before compression) of 1 KiB values in lz4 batches; MB/s beside."""
    producer = Producer(
        {
            "bootstrap.servers": target.bootstrap,
            "compression.codec": "lz4",
            "acks": "1",
            "linger.ms": 5,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 2_000_000,
        }
    )
    values = [_document(number) for number in range(2000)]
    with Connection(target.host, target.port) as connection:
        create_topic(connection, topic)
        _produce(producer, topic, values, 1000)
        with timed(target) as taken:
            _produce(producer, topic, values, records)
        delete_topic(connection, topic)
    sent = records * VALUE_BYTES
    return {"cpu_s_per_gb": taken.cpu_s / sent * 1e9, "mb_per_s": sent / taken.present_s / 1e6}


def timed_latency(target: Target, topic: str, messages: int) -> dict[str, float]:
    """Milliseconds from produce() to the consumer's poll() returning it, one message at a time: p50 and p99."""
    producer = Producer({"bootstrap.servers": target.bootstrap, "acks": "1", "linger.ms": 0})
    consumer = Consumer({"bootstrap.servers": target.bootstrap, "group.id": "bench", "enable.auto.commit": False})
    with Connection(target.host, target.port) as connection:
        create_topic(connection, topic)
        consumer.assign([TopicPartition(topic, 0, 0)])
        for number in range(WARM_UP_MESSAGES):
            _there_and_back(producer, consumer, topic, number)
        with machine.watched() as watch:
            spans = [_there_and_back(producer, consumer, topic, number) for number in range(messages)]
            absences = watch.absences()
        taken_ms = sorted(machine.present_s(span, absences) * 1000 for span in spans)
        consumer.close()
        delete_topic(connection, topic)
    return {"p50_ms": statistics.median(taken_ms), "p99_ms": taken_ms[int(len(taken_ms) * 0.99)]}


def _there_and_back(producer: Producer, consumer: Consumer, topic: str, number: int) -> machine.Span:
    wanted = b"%d" % number
    start = time.perf_counter()
    producer.produce(topic, wanted, partition=0)
    message = consumer.poll(POLL_TIMEOUT_S)
    span = start, time.perf_counter()
    if message is None or message.error() or message.value() != wanted:
        raise BrokerRefusedError(f"message {number} did not come back: {message and message.error()}")
    producer.poll(0)
    return span


def _produce(producer: Producer, topic: str, values: list[bytes], count: int) -> None:
    failures: list[str] = []

    def delivered(error: object, _message: object) -> None:
        if error is not None:
            failures.append(str(error))

    send = producer.produce
    for number in range(count):
        # One callback in 64 is enough to notice a refusal, and keeps the client's cost out of the measurement.
        on_delivery = delivered if number & 63 == 0 else None
        send(topic, values[number & 63], partition=0, on_delivery=on_delivery)
        if number & 0xFFF == 0:
            producer.poll(0)
    left = producer.flush(60)
    if left or failures:
        raise BrokerRefusedError(f"{left} of {count} lz4 records unacknowledged; failures: {failures[:1]}")


def _document(number: int) -> bytes:
    """A JSON event of VALUE_BYTES with ids and amounts of its own: lz4 makes batches of them 5 to 6 times smaller."""
    digest = hashlib.sha256(b"%d" % number).hexdigest()
    items = [
        {"sku": digest[part * 8 : part * 8 + 8], "quantity": number % 7 + part, "price": number * 37 % 9973 / 100}
        for part in range(8)
    ]
    event = {"event": "order-placed", "order": number, "customer": digest, "currency": "EUR", "items": items}
    text = json.dumps(event).encode()
    return text + b" " * (VALUE_BYTES - len(text))
