"""Values that no good client sends: the answer must still be the right one, and nobody else may notice."""

from __future__ import annotations

import struct
import time

from compat.contracts.bench import Bench
from compat.contracts.engine import contract, expect
from compat.contracts.keys import (
    API_VERSIONS,
    DELETE_TOPICS,
    DESCRIBE_CONFIGS,
    FETCH,
    FIND_COORDINATOR,
    HEARTBEAT,
    JOIN_GROUP,
    METADATA,
    OFFSET_FETCH,
    PRODUCE,
)
from compat.contracts.rules.committed import commit, fetched
from compat.contracts.rules.fetch import fetch, filled, offsets, only, wanted
from compat.contracts.rules.groups import beat, join, join_fields, leave, stable, sync
from compat.contracts.rules.list_offsets import ask_offset
from compat.contracts.rules.produce import end_of, produce, producer
from compat.contracts.rules.topics import create, create_error, exists

SEEN = "seen on Apache Kafka 4.3.1"


@contract("ODD-001 a negative max_wait_ms is answered at once", SEEN)
def negative_wait(b: Bench) -> None:
    topic = filled(b, 1)
    begun = time.monotonic()
    found = only(fetch(b, 12, wanted(topic, 1), max_wait_ms=-5, min_bytes=1))
    expect(
        "(error, records, was it at once)",
        (found.error_code, bytes(found.records), time.monotonic() - begun < 5),
        (0, b"", True),
    )


@contract(
    "ODD-002 negative limits of bytes still give the first batch",
    "KIP-74",
    deliberate="Kafka fails inside and answers UNKNOWN_SERVER_ERROR; a limit below zero is taken for zero",
)
def negative_limits(b: Bench) -> None:
    topic = filled(b, 2, 1)
    found = only(fetch(b, 12, wanted(topic, max_bytes=-1), max_bytes=-1))
    expect("(error, offsets)", (found.error_code, offsets(found)), (0, [0, 1]))


@contract("ODD-003 a negative min_bytes is answered at once", SEEN)
def negative_min(b: Bench) -> None:
    topic = filled(b, 1)
    begun = time.monotonic()
    fetch(b, 12, wanted(topic, 1), max_wait_ms=10_000, min_bytes=-1)
    expect("was it at once", time.monotonic() - begun < 5, True)


@contract(
    "ODD-004 an unknown isolation level is read uncommitted",
    "KIP-98",
    deliberate="Kafka fails inside and answers UNKNOWN_SERVER_ERROR",
)
def isolation(b: Bench) -> None:
    topic = filled(b, 1)
    found = only(fetch(b, 12, wanted(topic), isolation_level=7))
    expect("(error, offsets)", (found.error_code, offsets(found)), (0, [0]))


@contract("ODD-005 a fetch of the last offset below 2^63 is out of range", SEEN)
def far_offset(b: Bench) -> None:
    topic = filled(b, 1)
    for offset in ((1 << 63) - 1, -(1 << 63)):
        expect(f"error of {offset}", only(fetch(b, 12, wanted(topic, offset))).error_code, 1)


@contract("ODD-006 a session epoch below -1 needs a session", SEEN)
def negative_epoch(b: Bench) -> None:
    topic = filled(b, 1)
    expect("error", fetch(b, 12, wanted(topic), session_id=0, session_epoch=5).error_code, 70)


@contract("ODD-007 forgetting what a session never had is fine", SEEN)
def forget_unknown(b: Bench) -> None:
    topic = filled(b, 1)
    session = fetch(b, 12, wanted(topic), session_epoch=0).session_id
    forgotten = [{"topic": "never-there", "partitions": [0, 1]}]
    answer = fetch(b, 12, session_id=session, session_epoch=1, forgotten_topics_data=forgotten)
    expect("(error, session)", (answer.error_code, answer.session_id), (0, session))


@contract(
    "ODD-008 a partition that is named and forgotten in one request is forgotten; the emptied session ends and answers",
    SEEN,
)
def forget_and_name(b: Bench) -> None:
    topic = filled(b, 1, 1)
    session = fetch(b, 12, wanted(topic), session_epoch=0).session_id
    forgotten = [{"topic": topic, "partitions": [0]}]
    answer = fetch(b, 12, wanted(topic, 1), session_id=session, session_epoch=1, forgotten_topics_data=forgotten)
    expect("(error, session, offsets)", (answer.error_code, answer.session_id, offsets(only(answer))), (0, 0, [1]))


