"""Metadata, FindCoordinator, DescribeCluster, InitProducerId."""

from __future__ import annotations

from typing import Any

from compat.contracts.bench import Bench, wait_until
from compat.contracts.engine import cases, contract, expect
from compat.contracts.keys import DESCRIBE_CLUSTER, FIND_COORDINATOR, INIT_PRODUCER_ID, METADATA
from compat.contracts.rules.produce import produce, producer

LOOKING_UP = "Kafka: KafkaApis.handleTopicMetadataRequest"
NOT_ASKED = -(1 << 31)
NO_ID = bytes(16)


def describe(b: Bench, version: int, *topics: dict[str, Any], create: bool = False, **more: Any) -> Any:
    """Metadata of some topics; they may be created only if `create`."""
    allowed = {"allow_auto_topic_creation": create} if version >= 4 else {}
    return b.ask(METADATA, version, topics=list(topics), **allowed, **more)


@contract("METADATA-001 a topic is described at every version", "KIP-4 to KIP-516")
def every_version(b: Bench) -> None:
    topic = b.topic(partitions=2)
    for version in range(14):
        answer = describe(b, version, {"name": topic})
        (found,) = answer.topics
        expect(
            f"(error, name, internal) at version {version}",
            (found.error_code, found.name, found.is_internal),
            (0, topic, False),
        )
        expect("topic id", found.topic_id, b.topic_id(topic) if version >= 10 else NO_ID)
        parts = sorted(found.partitions, key=lambda p: p.partition_index)
        expect("(partition, error)", [(p.partition_index, p.error_code) for p in parts], [(0, 0), (1, 0)])
        node = answer.brokers[0].node_id
        expect(
            "(leader, replicas, in sync, offline)",
            {(p.leader_id, *p.replica_nodes, *p.isr_nodes, *p.offline_replicas) for p in parts},
            {(node, node, node)},
        )
        expect("leader epoch", {p.leader_epoch for p in parts}, {0 if version >= 7 else -1})
        expect(
            "operations",
            (found.topic_authorized_operations, answer.cluster_authorized_operations),
            (NOT_ASKED, NOT_ASKED),
        )
        expect("is the cluster named", bool(answer.cluster_id), version >= 2)
        expect("is there a controller", answer.controller_id >= 0, version >= 1)
        expect("racks", {broker.rack for broker in answer.brokers}, {None})
        expect("error of the whole", answer.error_code, 0)


@contract("METADATA-002 in version 0 an empty list means all topics, from 1 on none, and null all", LOOKING_UP)
def all_topics(b: Bench) -> None:
    topic = b.topic()
    everything = b.ask(METADATA, 0, topics=[])
    expect("is it listed at version 0", topic in {t.name for t in everything.topics}, True)
    for version in (1, 4, 9, 12, 13):
        expect(f"none at version {version}", b.ask(METADATA, version, topics=[]).topics, [])
        found = {t.name for t in b.ask(METADATA, version, topics=None).topics}
        expect(f"is it listed at version {version}", topic in found, True)


@contract("METADATA-003 an unknown topic that may not be created is refused with 3", "KIP-204")
def unknown(b: Bench) -> None:
    for version in (4, 8, 9, 12, 13):
        name = b.name()
        (found,) = describe(b, version, {"name": name}).topics
        expect("(error, name, partitions)", (found.error_code, found.name, found.partitions), (3, name, []))
        expect("topic id", found.topic_id, NO_ID)


@contract("METADATA-004 a topic that may be created is created by being asked for", "KIP-4")
def creates(b: Bench) -> None:
    for version in (0, 3, 4, 12):
        name = b.name()

        def is_there(name: str = name, version: int = version) -> bool:
            (found,) = describe(b, version, {"name": name}, create=True).topics
            return found.error_code == 0 and bool(found.partitions)

        wait_until(is_there, f"{name} is there")


@contract(
    "METADATA-005 a created topic is ready in the answer that created it, and takes records at once",
    "ARCHITECTURE.md, Decisions",
    deliberate="Kafka answers 3 or 5 first, which old librdkafka and KafkaJS take for final",
)
def ready_at_once(b: Bench) -> None:
    name = b.name()
    (found,) = describe(b, 4, {"name": name}, create=True).topics
    expect("(error, is there a partition)", (found.error_code, bool(found.partitions)), (0, True))
    expect("error of Produce", produce(b, name, b.batch(b"x")).error_code, 0)


