"""Fetch: what is read, how much, when it is answered; sessions."""

from __future__ import annotations

import time
from typing import Any

from compat.contracts.bench import Bench, wait_until
from compat.contracts.engine import cases, contract, expect
from compat.contracts.keys import DELETE_TOPICS, FETCH, METADATA
from compat.contracts.rules.produce import produce
from kbroker.record.batch import iterate_batches, iterate_records, read_header

READING = "Kafka: KafkaApis.handleFetchRequest, ReplicaManager.readFromLog"
SESSIONS = "KIP-227; Kafka: FetchSession.scala"
EPOCHS = "KIP-320; Kafka: Partition.fetchRecords"


def wanted(topic: str, offset: int = 0, partition: int = 0, max_bytes: int = 1 << 20, **more: Any) -> dict[str, Any]:
    """A topic with one partition to fetch."""
    one = {"partition": partition, "fetch_offset": offset, "partition_max_bytes": max_bytes, **more}
    return {"topic": topic, "partitions": [one]}


def fetch(b: Bench, version: int, *topics: dict[str, Any], line: Any = None, **more: Any) -> Any:
    """Fetch at once, without a session unless asked for one; topics are named by id where the version wants it."""
    if version >= 13:
        topics = tuple({**t, "topic": "", "topic_id": t.get("topic_id") or b.topic_id(t["topic"])} for t in topics)
    fields = {"max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 20, "topics": list(topics), **more}
    return b.ask(FETCH, version, line, **fields)


def only(answer: Any) -> Any:
    """The one partition of an answer."""
    (topic,) = answer.responses
    (partition,) = topic.partitions
    return partition


def offsets(partition: Any) -> list[int]:
    """The offsets of all records in an answer."""
    return [record.offset for batch in iterate_batches(partition.records) for record in iterate_records(batch)]


def filled(b: Bench, *sizes: int, partitions: int = 1, **configs: str) -> str:
    """A topic whose partition 0 has a batch of that many records for each size."""
    topic = b.topic(partitions, {name.replace("_", "."): value for name, value in configs.items()})
    for size in sizes:
        expect("error of the set-up", produce(b, topic, b.batch(*[b"v"] * size)).error_code, 0)
    return topic


@contract(
    "FETCH-001 every version from 4 on reads the records, with high watermark, stable offset and log start",
    "KIP-98 to KIP-1166",
)
def every_version(b: Bench) -> None:
    topic = filled(b, 2, 3)
    for version in range(4, 19):
        answer = fetch(b, version, wanted(topic))
        found = only(answer)
        expect(
            f"(error, high watermark, stable offset) of version {version}",
            (found.error_code, found.high_watermark, found.last_stable_offset),
            (0, 5, 5),
        )
        expect(f"offsets of version {version}", offsets(found), [0, 1, 2, 3, 4])
        expect(f"log start of version {version}", found.log_start_offset, 0 if version >= 5 else -1)
        expect(f"preferred replica of version {version}", found.preferred_read_replica, -1)
        expect(f"aborted transactions of version {version}", found.aborted_transactions, None)
        expect(f"session of version {version}", (answer.error_code, answer.session_id), (0, 0))


@contract("FETCH-002 an offset at the end gives no records and no error", READING)
def at_the_end(b: Bench) -> None:
    found = only(fetch(b, 12, wanted(filled(b, 2), 2)))
    expect("(error, records)", (found.error_code, bytes(found.records)), (0, b""))


@cases(
    READING,
    ("FETCH-003 an offset beyond the end is OFFSET_OUT_OF_RANGE", 3),
    ("FETCH-004 a negative offset is OFFSET_OUT_OF_RANGE", -1),
)
def out_of_range(b: Bench, offset: int) -> None:
    topic = filled(b, 2)
    for version in (4, 11, 13, 17):
        found = only(fetch(b, version, wanted(topic, offset)))
        expect(f"error of version {version}", found.error_code, 1)
        expect(
            "(high watermark, stable offset, log start)",
            (found.high_watermark, found.last_stable_offset, found.log_start_offset),
            (-1, -1, -1),
        )
        expect("records", bytes(found.records or b""), b"")


@contract("FETCH-005 an unknown topic or partition is refused with 3 before version 13", READING)
def unknown_topic(b: Bench) -> None:
    topic = filled(b, 1)
    for version in (4, 12):
        expect("error of a missing topic", only(fetch(b, version, wanted(b.name()))).error_code, 3)
        expect("error of a missing partition", only(fetch(b, version, wanted(topic, partition=7))).error_code, 3)
        expect("error of a negative partition", only(fetch(b, version, wanted(topic, partition=-1))).error_code, 3)


@contract(
    "FETCH-006 from version 13 on an unknown topic id is refused with 100, an unknown partition with 3", "KIP-516"
)
def unknown_id(b: Bench) -> None:
    topic = filled(b, 1)
    for version in (13, 16, 18):
        found = only(fetch(b, version, {**wanted(topic), "topic_id": b"unknown-topic-id"}))
        expect("error of a missing id", found.error_code, 100)
        expect("error of a missing partition", only(fetch(b, version, wanted(topic, partition=7))).error_code, 3)


@contract("FETCH-017 mid-batch offset returns the whole batch", READING)
def mid_batch(b: Bench) -> None:
    topic = filled(b, 2, 5, 1)
    for version in (4, 12, 16):
        found = only(fetch(b, version, wanted(topic, 4)))
        expect("offsets", offsets(found), [2, 3, 4, 5, 6, 7])


@contract("FETCH-018 the first batch comes whole even above both limits", "KIP-74")
def first_batch_whole(b: Bench) -> None:
    topic = filled(b, 3, 3)
    for version in (4, 11, 12):
        found = only(fetch(b, version, wanted(topic, max_bytes=1), max_bytes=1))
        expect("offsets", offsets(found), [0, 1, 2])


@contract("FETCH-019 only the first batch of an answer may exceed the limit", "KIP-74")
def second_partition_is_bound(b: Bench) -> None:
    topic = b.topic(partitions=2)
    for partition in (0, 1):
        produce(b, topic, b.batch(b"x" * 100), partition=partition)
    parts = [{"partition": p, "fetch_offset": 0, "partition_max_bytes": 1 << 20} for p in (1, 0)]
    answer = fetch(b, 12, {"topic": topic, "partitions": parts}, max_bytes=1)
    found = {p.partition_index: offsets(p) for t in answer.responses for p in t.partitions}
    expect("offsets by partition", found, {1: [0], 0: []})


@contract("FETCH-020 a partition's limit cuts behind the batches that fit", "KIP-74")
def partition_limit(b: Bench) -> None:
    topic = filled(b, 1, 1, 1)
    size = len(b.batch(b"v"))
    found = only(fetch(b, 12, wanted(topic, max_bytes=2 * size)))
    expect("offsets", offsets(found), [0, 1])


@contract("FETCH-021 a limit of zero bytes still gives the first batch", READING)
def zero_limit(b: Bench) -> None:
    topic = filled(b, 2)
    expect("offsets", offsets(only(fetch(b, 12, wanted(topic, max_bytes=0), max_bytes=0))), [0, 1])


@contract("FETCH-022 with too little to read the answer waits for max_wait_ms", READING)
def waits(b: Bench) -> None:
    topic = filled(b, 1)
    begun = time.monotonic()
    found = only(fetch(b, 12, wanted(topic, 1), max_wait_ms=250, min_bytes=1))
    expect("(error, records)", (found.error_code, bytes(found.records)), (0, b""))
    expect("did it wait", 0.2 < time.monotonic() - begun < 5, True)


@contract("FETCH-023 min_bytes=0 is answered at once", READING)
def no_wait(b: Bench) -> None:
    topic = filled(b, 1)
    begun = time.monotonic()
    fetch(b, 12, wanted(topic, 1), max_wait_ms=10_000, min_bytes=0)
    expect("was it at once", time.monotonic() - begun < 5, True)


@contract("FETCH-024 a waiting fetch is woken by a record", READING)
def woken(b: Bench) -> None:
    topic, line = filled(b, 1), b.line()
    begun = time.monotonic()
    fields = {
        "max_wait_ms": 14_000,
        "min_bytes": 1,
        "max_bytes": 1 << 20,
        "session_epoch": -1,
        "topics": [wanted(topic, 1)],
    }
    number = b.send(FETCH, 11, line, replica_id=-1, **fields)
    expect("is it silent first", line.is_silent(0.05), True)
    produce(b, topic, b.batch(b"x"))
    expect("offsets", offsets(only(b.answer(FETCH, 11, line, number))), [1])
    expect("was it woken", time.monotonic() - begun < 10, True)


@contract("FETCH-025 a waiting fetch is not woken by less than min_bytes, and gives what there is in the end", READING)
def min_bytes(b: Bench) -> None:
    topic, line = filled(b, 1), b.line()
    fields = {
        "max_wait_ms": 400,
        "min_bytes": 100_000,
        "max_bytes": 1 << 20,
        "session_epoch": -1,
        "topics": [wanted(topic, 1)],
    }
    begun = time.monotonic()
    number = b.send(FETCH, 11, line, replica_id=-1, **fields)
    produce(b, topic, b.batch(b"x"))
    expect("offsets", offsets(only(b.answer(FETCH, 11, line, number))), [1])
    expect("did it wait", time.monotonic() - begun > 0.3, True)


@contract("FETCH-026 an offset out of range is answered at once whatever min_bytes says", READING)
def errors_at_once(b: Bench) -> None:
    topic = filled(b, 1, partitions=2)
    parts = [{"partition": p, "fetch_offset": o, "partition_max_bytes": 1 << 20} for p, o in ((0, 1), (1, 99))]
    begun = time.monotonic()
    answer = fetch(b, 12, {"topic": topic, "partitions": parts}, max_wait_ms=10_000, min_bytes=1 << 20)
    expect("errors", [p.error_code for t in answer.responses for p in t.partitions], [0, 1])
    expect("was it at once", time.monotonic() - begun < 5, True)


@contract(
    "FETCH-029 an unknown topic among others does not shorten the wait: clients would spin",
    "seen on Apache Kafka 4.3.1",
)
def unknown_waits(b: Bench) -> None:
    topic = filled(b, 1)
    begun = time.monotonic()
    answer = fetch(b, 12, wanted(topic, 1), wanted(b.name()), max_wait_ms=250, min_bytes=1)
    expect("errors", sorted(p.error_code for t in answer.responses for p in t.partitions), [0, 3])
    expect("did it wait", time.monotonic() - begun > 0.2, True)


@contract("FETCH-027 no partitions are answered at once", READING)
def nothing_asked(b: Bench) -> None:
    begun = time.monotonic()
    for version in (4, 12, 15):
        expect("responses", fetch(b, version, max_wait_ms=10_000, min_bytes=1).responses, [])
    expect("was it at once", time.monotonic() - begun < 5, True)


@contract("FETCH-028 read_committed gets an empty list of aborted transactions, read_uncommitted null", "KIP-98")
def isolation(b: Bench) -> None:
    topic = filled(b, 2)
    for version in (4, 11, 12, 16):
        found = only(fetch(b, version, wanted(topic), isolation_level=1))
        expect("(aborted, offsets)", (found.aborted_transactions, offsets(found)), ([], [0, 1]))
        expect("aborted when uncommitted", only(fetch(b, version, wanted(topic))).aborted_transactions, None)


@contract("FETCH-030 the current leader epoch is taken, an older one fenced, a newer one unknown", EPOCHS)
def leader_epochs(b: Bench) -> None:
    topic = filled(b, 1)
    epoch = b.ask(METADATA, 12, topics=[{"name": topic}]).topics[0].partitions[0].leader_epoch
    for version in (9, 12, 16):
        for given, error in ((-1, 0), (epoch, 0), (epoch + 1, 75)):
            found = only(fetch(b, version, wanted(topic, current_leader_epoch=given)))
            expect(f"error of epoch {given} at version {version}", found.error_code, error)
    expect("the first epoch", epoch, 0)


@contract("FETCH-031 a last fetched epoch that agrees changes nothing", "KIP-595")
def agreeing_epoch(b: Bench) -> None:
    topic = filled(b, 2)
    for version in (12, 16):
        found = only(fetch(b, version, wanted(topic, 1, last_fetched_epoch=0)))
        expect(
            "(error, offsets, diverging)",
            (found.error_code, offsets(found), found.diverging_epoch.epoch),
            (0, [0, 1], -1),
        )


@contract(
    "FETCH-032 a last fetched epoch that nobody had is OFFSET_OUT_OF_RANGE", "KIP-595; Kafka: Partition.readRecords"
)
def future_epoch(b: Bench) -> None:
    topic = filled(b, 2)
    found = only(fetch(b, 12, wanted(topic, 1, last_fetched_epoch=5)))
    expect("error", found.error_code, 1)


@contract("FETCH-034 a follower that is no replica is refused", "Kafka: ReplicaManager, KIP-392")
def not_a_replica(b: Bench) -> None:
    topic = filled(b, 1)
    expect("error without an epoch", only(fetch(b, 12, wanted(topic), replica_id=77)).error_code, 6)
    expect(
        "error with an epoch", only(fetch(b, 12, wanted(topic, current_leader_epoch=0), replica_id=77)).error_code, 75
    )


@contract(
    "FETCH-035 zstd is given to every version from 4 on, be it the topic's codec or a producer's: old clients read it",
    "seen on Apache Kafka 4.3.1",
)
def zstd_topic(b: Bench) -> None:
    kept = b.topic()
    expect("error of the set-up", produce(b, kept, b.batch(b"x", codec=4)).error_code, 0)
    for topic in (filled(b, 1, compression_type="zstd"), kept):
        for version in range(4, 13):
            found = only(fetch(b, version, wanted(topic)))
            expect(f"(error, offsets) of version {version}", (found.error_code, offsets(found)), (0, [0]))
            expect("codec", read_header(found.records).codec, 4)


@contract("FETCH-036 a debugging consumer (-2) may read", "Kafka: FetchRequest.DEBUGGING_CONSUMER_ID")
def debugging(b: Bench) -> None:
    topic = filled(b, 2)
    expect("offsets", offsets(only(fetch(b, 12, wanted(topic), replica_id=-2))), [0, 1])


@contract("FETCH-037 the same partition asked for twice outside a session is answered", READING)
def asked_twice(b: Bench) -> None:
    topic = filled(b, 2)
    answer = fetch(b, 12, wanted(topic), wanted(topic))
    expect("error", {p.error_code for t in answer.responses for p in t.partitions}, {0})


@contract("FETCH-038 batches are stamped with offsets and the leader's epoch", "Kafka: LogValidator.assignOffsets")
def stamped(b: Bench) -> None:
    topic = filled(b, 2, 3)
    headers = [read_header(batch) for batch in iterate_batches(only(fetch(b, 12, wanted(topic))).records)]
    expect(
        "(base offset, leader epoch)", [(h.base_offset, h.partition_leader_epoch) for h in headers], [(0, 0), (2, 0)]
    )


@contract("FETCH-040 epoch 0 opens a session and answers everything", SESSIONS)
def session_opens(b: Bench) -> None:
    topic = filled(b, 2)
    for version in (7, 12, 15):
        answer = fetch(b, version, wanted(topic), session_id=0, session_epoch=0)
        expect("(error, is there a session)", (answer.error_code, answer.session_id > 0), (0, True))
        expect("offsets", offsets(only(answer)), [0, 1])


@contract("FETCH-041 an incremental answer leaves out what did not change", SESSIONS)
def incremental(b: Bench) -> None:
    topic = filled(b, 2, partitions=2)
    parts = [{"partition": p, "fetch_offset": o, "partition_max_bytes": 1 << 20} for p, o in ((0, 2), (1, 0))]
    line = b.line()
    opened = fetch(b, 12, {"topic": topic, "partitions": parts}, line=line, session_epoch=0)
    session = opened.session_id
    expect("partitions at first", sorted(p.partition_index for t in opened.responses for p in t.partitions), [0, 1])
    expect("topics when nothing changed", fetch(b, 12, line=line, session_id=session, session_epoch=1).responses, [])
    produce(b, topic, b.batch(b"x"), partition=1)
    changed = fetch(b, 12, line=line, session_id=session, session_epoch=2)
    expect(
        "(session, partition, offsets)",
        (changed.session_id, only(changed).partition_index, offsets(only(changed))),
        (session, 1, [0]),
    )
    again = fetch(b, 12, line=line, session_id=session, session_epoch=3)
    expect("offsets as long as the position stays", offsets(only(again)), [0])


@contract("FETCH-042 a session's partition takes a new position, a forgotten one is left out", SESSIONS)
def session_changes(b: Bench) -> None:
    topic = filled(b, 1, 1, partitions=2)
    produce(b, topic, b.batch(b"x"), partition=1)
    parts = [{"partition": p, "fetch_offset": 0, "partition_max_bytes": 1 << 20} for p in (0, 1)]
    session = fetch(b, 12, {"topic": topic, "partitions": parts}, session_epoch=0).session_id
    forgotten = [{"topic": topic, "partitions": [1]}]
    answer = fetch(b, 12, wanted(topic, 1), session_id=session, session_epoch=1, forgotten_topics_data=forgotten)
    expect("(partition, offsets)", (only(answer).partition_index, offsets(only(answer))), (0, [1]))


@contract("FETCH-043 an unknown session is FETCH_SESSION_ID_NOT_FOUND", SESSIONS)
def unknown_session(b: Bench) -> None:
    topic = filled(b, 1)
    for version in (7, 12, 15):
        answer = fetch(b, version, wanted(topic), session_id=123_456_789, session_epoch=1)
        expect("(error, session, responses)", (answer.error_code, answer.session_id, answer.responses), (70, 0, []))


@contract("FETCH-044 a wrong session epoch is INVALID_FETCH_SESSION_EPOCH, and the session lives on", SESSIONS)
def wrong_epoch(b: Bench) -> None:
    topic = filled(b, 1)
    session = fetch(b, 12, wanted(topic), session_epoch=0).session_id
    for epoch in (5, 2):
        answer = fetch(b, 12, session_id=session, session_epoch=epoch)
        expect(f"(error, responses) of epoch {epoch}", (answer.error_code, answer.responses), (71, []))
    expect("error of the right one", fetch(b, 12, session_id=session, session_epoch=1).error_code, 0)


@contract("FETCH-045 epoch -1 closes a session and reads without one", SESSIONS)
def session_closes(b: Bench) -> None:
    topic = filled(b, 1)
    session = fetch(b, 12, wanted(topic), session_epoch=0).session_id
    closing = fetch(b, 12, wanted(topic), session_id=session, session_epoch=-1)
    expect("(error, session, offsets)", (closing.error_code, closing.session_id, offsets(only(closing))), (0, 0, [0]))
    expect("error afterwards", fetch(b, 12, session_id=session, session_epoch=1).error_code, 70)


@contract("FETCH-046 epoch 0 with an old session opens a new one and ends the old", SESSIONS)
def session_renewed(b: Bench) -> None:
    topic = filled(b, 1)
    old = fetch(b, 12, wanted(topic), session_epoch=0).session_id
    new = fetch(b, 12, wanted(topic), session_id=old, session_epoch=0).session_id
    expect("is it another one", new not in (0, old), True)
    expect("error of the old one", fetch(b, 12, session_id=old, session_epoch=1).error_code, 70)


@contract("FETCH-047 a session may be opened empty and filled later", SESSIONS)
def empty_session(b: Bench) -> None:
    topic = filled(b, 1)
    session = fetch(b, 12, session_epoch=0).session_id
    expect("is there a session", session > 0, True)
    answer = fetch(b, 12, wanted(topic), session_id=session, session_epoch=1)
    expect("offsets", offsets(only(answer)), [0])


@contract("FETCH-048 a session that has forgotten everything is over", SESSIONS)
def emptied_session(b: Bench) -> None:
    topic = filled(b, 1)
    session = fetch(b, 12, wanted(topic), session_epoch=0).session_id
    forgotten = [{"topic": topic, "partitions": [0]}]
    answer = fetch(b, 12, session_id=session, session_epoch=1, forgotten_topics_data=forgotten)
    expect("(error, session)", (answer.error_code, answer.session_id), (0, 0))
    expect("error afterwards", fetch(b, 12, session_id=session, session_epoch=2).error_code, 70)


@contract("FETCH-049 a session of names asked by ids is FETCH_SESSION_TOPIC_ID_ERROR", "KIP-516")
def names_then_ids(b: Bench) -> None:
    topic = filled(b, 1)
    session = fetch(b, 12, wanted(topic), session_epoch=0).session_id
    answer = fetch(b, 13, wanted(topic), session_id=session, session_epoch=1)
    expect("(error, responses)", (answer.error_code, answer.responses), (106, []))


@contract("FETCH-050 an error in a session is told again each time", SESSIONS)
def session_errors(b: Bench) -> None:
    missing = b.name()
    answer = fetch(b, 12, wanted(missing), session_epoch=0)
    expect("error at first", only(answer).error_code, 3)
    again = fetch(b, 12, session_id=answer.session_id, session_epoch=1)
    expect("error again", only(again).error_code, 3)


@contract("FETCH-051 without a session before version 7, session fields are not there", SESSIONS)
def no_session_fields(b: Bench) -> None:
    topic = filled(b, 1)
    for version in (4, 5, 6):
        expect("offsets", offsets(only(fetch(b, version, wanted(topic)))), [0])


@contract("FETCH-052 sessions are not tied to a connection", SESSIONS)
def other_connection(b: Bench) -> None:
    topic = filled(b, 1)
    session = fetch(b, 12, wanted(topic), session_epoch=0, line=b.line()).session_id
    expect("error", fetch(b, 12, session_id=session, session_epoch=1, line=b.line()).error_code, 0)


@contract("FETCH-053 topics and partitions come in the order of the request", READING)
def order(b: Bench) -> None:
    first, second = filled(b, 1), filled(b, 1)
    answer = fetch(b, 12, wanted(second), wanted(first))
    expect("topics", [t.topic for t in answer.responses], [second, first])


@contract("FETCH-054 many batches are read from any of them", READING)
def many_batches(b: Bench) -> None:
    topic = filled(b, *[1] * 40)
    for offset in (0, 13, 39):
        expect(f"offsets from {offset}", offsets(only(fetch(b, 12, wanted(topic, offset)))), list(range(offset, 40)))


@contract("FETCH-055 from version 15 on a follower names itself in replica_state, and is refused alike", "KIP-903")
def not_a_replica_either(b: Bench) -> None:
    topic = filled(b, 1)
    state = {"replica_id": 77, "replica_epoch": -1}
    expect("error without an epoch", only(fetch(b, 15, wanted(topic), replica_state=state)).error_code, 6)
    found = only(fetch(b, 16, wanted(topic, current_leader_epoch=0), replica_state=state))
    expect("error with an epoch", found.error_code, 75)


@contract("FETCH-056 a session hears of the end of its topic, by name and by id", "KIP-516")
def topic_ends(b: Bench) -> None:
    # By id Kafka says 3 where its session knew the name, 100 where it did not; clients do the same about both.
    for version, errors in ((12, {3}), (13, {3, 100})):
        topic = filled(b, 1)
        session = fetch(b, version, wanted(topic, 1), session_epoch=0).session_id
        b.ask(DELETE_TOPICS, 6, timeout_ms=10_000, topics=[{"name": topic}])
        wait_until(lambda name=topic: _error_of_new(b, name) == 3, f"{topic} is gone")
        found = only(fetch(b, version, session_id=session, session_epoch=1))
        expect(f"is {found.error_code} an error for that at version {version}", found.error_code in errors, True)


@contract("FETCH-057 a session of an unknown id hears 100 each time", "KIP-516")
def unknown_id_in_session(b: Bench) -> None:
    topic = {**wanted("nothing"), "topic_id": b"unknown-topic-id"}
    answer = fetch(b, 13, topic, session_epoch=0)
    expect("error", only(answer).error_code, 100)
    again = fetch(b, 13, session_id=answer.session_id, session_epoch=1)
    expect("(error, id) again", (only(again).error_code, again.responses[0].topic_id), (100, b"unknown-topic-id"))


@contract("FETCH-058 ids then names in one session is FETCH_SESSION_TOPIC_ID_ERROR too", "KIP-516")
def ids_then_names(b: Bench) -> None:
    topic = filled(b, 1)
    session = fetch(b, 13, wanted(topic), session_epoch=0).session_id
    answer = fetch(b, 12, wanted(topic), session_id=session, session_epoch=1)
    expect("(error, responses)", (answer.error_code, answer.responses), (106, []))


@contract("FETCH-059 an unknown leader epoch names no other leader", "KIP-951")
def told_leader(b: Bench) -> None:
    topic = filled(b, 1)
    found = only(fetch(b, 16, wanted(topic, current_leader_epoch=5)))
    expect("(error, leader)", (found.error_code, found.current_leader.leader_id), (75, -1))


@contract("FETCH-060 one request may name known and unknown ids", "KIP-516")
def mixed_ids(b: Bench) -> None:
    topic = filled(b, 1)
    answer = fetch(b, 13, wanted(topic), {**wanted("nothing"), "topic_id": b"unknown-topic-id"})
    found = {t.topic_id: [p.error_code for p in t.partitions] for t in answer.responses}
    expect("errors", found, {b.topic_id(topic): [0], b"unknown-topic-id": [100]})


def _error_of_new(b: Bench, topic: str) -> int:
    """The error of a Fetch of this topic by name, outside any session."""
    return int(only(fetch(b, 12, wanted(topic))).error_code)
