"""Topics that are made because somebody asked for them."""

import pytest
from cluster import Dealt, after, broker, cluster, config

from kbroker.controller.auto_topics import create_missing
from kbroker.controller.decision import Refused
from protocol_specs.errors import ErrorCode


def made(name: str, settings=None, image=None):
    image = image or cluster()
    decision = create_missing(image, [name], settings or config(), Dealt())
    assert decision.response == {name: None}
    result = after(image, decision)
    return result.topics.by_name[name], result.topic_configs(name)


def test_a_users_topic_has_the_defaults() -> None:
    topic, configs = made("orders", config(num_partitions=5))
    assert len(topic.partitions) == 5
    assert configs == {}


def test_the_offsets_topic_is_made_for_coordinators() -> None:
    topic, configs = made("__consumer_offsets")
    assert len(topic.partitions) == 50
    assert configs == {"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"}


def test_the_transactions_topic_is_made_for_coordinators() -> None:
    topic, configs = made("__transaction_state", config(transaction_state_log_num_partitions=3))
    assert len(topic.partitions) == 3
    assert configs["cleanup.policy"] == "compact"
    assert configs["unclean.leader.election.enable"] == "false"
    assert configs["min.insync.replicas"] == "1"


def test_the_share_state_topic_is_never_cleaned_by_age() -> None:
    topic, configs = made("__share_group_state", config(share_coordinator_state_topic_num_partitions=2))
    assert len(topic.partitions) == 2
    assert (configs["cleanup.policy"], configs["retention.ms"]) == ("delete", "-1")


def test_an_internal_topic_gets_as_many_replicas_as_there_are_brokers() -> None:
    image = cluster(broker(1), broker(2))
    topic, _ = made("__consumer_offsets", config(offsets_topic_replication_factor=1), image)
    assert len(topic.partitions[0].replicas) == 1


def test_without_clamping_an_internal_topic_waits_for_its_brokers() -> None:
    settings = config(offsets_topic_replication_factor=3, kbroker_clamp_replication=False)
    decision = create_missing(cluster(), ["__consumer_offsets"], settings, Dealt())
    assert decision.response["__consumer_offsets"].error == ErrorCode.INVALID_REPLICATION_FACTOR
    assert decision.records == []


def test_what_exists_is_left_alone() -> None:
    image = after(cluster(), create_missing(cluster(), ["orders"], config(), Dealt()))
    decision = create_missing(image, ["orders", "orders"], config(), Dealt())
    assert decision.records == []
    assert decision.response == {"orders": None}


@pytest.mark.parametrize("name", ["bad name", "a.b"])
def test_an_illegal_or_colliding_name_is_refused(name: str) -> None:
    image = after(cluster(), create_missing(cluster(), ["a_b"], config(), Dealt()))
    decision = create_missing(image, [name, "good"], config(), Dealt())
    assert decision.response[name].error == ErrorCode.INVALID_TOPIC_EXCEPTION
    assert decision.response["good"] is None
    assert "good" in after(image, decision).topics


def test_what_does_not_fit_a_batch_is_refused_by_name() -> None:
    image = after(cluster(), create_missing(cluster(), ["there"], config(), Dealt()))
    refuse = create_missing(image, ["there", "missing"], config(), Dealt()).refuse
    assert refuse is not None
    refused = Refused(ErrorCode.POLICY_VIOLATION, "too much")
    assert refuse(refused) == {"there": None, "missing": refused}
