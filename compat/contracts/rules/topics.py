"""CreateTopics, DeleteTopics, DescribeConfigs."""

from __future__ import annotations

from typing import Any

from compat.contracts.bench import Bench, wait_until
from compat.contracts.engine import cases, contract, expect
from compat.contracts.keys import CREATE_TOPICS, DELETE_TOPICS, DESCRIBE_CONFIGS, METADATA
from compat.contracts.rules.produce import produce

CREATING = "Kafka: ReplicationControlManager.createTopics, ControllerApis"
DELETING = "Kafka: ControllerApis.deleteTopics"
DESCRIBING = "KIP-226, KIP-569; Kafka: ConfigHelper"
NO_ID = bytes(16)
TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32


def create(b: Bench, version: int, *topics: dict[str, Any], **more: Any) -> list[Any]:
    """The results of CreateTopics; one partition and one replica unless said otherwise."""
    wanted = [{"num_partitions": 1, "replication_factor": 1, **topic} for topic in topics]
    found: list[Any] = b.ask(CREATE_TOPICS, version, topics=wanted, **{"timeout_ms": 10_000, **more}).topics
    return found


def create_error(b: Bench, version: int = 7, **topic: Any) -> int:
    """The error of creating one topic, which has a fresh name unless named."""
    (found,) = create(b, version, {"name": b.name(), **topic})
    return int(found.error_code)


def exists(b: Bench, name: str) -> bool:
    """Does Metadata know the topic?"""
    (found,) = b.ask(METADATA, 12, topics=[{"name": name}], allow_auto_topic_creation=False).topics
    return bool(found.error_code == 0)


def describe(b: Bench, resource_type: int, name: str, *, keys: Any = None, version: int = 4, **more: Any) -> Any:
    """The one result of DescribeConfigs."""
    resource = {"resource_type": resource_type, "resource_name": name, "configuration_keys": keys}
    (found,) = b.ask(DESCRIBE_CONFIGS, version, resources=[resource], **more).results
    return found


@contract("CREATE-001 a topic is created at every version", "KIP-4, KIP-464, KIP-525, KIP-516")
def every_version(b: Bench) -> None:
    for version in range(2, 8):
        name = b.name()
        (found,) = create(b, version, {"name": name, "num_partitions": 3})
        expect(
            f"(error, message, name) at version {version}",
            (found.error_code, found.error_message, found.name),
            (0, None, name),
        )
        expect("is there an id", found.topic_id != NO_ID, version >= 7)
        expect(
            "(partitions, factor)",
            (found.num_partitions, found.replication_factor),
            (3, 1) if version >= 5 else (-1, -1),
        )
        expect("are configs listed", bool(found.configs), version >= 5)
        expect("error of the configs", found.topic_config_error_code, 0)
        b.wait_for_topic(name, 3)


@contract("CREATE-002 an existing topic is TOPIC_ALREADY_EXISTS", CREATING)
def already(b: Bench) -> None:
    topic = b.topic()
    for version in (2, 5, 7):
        (found,) = create(b, version, {"name": topic})
        expect("(error, is there a message)", (found.error_code, bool(found.error_message)), (36, True))
        expect(
            "(id, partitions, factor)",
            (found.topic_id, found.num_partitions, found.replication_factor),
            (NO_ID, -1, -1),
        )


@contract("CREATE-003 from version 4 on -1 means the broker's defaults", "KIP-464")
def defaults(b: Bench) -> None:
    for version in (4, 5, 7):
        name = b.name()
        (found,) = create(b, version, {"name": name, "num_partitions": -1, "replication_factor": -1})
        expect("error", found.error_code, 0)
        expect("are the numbers told", found.num_partitions > 0 and found.replication_factor > 0, version >= 5)


