"""One broker's configuration: precedence, types, synonyms, listeners, and mistakes told well."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.config import BrokerConfig, ConfigError, Endpoint, Origin, Setting, Source, TopicSpec, parse_topic_value
from kbroker.config.modes import MODES
from kbroker.config.sources import settings_of_environment, settings_of_overrides, settings_of_properties

DAY_MS = 86_400_000


def _refused(values: dict[str, Any], **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        BrokerConfig.of(values, **options)
    return caught.value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("num.partitions", " 7 ", 7),
        ("auto.create.topics.enable", "FALSE", False),
        ("log.cleaner.min.cleanable.ratio", "0.25", 0.25),
        ("listeners", "A://:1 , B://:2", ("A://:1", "B://:2")),
        ("metric.reporters", "", ()),
        ("broker.rack", "eu-1", "eu-1"),
        ("group.consumer.migration.policy", "upgrade", "upgrade"),
        ("compression.gzip.level", "-1", -1),
    ],
)
def test_a_text_becomes_a_value_of_its_type(name: str, text: str, value: object) -> None:
    mapped = {"listener.security.protocol.map": "A:PLAINTEXT,B:PLAINTEXT"} if name == "listeners" else {}
    assert BrokerConfig.of({**mapped, name: text})[name] == value


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("num.partitions", "many", "it must be a whole number"),
        ("num.partitions", "0", "it must be at least 1"),
        ("num.partitions", "2147483648", "it must fit 32 bits"),
        ("offsets.topic.replication.factor", "40000", "it must fit 16 bits"),
        ("auto.create.topics.enable", "yes", "it must be true or false"),
        ("log.cleaner.min.cleanable.ratio", "1.5", "it must be from 0 to 1"),
        ("log.cleaner.min.cleanable.ratio", "half", "it must be a number"),
        ("compression.type", "rar", "it must be one of uncompressed, zstd, lz4, snappy, gzip, producer"),
        ("compression.gzip.level", "0", "it must be -1 or from 1 to 9"),
        ("log.cleanup.policy", "delete,,compact", "an entry is empty"),
        ("log.dirs", "/a,", "an entry is empty"),
        ("log.cleanup.policy", "shred", "'shred' is not one of compact, delete"),
        ("kbroker.topics", "orders", "it must be a list of NAME:PARTITIONS[:REPLICAS]"),
        ("log.retention.ms", "0", "it must be above 0, or -1 to keep records"),
        ("log.roll.ms", "0", "it must be at least 1"),
        ("socket.send.buffer.bytes", "0", "it must be above 0, or -1 for the system's choice"),
        ("max.connections.per.ip.overrides", "10.0.0.1", "'10.0.0.1' is not HOST:COUNT"),
        ("default.replication.factor", "-1", "it must be at least 1"),
        ("process.roles", "controller", "this node is broker and controller at once"),
        ("controller.quorum.voters", "1@a:1,2@b:1", "this node is a quorum of one"),
        ("controller.quorum.voters", "2@a:1", "this node is a quorum of one"),
        ("controller.quorum.bootstrap.servers", "a:1,b:1", "this node is a quorum of one"),
        ("log.dirs", "a,memory:", "memory: stands alone"),
        ("queued.max.request.bytes", "1000", "it is below socket.request.max.bytes"),
        ("group.min.session.timeout.ms", "2000000", "it is above group.max.session.timeout.ms"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_reason(name: str, text: str, reason: str) -> None:
    error = _refused({name: text})
    assert (error.name, error.value) == (name, text)
    assert error.reason.startswith(reason)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("create.topic.policy.class.name", "com.example.Policy"),
        ("config.providers", "file"),
        ("remote.log.storage.system.enable", "true"),
        ("security.inter.broker.protocol", "SASL_SSL"),
        ("controller.quorum.auto.join.enable", "true"),
    ],
)
def test_what_would_betray_the_user_if_it_were_ignored_is_refused(name: str, text: str) -> None:
    assert _refused({name: text}).name == name


def test_a_rejected_config_at_its_default_is_no_offence() -> None:
    config = BrokerConfig.of({"authorizer.class.name": "", "remote.log.storage.system.enable": "false"})
    assert config["remote.log.storage.system.enable"] is False


def test_the_strongest_source_wins_and_is_told() -> None:
    file = settings_of_properties("num.partitions=2\nmessage.max.bytes=9\nlog.retention.hours=1\n", "s.properties")
    environment = settings_of_environment({"KBROKER_NUM_PARTITIONS": "3", "KBROKER_MESSAGE_MAX_BYTES": "10"})
    overrides = settings_of_overrides(["num.partitions=4"])
    config = BrokerConfig.resolve([*file, *environment, *overrides])
    names = ("num.partitions", "message.max.bytes", "log.retention.hours", "listeners", "fetch.max.bytes")
    assert [str(config.origin(name)) for name in names] == [
        "-o",
        "KBROKER_MESSAGE_MAX_BYTES",
        "s.properties:3",
        "mode dev",
        "default",
    ]
    assert (config["num.partitions"], config["message.max.bytes"]) == (4, 10)
    assert [config.is_set(name) for name in names] == [True, True, True, False, False]


def test_lines_of_a_properties_file_are_counted_through_comments_and_continuations() -> None:
    text = "# one\n\n! three\nlisteners=A://:1,\\\n    B://:2\nbroker.rack = caf\\u00e9\nnum.partitions: 5\n"
    settings = settings_of_properties(text, "f")
    assert [(s.name, s.text, s.origin.line) for s in settings] == [
        ("listeners", "A://:1,B://:2", 4),
        ("broker.rack", "café", 6),
        ("num.partitions", "5", 7),
    ]


def test_an_error_in_a_file_names_the_file_the_line_and_the_key() -> None:
    settings = settings_of_properties("\nnum.partitions=x\n", "server.properties")
    with pytest.raises(ConfigError) as caught:
        BrokerConfig.resolve(settings)
    assert str(caught.value) == "server.properties:2: num.partitions=x: it must be a whole number"
    assert (caught.value.file, caught.value.line) == ("server.properties", 2)


def test_a_variable_of_ours_needs_no_second_prefix() -> None:
    config = BrokerConfig.resolve(settings_of_environment({"KBROKER_TOPICS": "a:1", "KBROKER_MODE": "x", "HOME": "/"}))
    assert config.topics == (TopicSpec("a", 1),)
    assert config.remarks.warnings == ()


def test_an_override_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        settings_of_overrides(["num.partitions"])


def test_an_unknown_key_is_a_warning_with_the_nearest_name() -> None:
    config = BrokerConfig.resolve([Setting("num.partitons", "3", Origin(Source.FILE, "f", 2))])
    expected = "f:2: num.partitons is no config that Kafka or kbroker knows; did you mean num.partitions?"
    assert config.remarks.warnings == (expected,)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("log.dirs", "/b,/a,/b", ("/b", "/a")),
        ("log.dirs", "/a,/a/", ("/a", "/a/")),  # compared as they are written
        ("log.cleanup.policy", "delete, compact,delete", ("delete", "compact")),
        ("process.roles", "broker,controller,broker", ("broker", "controller")),
    ],
)
def test_what_a_list_names_twice_counts_once_and_is_warned_of(name: str, text: str, value: tuple[str, ...]) -> None:
    """As in Kafka since KIP-1161. It was refused."""
    config = BrokerConfig.of({name: text})
    assert config[name] == value
    told = [
        warning for warning in config.remarks.warnings if f"{name}={text}: what is named twice counts once" in warning
    ]
    assert len(told) == (len(value) < len(text.split(",")))


def test_an_unknown_key_stops_a_strict_broker() -> None:
    error = _refused({"num.partitons": 3}, mode="strict")
    assert error.suggestion == "num.partitions"
    assert "did you mean num.partitions?" in str(error)


@pytest.mark.parametrize(
    "name",
    [
        "zookeeper.connect",
        "inter.broker.protocol.version",
        "super.users",
        "rsm.config.bucket",
        "listener.name.internal.ssl.keystore.location",
        "listener.name.external.plain.sasl.jaas.config",
        "num.io.threads",
    ],
)
def test_a_key_of_kafka_that_does_nothing_here_is_noted_once(name: str) -> None:
    config = BrokerConfig.of({name: 12})
    assert config.remarks.warnings == ()
    assert config.remarks.notes == (f"accepted without effect: {name}",)


def test_a_setting_without_effect_at_its_default_is_not_worth_a_word() -> None:
    assert BrokerConfig.of({"num.io.threads": 8}).remarks.notes == ()


def test_a_secret_is_not_repeated_in_an_error() -> None:
    config = BrokerConfig.of({"ssl.key.password": "s3cret"})
    assert "s3cret" not in repr(config.remarks)


# ---- topics


@pytest.mark.parametrize(
    ("given", "retention_ms"),
    [
        ({}, 7 * DAY_MS),
        ({"log.retention.hours": 1}, 3_600_000),
        ({"log.retention.hours": 1, "log.retention.minutes": 2}, 120_000),
        ({"log.retention.hours": 1, "log.retention.minutes": 2, "log.retention.ms": 3}, 3),
        ({"log.retention.hours": -1}, -1),
        ({"log.retention.ms": -1}, -1),
    ],
)
def test_the_finest_unit_that_is_set_gives_the_retention(given: dict[str, int], retention_ms: int) -> None:
    assert BrokerConfig.of(given).topic_defaults()["retention.ms"] == retention_ms


def test_topics_inherit_the_brokers_log_settings() -> None:
    given = {
        "log.segment.bytes": 2_000_000,
        "message.max.bytes": 77,
        "log.roll.hours": 2,
        "log.roll.jitter.hours": 1,
        "log.index.size.max.bytes": 400,
        "log.cleanup.policy": "compact",
        "log.flush.scheduler.interval.ms": 5,
        "min.insync.replicas": 2,
    }
    defaults = BrokerConfig.of(given).topic_defaults()
    assert defaults["segment.bytes"] == 2_000_000
    assert defaults["max.message.bytes"] == 77
    assert (defaults["segment.ms"], defaults["segment.jitter.ms"]) == (7_200_000, 3_600_000)
    assert (defaults["segment.index.bytes"], defaults["cleanup.policy"]) == (400, ("compact",))
    assert (defaults["flush.ms"], defaults["min.insync.replicas"]) == (5, 2)


def test_a_topic_config_is_parsed_like_a_brokers() -> None:
    assert parse_topic_value("retention.ms", "-1") == -1
    assert parse_topic_value("cleanup.policy", "compact, delete") == ("compact", "delete")
    assert parse_topic_value("leader.replication.throttled.replicas", "0:1,1:1") == ("0:1", "1:1")
    assert parse_topic_value("message.format.version", "2.8") == "2.8"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("retention.ms", "-2"),
        ("segment.bytes", "1"),
        ("leader.replication.throttled.replicas", "0-1"),
        ("remote.storage.enable", "true"),
    ],
)
def test_a_bad_topic_value_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_topic_value(name, text)
    assert caught.value.name == name


def test_an_unknown_topic_config_comes_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_topic_value("retention.msec", "1")
    assert caught.value.suggestion == "retention.ms"


# ---- identity, directories, replication


@pytest.mark.parametrize(
    ("given", "node_id"),
    [({}, 1), ({"node.id": 5}, 5), ({"broker.id": 6}, 6), ({"node.id": 7, "broker.id": 7}, 7), ({"broker.id": -1}, 1)],
)
def test_node_id_and_broker_id_are_one_number(given: dict[str, int], node_id: int) -> None:
    config = BrokerConfig.of(given)
    assert (config.node_id, config["node.id"], config["broker.id"]) == (node_id, node_id, node_id)


def test_two_different_node_numbers_are_refused() -> None:
    assert _refused({"node.id": 1, "broker.id": 2}).reason == "it differs from node.id, which is 1"


def test_a_quorum_of_one_may_name_itself() -> None:
    config = BrokerConfig.of({"node.id": 3, "controller.quorum.voters": "3@localhost:9093"})
    assert config.node_id == 3


@pytest.mark.parametrize(
    ("given", "mode", "data_dir"),
    [
        ({}, "dev", "kbroker-data"),
        ({}, "test", "memory:"),
        ({"log.dir": "x"}, "dev", "x"),
        ({"log.dir": "x", "log.dirs": "y"}, "dev", "y"),
        ({"log.dirs": "memory://"}, "dev", "memory:"),
        ({"log.dirs": "y"}, "test", "y"),
    ],
)
def test_the_data_directory(given: dict[str, str], mode: str, data_dir: str) -> None:
    config = BrokerConfig.of(given, mode=mode)
    assert (config.data_dir, config.is_in_memory) == (data_dir, data_dir == "memory:")


def test_several_data_directories_and_one_for_the_metadata_log() -> None:
    config = BrokerConfig.of({"log.dirs": "a,b"})
    assert (config.data_dirs, config.metadata_dir, config.is_in_memory) == (("a", "b"), "a", False)
    assert BrokerConfig.of({"log.dirs": "a,b", "metadata.log.dir": "c"}).metadata_dir == "c"


def test_the_metadata_of_a_broker_in_memory_is_in_memory() -> None:
    assert BrokerConfig.of({"log.dirs": "memory:", "metadata.log.dir": "memory://"}).metadata_dir == "memory:"
    assert _refused({"log.dirs": "memory:", "metadata.log.dir": "c"}).name == "metadata.log.dir"


def test_replicas_that_cannot_be_placed_are_lowered_with_a_warning() -> None:
    config = BrokerConfig.of({"default.replication.factor": 3})
    assert config["default.replication.factor"] == 1
    assert "default.replication.factor=3 is lowered to 1" in config.remarks.warnings[0]


def test_a_strict_broker_keeps_the_replicas_it_was_given() -> None:
    config = BrokerConfig.of({"default.replication.factor": 3}, mode="strict")
    assert (config["default.replication.factor"], config["offsets.topic.replication.factor"]) == (3, 3)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_a_configuration(mode: str) -> None:
    config = BrokerConfig.of({}, mode=mode)
    assert config.remarks == ((), ())
    assert config.mode == mode


# ---- listeners


def test_a_listener_for_controllers_stays_closed() -> None:
    config = BrokerConfig.of(
        {
            "process.roles": "broker,controller",
            "listeners": "PLAINTEXT://0.0.0.0:9092, CONTROLLER://:9093",
            "controller.listener.names": "CONTROLLER",
            "advertised.listeners": "PLAINTEXT://broker:9092,CONTROLLER://broker:9093",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT, CONTROLLER:SSL",
        }
    )
    assert config.listeners == (Endpoint("PLAINTEXT", "0.0.0.0", 9092),)
    assert config.advertised == {"PLAINTEXT": ("broker", 9092)}


def test_listeners_may_have_any_name_that_maps_to_plaintext() -> None:
    config = BrokerConfig.of(
        {
            "listeners": "INTERNAL://:29092,EXTERNAL://[::1]:0",
            "listener.security.protocol.map": "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT",
            "inter.broker.listener.name": "INTERNAL",
            "advertised.listeners": "EXTERNAL://[fe80::1]:19092",
        }
    )
    assert config.listeners == (Endpoint("INTERNAL", "", 29092), Endpoint("EXTERNAL", "::1", 0))
    assert config.advertised == {"EXTERNAL": ("fe80::1", 19092)}
    assert str(config.listeners[1]) == "EXTERNAL://[::1]:0"


@pytest.mark.parametrize(
    ("given", "name", "reason"),
    [
        ({"listeners": "localhost:9092"}, "listeners", "'localhost:9092' is not NAME://HOST:PORT"),
        ({"listeners": "PLAINTEXT://:70000"}, "listeners", "'PLAINTEXT://:70000' has a port above 65535"),
        ({"listeners": "SSL://:9092"}, "listeners", "listener SSL asks for SSL, and only PLAINTEXT is served"),
        ({"listeners": "X://:1"}, "listeners", "listener X has no entry in listener.security.protocol.map"),
        ({"listeners": ""}, "listeners", "it must not be empty"),
        ({"listeners": "PLAINTEXT://:1,PLAINTEXT://:2"}, "listeners", "two listeners have one name"),
        (
            {"listeners": "A://:1,B://:1", "listener.security.protocol.map": "A:PLAINTEXT,B:PLAINTEXT"},
            "listeners",
            "two listeners have one address",
        ),
        (
            {"listeners": "C://:1", "controller.listener.names": "C"},
            "listeners",
            "every listener is for controllers: clients need one too",
        ),
        (
            {"advertised.listeners": "PLAINTEXT://0.0.0.0:9092"},
            "advertised.listeners",
            "'PLAINTEXT://0.0.0.0:9092' is no address that a client could dial: name a host",
        ),
        ({"advertised.listeners": "B://b:1"}, "advertised.listeners", "B is not among listeners (PLAINTEXT)"),
        (
            {"listener.security.protocol.map": "A:TLS"},
            "listener.security.protocol.map",
            "'A:TLS' is not NAME:PROTOCOL with one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
        ),
    ],
)
def test_listeners_that_cannot_be_served_are_refused(given: dict[str, str], name: str, reason: str) -> None:
    error = _refused(given)
    assert (error.name, error.reason) == (name, reason)


def test_connections_per_address_may_differ() -> None:
    config = BrokerConfig.of({"max.connections.per.ip.overrides": "10.0.0.1:5, ::1:7"})
    assert config.connections_per_ip == {"10.0.0.1": 5, "::1": 7}


def test_topics_to_make_at_start() -> None:
    config = BrokerConfig.of({"kbroker.topics": "orders:3,audit:1:1"})
    assert config.topics == (TopicSpec("orders", 3), TopicSpec("audit", 1, 1))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a:0", "a needs at least one partition and one replica"),
        ("a:1:0", "a needs at least one partition and one replica"),
        ("a:1,b:1,a:2", "a is named twice"),
        ("..:1", "no topic can be named"),
    ],
)
def test_topics_that_cannot_be_made_are_refused_before_the_start(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        BrokerConfig.of({"kbroker.topics": text})


def test_replicas_that_one_broker_cannot_hold_are_lowered_or_refused() -> None:
    config = BrokerConfig.of({"kbroker.topics": "a:2:3"})
    assert config.topics == (TopicSpec("a", 2, 1),)
    assert any("not 3" in warning for warning in config.remarks.warnings)
    with pytest.raises(ConfigError, match="can't have 3 replicas"):
        BrokerConfig.of({"kbroker.topics": "a:2:3"}, mode="strict")


def test_a_misspelt_variable_is_answered_with_the_nearest_name() -> None:
    config = BrokerConfig.resolve(settings_of_environment({"KBROKER_NUM_PARTITONS": "3"}))
    assert any("num.partitions" in warning for warning in config.remarks.warnings)