@cases(
    "Kafka: Topic.validate",
    ("METADATA-006 an empty topic name is INVALID_TOPIC_EXCEPTION", ""),
    ("METADATA-007 a topic called . is INVALID_TOPIC_EXCEPTION", "."),
    ("METADATA-008 a topic called .. is INVALID_TOPIC_EXCEPTION", ".."),
    ("METADATA-009 a blank in a topic name is INVALID_TOPIC_EXCEPTION", "a b"),
    ("METADATA-010 a topic name of 250 characters is INVALID_TOPIC_EXCEPTION", "x" * 250),
    ("METADATA-011 a slash in a topic name is INVALID_TOPIC_EXCEPTION", "a/b"),
)
def bad_names(b: Bench, name: str) -> None:
    for create in (True, False):
        for version in (4, 9, 12):
            (found,) = describe(b, version, {"name": name}, create=create).topics
            expect(f"(error, name), may it be created: {create}", (found.error_code, found.name), (17, name))


@contract("METADATA-012 topics are found by id from version 12 on", "KIP-516")
def by_id(b: Bench) -> None:
    topic = b.topic()
    for version in (12, 13):
        (found,) = describe(b, version, {"name": None, "topic_id": b.topic_id(topic)}).topics
        expect("(error, name, id)", (found.error_code, found.name, found.topic_id), (0, topic, b.topic_id(topic)))


@contract("METADATA-013 an unknown id is UNKNOWN_TOPIC_ID with a null name", "KIP-516")
def unknown_id(b: Bench) -> None:
    for version in (12, 13):
        (found,) = describe(b, version, {"name": None, "topic_id": b"unknown-topic-id"}).topics
        expect("(error, name, id)", (found.error_code, found.name, found.topic_id), (100, None, b"unknown-topic-id"))


@contract(
    "METADATA-014 ids and null names before version 12 are an invalid request for all topics",
    "KIP-516; Kafka: MetadataRequest",
)
def ids_too_early(b: Bench) -> None:
    topic = b.topic()
    for version in (10, 11):
        answer = describe(b, version, {"name": None, "topic_id": b.topic_id(topic)}, {"name": topic})
        expect("errors", [t.error_code for t in answer.topics], [42, 42])
        answer = describe(b, version, {"name": topic, "topic_id": b.topic_id(topic)})
        expect("error of a name with an id", [t.error_code for t in answer.topics], [42])


@contract("METADATA-015 authorized operations are filled in when asked for", "KIP-430")
def operations(b: Bench) -> None:
    topic = b.topic()
    for version in (8, 10):
        answer = describe(
            b,
            version,
            {"name": topic},
            include_cluster_authorized_operations=True,
            include_topic_authorized_operations=True,
        )
        expect("of the topic", answer.topics[0].topic_authorized_operations, 3576)
        expect("of the cluster", answer.cluster_authorized_operations, 8096)
    answer = describe(b, 12, {"name": topic}, include_topic_authorized_operations=True)
    expect("of the topic at version 12", answer.topics[0].topic_authorized_operations, 3576)


@contract("METADATA-016 the offsets topic is marked as internal", LOOKING_UP)
def internal(b: Bench) -> None:
    b.group()
    for version in (1, 12):
        (found,) = describe(b, version, {"name": "__consumer_offsets"}).topics
        expect("(error, internal)", (found.error_code, found.is_internal), (0, True))


@contract("METADATA-017 one bad topic leaves the others alone", LOOKING_UP)
def mixed(b: Bench) -> None:
    topic, missing = b.topic(), b.name()
    answer = describe(b, 12, {"name": missing}, {"name": topic}, {"name": "a b"})
    expect("errors", {t.name: t.error_code for t in answer.topics}, {missing: 3, topic: 0, "a b": 17})


@contract("METADATA-018 a topic asked for twice is described once", LOOKING_UP)
def twice(b: Bench) -> None:
    topic = b.topic()
    answer = describe(b, 12, {"name": topic}, {"name": topic})
    expect("errors", [t.error_code for t in answer.topics], [0])


@contract("METADATA-019 brokers have the address that a client reaches them at", LOOKING_UP)
def addresses(b: Bench) -> None:
    host, _, port = b.bootstrap.rpartition(":")
    (broker,) = b.ask(METADATA, 9, topics=[]).brokers
    expect("(host, port)", (broker.host, broker.port), (host, int(port)))