@cases(
    CREATING,
    ("CREATE-010 zero partitions are INVALID_PARTITIONS", {"num_partitions": 0}, 37),
    ("CREATE-011 -2 partitions are INVALID_PARTITIONS", {"num_partitions": -2}, 37),
    ("CREATE-012 a replication factor of 0 is INVALID_REPLICATION_FACTOR", {"replication_factor": 0}, 38),
    ("CREATE-013 a replication factor of -2 is INVALID_REPLICATION_FACTOR", {"replication_factor": -2}, 38),
    ("CREATE-014 more replicas than brokers are INVALID_REPLICATION_FACTOR", {"replication_factor": 3}, 38),
    ("CREATE-015 an unknown config is INVALID_CONFIG", {"configs": [{"name": "no.such.config", "value": "1"}]}, 40),
    ("CREATE-016 a bad config value is INVALID_CONFIG", {"configs": [{"name": "retention.ms", "value": "soon"}]}, 40),
    ("CREATE-017 a null config value is INVALID_CONFIG", {"configs": [{"name": "retention.ms", "value": None}]}, 40),
    ("CREATE-018 retention.ms below -1 is INVALID_CONFIG", {"configs": [{"name": "retention.ms", "value": "-2"}]}, 40),
    (
        "CREATE-019 segment.bytes below 1 MiB is INVALID_CONFIG",
        {"configs": [{"name": "segment.bytes", "value": "1000"}]},
        40,
    ),
    (
        "CREATE-020 an unknown cleanup.policy is INVALID_CONFIG",
        {"configs": [{"name": "cleanup.policy", "value": "burn"}]},
        40,
    ),
    (
        "CREATE-021 min.insync.replicas of 0 is INVALID_CONFIG",
        {"configs": [{"name": "min.insync.replicas", "value": "0"}]},
        40,
    ),
    (
        "CREATE-022 an unknown compression.type is INVALID_CONFIG",
        {"configs": [{"name": "compression.type", "value": "rar"}]},
        40,
    ),
    ("CREATE-023 an empty name is INVALID_TOPIC_EXCEPTION", {"name": ""}, 17),
    ("CREATE-024 a name of dots is INVALID_TOPIC_EXCEPTION", {"name": ".."}, 17),
    ("CREATE-025 a name with a blank is INVALID_TOPIC_EXCEPTION", {"name": "a b"}, 17),
    ("CREATE-026 a name of 250 characters is INVALID_TOPIC_EXCEPTION", {"name": "x" * 250}, 17),
    ("CREATE-027 __cluster_metadata is INVALID_REQUEST", {"name": "__cluster_metadata"}, 42),
    (
        "CREATE-028 an assignment together with a partition count is INVALID_REQUEST",
        {"assignments": [{"partition_index": 0, "broker_ids": [1]}]},
        42,
    ),
)
def refused(b: Bench, topic: dict[str, Any], error: int) -> None:
    for version in (2, 5, 7):
        for validate_only in (True, False):
            (found,) = create(b, version, {"name": b.name(), **topic}, validate_only=validate_only)
            expect(f"error at version {version}", found.error_code, error)
            expect("is there a message", bool(found.error_message), True)


def _assigned(*parts: tuple[int, list[int]]) -> dict[str, Any]:
    listed = [{"partition_index": index, "broker_ids": brokers} for index, brokers in parts]
    return {"num_partitions": -1, "replication_factor": -1, "assignments": listed}


@cases(
    CREATING,
    ("CREATE-030 an unknown broker is INVALID_REPLICA_ASSIGNMENT", _assigned((0, [99])), 39),
    ("CREATE-031 partitions that are not numbered from 0 are INVALID_REPLICA_ASSIGNMENT", _assigned((1, [1])), 39),
    ("CREATE-032 a partition given twice is INVALID_REPLICA_ASSIGNMENT", _assigned((0, [1]), (0, [1])), 39),
    ("CREATE-033 a broker given twice is INVALID_REPLICA_ASSIGNMENT", _assigned((0, [1, 1])), 39),
    ("CREATE-034 no brokers are INVALID_REPLICA_ASSIGNMENT", _assigned((0, [])), 39),
    ("CREATE-035 a gap between partitions is INVALID_REPLICA_ASSIGNMENT", _assigned((0, [1]), (2, [1])), 39),
)
def assignments(b: Bench, topic: dict[str, Any], error: int) -> None:
    node = b.ask(METADATA, 9, topics=[]).brokers[0].node_id
    for one in topic["assignments"]:
        one["broker_ids"] = [node if broker == 1 else broker for broker in one["broker_ids"]]
    for version in (2, 5, 7):
        expect(f"error at version {version}", create_error(b, version, **topic), error)


