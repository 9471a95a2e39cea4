"""DescribeConfigs and the settings of logs, rule by rule."""

import pytest
from cluster import Dealt, after, cluster, config

from kbroker.controller.auto_topics import create_missing
from kbroker.controller.configs import ConfigSource, log_settings
from kbroker.controller.describe_configs import describe_configs
from kbroker.metadata.image import MetadataImage, ResourceType
from kbroker.turns import at_once
from protocol_specs.api.k32_describe_configs import DescribeConfigsRequest, DescribeConfigsResponse
from protocol_specs.errors import ErrorCode

TOPIC, BROKER = ResourceType.TOPIC, ResourceType.BROKER


def image_with(configs=None) -> MetadataImage:
    image = cluster(configs=configs)
    return after(image, create_missing(image, ["orders"], config(), Dealt()))


def result(kind: int, name: str, *, keys=None, image=None, settings=None, synonyms=False, docs=False):
    resource = DescribeConfigsRequest.DescribeConfigsResource(
        resource_type=kind, resource_name=name, configuration_keys=keys
    )
    request = DescribeConfigsRequest(resources=[resource], include_synonyms=synonyms, include_documentation=docs)
    response = at_once(describe_configs(image or image_with(), request, settings or config()))
    (found,) = response.results
    assert (found.resource_type, found.resource_name) == (kind, name)
    for version in range(1, 5):
        DescribeConfigsResponse.build_version(version, response)
    return found


def entry(kind: int, name: str, key: str, **options):
    (found,) = result(kind, name, keys=[key], **options).configs
    return found


def test_a_topic_is_described_with_every_configuration() -> None:
    found = result(TOPIC, "orders")
    assert found.error_code == ErrorCode.NONE
    assert len(found.configs) == 33


def test_success_carries_no_message() -> None:
    assert result(TOPIC, "orders").error_message is None


@pytest.mark.parametrize("keys", [None, []])
def test_no_keys_ask_for_all(keys) -> None:
    assert len(result(TOPIC, "orders", keys=keys).configs) == 33


def test_unknown_keys_are_left_out() -> None:
    assert result(TOPIC, "orders", keys=["no.such.config"]).configs == []


def test_an_override_is_the_topics_own() -> None:
    image = image_with({(TOPIC, "orders"): {"retention.ms": "5"}})
    found = entry(TOPIC, "orders", "retention.ms", image=image)
    assert (found.value, found.config_source, found.read_only) == ("5", ConfigSource.TOPIC, False)


def test_a_value_of_the_brokers_file_is_static() -> None:
    found = entry(TOPIC, "orders", "retention.ms", settings=config(log_retention_hours=2))
    assert (found.value, found.config_source) == ("7200000", ConfigSource.STATIC_BROKER)


def test_a_value_that_nobody_set_is_the_default() -> None:
    found = entry(TOPIC, "orders", "segment.bytes")
    assert (found.value, found.config_source) == ("1073741824", ConfigSource.DEFAULT)


@pytest.mark.parametrize(("scope", "source"), [("1", 2), ("", 3)])
def test_a_dynamic_broker_value_comes_before_the_file(scope: str, source: int) -> None:
    image = image_with({(BROKER, scope): {"log.segment.bytes": "2000000"}})
    found = entry(TOPIC, "orders", "segment.bytes", image=image, settings=config(log_segment_bytes=3000000))
    assert (found.value, found.config_source) == ("2000000", source)


def test_synonyms_come_strongest_first_and_only_when_asked_for() -> None:
    image = image_with(
        {
            (TOPIC, "orders"): {"segment.bytes": "1500000"},
            (BROKER, "1"): {"log.segment.bytes": "1600000"},
            (BROKER, ""): {"log.segment.bytes": "1700000"},
        }
    )
    settings = config(log_segment_bytes=1800000)
    found = entry(TOPIC, "orders", "segment.bytes", image=image, settings=settings, synonyms=True)
    assert [(each.name, each.value, each.source) for each in found.synonyms] == [
        ("segment.bytes", "1500000", 1),
        ("log.segment.bytes", "1600000", 2),
        ("log.segment.bytes", "1700000", 3),
        ("log.segment.bytes", "1800000", 4),
        ("log.segment.bytes", "1073741824", 5),
    ]
    assert entry(TOPIC, "orders", "segment.bytes", image=image, settings=settings).synonyms == []


def test_documentation_comes_when_asked_for() -> None:
    assert entry(TOPIC, "orders", "segment.bytes").documentation is None
    assert entry(TOPIC, "orders", "segment.bytes", docs=True).documentation


@pytest.mark.parametrize(
    ("key", "kind"),
    [("preallocate", 1), ("compression.type", 2), ("segment.bytes", 3), ("retention.ms", 5), ("cleanup.policy", 7)],
)
def test_types_are_numbered_as_kafka_numbers_them(key: str, kind: int) -> None:
    assert entry(TOPIC, "orders", key).config_type == kind


def test_an_unknown_topic_is_refused() -> None:
    assert result(TOPIC, "nothing").error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_an_illegal_topic_name_is_refused() -> None:
    assert result(TOPIC, "bad name").error_code == ErrorCode.INVALID_TOPIC_EXCEPTION


def test_this_broker_is_described_with_every_documented_configuration() -> None:
    found = result(BROKER, "1")
    assert len(found.configs) > 300
    assert {"num.partitions", "log.dirs", "listeners"} <= {each.name for each in found.configs}


