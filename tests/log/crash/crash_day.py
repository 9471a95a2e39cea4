"""A directory's day, from a seed: everything that a broker does with its logs, on a disk that may stop at any step."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any
from unittest.mock import patch

from crash_checks import check_log
from crash_cleaning import Cleaning
from crash_model import Topic, given

from kbroker.log import stopping
from kbroker.log.directory import CLEAN_FILE, LogDirectory
from kbroker.log.outcome import Appended, Origin
from kbroker.log.settings import LogSettings
from kbroker.names import METADATA_TOPIC, METADATA_TOPIC_ID, TopicPartition
from kbroker.record.batch import build_batch
from kbroker.record.compression import Codec
from kbroker.record.markers import build_marker
from kbroker.testing.simulated_disk import Loss, SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.world import DiskFailure

ROOT = "/data"
PAGE_BYTES = 512
SMALL: dict[str, Any] = {
    "segment_bytes": 1500,
    "index_interval_bytes": 200,
    "retention_bytes": 4000,
    "file_delete_delay_ms": 100,
    "segment_index_bytes": 96,
    "delete_retention_ms": 200,
}
SETTINGS = {
    "a": LogSettings(**SMALL),
    "b": LogSettings(**SMALL, cleanup_policy=frozenset({"compact"})),
    "c": LogSettings(**SMALL, cleanup_policy=frozenset({"compact", "delete"})),
}
IDEMPOTENT, TRANSACTIONAL = range(4), range(10, 13)
"""Producer ids."""
METADATA = TopicPartition(METADATA_TOPIC, 0)


class SeededEntropy:
    """world.Entropy from a seed."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def uuid(self) -> bytes:
        return b"\x10" + self._random.randbytes(15)

    def below(self, end: int) -> int:
        return self._random.randrange(end)


class DayIsOver(Exception):
    """A disk in trouble has brought the broker to its end; the next start is another day."""


class Open:
    """One start of the directory: its logs by name, opened as hosting opens them."""

    def __init__(self, disk: SimulatedDisk, topics: dict[str, Topic], random: Random, clock: VirtualClock) -> None:
        entropy = SeededEntropy(random)
        self.directory = LogDirectory.open(disk, ROOT, clock, entropy, node_id=1)
        self.logs: dict[str, Any] = {METADATA_TOPIC: self.directory.open_metadata_log()}
        self.directory.begin()
        names = [name for name in topics if name != METADATA_TOPIC]
        self.directory.set_aside_strays({TopicPartition(name, 0) for name in names})
        for name in names:
            self.open_log(topics[name])

    def open_log(self, topic: Topic) -> None:
        self.logs[topic.name] = self.directory.open_log(
            TopicPartition(topic.name, 0), topic.topic_id, SETTINGS[topic.name]
        )