@contract("CREATE-036 an assignment is followed", CREATING)
def assigned(b: Bench) -> None:
    node = b.ask(METADATA, 9, topics=[]).brokers[0].node_id
    name = b.name()
    (found,) = create(b, 5, {"name": name, **_assigned((1, [node]), (0, [node]))})
    expect("(error, partitions, factor)", (found.error_code, found.num_partitions, found.replication_factor), (0, 2, 1))
    b.wait_for_topic(name, 2)


@contract("CREATE-040 a name given twice in a request is INVALID_REQUEST once", CREATING)
def twice(b: Bench) -> None:
    name, other = b.name(), b.name()
    found = create(b, 7, {"name": name}, {"name": other}, {"name": name})
    expect("errors", sorted((t.name == name, t.error_code) for t in found), [(False, 0), (True, 42)])
    expect("does it exist", exists(b, name), False)


@contract(
    "CREATE-041 a name that collides with an existing one but for . and _ is INVALID_TOPIC_EXCEPTION",
    "Kafka: Topic.hasCollision",
)
def collides(b: Bench) -> None:
    stem = b.name()
    expect("error of the first", create_error(b, name=f"{stem}.x"), 0)
    expect("error of the second", create_error(b, name=f"{stem}_x"), 17)


@contract(
    "CREATE-042 names that collide but for . and _ in the same request are both created", "seen on Apache Kafka 4.3.1"
)
def collides_in_request(b: Bench) -> None:
    stem = b.name()
    found = create(b, 7, {"name": f"{stem}.x"}, {"name": f"{stem}_x"})
    expect("errors", [t.error_code for t in found], [0, 0])


@contract(
    "CREATE-043 validate_only checks, creates nothing and tells no id",
    "KIP-4",
    deliberate="Kafka tells an id that nothing will ever have",
)
def validate_only(b: Bench) -> None:
    name = b.name()
    for version in (2, 7):
        (found,) = create(b, version, {"name": name, "num_partitions": 2}, validate_only=True)
        expect("(error, id)", (found.error_code, found.topic_id), (0, NO_ID))
        expect("partitions", found.num_partitions, 2 if version >= 5 else -1)
    expect("does it exist", exists(b, name), False)


@contract(
    "CREATE-044 a time-out of 0 still creates",
    "facts: librdkafka 1.x sends it by default",
    deliberate="Kafka creates nothing while librdkafka 1.x reports success",
)
def no_time(b: Bench) -> None:
    name = b.name()
    (found,) = create(b, 4, {"name": name}, timeout_ms=0)
    expect("error", found.error_code, 0)
    wait_until(lambda: exists(b, name), f"{name} exists", within_s=2.0)


@contract("CREATE-045 the answer lists the topic's configs with their sources", "KIP-525")
def listed_configs(b: Bench) -> None:
    (found,) = create(b, 7, {"name": b.name(), "configs": [{"name": "retention.ms", "value": "1234"}]})
    configs = {c.name: c for c in found.configs}
    one = configs["retention.ms"]
    expect("retention.ms", (one.value, one.read_only, one.config_source, one.is_sensitive), ("1234", False, 1, False))
    other = configs["cleanup.policy"]
    expect("cleanup.policy", (other.value, other.config_source), ("delete", 5))