@contract("ODD-010 a negative time-out of Produce does not keep the records out", SEEN)
def negative_timeout(b: Bench) -> None:
    topic = b.topic()
    data = [{"name": topic, "partition_data": [{"index": 0, "records": bytes(b.batch(b"x"))}]}]
    answer = b.ask(PRODUCE, 9, acks=-1, timeout_ms=-1, topic_data=data)
    expect("error", answer.responses[0].partition_responses[0].error_code, 0)
    expect("the end", end_of(b, topic), 1)


@contract("ODD-011 a topic named in two places of a Produce is written twice", SEEN)
def topic_twice(b: Bench) -> None:
    topic = b.topic(partitions=2)
    data = [{"name": topic, "partition_data": [{"index": p, "records": bytes(b.batch(b"x"))}]} for p in (0, 1)]
    answer = b.ask(PRODUCE, 9, acks=-1, timeout_ms=1000, topic_data=data)
    expect("errors", [p.error_code for t in answer.responses for p in t.partition_responses], [0, 0])
    expect("the ends", (end_of(b, topic, 0), end_of(b, topic, 1)), (1, 1))


@contract("ODD-012 odd offset deltas inside an uncompressed batch are taken", SEEN)
def odd_deltas(b: Bench) -> None:
    topic = b.topic()
    stamp = int(time.time() * 1000)
    batch = b.records([(None, b"a", (), stamp, 0), (None, b"b", (), stamp, 0), (None, b"c", (), stamp, 2)])
    found = produce(b, topic, batch)
    expect("(error, base offset)", (found.error_code, found.base_offset), (0, 0))
    expect("the end", end_of(b, topic), 3)


@contract("ODD-013 a negative producer epoch with a producer id is taken", SEEN)
def negative_producer_epoch(b: Bench) -> None:
    topic = b.topic()
    batch = b.batch(b"x", producer_id=producer(b), producer_epoch=-1, base_sequence=0)
    expect("error", produce(b, topic, batch).error_code, 0)


@contract("ODD-014 a batch with a producer epoch but no producer id is taken", SEEN)
def epoch_alone(b: Bench) -> None:
    topic = b.topic()
    expect("error", produce(b, topic, b.batch(b"x", producer_epoch=5, base_sequence=3)).error_code, 0)


@contract("ODD-015 a leader epoch in a client's batch is replaced", SEEN)
def client_leader_epoch(b: Bench) -> None:
    topic = b.topic()
    expect("error", produce(b, topic, b.batch(b"x", leader_epoch=77)).error_code, 0)
    (epoch,) = struct.unpack_from(">i", bytes(only(fetch(b, 12, wanted(topic))).records), 12)
    expect("leader epoch", epoch, 0)


@contract("ODD-020 a negative rebalance time-out does not keep a member out", SEEN)
def negative_rebalance(b: Bench) -> None:
    group = b.group()
    joined = join(b, group, 5, rebalance_timeout_ms=-1)
    expect("(error, generation)", (joined.error_code, joined.generation_id), (0, 1))


@contract("ODD-021 a dynamic member's request with an unknown instance is 25", SEEN)
def foreign_instance(b: Bench) -> None:
    group, joined = stable(b)
    expect("error", beat(b, group, joined.member_id, 1, group_instance_id="nobody"), 25)


@contract("ODD-022 an id that MEMBER_ID_REQUIRED gave is not a member yet", SEEN)
def pending_member(b: Bench) -> None:
    group, _ = stable(b)
    answer = b.ask(JOIN_GROUP, 5, b.line(), **join_fields(group, 5))
    expect("error of the join", answer.error_code, 79)
    expect("error of a heartbeat", beat(b, group, answer.member_id, 1), 25)
    expect(
        "error of a commit",
        commit(b, group, b.topic(), generation_id_or_member_epoch=1, member_id=answer.member_id),
        25,
    )
    expect("leave", leave(b, group, (answer.member_id, None)), (0, [0]))
    again = b.ask(JOIN_GROUP, 5, **join_fields(group, 5, answer.member_id))
    expect("error of a join afterwards", again.error_code, 25)


@contract("ODD-023 an empty instance id is an instance id like any other", SEEN)
def empty_instance(b: Bench) -> None:
    answer = b.ask(JOIN_GROUP, 5, **join_fields(b.group(), 5, group_instance_id=""))
    expect("error", answer.error_code, 0)


@contract("ODD-024 a sync repeated by the leader changes nothing", SEEN)
def repeated_sync(b: Bench) -> None:
    group, joined = stable(b)
    again = sync(b, group, joined, {joined.member_id: b"another"})
    expect("(error, part)", (again.error_code, bytes(again.assignment)), (0, b"part"))