@contract("COORDINATOR-001 a group's coordinator is found at every version", "KIP-699")
def find_group(b: Bench) -> None:
    group = b.group()
    node = b.ask(METADATA, 9, topics=[]).brokers[0]
    for version in range(7):
        if version >= 4:
            (found,) = b.ask(FIND_COORDINATOR, version, coordinator_keys=[group]).coordinators
            expect("key", found.key, group)
        else:
            found = b.ask(FIND_COORDINATOR, version, None, key=group)
        expect(
            f"(error, node, host, port) at version {version}",
            (found.error_code, found.node_id, found.host, found.port),
            (0, node.node_id, node.host, node.port),
        )


@contract("COORDINATOR-002 several keys are answered one by one", "KIP-699")
def batched(b: Bench) -> None:
    groups = [b.group(), b.group(), b.group()]
    answer = b.ask(FIND_COORDINATOR, 4, coordinator_keys=groups)
    expect("(key, error)", [(c.key, c.error_code) for c in answer.coordinators], [(group, 0) for group in groups])
    expect("no keys", b.ask(FIND_COORDINATOR, 4, coordinator_keys=[]).coordinators, [])


@contract("COORDINATOR-003 an empty group id has a coordinator", "Kafka: KafkaApis.getCoordinator")
def empty_group(b: Bench) -> None:
    b.group()
    for version in (0, 3):
        expect("error", b.ask(FIND_COORDINATOR, version, None, key="").error_code, 0)
    expect("error in a batch", b.ask(FIND_COORDINATOR, 4, coordinator_keys=[""]).coordinators[0].error_code, 0)


@contract("COORDINATOR-004 an unknown key type is an invalid request", "Kafka: KafkaApis.getCoordinator")
def unknown_type(b: Bench) -> None:
    for key_type in (9, -1):
        single = b.ask(FIND_COORDINATOR, 3, None, key="x", key_type=key_type)
        expect(f"error of type {key_type}", single.error_code, 42)
        batch = b.ask(FIND_COORDINATOR, 4, coordinator_keys=["x"], key_type=key_type)
        expect(f"error of type {key_type} in a batch", [c.error_code for c in batch.coordinators], [42])


@contract("COORDINATOR-005 share partitions before version 6 are an invalid request", "KIP-932")
def share_too_early(b: Bench) -> None:
    answer = b.ask(FIND_COORDINATOR, 5, coordinator_keys=["g:t:0"], key_type=2)
    expect("errors", [c.error_code for c in answer.coordinators], [42])


@contract(
    "COORDINATOR-006 a transactional id is refused with an error that clients take for final",
    "ARCHITECTURE.md, Decisions",
    deliberate="transactions are not served: TRANSACTIONAL_ID_AUTHORIZATION_FAILED, with a reason where there is room",
)
def transactional(b: Bench) -> None:
    for version in (1, 3):
        found = b.ask(FIND_COORDINATOR, version, None, key="tx", key_type=1)
        expect(
            "(error, node, is there a reason)",
            (found.error_code, found.node_id, bool(found.error_message)),
            (53, -1, True),
        )
    for version in (4, 6):
        (found,) = b.ask(FIND_COORDINATOR, version, coordinator_keys=["tx"], key_type=1).coordinators
        expect(
            "(error, node, is there a reason)",
            (found.error_code, found.node_id, bool(found.error_message)),
            (53, -1, True),
        )


@contract(
    "COORDINATOR-007 a refused key has node -1, no host and port -1",
    "Kafka: FindCoordinatorResponse.prepareErrorResponse",
)
def refused_shape(b: Bench) -> None:
    (found,) = b.ask(FIND_COORDINATOR, 4, coordinator_keys=["x"], key_type=9).coordinators
    expect("(key, node, host, port)", (found.key, found.node_id, found.host, found.port), ("x", -1, "", -1))


@contract("CLUSTER-001 DescribeCluster answers what Metadata does, at every version", "KIP-700, KIP-1073")
def describe_cluster(b: Bench) -> None:
    metadata = b.ask(METADATA, 9, topics=[])
    for version in range(3):
        answer = b.ask(DESCRIBE_CLUSTER, version)
        expect(
            "(error, message, cluster)",
            (answer.error_code, answer.error_message, answer.cluster_id),
            (0, None, metadata.cluster_id),
        )
        expect("endpoint type", answer.endpoint_type, 1)
        found = [(n.broker_id, n.host, n.port, n.rack, n.is_fenced) for n in answer.brokers]
        expect("brokers", found, [(n.node_id, n.host, n.port, n.rack, False) for n in metadata.brokers])
        expect("operations", answer.cluster_authorized_operations, NOT_ASKED)
        expect("is the controller one of them", answer.controller_id in {n.broker_id for n in answer.brokers}, True)


