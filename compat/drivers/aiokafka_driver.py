"""Driver for aiokafka; its event loop runs on a thread of its own, so that members live between commands."""

from __future__ import annotations

import asyncio
import platform
import threading

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code
from aiokafka.structs import OffsetAndMetadata
from driver import Driver, TooSlowError, decoded, record_out, serve

SESSION_TIMEOUT_MS = 6000


class Aiokafka(Driver):
    """Every command is a coroutine on the one loop; the members poll from threads like those of other drivers."""

    errors = (KafkaError, TooSlowError, asyncio.TimeoutError)

    def __init__(self):
        super().__init__()
        self.producers = {}
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, coroutine):
        """The result of a coroutine on the loop; TooSlowError at the deadline."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, self.left_s()), self.loop).result()

    def hello(self, bootstrap):
        """Take the address; say who answers."""
        self.bootstrap = bootstrap
        cannot = {"null-record": "aiokafka wants a key or a value"}
        return {"version": aiokafka.__version__, "runtime": f"Python {platform.python_version()}", "cannot": cannot}

    def create_topic(self, topic, partitions):
        """Create a topic with one replica."""
        answer = self.run(self._with_admin(lambda admin: admin.create_topics([NewTopic(topic, partitions, 1)])))
        return refuse([error[1] for error in answer.topic_errors])

    def delete_topic(self, topic):
        """Delete a topic."""
        answer = self.run(self._with_admin(lambda admin: admin.delete_topics([topic])))
        return refuse([error[1] for error in answer.topic_error_codes])

    def list_topics(self):
        """The names of all topics."""
        return {"topics": self.run(self._with_admin(lambda admin: admin.list_topics()))}

    def describe_topic(self, topic):
        """The number of a topic's partitions."""
        described = self.run(self._with_admin(lambda admin: admin.describe_topics([topic])))
        return {"partitions": len(described[0]["partitions"])}

    def produce(self, topic, records, codec, acks, idempotent, producer=None, pace_ms=0):
        """Send records in order, wait for all; offsets are null where the broker owes no answer."""
        return self.run(self._produce(topic, records, codec, acks, idempotent, producer, pace_ms))

    def close_producer(self, producer):
        """Close a named producer."""
        self.run(self.producers.pop(producer).stop())
        return {}

    def consume(self, topic, partition, start, count):
        """Read `count` records from the beginning, an offset or a time."""
        return {"records": self.run(self._consume(TopicPartition(topic, partition), start, count))}

    def watermarks(self, topic, partition):
        """The first offset and the end of a partition."""
        where = TopicPartition(topic, partition)

        async def ask(consumer):
            beginning = (await consumer.beginning_offsets([where]))[where]
            return {"beginning": beginning, "end": (await consumer.end_offsets([where]))[where]}

        return self.run(self._with_consumer(None, ask))

    def commit(self, group, topic, partition, offset):
        """Commit an offset without joining the group."""
        where = TopicPartition(topic, partition)

        async def ask(consumer):
            consumer.assign([where])
            await consumer.commit({where: OffsetAndMetadata(offset, "")})
            return {}

        return self.run(self._with_consumer(group, ask))

    def committed(self, group, topic, partition):
        """What a new consumer of the group reads as committed; null when nothing is."""
        where = TopicPartition(topic, partition)

        async def ask(consumer):
            consumer.assign([where])
            return {"offset": await consumer.committed(where)}

        return self.run(self._with_consumer(group, ask))

    def admin_committed(self, group, topic, partition):
        """What the admin client reads as committed; null when nothing is."""
        found = self.run(self._with_admin(lambda admin: admin.list_consumer_group_offsets(group)))
        entry = found.get(TopicPartition(topic, partition))
        return {"offset": entry.offset if entry else None}

    def group_read(self, group, topic, count):
        """Join, read exactly `count` records, commit behind them, leave."""

        async def ask(consumer):
            consumer.subscribe([topic])
            records = [record_of(await consumer.getone()) for _ in range(count)]
            await consumer.commit({TopicPartition(topic, r["partition"]): r["offset"] + 1 for r in records})
            return {"records": records}

        return self.run(self._with_consumer(group, ask))

    def open_member(self, group, topic):
        """A member that commits by itself."""
        return AiokafkaMember(self, group, topic)

    def open_consumer(self, group, **options):
        """A consumer that isn't started; to be made on the loop."""
        return AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=300,
            metadata_max_age_ms=2000,
            **{"enable_auto_commit": False, **options},
        )

    async def _with_consumer(self, group, ask):
        consumer = self.open_consumer(group)
        await consumer.start()
        try:
            return await ask(consumer)
        finally:
            await consumer.stop()

    async def _with_admin(self, ask):
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            return await ask(admin)
        finally:
            await admin.close()

    async def _produce(self, topic, records, codec, acks, idempotent, producer, pace_ms):
        sender = self.producers.get(producer) or await self._open_producer(codec, acks, idempotent)
        if producer is not None:
            self.producers[producer] = sender
        futures = []
        for record in records:
            future = await sender.send(
                topic,
                key=decoded(record["key"]),
                value=decoded(record["value"]),
                headers=[(name, decoded(data)) for name, data in record["headers"]],
                partition=record["partition"],
                timestamp_ms=record["timestamp"],
            )
            futures.append(future)
            if pace_ms:
                await asyncio.sleep(pace_ms / 1000)
        sent = [await future for future in futures]
        if producer is None:
            await sender.stop()
        return {"offsets": [one.offset if one is not None and one.offset >= 0 else None for one in sent]}

    async def _open_producer(self, codec, acks, idempotent):
        sender = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if codec == "none" else codec,
            acks="all" if acks == "all" else acks,
            enable_idempotence=idempotent,
            linger_ms=5,
            max_request_size=4 << 20,
        )
        await sender.start()
        return sender

    async def _consume(self, where, start, count):
        async def ask(consumer):
            consumer.assign([where])
            if start == "beginning":
                await consumer.seek_to_beginning(where)
            elif "offset" in start:
                consumer.seek(where, start["offset"])
            else:
                consumer.seek(where, (await consumer.offsets_for_times({where: start["time"]}))[where].offset)
            return [record_of(await consumer.getone()) for _ in range(count)]

        return await self._with_consumer(None, ask)


class AiokafkaMember:
    """A subscribed consumer as `driver.Member` wants it; its calls cross over to the loop."""

    def __init__(self, driver, group, topic):
        self._loop = driver.loop

        async def start():
            consumer = driver.open_consumer(group, enable_auto_commit=True, auto_commit_interval_ms=500)
            await consumer.start()
            consumer.subscribe([topic])
            return consumer

        self._consumer = self._run(start())

    def poll(self):
        """The records of a short wait."""
        batches = self._run(self._consumer.getmany(timeout_ms=200))
        return [record_of(message) for batch in batches.values() for message in batch]

    def assignment(self):
        """The partitions owned now."""
        return [where.partition for where in self._consumer.assignment()]

    def close(self):
        """Commit and leave."""
        self._run(self._consumer.stop())

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def record_of(message):
    """A consumed record in the runner's form."""
    return record_out(message.partition, message.offset, message.timestamp, message.key, message.value, message.headers)


def refuse(codes):
    """An empty answer when all codes are 0; the client's error otherwise."""
    for code in codes:
        if code:
            raise for_code(code)
    return {}


if __name__ == "__main__":
    serve(Aiokafka())
