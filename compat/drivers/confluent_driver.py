"""Driver for confluent-kafka: librdkafka through Python."""

from __future__ import annotations

import platform
import time

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from driver import Driver, TooSlowError, decoded, record_out, serve

SESSION_TIMEOUT_MS = 6000


class Confluent(Driver):
    """One producer per command unless it is named; consumers live for one command, members until they are closed."""

    errors = (KafkaException, TimeoutError)

    def __init__(self):
        super().__init__()
        self.producers = {}
        self.admin = None

    def hello(self, bootstrap):
        """Take the address; say who answers."""
        self.bootstrap = bootstrap
        # Kept: its futures fail when the client is collected before they are done.
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        runtime = f"librdkafka {confluent_kafka.libversion()[0]}, Python {platform.python_version()}"
        return {"version": confluent_kafka.__version__, "runtime": runtime, "cannot": {}}

    def create_topic(self, topic, partitions):
        """Create a topic with one replica."""
        self.admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(self.left_s())
        return {}

    def delete_topic(self, topic):
        """Delete a topic."""
        self.admin.delete_topics([topic])[topic].result(self.left_s())
        return {}

    def list_topics(self):
        """The names of all topics."""
        return {"topics": list(self.admin.list_topics(timeout=self.left_s()).topics)}

    def describe_topic(self, topic):
        """The number of a topic's partitions."""
        described = self.admin.describe_topics(confluent_kafka.TopicCollection([topic]))
        return {"partitions": len(described[topic].result(self.left_s()).partitions)}

    def produce(self, topic, records, codec, acks, idempotent, producer=None, pace_ms=0):
        """Send records in order, wait for all; offsets are null where the broker owes no answer."""
        sender = self.producers.get(producer) or self._open_producer(codec, acks, idempotent)
        if producer is not None:
            self.producers[producer] = sender
        delivered = {}
        for index, record in enumerate(records):
            optional = {} if record["partition"] is None else {"partition": record["partition"]}
            if record["timestamp"] is not None:
                optional["timestamp"] = record["timestamp"]
            sender.produce(
                topic,
                key=decoded(record["key"]),
                value=decoded(record["value"]),
                headers=[(name, decoded(data)) for name, data in record["headers"]],
                on_delivery=lambda error, message, index=index: delivered.update({index: (error, message)}),
                **optional,
            )
            sender.poll(pace_ms / 1000)
        if sender.flush(self.left_s()):
            raise TooSlowError(f"{len(delivered)} of {len(records)} records were delivered")
        return {"offsets": [offset_of(*delivered[index]) for index in range(len(records))]}

    def close_producer(self, producer):
        """Drop a named producer."""
        del self.producers[producer]
        return {}

    def consume(self, topic, partition, start, count):
        """Read `count` records from the beginning, an offset or a time."""
        consumer = self._open_consumer("unused")
        try:
            if start == "beginning":
                offset = confluent_kafka.OFFSET_BEGINNING
            elif "offset" in start:
                offset = start["offset"]
            else:
                wanted = TopicPartition(topic, partition, start["time"])
                offset = consumer.offsets_for_times([wanted], timeout=self.left_s())[0].offset
            consumer.assign([TopicPartition(topic, partition, offset)])
            return {"records": self.collect(lambda: polled(consumer, count), count)}
        finally:
            consumer.close()

    def watermarks(self, topic, partition):
        """The first offset and the end of a partition."""
        consumer = self._open_consumer("unused")
        try:
            beginning, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=self.left_s())
            return {"beginning": beginning, "end": end}
        finally:
            consumer.close()

    def commit(self, group, topic, partition, offset):
        """Commit an offset without joining the group."""
        consumer = self._open_consumer(group)
        consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
        consumer.close()
        return {}

    def committed(self, group, topic, partition):
        """What a new consumer of the group reads as committed; null when nothing is."""
        consumer = self._open_consumer(group)
        offset = consumer.committed([TopicPartition(topic, partition)], timeout=self.left_s())[0].offset
        consumer.close()
        return {"offset": offset if offset >= 0 else None}

    def admin_committed(self, group, topic, partition):
        """What the admin client reads as committed; null when nothing is."""
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition)])
        found = self.admin.list_consumer_group_offsets([asked])[group].result(self.left_s())
        offset = found.topic_partitions[0].offset
        return {"offset": offset if offset >= 0 else None}

    def group_read(self, group, topic, count):
        """Join, read exactly `count` records, commit behind them, leave."""
        consumer = self._open_consumer(group)
        consumer.subscribe([topic])
        records = self.collect(lambda: polled(consumer, 1), count)
        ends = {record["partition"]: record["offset"] + 1 for record in records}
        consumer.commit(offsets=[TopicPartition(topic, p, end) for p, end in ends.items()], asynchronous=False)
        consumer.close()
        return {"records": records}

    def open_member(self, group, topic):
        """A member that commits by itself."""
        consumer = self._open_consumer(group, **{"enable.auto.commit": True, "auto.commit.interval.ms": 500})
        consumer.subscribe([topic])
        return ConfluentMember(consumer)

    def _open_producer(self, codec, acks, idempotent):
        options = {"enable.idempotence": True} if idempotent else {"max.in.flight": 1}
        options |= {"compression.type": codec, "acks": acks, "linger.ms": 5, "message.max.bytes": 4 << 20}
        return Producer({"bootstrap.servers": self.bootstrap, "reconnect.backoff.max.ms": 500, **options})

    def _open_consumer(self, group, **options):
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": 300,
                "reconnect.backoff.max.ms": 500,
                "topic.metadata.refresh.interval.ms": 2000,
                **options,
            }
        )


class ConfluentMember:
    """A subscribed consumer as `driver.Member` wants it."""

    def __init__(self, consumer):
        self._consumer = consumer

    def poll(self):
        """The records of a short wait."""
        return polled(self._consumer, 100)

    def assignment(self):
        """The partitions owned now."""
        return [where.partition for where in self._consumer.assignment()]

    def close(self):
        """Commit and leave."""
        self._consumer.close()


def offset_of(error, message):
    """The offset in a delivery report; null when the broker gave none."""
    if error is not None:
        raise KafkaException(error)
    offset = message.offset()
    return offset if offset is not None and offset >= 0 else None


def polled(consumer, most):
    """The records of one poll of at most 200 ms; a topic that isn't known yet is waited for."""
    started, records = time.monotonic(), []
    for message in consumer.consume(most, timeout=0.2):
        error = message.error()
        if error is None:
            records.append(
                record_out(
                    message.partition(),
                    message.offset(),
                    message.timestamp()[1],
                    message.key(),
                    message.value(),
                    message.headers(),
                )
            )
        elif error.code() != confluent_kafka.KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise KafkaException(error)
        else:
            time.sleep(max(0.0, 0.1 - (time.monotonic() - started)))
    return records


if __name__ == "__main__":
    serve(Confluent())