class Day:
    """Call `work` as often as you like; `topics` is the model, `promises()` brings it up to date."""

    def __init__(self, seed: int, disk: SimulatedDisk | None = None, topics: dict[str, Topic] | None = None) -> None:
        self.random = Random(seed)
        self.clock = VirtualClock()
        if disk is None:
            disk = SimulatedDisk(page_bytes=PAGE_BYTES)
            disk.make_directory(ROOT)
            disk.sync_directory(ROOT)
        self.disk = disk
        if topics is None:
            topics = {METADATA_TOPIC: Topic(METADATA_TOPIC, METADATA_TOPIC_ID)}
        self.topics = topics
        self.logs: dict[str, Any] = {}
        self.coming: set[str] = set()
        """Names of logs whose files a worker makes."""
        self.cleaning: Cleaning | None = None
        self.is_in_trouble = False
        """The disk is full, or has failed once."""
        self._set_modes()
        self.chores: list[tuple[int, Callable[[], None]]] = [
            (20, self.append),
            (12, self.append_run),
            (8, self.append_in_transaction),
            (5, self.end_transaction),
            (10, self.clean),
            (5, self.append_many),
            (6, self.sync),
            (5, self.work_off),
            (4, self.checkpoint),
            (4, self.advance),
            (3, self.retain),
            (3, self.shrink),
            (3, self.truncate),
            (2, self.roll),
            (1, self.look),
            (3, self.create),
            (1, self.delete),
            (1, self.stop_and_start),
            (1, self.kill_and_start),
        ]

    def _set_modes(self) -> None:
        self.disk.queues_work = self.random.random() < 0.6
        self.disk.queues_writes = self.random.random() < 0.3
        self.disk.order = self.random.randrange if self.random.random() < 0.5 else None

    def start(self) -> None:
        try:
            self.opened = Open(self.disk, self.topics, self.random, self.clock)
        except DiskFailure as failure:
            assert self.is_in_trouble
            raise DayIsOver from failure
        self.logs = self.opened.logs

    def work(self, count: int) -> None:
        weights = [weight for weight, _ in self.chores]
        for _ in range(count):
            self.clock.advance(self.random.choice([0, 0, 1, 3]))
            _, chore = self.random.choices(self.chores, weights)[0]
            try:
                chore()
            except DiskFailure as failure:
                assert self.is_in_trouble
                self.opened.directory.fail(failure)
                self.stop_cleaning()

    def promises(self) -> None:
        """Take down what clients and the cluster have been told by now."""
        for name, log in self.logs.items():
            topic = self.topics.get(name)
            if topic is not None and log.topic_id == topic.topic_id:
                topic.written = max(topic.written, min(log.written_end, topic.end))
                topic.flushed = max(topic.flushed, min(log.flushed_end, topic.end))

    # ---- chores

    def _any(self) -> tuple[Topic, Any]:
        names = [name for name in self.logs if name in self.topics and not self._is_failed(self.logs[name])]
        if not names:
            raise DayIsOver
        name = self.random.choice(names)
        return self.topics[name], self.logs[name]

    def _is_failed(self, log: Any) -> bool:
        assert log.failure is None or self.is_in_trouble
        return log.failure is not None

    def append_many(self) -> None:
        for _ in range(self.random.randrange(2, 8)):
            self.append()

    def append(self) -> None:
        topic, log = self._any()
        self._elect(topic)
        self._put(topic, log, *self._batch(topic))

    def append_run(self) -> None:
        """Batches of a client that came together; what is not taken with others comes by itself, as in Produce."""
        topic, log = self._any()
        if topic.name == METADATA_TOPIC:
            return
        self._elect(topic)
        left = []
        for _ in range(self.random.choice([1, 2, 3, 6])):
            left.append(self._batch(topic)[0])
            topic.batches.append(given(left[-1]))
        while left:
            taken = [given(data).base for data in left]
            run = log.append_run([memoryview(_as_sent(data)) for data in left], topic.leader_epoch)
            if run is None:
                outcome = log.append_as_leader(_as_sent(left[0]), topic.leader_epoch)
                if self._is_failed(log):
                    return
                assert isinstance(outcome, Appended), outcome
                run_bases = [outcome.base_offset]
            else:
                run_bases = run.base_offsets
            assert run_bases == taken[: len(run_bases)]
            left = left[len(run_bases) :]
            self.promises()
        assert log.log_end == topic.end

    def append_in_transaction(self) -> None:
        topic, log = self._any()
        if topic.name != METADATA_TOPIC:
            self._elect(topic)
            self._put(topic, log, *self._batch(topic, self.random.choice(TRANSACTIONAL)))

    def end_transaction(self) -> None:
        """Or a producer is fenced that may have none open."""
        topic, log = self._any()
        if topic.name == METADATA_TOPIC:
            return
        producer_id = self.random.choice(TRANSACTIONAL)
        epoch, sequence = topic.sequences.get(producer_id, (0, 0))
        if self.random.random() < 0.2:
            epoch, sequence = epoch + 1, 0
        topic.sequences[producer_id] = (epoch, sequence)
        marker = build_marker(
            producer_id,
            epoch,
            is_abort=self.random.random() < 0.5,
            coordinator_epoch=0,
            timestamp_ms=self.clock.wall_ms(),
        )
        marker[0:8], marker[12:16] = topic.end.to_bytes(8, "big"), topic.leader_epoch.to_bytes(4, "big")
        self._put(topic, log, bytes(marker), Origin.COORDINATOR)

    def _elect(self, topic: Topic) -> None:
        if self.random.random() < 0.06:
            topic.leader_epoch += self.random.randrange(1, 3)

    def _batch(self, topic: Topic, transactional_id: int | None = None) -> tuple[bytes, Origin]:
        """What is going to be the topic's next batch, and whose it is."""
        random = self.random
        now = self.clock.wall_ms() - random.choice([0, 0, 0, 5])
        count = random.choice([1, 1, 2, 5])
        length = random.choice([0, 10, 40, 200, 600])
        is_compacted = topic.name in SETTINGS and SETTINGS[topic.name].is_compacted
        keys = [b"%d" % number for number in range(6)] if is_compacted else [None, b"k"]
        records = [
            (random.choice(keys), random.randbytes(length // count), (), now + random.randrange(3))
            for _ in range(count)
        ]
        if is_compacted and transactional_id is None and random.random() < 0.2:
            records = [(key, None, headers, time) for key, _, headers, time in records]
        origin = Origin.QUORUM if topic.name == METADATA_TOPIC else Origin.CLIENT
        extra: dict[str, Any] = {"codec": random.choice([Codec.NONE, Codec.NONE, *Codec])}
        if transactional_id is not None:
            origin = Origin.TRANSACTION
            extra |= {"transactional": True} | self._identity(topic, count, transactional_id, 0.0)
        elif random.random() < 0.4 and topic.name != METADATA_TOPIC:
            extra |= self._identity(topic, count, random.choice(IDEMPOTENT), 0.1)
        batch = build_batch(records, timestamp_ms=now, base_offset=topic.end, leader_epoch=topic.leader_epoch, **extra)
        return bytes(batch), origin

    def _put(self, topic: Topic, log: Any, data: bytes, origin: Origin) -> None:
        base = topic.end
        topic.batches.append(given(data))
        outcome = log.append_as_leader(_as_sent(data), topic.leader_epoch, origin=origin)
        if self._is_failed(log):
            return
        assert isinstance(outcome, Appended), outcome
        assert outcome.base_offset == base
        self.promises()
        if topic.name == METADATA_TOPIC:
            log.sync()

    def _identity(self, topic: Topic, count: int, producer_id: int, bump: float) -> dict[str, int]:
        epoch, sequence = topic.sequences.get(producer_id, (0, 0))
        if self.random.random() < bump:
            epoch, sequence = epoch + 1, 0
        topic.sequences[producer_id] = (epoch, sequence + count)
        return {"producer_id": producer_id, "producer_epoch": epoch, "base_sequence": sequence}

    def clean(self) -> None:
        """Begin a round, or go on with the one that is under way; other work comes in between."""
        if self.cleaning is None:
            topic, log = self._any()
            if topic.name == METADATA_TOPIC or not log.settings.is_compacted:
                return
            self.cleaning = Cleaning.of(log, topic, self.disk, self.opened.directory, self.clock.wall_ms())
        if self.cleaning is not None and not self.cleaning.go_on(self.random.choice([1, 1, 2, 4, 99])):
            self.cleaning = None

    def sync(self) -> None:
        self._any()[1].sync()

    def work_off(self) -> None:
        self.disk.run_queued(self.random.choice([1, 3, 9, None]))

    def checkpoint(self) -> None:
        starts = {name: log.noted_start for name, log in self.logs.items() if log.noted_start is not None}
        self.opened.directory.checkpoint()
        self.disk.run_queued()
        if self.opened.directory.failure is not None:
            return
        for name, start in starts.items():
            if name in self.topics and name != METADATA_TOPIC:
                self.topics[name].start_floor = max(self.topics[name].start_floor, start)

    def advance(self) -> None:
        self.clock.advance(100)

    def retain(self) -> None:
        topic, log = self._any()
        if topic.name != METADATA_TOPIC:
            topic.start_ceiling = log.log_end
            log.apply_retention()
            topic.start_ceiling = log.log_start

    def shrink(self) -> None:
        topic, log = self._any()
        if topic.name != METADATA_TOPIC:
            # DeleteRecords goes as far as what is replicated.
            offset = self.random.randrange(log.log_start, max(log.log_start, log.written_end) + 1)
            topic.start_ceiling = max(topic.start_ceiling, offset)
            log.delete_before(offset)

    def truncate(self) -> None:
        """As a follower does whose leader has another history: between two batches, in a newer epoch."""
        topic, log = self._any()
        # Nothing that is replicated goes, and so nothing for which cleaning took something away.
        bases = [batch.base for batch in topic.batches if max(log.log_start, topic.cleaned_end) <= batch.base]
        if topic.name == METADATA_TOPIC or not bases:
            return
        self.disk.run_queued()
        self.promises()
        topic.truncate(self.random.choice(bases))
        topic.leader_epoch += 1
        log.truncate_to(topic.end)
        topic.go_on_after(log)

    def roll(self) -> None:
        self._any()[1].roll()

    def look(self) -> None:
        topic, log = self._any()
        if log.can_close_cleanly:
            check_log(log, topic, topic.written)

    def create(self) -> None:
        """As a broker does: a worker makes the files while others are served, and the topic may be committed before."""
        name = self.random.choice(["a", "b", "c"])
        if name in self.topics or name in self.coming:
            return
        topic = Topic(name, SeededEntropy(self.random).uuid())
        if self.random.random() < 0.5:
            self.topics[name] = topic
        self.coming.add(name)
        self.opened.directory.clear_names([TopicPartition(name, 0)], lambda: self._make(topic))

    def _make(self, topic: Topic) -> None:
        if self.opened.directory.failure is not None:
            return
        try:
            work = self.opened.directory.making(TopicPartition(topic.name, 0), topic.topic_id)
        except DiskFailure as failure:
            self._made(topic, failure)
        else:
            self.disk.in_worker(work, lambda is_new: self._made(topic, is_new))

    def _made(self, topic: Topic, is_new: bool | DiskFailure) -> None:
        assert isinstance(is_new, bool) or self.is_in_trouble
        self.opened.directory.made(TopicPartition(topic.name, 0), is_new=is_new is True)
        self.coming.remove(topic.name)
        self.topics[topic.name] = topic
        try:
            self.opened.open_log(topic)
        except DiskFailure:
            assert self.is_in_trouble

    def delete(self) -> None:
        topic, log = self._any()
        if topic.name != METADATA_TOPIC:
            del self.topics[topic.name]
            del self.logs[topic.name]
            self.opened.directory.delete_log(log)

    def stop_cleaning(self) -> None:
        if self.cleaning is not None:
            self.cleaning.give_up()
            self.cleaning = None

    def stop_and_start(self) -> None:
        if not self.stop():
            raise DayIsOver
        self._set_modes()
        self.start()

    def stop(self) -> bool:
        """Of many logs the broker syncs the whole volume. Was it clean?"""
        self.stop_cleaning()
        self.disk.run_queued()
        self.promises()
        with patch.object(stopping, "TOGETHER_MIN", self.random.choice([1, stopping.TOGETHER_MIN])):
            is_clean = self.opened.directory.close(clean=True)
        assert is_clean or self.is_in_trouble
        if is_clean:
            assert self.disk.exists(f"{ROOT}/{CLEAN_FILE}")
            for name in self.topics.keys() & self.logs.keys():
                self.topics[name].flushed = self.logs[name].log_end
        return is_clean

    def kill_and_start(self) -> None:
        """The process dies and comes back: what had not been written never happened."""
        if self.is_in_trouble:
            raise DayIsOver
        self.promises()
        on_step = self.disk.on_step
        before, self.disk = self.disk, self.disk.restarted(Loss.PROCESS_DIED)
        before.on_step = nobody_told  # whatever the garbage collector does to it
        self.cleaning = None
        self.coming = set()
        self.logs = {}
        self.clock = VirtualClock(self.clock.wall_ms())
        self._set_modes()
        self.start()
        for name, topic in self.topics.items():
            log = self.logs[name]
            fresh = topic.rebased(check_log(log, topic, topic.written), log)
            fresh.flushed, fresh.start_floor = topic.flushed, topic.start_floor
            fresh.start_ceiling = topic.start_ceiling
            fresh.go_on_after(log)
            self.topics[name] = fresh
        self.disk.on_step = on_step


def nobody_told(path: str) -> None:
    """Nobody follows the steps."""


def _as_sent(data: bytes) -> bytearray:
    """A batch as its client sends it: with offsets that begin at 0."""
    return bytearray(8) + data[8:]