@contract("CREATE-046 one bad topic leaves the others of the request alone", CREATING)
def mixed(b: Bench) -> None:
    good, bad = b.name(), b.name()
    found = create(b, 7, {"name": bad, "num_partitions": 0}, {"name": good})
    expect("errors", {t.name: t.error_code for t in found}, {bad: 37, good: 0})
    wait_until(lambda: exists(b, good), f"{good} is there")


@contract("CREATE-047 no topics are answered with none", CREATING)
def nothing(b: Bench) -> None:
    for version in (2, 7):
        expect("topics", create(b, version), [])


@contract(
    "CREATE-048 configs that Kafka 4.0 retired are accepted without effect",
    "Kafka 3.9: TopicConfig; old tools still send them",
    deliberate="Kafka 4 refuses message.format.version and its like as INVALID_CONFIG",
)
def retired(b: Bench) -> None:
    name = b.name()
    (found,) = create(b, 7, {"name": name, "configs": [{"name": "message.format.version", "value": "3.0"}]})
    expect("error", found.error_code, 0)
    expect("is it described", "message.format.version" in {c.name for c in describe(b, TOPIC, name).configs}, False)


@contract("DELETE-001 a topic is deleted at every version", "KIP-516")
def deleted(b: Bench) -> None:
    for version in range(1, 7):
        topic = b.topic()
        wanted = {"topics": [{"name": topic}]} if version >= 6 else {"topic_names": [topic]}
        (found,) = b.ask(DELETE_TOPICS, version, timeout_ms=10_000, **wanted).responses
        expect(
            f"(error, message, name) at version {version}",
            (found.error_code, found.error_message, found.name),
            (0, None, topic),
        )
        expect("id", found.topic_id, b.topic_id(topic) if version >= 6 else NO_ID)
        wait_until(lambda name=topic: not exists(b, name), f"{topic} is gone")
        expect("error of Produce", produce(b, topic, b.batch(b"x")).error_code, 3)


@contract("DELETE-002 a topic is deleted by id", "KIP-516")
def deleted_by_id(b: Bench) -> None:
    topic = b.topic()
    (found,) = b.ask(DELETE_TOPICS, 6, timeout_ms=10_000, topics=[{"topic_id": b.topic_id(topic)}]).responses
    expect("(error, name, id)", (found.error_code, found.name, found.topic_id), (0, topic, b.topic_id(topic)))


@contract("DELETE-003 an unknown name is refused with 3, an unknown id with 100", DELETING)
def unknown(b: Bench) -> None:
    for version in (1, 4, 5):
        name = b.name()
        (found,) = b.ask(DELETE_TOPICS, version, timeout_ms=1000, topic_names=[name]).responses
        expect("(error, name)", (found.error_code, found.name), (3, name))
    (found,) = b.ask(DELETE_TOPICS, 6, timeout_ms=1000, topics=[{"name": b.name()}]).responses
    expect("(error, is there a message)", (found.error_code, bool(found.error_message)), (3, True))
    (found,) = b.ask(DELETE_TOPICS, 6, timeout_ms=1000, topics=[{"topic_id": b"unknown-topic-id"}]).responses
    expect("(error, name, id)", (found.error_code, found.name, found.topic_id), (100, None, b"unknown-topic-id"))


@contract("DELETE-004 a name with an id, or neither, is INVALID_REQUEST", DELETING)
def both_or_neither(b: Bench) -> None:
    topic = b.topic()
    (found,) = b.ask(
        DELETE_TOPICS, 6, timeout_ms=1000, topics=[{"name": topic, "topic_id": b.topic_id(topic)}]
    ).responses
    expect("error of both", found.error_code, 42)
    (found,) = b.ask(DELETE_TOPICS, 6, timeout_ms=1000, topics=[{"name": None}]).responses
    expect("error of neither", found.error_code, 42)
    expect("does it exist", exists(b, topic), True)