@contract("ODD-025 a join of a lone member in its own first generation, before the sync, answers the same", SEEN)
def join_twice(b: Bench) -> None:
    group = b.group()
    joined = join(b, group, 5)
    again = b.ask(JOIN_GROUP, 5, **join_fields(group, 5, joined.member_id))
    expect("(error, generation, members)", (again.error_code, again.generation_id, len(again.members)), (0, 1, 1))


@contract("ODD-026 group ids with blanks, slashes and other scripts are fine", SEEN)
def odd_groups(b: Bench) -> None:
    topic = b.topic()
    for name in ("a b", "a/b:c", "групa", "x" * 500):
        group = f"{name}-{b.name()}"
        expect(f"error of {name[:10]}", commit(b, group, topic), 0)
        expect("offset", fetched(b, group, topic)[1][0][1], 5)


@contract("ODD-027 a negative committed offset is kept as it is", SEEN)
def negative_offset(b: Bench) -> None:
    group, topic = b.group(), b.topic()
    expect("error", commit(b, group, topic, -5), 0)
    expect("offset", fetched(b, group, topic)[1][0][1], -5)


@contract("ODD-028 the same group twice in an OffsetFetch is answered", SEEN)
def group_twice(b: Bench) -> None:
    group = b.group()
    asked = [{"group_id": group, "topics": None}] * 2
    answer = b.ask(OFFSET_FETCH, 8, groups=asked)
    expect("errors", {g.error_code for g in answer.groups}, {0})


@contract("ODD-029 the same key twice in a FindCoordinator is answered", SEEN)
def key_twice(b: Bench) -> None:
    group = b.group()
    answer = b.ask(FIND_COORDINATOR, 4, coordinator_keys=[group, group])
    expect("errors", {c.error_code for c in answer.coordinators}, {0})


@contract("ODD-030 more than 10000 partitions in one request are refused by policy", "Kafka: ReplicationControlManager")
def too_many(b: Bench) -> None:
    expect("error", create_error(b, num_partitions=10_001), 44)
    expect("error of a flood", create_error(b, num_partitions=1 << 28), 44)


@contract("ODD-031 internal topics may be created by hand", SEEN)
def internal_by_hand(b: Bench) -> None:
    b.group()
    (found,) = create(b, 7, {"name": "__consumer_offsets"})
    expect("error", found.error_code, 36)


@contract("ODD-032 the same config twice keeps the later value, or is refused", SEEN)
def config_twice(b: Bench) -> None:
    configs = [{"name": "retention.ms", "value": "1000"}, {"name": "retention.ms", "value": "2000"}]
    (found,) = create(b, 7, {"name": b.name(), "configs": configs})
    expect("error", found.error_code, 0)
    expect("value", {c.name: c.value for c in found.configs}["retention.ms"], "2000")


@contract("ODD-033 a config's value may have blanks around it", SEEN)
def blanks(b: Bench) -> None:
    expect("error", create_error(b, configs=[{"name": "retention.ms", "value": " 1000 "}]), 0)
    expect("error of a list", create_error(b, configs=[{"name": "cleanup.policy", "value": "compact, delete"}]), 0)


@contract("ODD-034 the same resource twice in DescribeConfigs is described", SEEN)
def resource_twice(b: Bench) -> None:
    topic = b.topic()
    resources = [{"resource_type": 2, "resource_name": topic, "configuration_keys": ["retention.ms"]}] * 2
    answer = b.ask(DESCRIBE_CONFIGS, 4, resources=resources)
    expect("errors", {r.error_code for r in answer.results}, {0})
    expect("no resources", b.ask(DESCRIBE_CONFIGS, 4, resources=[]).results, [])


@contract("ODD-035 internal topics may be deleted by name like others; an empty name is unknown", SEEN)
def delete_odd(b: Bench) -> None:
    for version in (1, 5, 6):
        wanted_topics = {"topics": [{"name": ""}]} if version >= 6 else {"topic_names": [""]}
        (found,) = b.ask(DELETE_TOPICS, version, timeout_ms=1000, **wanted_topics).responses
        expect(f"error at version {version}", found.error_code, 3)
    expect("no topics", b.ask(DELETE_TOPICS, 5, timeout_ms=1000, topic_names=[]).responses, [])


@contract("ODD-036 min.insync.replicas, retention and other sizes at their largest are taken", SEEN)
def largest(b: Bench) -> None:
    for name, value in (
        ("retention.ms", str((1 << 63) - 1)),
        ("segment.bytes", str((1 << 31) - 1)),
        ("max.message.bytes", "0"),
    ):
        expect(f"error of {name}", create_error(b, configs=[{"name": name, "value": value}]), 0)
    for name, value in (("retention.ms", str(1 << 63)), ("segment.bytes", str(1 << 31)), ("max.message.bytes", "-1")):
        expect(f"error of {name} beyond", create_error(b, configs=[{"name": name, "value": value}]), 40)


