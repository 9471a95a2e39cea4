"""DescribeLogDirs: what lies in a broker's log directories, and how large it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compat.contracts.bench import Bench, wait_until
from compat.contracts.engine import contract, expect
from compat.contracts.keys import DELETE_TOPICS, DESCRIBE_LOG_DIRS
from compat.contracts.rules.delete_records import delete_before
from compat.contracts.rules.fetch import filled
from compat.contracts.rules.produce import produce
from kbroker.record.compression import Codec

DESCRIBING = "KIP-113; Kafka: ReplicaManager.describeLogDirs"
ASKING = "KIP-113; Kafka: KafkaApis.handleDescribeLogDirsRequest"
VERSIONS = range(1, 6)
VOLUMES_SINCE = 4
UNKNOWN_BYTES = -1
Key = tuple[str, int]


def asked(topic: str, *partitions: int) -> dict[str, Any]:
    """A topic with the partitions to describe."""
    return {"topic": topic, "partitions": list(partitions)}


def directories(b: Bench, topics: Sequence[dict[str, Any]] | None, version: int = 5) -> list[Any]:
    """The directories of an answer; there is one at least, and none has failed."""
    answer = b.ask(DESCRIBE_LOG_DIRS, version, topics=topics)
    expect("error of the whole", answer.error_code, 0)
    expect("errors of the directories", {result.error_code for result in answer.results}, {0})
    found: list[Any] = answer.results
    return found


def described(b: Bench, topics: Sequence[dict[str, Any]] | None, version: int = 5) -> dict[Key, Any]:
    """(topic, partition) -> what is told of it; a partition that is told twice breaks the contract."""
    told = [
        ((topic.name, partition.partition_index), partition)
        for result in directories(b, topics, version)
        for topic in result.topics
        for partition in topic.partitions
    ]
    found = dict(told)
    expect("partitions, each once", len(told), len(found))
    return found


def size_of(b: Bench, topic: str, partition: int = 0) -> int:
    """Bytes of a partition."""
    return int(described(b, [asked(topic, partition)])[topic, partition].partition_size)


@contract("LOGDIRS-001 every version tells a partition's size, no lag of a leader, and no future replica", DESCRIBING)
def every_version(b: Bench) -> None:
    topic = b.topic(partitions=2)
    batch = b.batch(b"x")
    produce(b, topic, batch)
    for version in VERSIONS:
        found = described(b, [asked(topic, 0, 1)], version)
        expect(
            f"(size, lag, is it a future one) by partition at version {version}",
            {key: (p.partition_size, p.offset_lag, p.is_future_key) for key, p in found.items()},
            {(topic, 0): (len(batch), 0, False), (topic, 1): (0, 0, False)},
        )


@contract("LOGDIRS-002 null asks for everything there is", ASKING)
def everything(b: Bench) -> None:
    one, other = filled(b, 1, partitions=2), b.topic()
    for version in VERSIONS:
        found = described(b, None, version)
        expect(f"what of ours is missing at version {version}", {(one, 0), (one, 1), (other, 0)} - set(found), set())


@contract("LOGDIRS-003 only the named partitions are described", ASKING)
def named(b: Bench) -> None:
    one, other = b.topic(partitions=3), b.topic()
    for version in VERSIONS:
        found = described(b, [asked(one, 2, 0), asked(other, 0)], version)
        expect(f"partitions at version {version}", set(found), {(one, 0), (one, 2), (other, 0)})


@contract("LOGDIRS-004 what is unknown is left out without an error, the directories are not", ASKING)
def unknown(b: Bench) -> None:
    topic = b.topic()
    for version in VERSIONS:
        found = described(b, [asked(b.name(), 0), asked(topic, 0, 7, -1), asked("", 0)], version)
        expect(f"partitions at version {version}", set(found), {(topic, 0)})
        for topics in ([], [asked(topic)], [asked(b.name(), 0)]):
            expect(f"topics in version {version}", [r.topics for r in directories(b, topics, version) if r.topics], [])


@contract("LOGDIRS-005 a partition that is named twice is described once", ASKING)
def twice(b: Bench) -> None:
    topic = b.topic()
    expect("partitions", set(described(b, [asked(topic, 0, 0), asked(topic, 0)])), {(topic, 0)})


@contract("LOGDIRS-006 a size grows by the bytes of each batch as it was sent", "KIP-113; Kafka: UnifiedLog.size")
def grows(b: Bench) -> None:
    topic, wanted = b.topic(), 0
    expect("bytes of an empty partition", size_of(b, topic), 0)
    for count in (1, 10, 100):
        batch = b.batch(*[b"x" * 100] * count)
        produce(b, topic, batch)
        wanted += len(batch)
        expect(f"bytes after {count} more", size_of(b, topic), wanted)


@contract("LOGDIRS-007 refused records take no room", "KIP-113; Kafka: UnifiedLog.size")
def refused(b: Bench) -> None:
    topic = filled(b, 1)
    before = size_of(b, topic)
    batch = b.batch(b"x")
    batch[-1] ^= 1
    expect("error", produce(b, topic, batch).error_code, 2)
    expect("bytes", size_of(b, topic), before)


@contract(
    "LOGDIRS-008 from version 4 on a volume's bytes in all and free are told, -1 for both where there is no volume",
    "KIP-827",
)
def volumes(b: Bench) -> None:
    nobody_knows = (UNKNOWN_BYTES, UNKNOWN_BYTES)
    for version in VERSIONS:
        for result in directories(b, [], version):
            told = (result.total_bytes, result.usable_bytes)
            fits = 0 <= told[1] <= told[0] and told[0] > 0
            is_right = told == nobody_knows if version < VOLUMES_SINCE else fits or told == nobody_knows
            expect(f"are {told} bytes right at version {version}", is_right, True)


@contract("LOGDIRS-009 in version 5 no directory is cordoned unless somebody cordoned it", "KIP-1066")
def cordoned(b: Bench) -> None:
    expect("cordoned ones", [r.log_dir for r in directories(b, []) if r.is_cordoned], [])


@contract("LOGDIRS-010 directories have absolute paths, each its own, the same at every version", DESCRIBING)
def paths(b: Bench) -> None:
    found = [sorted(result.log_dir for result in directories(b, [], version)) for version in VERSIONS]
    expect("relative ones", [path for path in found[0] if not path.startswith("/")], [])
    expect("are they different", len(found[0]), len(set(found[0])))
    expect("lists of all versions", found, [found[0]] * len(found))


@contract("LOGDIRS-011 the metadata log is no partition", "KIP-631; Kafka: LogManager.allLogs")
def metadata_log(b: Bench) -> None:
    expect("asked for by name", described(b, [asked("__cluster_metadata", 0)]), {})
    expect("is it among all", ("__cluster_metadata", 0) in described(b, None), False)


@contract("LOGDIRS-012 internal topics are described like others", DESCRIBING)
def internal(b: Bench) -> None:
    b.group()
    found = {topic for topic, _ in described(b, None)}
    expect("is __consumer_offsets among all", "__consumer_offsets" in found, True)
    expect("asked for by name", set(described(b, [asked("__consumer_offsets", 0)])), {("__consumer_offsets", 0)})


@contract("LOGDIRS-013 a deleted topic is no longer described", "Kafka: LogManager.asyncDelete")
def deleted(b: Bench) -> None:
    topic = filled(b, 1)
    b.ask(DELETE_TOPICS, 6, timeout_ms=10_000, topics=[{"name": topic}])
    wait_until(lambda: not described(b, [asked(topic, 0)]), f"{topic} is gone from its directory")
    expect("is it among all", (topic, 0) in described(b, None), False)


@contract("LOGDIRS-014 DeleteRecords frees no bytes of the segment that is written to", "KIP-107, KIP-113")
def records_deleted(b: Bench) -> None:
    topic = filled(b, 2, 3)
    before = size_of(b, topic)
    expect("(error, low watermark)", delete_before(b, topic, 4), (0, 4))
    expect("bytes with some deleted", size_of(b, topic), before)


@contract("LOGDIRS-015 a batch counts with the bytes that compression left of it", "KIP-113; Kafka: UnifiedLog.size")
def compressed(b: Bench) -> None:
    for codec in (Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD):
        topic, batch = b.topic(), b.batch(b"x" * 10_000, codec=codec)
        produce(b, topic, batch)
        expect(f"bytes of {codec.name}", size_of(b, topic), len(batch))
        expect(f"are {len(batch)} bytes of {codec.name} fewer than were written", len(batch) < 10_000, True)