@pytest.mark.parametrize(
    ("settings", "value", "source"), [({}, "1", 5), ({"num_partitions": 7}, "7", 4)], ids=["default", "set"]
)
def test_a_broker_value_says_whether_it_was_set(settings, value: str, source: int) -> None:
    found = entry(BROKER, "1", "num.partitions", settings=config(**settings))
    assert (found.value, found.config_source) == (value, source)


def test_a_broker_value_that_was_made_to_fit_is_shown_as_it_is_in_force() -> None:
    """broker.id follows node.id; the default of -1 used to be shown."""
    assert entry(BROKER, "1", "broker.id").value == "1"
    assert entry(BROKER, "1", "offsets.topic.replication.factor").value == "1"


def test_a_dynamic_broker_value_is_in_force() -> None:
    image = image_with({(BROKER, ""): {"log.segment.bytes": "2000000"}})
    found = entry(BROKER, "1", "log.segment.bytes", image=image)
    assert (found.value, found.config_source, found.read_only) == ("2000000", 3, False)


def test_what_cannot_change_at_run_time_is_read_only() -> None:
    assert entry(BROKER, "1", "node.id").read_only is True


def test_secrets_are_never_shown() -> None:
    settings = config(ssl_keystore_password="hush")
    found = entry(BROKER, "1", "ssl.keystore.password", settings=settings, synonyms=True)
    assert (found.value, found.is_sensitive, found.config_type) == (None, True, 9)
    assert [each.value for each in found.synonyms] == [None]


def test_a_broker_without_name_shows_what_holds_for_all() -> None:
    image = image_with({(BROKER, ""): {"log.segment.bytes": "2000000"}, (BROKER, "1"): {"log.retention.ms": "5"}})
    (found,) = result(BROKER, "", image=image).configs
    assert (found.name, found.value, found.config_source) == ("log.segment.bytes", "2000000", 3)


@pytest.mark.parametrize("kind", [BROKER, ResourceType.BROKER_LOGGER])
@pytest.mark.parametrize("name", ["2", "one"])
def test_another_brokers_name_is_refused(kind: int, name: str) -> None:
    assert result(kind, name).error_code == ErrorCode.INVALID_REQUEST


def test_there_are_no_loggers_to_list() -> None:
    assert result(ResourceType.BROKER_LOGGER, "1").configs == []
    assert result(ResourceType.BROKER_LOGGER, "").error_code == ErrorCode.INVALID_REQUEST


def test_a_group_is_described_with_its_own_and_the_brokers_values() -> None:
    image = image_with({(ResourceType.GROUP, "g"): {"consumer.session.timeout.ms": "46000"}})
    own = entry(ResourceType.GROUP, "g", "consumer.session.timeout.ms", image=image)
    assert (own.value, own.config_source) == ("46000", ConfigSource.GROUP)
    other = entry(ResourceType.GROUP, "g", "consumer.heartbeat.interval.ms", image=image)
    assert (other.value, other.config_source) == ("5000", ConfigSource.DEFAULT)


def test_client_metrics_show_what_is_stored() -> None:
    image = image_with({(ResourceType.CLIENT_METRICS, "m"): {"interval.ms": "1000"}})
    found = entry(ResourceType.CLIENT_METRICS, "m", "interval.ms", image=image)
    assert (found.value, found.config_source) == ("1000", ConfigSource.CLIENT_METRICS)


def test_a_subscription_that_nobody_made_has_the_defaults() -> None:
    """It used to have no configurations at all."""
    found = result(ResourceType.CLIENT_METRICS, "m").configs
    assert [(one.name, one.value, one.config_source) for one in found] == [
        ("interval.ms", "300000", ConfigSource.DEFAULT),
        ("match", "", ConfigSource.DEFAULT),
        ("metrics", "", ConfigSource.DEFAULT),
    ]


def test_internal_topic_configs_are_not_described() -> None:
    names = {one.name for one in result(TOPIC, "orders").configs}
    assert [name for name in names if name.startswith("internal.")] == []
    assert "retention.ms" in names


@pytest.mark.parametrize("kind", [ResourceType.GROUP, ResourceType.CLIENT_METRICS])
def test_groups_and_subscriptions_need_a_name(kind: int) -> None:
    assert result(kind, "").error_code == ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("kind", [0, 1, 3, 99])
def test_an_unknown_type_of_resource_is_refused(kind: int) -> None:
    assert result(kind, "x").error_code == ErrorCode.INVALID_REQUEST


def test_log_settings_are_overrides_over_dynamic_values_over_the_file() -> None:
    settings = config(log_segment_bytes=3000000, log_retention_ms=7, log_index_interval_bytes=99)
    image = image_with(
        {(TOPIC, "orders"): {"segment.bytes": "1500000"}, (BROKER, ""): {"log.retention.ms": "8"}},
    )
    found = log_settings(image, settings, "orders")
    assert (found.segment_bytes, found.retention_ms, found.index_interval_bytes) == (1500000, 8, 99)


def test_overrides_that_cannot_be_read_leave_the_default_in_force() -> None:
    image = image_with({(TOPIC, "orders"): {"segment.bytes": "tiny", "no.such.config": "1"}})
    assert log_settings(image, config(), "orders") == log_settings(image_with(), config(), "orders")


def test_the_expiration_of_producers_is_the_brokers() -> None:
    settings = config(producer_id_expiration_ms=1234)
    assert log_settings(image_with(), settings, "orders").producer_id_expiration_ms == 1234