@contract("ODD-046 what a list of a config names twice counts once, and an empty entry is refused", "KIP-1161")
def list_config(b: Bench) -> None:
    for text, error in (("delete,delete", 0), ("compact, delete,compact", 0), ("delete,,compact", 40), ("delete,", 40)):
        found = create_error(b, configs=[{"name": "cleanup.policy", "value": text}])
        expect(f"error of {text!r}", found, error)


@contract("ODD-037 an empty cleanup.policy is allowed", SEEN)
def empty_policy(b: Bench) -> None:
    expect("error", create_error(b, configs=[{"name": "cleanup.policy", "value": ""}]), 0)


@contract("ODD-040 an offset request for no topics is answered with none", SEEN)
def no_topics(b: Bench) -> None:
    expect("topics", b.ask(2, 7, replica_id=-1, topics=[]).topics, [])


@contract("ODD-041 the largest timestamp finds nothing", SEEN)
def far_time(b: Bench) -> None:
    topic = filled(b, 1)
    expect("found", ask_offset(b, topic, (1 << 63) - 1), (0, -1, -1, -1))


@contract("ODD-042 a replica that isn't one may not ask for offsets", SEEN)
def foreign_replica(b: Bench) -> None:
    topic = filled(b, 1)
    expect("(error, offset)", ask_offset(b, topic, -1, 7, replica_id=77)[:2], (0, 1))


@contract(
    "ODD-050 connections that announce much and send nothing leave the others alone",
    "facts: Kafka mutes or dies on a small heap",
)
def announcers(b: Bench) -> None:
    for _ in range(6):
        b.line().send_bytes(struct.pack(">i", 90_000_000) + b"xyz")
    expect("is a new connection served", b.lives(), True)
    topic = b.topic()
    expect("error of Produce", produce(b, topic, b.batch(b"x")).error_code, 0)


@contract("ODD-051 two hundred requests sent in one go are answered in their order", SEEN)
def pipelined(b: Bench) -> None:
    line = b.line()
    numbers = [b.send(HEARTBEAT, 0, line, group_id="nobody", member_id="m") for _ in range(200)]
    for number in numbers:
        b.answer(HEARTBEAT, 0, line, number)
    expect("and the next", b.ask(API_VERSIONS, 0, line).error_code, 0)


@contract("ODD-052 a waiting fetch holds up the requests behind it on its connection, not on others", SEEN)
def head_of_line(b: Bench) -> None:
    topic, line = filled(b, 1), b.line()
    one = {"partition": 0, "fetch_offset": 1, "partition_max_bytes": 1000}
    fields = {"max_wait_ms": 300, "min_bytes": 1, "max_bytes": 1000, "session_epoch": -1}
    number = b.send(FETCH, 11, line, replica_id=-1, topics=[{"topic": topic, "partitions": [one]}], **fields)
    behind = b.send(METADATA, 1, line, topics=[])
    expect("is another connection served", b.lives(), True)
    b.answer(FETCH, 11, line, number)
    b.answer(METADATA, 1, line, behind)


@contract("ODD-053 a client that leaves while its fetch waits hurts nobody", SEEN)
def leaves_waiting(b: Bench) -> None:
    topic, line = filled(b, 1), b.line()
    one = {"partition": 0, "fetch_offset": 1, "partition_max_bytes": 1000}
    fields = {"max_wait_ms": 5000, "min_bytes": 1, "max_bytes": 1000, "session_epoch": -1}
    b.send(FETCH, 11, line, replica_id=-1, topics=[{"topic": topic, "partitions": [one]}], **fields)
    expect("is it silent", line.is_silent(0.05), True)
    line.close()
    expect("error of Produce", produce(b, topic, b.batch(b"x")).error_code, 0)
    expect("offsets", offsets(only(fetch(b, 12, wanted(topic)))), [0, 1])


@contract("ODD-054 a topic whose name looks like a partition directory is fine", SEEN)
def directory_name(b: Bench) -> None:
    topic = b.topic(name=f"{b.name()}-0")
    expect("error of Produce", produce(b, topic, b.batch(b"x")).error_code, 0)
    longest = f"{'x' * 249}{b.name()}"[-249:]
    expect("error of 249 characters", create_error(b, name=longest), 0)
    expect("does it exist", exists(b, longest), True)