@contract("CLUSTER-002 operations are filled in when asked for", "KIP-430")
def cluster_operations(b: Bench) -> None:
    answer = b.ask(DESCRIBE_CLUSTER, 0, include_cluster_authorized_operations=True)
    expect("operations", answer.cluster_authorized_operations, 8096)


@cases(
    "KIP-919",
    ("CLUSTER-003 controllers asked of a broker are MISMATCHED_ENDPOINT_TYPE", 2, 114),
    ("CLUSTER-004 an unknown endpoint type is UNSUPPORTED_ENDPOINT_TYPE", 9, 115),
)
def endpoint_types(b: Bench, endpoint_type: int, error: int) -> None:
    for version in (1, 2):
        answer = b.ask(DESCRIBE_CLUSTER, version, endpoint_type=endpoint_type)
        expect(
            "(error, is there a message, brokers)",
            (answer.error_code, bool(answer.error_message), answer.brokers),
            (error, True, []),
        )
        expect("(endpoint type, cluster)", (answer.endpoint_type, answer.cluster_id), (1, ""))


@contract("CLUSTER-005 fenced brokers are listed only when asked for", "KIP-1073")
def fenced(b: Bench) -> None:
    answer = b.ask(DESCRIBE_CLUSTER, 2, include_fenced_brokers=True)
    expect("fenced", [n.is_fenced for n in answer.brokers], [False])


@contract("PRODUCERID-001 an idempotent producer gets an id with epoch 0 at every version", "KIP-98, KIP-360")
def producer_ids(b: Bench) -> None:
    producer(b)
    seen = set()
    for version in range(6):
        answer = b.ask(INIT_PRODUCER_ID, version, transactional_id=None, transaction_timeout_ms=60_000)
        expect(f"(error, epoch) at version {version}", (answer.error_code, answer.producer_epoch), (0, 0))
        seen.add(answer.producer_id)
    expect("different ids", len(seen), 6)


@contract("PRODUCERID-002 an idempotent producer that brings an id gets a fresh one", "KIP-360")
def brings_id(b: Bench) -> None:
    old = producer(b)
    for version in (3, 4):
        answer = b.ask(
            INIT_PRODUCER_ID,
            version,
            transactional_id=None,
            transaction_timeout_ms=0,
            producer_id=old,
            producer_epoch=2,
        )
        expect(
            "(error, epoch, another id)",
            (answer.error_code, answer.producer_epoch, answer.producer_id != old),
            (0, 0, True),
        )


@contract(
    "PRODUCERID-003 an id without an epoch, or an epoch without an id, is an invalid request",
    "Kafka: KafkaApis.handleInitProducerIdRequest",
)
def halves(b: Bench) -> None:
    for given in ({"producer_id": 5}, {"producer_epoch": 5}):
        answer = b.ask(INIT_PRODUCER_ID, 4, transactional_id=None, transaction_timeout_ms=0, **given)
        expect("(error, id, epoch)", (answer.error_code, answer.producer_id, answer.producer_epoch), (42, -1, -1))


@contract(
    "PRODUCERID-004 an empty transactional id is an invalid request",
    "Kafka: TransactionCoordinator.handleInitProducerId",
)
def empty_id(b: Bench) -> None:
    for version in (0, 2, 4):
        answer = b.ask(INIT_PRODUCER_ID, version, transactional_id="", transaction_timeout_ms=1000)
        expect("(error, id)", (answer.error_code, answer.producer_id), (42, -1))


@contract(
    "PRODUCERID-005 a transactional id is refused with an error that clients take for final",
    "ARCHITECTURE.md, Decisions",
    deliberate="transactions are not served: TRANSACTIONAL_ID_AUTHORIZATION_FAILED at once",
)
def transactional_producer(b: Bench) -> None:
    for version in (0, 2, 5):
        answer = b.ask(INIT_PRODUCER_ID, version, transactional_id=b.name("tx"), transaction_timeout_ms=1000)
        expect("(error, id, epoch)", (answer.error_code, answer.producer_id, answer.producer_epoch), (53, -1, -1))