@contract("DELETE-005 a topic named twice is INVALID_REQUEST and stays", DELETING)
def twice_deleted(b: Bench) -> None:
    topic = b.topic()
    found = b.ask(DELETE_TOPICS, 5, timeout_ms=1000, topic_names=[topic, topic]).responses
    expect("errors", {t.error_code for t in found}, {42})
    found = b.ask(
        DELETE_TOPICS, 6, timeout_ms=1000, topics=[{"name": topic}, {"topic_id": b.topic_id(topic)}]
    ).responses
    expect("errors by name and id", {t.error_code for t in found}, {42})
    expect("does it exist", exists(b, topic), True)


@contract("DELETE-006 a deleted topic's name is free for another, which begins empty and has another id", DELETING)
def recreated(b: Bench) -> None:
    topic = b.topic()
    old = b.topic_id(topic)
    produce(b, topic, b.batch(b"x"))
    b.ask(DELETE_TOPICS, 6, timeout_ms=10_000, topics=[{"name": topic}])
    wait_until(lambda: not exists(b, topic), f"{topic} is gone")
    b.topic(name=topic)
    expect("is the id another", b.topic_id(topic) != old, True)
    expect("base offset", produce(b, topic, b.batch(b"x")).base_offset, 0)
    expect("error of the old id", produce(b, topic, b.batch(b"x"), 13, topic_id=old).error_code, 100)


@contract("CONFIGS-001 a topic's configs are described at every version with type, source and synonyms", DESCRIBING)
def topic_configs(b: Bench) -> None:
    topic = b.topic(configs={"retention.ms": "1234"})
    for version in range(1, 5):
        more = {"include_documentation": True} if version >= 3 else {}
        found = describe(b, TOPIC, topic, version=version, include_synonyms=True, **more)
        expect("(error, type, name)", (found.error_code, found.resource_type, found.resource_name), (0, TOPIC, topic))
        one = {c.name: c for c in found.configs}["retention.ms"]
        expect(
            "retention.ms", (one.value, one.read_only, one.config_source, one.is_sensitive), ("1234", False, 1, False)
        )
        expect("its type", one.config_type, 5 if version >= 3 else 0)
        expect("is it documented", bool(one.documentation), version >= 3)
        expect(
            "its first synonym",
            (one.synonyms[0].name, one.synonyms[0].value, one.synonyms[0].source),
            ("retention.ms", "1234", 1),
        )


@contract("CONFIGS-002 names, types and defaults of all topic configs are Kafka's", "Kafka 4.3: TopicConfig, LogConfig")
def all_topic_configs(b: Bench) -> None:
    found = describe(b, TOPIC, b.topic())
    values = {c.name: (c.value, c.config_type) for c in found.configs}
    for name, wanted in {
        "cleanup.policy": ("delete", 7),
        "compression.type": ("producer", 2),
        "delete.retention.ms": ("86400000", 5),
        "file.delete.delay.ms": ("60000", 5),
        "flush.messages": ("9223372036854775807", 5),
        "index.interval.bytes": ("4096", 3),
        "max.compaction.lag.ms": ("9223372036854775807", 5),
        "max.message.bytes": ("1048588", 3),
        "message.timestamp.after.max.ms": ("3600000", 5),
        "message.timestamp.before.max.ms": ("9223372036854775807", 5),
        "message.timestamp.type": ("CreateTime", 2),
        "min.cleanable.dirty.ratio": ("0.5", 6),
        "min.insync.replicas": ("1", 3),
        "preallocate": ("false", 1),
        "retention.bytes": ("-1", 5),
        "retention.ms": ("604800000", 5),
        "segment.bytes": ("1073741824", 3),
        "segment.index.bytes": ("10485760", 3),
        "segment.ms": ("604800000", 5),
        "unclean.leader.election.enable": ("false", 1),
    }.items():
        expect(name, values.get(name), wanted)


@contract("CONFIGS-003 without being asked for, synonyms and documentation are left out", DESCRIBING)
def bare(b: Bench) -> None:
    for one in describe(b, TOPIC, b.topic()).configs:
        expect(f"(synonyms, documentation) of {one.name}", (one.synonyms, one.documentation), ([], None))


