"""Driver for kafka-python, releases 1.4 to 3 (the same file: their consumer and producer calls are alike).

An argument such as 0.9 pins the protocol to what that release of Kafka knew.
"""

from __future__ import annotations

import platform
import sys
import time

from driver import Driver, decoded, record_out, serve
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition, __version__
from kafka.admin import NewTopic
from kafka.codec import has_snappy
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

RELEASE = int(__version__.split(".")[0])
SESSION_TIMEOUT_MS = 6000
#: None lets the client ask the broker.
PINNED = tuple(map(int, sys.argv[1].split("."))) if len(sys.argv) > 1 else None
PROTOCOL = {} if PINNED is None else {"api_version": PINNED}
#: Message format v0 came without times, and requests of its days ask for none.
NO_TIMES = ("timestamp", "read-timestamp", "seek-time")


class KafkaPython(Driver):
    """One producer per command unless it is named; consumers live for one command, members until they are closed."""

    errors = (KafkaError,)

    def __init__(self):
        super().__init__()
        self.producers = {}

    def hello(self, bootstrap):
        """Take the address; say who answers."""
        self.bootstrap = bootstrap
        cannot = {
            "null-header": "kafka-python takes only bytes as a header's value",
            "null-record": "kafka-python wants a key or a value",
        }
        if RELEASE < 3:
            cannot["idempotence"] = f"kafka-python {__version__} has no idempotent producer"
        if RELEASE < 2:
            cannot["codec-zstd"] = f"kafka-python {__version__} knows no zstd"
        wants = {}
        if PINNED is not None:
            assert PINNED == (0, 9), "say which features that protocol lacks"
            wants["everything"] = [1, 1, "as to Kafka 0.9 this client speaks Fetch 1"]
            cannot.update(dict.fromkeys(NO_TIMES, "message format v0 has no times"))
            cannot["headers"] = "message format v0 has no headers"
            cannot.update(dict.fromkeys(("admin", "admin-offsets"), "Kafka 0.9 had no admin requests"))
        if not has_snappy():
            cannot["codec-snappy"] = "kafka-python needs python-snappy for this codec, which isn't installed"
        runtime = f"Python {platform.python_version()}"
        return {"version": __version__, "runtime": runtime, "cannot": cannot, "wants": wants}

    def create_topic(self, topic, partitions):
        """Create a topic with one replica."""
        wanted = [NewTopic(topic, partitions, 1)]
        if RELEASE >= 3:
            wanted = {topic: {"num_partitions": partitions, "replication_factor": 1}}
        self._with_admin(lambda admin: admin.create_topics(wanted))
        return {}

    def delete_topic(self, topic):
        """Delete a topic."""
        self._with_admin(lambda admin: admin.delete_topics([topic]))
        return {}

    def list_topics(self):
        """The names of all topics."""
        if RELEASE < 2:
            return {"topics": self._with_consumer(lambda consumer: list(consumer.topics()))}
        return {"topics": list(self._with_admin(lambda admin: admin.list_topics()))}

    def describe_topic(self, topic):
        """The number of a topic's partitions."""
        if RELEASE < 2:
            return {"partitions": self._with_consumer(lambda consumer: len(consumer.partitions_for_topic(topic)))}
        described = self._with_admin(lambda admin: admin.describe_topics([topic]))
        return {"partitions": len(described[0]["partitions"])}

    def produce(self, topic, records, codec, acks, idempotent, producer=None, pace_ms=0):
        """Send records in order, wait for all; offsets are null where the broker owes no answer."""
        sender = self.producers.get(producer) or self._open_producer(codec, acks, idempotent)
        if producer is not None:
            self.producers[producer] = sender
        futures = []
        for record in records:
            futures.append(
                sender.send(
                    topic,
                    key=decoded(record["key"]),
                    value=decoded(record["value"]),
                    headers=[(name, decoded(data)) for name, data in record["headers"]],
                    partition=record["partition"],
                    timestamp_ms=record["timestamp"],
                )
            )
            time.sleep(pace_ms / 1000)
        sender.flush(timeout=self.left_s())
        sent = [future.get(timeout=self.left_s()) for future in futures]
        if producer is None:
            sender.close(timeout=self.left_s())
        return {"offsets": [one.offset if one.offset >= 0 else None for one in sent]}

    def close_producer(self, producer):
        """Close a named producer."""
        self.producers.pop(producer).close(timeout=self.left_s())
        return {}

    def consume(self, topic, partition, start, count):
        """Read `count` records from the beginning, an offset or a time."""
        where = TopicPartition(topic, partition)
        consumer = self._open_consumer(None)
        consumer.assign([where])
        if start == "beginning":
            consumer.seek_to_beginning(where)
        elif "offset" in start:
            consumer.seek(where, start["offset"])
        else:
            consumer.seek(where, consumer.offsets_for_times({where: start["time"]})[where].offset)
        try:
            return {"records": self.collect(lambda: polled(consumer), count)}
        finally:
            consumer.close()

    def watermarks(self, topic, partition):
        """The first offset and the end of a partition."""
        where = TopicPartition(topic, partition)
        return self._with_consumer(
            lambda consumer: {
                "beginning": consumer.beginning_offsets([where])[where],
                "end": consumer.end_offsets([where])[where],
            }
        )

    def commit(self, group, topic, partition, offset):
        """Commit an offset without joining the group."""
        where = TopicPartition(topic, partition)
        consumer = self._open_consumer(group)
        consumer.assign([where])
        consumer.commit({where: offset_and_metadata(offset)})
        consumer.close()
        return {}

    def committed(self, group, topic, partition):
        """What a new consumer of the group reads as committed; null when nothing is."""
        where = TopicPartition(topic, partition)
        consumer = self._open_consumer(group)
        consumer.assign([where])
        offset = consumer.committed(where)
        consumer.close()
        return {"offset": offset}

    def admin_committed(self, group, topic, partition):
        """What the admin client reads as committed; null when nothing is."""
        if RELEASE >= 3:
            found = self._with_admin(lambda admin: admin.list_group_offsets([group]))[group]
        else:
            found = self._with_admin(lambda admin: admin.list_consumer_group_offsets(group))
        entry = found.get(TopicPartition(topic, partition))
        return {"offset": entry.offset if entry else None}

    def group_read(self, group, topic, count):
        """Join, read exactly `count` records, commit behind them, leave."""
        consumer = self._open_consumer(group, max_poll_records=1)
        consumer.subscribe([topic])
        records = self.collect(lambda: polled(consumer), count)
        ends = {TopicPartition(topic, r["partition"]): offset_and_metadata(r["offset"] + 1) for r in records}
        consumer.commit(ends)
        consumer.close(autocommit=False)
        return {"records": records}

    def open_member(self, group, topic):
        """A member that commits by itself."""
        consumer = self._open_consumer(group, enable_auto_commit=True, auto_commit_interval_ms=500)
        consumer.subscribe([topic])
        return KafkaPythonMember(consumer)

    def _with_admin(self, call):
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap, **PROTOCOL)
        try:
            return call(admin)
        finally:
            admin.close()

    def _with_consumer(self, call):
        consumer = self._open_consumer(None)
        try:
            return call(consumer)
        finally:
            consumer.close()

    def _open_producer(self, codec, acks, idempotent):
        options = {"enable_idempotence": idempotent} if RELEASE >= 3 else {}
        if not idempotent:
            # Retries of several requests in flight would reorder records.
            options["max_in_flight_requests_per_connection"] = 1
        return KafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if codec == "none" else codec,
            acks=acks,
            retries=1000,
            linger_ms=5,
            max_request_size=4 << 20,
            reconnect_backoff_max_ms=500,
            **PROTOCOL,
            **options,
        )

    def _open_consumer(self, group, **options):
        return KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=300,
            metadata_max_age_ms=2000,
            reconnect_backoff_max_ms=500,
            **PROTOCOL,
            **{"enable_auto_commit": False, **options},
        )


class KafkaPythonMember:
    """A subscribed consumer as `driver.Member` wants it."""

    def __init__(self, consumer):
        self._consumer = consumer

    def poll(self):
        """The records of a short wait."""
        return polled(self._consumer)

    def assignment(self):
        """The partitions owned now."""
        return [where.partition for where in self._consumer.assignment()]

    def close(self):
        """Commit and leave."""
        self._consumer.close()


def offset_and_metadata(offset):
    """An offset to commit; release 3 added the leader epoch."""
    return OffsetAndMetadata(offset, "", -1) if len(OffsetAndMetadata._fields) > 2 else OffsetAndMetadata(offset, "")


def polled(consumer):
    """The records of one poll of at most 200 ms."""
    batches = consumer.poll(timeout_ms=200).values()
    return [
        record_out(r.partition, r.offset, r.timestamp, r.key, r.value, r.headers) for batch in batches for r in batch
    ]


if __name__ == "__main__":
    serve(KafkaPython())