@contract("CONFIGS-004 keys choose what is described; unknown ones are left out", DESCRIBING)
def chosen(b: Bench) -> None:
    topic = b.topic()
    found = describe(b, TOPIC, topic, keys=["retention.ms", "no.such.config"])
    expect("names", [c.name for c in found.configs], ["retention.ms"])


@contract("CONFIGS-005 an empty list of keys describes all", "Kafka: ConfigHelper.describeConfigs")
def no_keys(b: Bench) -> None:
    found = describe(b, TOPIC, b.topic(), keys=[])
    expect("is there one", len(found.configs) > 10, True)


@contract("CONFIGS-006 an unknown topic is refused with 3, a bad name with 17", DESCRIBING)
def unknown_topic(b: Bench) -> None:
    found = describe(b, TOPIC, b.name())
    expect("(error, configs)", (found.error_code, found.configs), (3, []))
    expect("error of a bad name", describe(b, TOPIC, "a b").error_code, 17)


@contract("CONFIGS-007 a broker's configs are described by its id; all of them by the empty name", DESCRIBING)
def broker_configs(b: Bench) -> None:
    node = b.ask(METADATA, 9, topics=[]).brokers[0].node_id
    found = describe(b, BROKER, str(node))
    names = {c.name for c in found.configs}
    expect("error", found.error_code, 0)
    for name in (
        "num.partitions",
        "default.replication.factor",
        "auto.create.topics.enable",
        "log.retention.hours",
        "message.max.bytes",
    ):
        expect(f"is {name} listed", name in names, True)
    expect("error of all brokers", describe(b, BROKER, "").error_code, 0)


@contract("CONFIGS-008 another broker's id, or none, is INVALID_REQUEST", DESCRIBING)
def other_broker(b: Bench) -> None:
    expect("error of another id", describe(b, BROKER, "4711").error_code, 42)
    expect("error of a word", describe(b, BROKER, "one").error_code, 42)


@contract("CONFIGS-009 an unknown resource type is INVALID_REQUEST", DESCRIBING)
def unknown_type(b: Bench) -> None:
    for resource_type in (0, 1, 99):
        found = describe(b, resource_type, "x")
        expect(f"(error, configs) of type {resource_type}", (found.error_code, found.configs), (42, []))


@contract(
    "CONFIGS-010 success carries a null message",
    "KIP-133",
    deliberate="Kafka's is empty instead, which KafkaJS's own tests refuse",
)
def message_on_success(b: Bench) -> None:
    topic = b.topic()
    for version in (1, 3, 4):
        expect(f"message at version {version}", describe(b, TOPIC, topic, version=version).error_message, None)


@contract("CONFIGS-011 several resources are answered each on its own", DESCRIBING)
def several(b: Bench) -> None:
    topic, missing = b.topic(), b.name()
    resources = [
        {"resource_type": TOPIC, "resource_name": name, "configuration_keys": None} for name in (topic, missing)
    ]
    answer = b.ask(DESCRIBE_CONFIGS, 4, resources=resources)
    expect("errors", {r.resource_name: r.error_code for r in answer.results}, {topic: 0, missing: 3})


@contract("CONFIGS-012 a group's configs are described by any name but the empty one", "KIP-848, KIP-932")
def group_configs(b: Bench) -> None:
    found = describe(b, GROUP, b.name())
    expect("error", found.error_code, 0)
    expect("error of no name", describe(b, GROUP, "").error_code, 42)


@contract("CONFIGS-013 a client metrics subscription that nobody made has the defaults", "KIP-714")
def client_metrics(b: Bench) -> None:
    found = describe(b, CLIENT_METRICS, b.name())
    expect(
        "(error, configs)",
        (found.error_code, sorted(c.name for c in found.configs)),
        (0, ["interval.ms", "match", "metrics"]),
    )
    expect("error of no name", describe(b, CLIENT_METRICS, "").error_code, 42)
