"""CreateTopics, rule by rule."""

import pytest
from cluster import Dealt, after, broker, cluster, config

from kbroker.controller import topics
from kbroker.controller.decision import Refused
from kbroker.controller.topics import create_topics
from kbroker.metadata.image import DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED, MetadataImage
from kbroker.turns import at_once
from protocol_specs.api.k19_create_topics import CreateTopicsRequest, CreateTopicsResponse
from protocol_specs.errors import ErrorCode


def topic(name="orders", partitions=1, factor=1, assignments=(), configs=()):
    return CreateTopicsRequest.CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=factor,
        assignments=[
            CreateTopicsRequest.CreatableReplicaAssignment(partition_index=index, broker_ids=list(nodes))
            for index, nodes in assignments
        ],
        configs=[CreateTopicsRequest.CreatableTopicConfig(name=key, value=value) for key, value in configs],
    )


def decide(*topics, image=None, settings=None, **fields):
    request = CreateTopicsRequest(topics=list(topics), **fields)
    return at_once(create_topics(image or cluster(), request, settings or config(), Dealt()))


def outcome(*topics, **options) -> dict[str, int]:
    return {result.name: result.error_code for result in decide(*topics, **options).response.topics}


def refusal(wanted, **options) -> int:
    decision = decide(wanted, **options)
    (result,) = decision.response.topics
    assert decision.records == []
    assert result.error_message
    return result.error_code


def manual(*assignments):
    return topic(partitions=-1, factor=-1, assignments=assignments)


def test_a_topic_is_made_with_its_partitions_and_configurations() -> None:
    image = cluster()
    image = after(image, decide(topic(partitions=3, configs=[("retention.ms", "1000")]), image=image))
    made = image.topics.by_name["orders"]
    assert len(made.partitions) == 3
    assert image.topic_configs("orders") == {"retention.ms": "1000"}
    for partition in made.partitions:
        assert partition.replicas == partition.isr == (1,)
        assert (partition.leader, partition.leader_epoch, partition.partition_epoch) == (1, 0, 0)


def test_the_answer_tells_id_partitions_factor_and_configurations() -> None:
    decision = decide(topic(partitions=3, configs=[("retention.ms", "1000")]))
    (result,) = decision.response.topics
    assert (result.error_code, result.error_message) == (ErrorCode.NONE, None)
    assert result.topic_id == (1).to_bytes(16, "big")
    assert (result.num_partitions, result.replication_factor) == (3, 1)
    entries = {entry.name: entry for entry in result.configs}
    assert [*entries] == sorted(entries)
    assert len(entries) > 30
    assert (entries["retention.ms"].value, entries["retention.ms"].config_source) == ("1000", 1)
    assert (entries["segment.bytes"].value, entries["segment.bytes"].config_source) == ("1073741824", 5)
    CreateTopicsResponse.build_version(7, decision.response)


@pytest.mark.parametrize("version", range(2, 8))
def test_the_answer_fits_every_served_version(version: int) -> None:
    decision = decide(topic(), topic("bad name"))
    found = CreateTopicsResponse.parse_version(version, CreateTopicsResponse.build_version(version, decision.response))
    assert [result.error_code for result in found.topics] == [0, 17]


def test_a_name_twice_in_one_request_is_refused_once() -> None:
    decision = decide(topic(), topic("other"), topic())
    assert [(result.name, result.error_code) for result in decision.response.topics] == [("orders", 42), ("other", 0)]


def test_the_metadata_topic_cannot_be_created() -> None:
    assert refusal(topic("__cluster_metadata")) == ErrorCode.INVALID_REQUEST


def test_an_existing_topic_is_refused() -> None:
    image = after(cluster(), decide(topic()))
    assert refusal(topic(), image=image) == ErrorCode.TOPIC_ALREADY_EXISTS


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "ä", "a/b", "x" * 250])
def test_an_illegal_name_is_refused(name: str) -> None:
    assert refusal(topic(name)) == ErrorCode.INVALID_TOPIC_EXCEPTION


def test_the_longest_legal_name_is_accepted() -> None:
    assert outcome(topic("x" * 249)) == {"x" * 249: 0}


@pytest.mark.parametrize(("existing", "wanted"), [("a.b", "a_b"), ("a_b", "a.b"), ("a_b.c", "a.b_c")])
def test_a_name_that_collides_in_metrics_is_refused(existing: str, wanted: str) -> None:
    image = after(cluster(), decide(topic(existing)))
    assert refusal(topic(wanted), image=image) == ErrorCode.INVALID_TOPIC_EXCEPTION


def test_colliding_names_in_one_request_are_both_accepted() -> None:
    assert outcome(topic("a.b"), topic("a_b")) == {"a.b": 0, "a_b": 0}


@pytest.mark.parametrize("partitions", [0, -2])
def test_a_number_of_partitions_that_is_not_positive_is_refused(partitions: int) -> None:
    assert refusal(topic(partitions=partitions)) == ErrorCode.INVALID_PARTITIONS


@pytest.mark.parametrize("factor", [0, -2, 2])
def test_a_replication_factor_that_cannot_be_had_is_refused(factor: int) -> None:
    assert refusal(topic(factor=factor)) == ErrorCode.INVALID_REPLICATION_FACTOR


@pytest.mark.parametrize("state", [{"fenced": True}, {"in_controlled_shutdown": True}])
def test_no_topic_is_placed_where_no_broker_is_active(state: dict[str, bool]) -> None:
    image = cluster(broker(1, **state), broker(2, fenced=True))
    assert refusal(topic(), image=image) == ErrorCode.INVALID_REPLICATION_FACTOR


def test_no_topic_is_placed_without_any_broker() -> None:
    assert refusal(topic(), image=MetadataImage()) == ErrorCode.INVALID_REPLICATION_FACTOR


def test_minus_one_asks_for_the_defaults() -> None:
    image = cluster(broker(1), broker(2), broker(3))
    settings = config(num_partitions=4, kbroker_clamp_replication=False, default_replication_factor=2)
    decision = decide(topic(partitions=-1, factor=-1), image=image, settings=settings)
    (result,) = decision.response.topics
    assert (result.num_partitions, result.replication_factor) == (4, 2)


def test_a_manual_assignment_is_taken_as_it_is() -> None:
    image = cluster(broker(1), broker(2), broker(3, fenced=True))
    made = after(image, decide(manual((1, [3, 2]), (0, [1, 2])), image=image)).topics.by_name["orders"]
    assert [partition.replicas for partition in made.partitions] == [(1, 2), (3, 2)]
    assert [partition.isr for partition in made.partitions] == [(1, 2), (2,)]
    assert [partition.leader for partition in made.partitions] == [1, 2]


@pytest.mark.parametrize(("partitions", "factor"), [(1, -1), (-1, 1)])
def test_a_manual_assignment_allows_no_numbers_beside_it(partitions: int, factor: int) -> None:
    wanted = topic(partitions=partitions, factor=factor, assignments=[(0, [1])])
    assert refusal(wanted) == ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    "assignments",
    [
        [(0, [1]), (0, [2])],  # a partition twice
        [(0, [1]), (2, [2])],  # a gap
        [(1, [1])],  # not from 0
        [(0, [1, 2]), (1, [1])],  # different factors
        [(0, [7])],  # an unknown broker
        [(0, [1, 1])],  # a broker twice
        [(0, [])],  # no broker
        [(0, [3])],  # fenced brokers alone
    ],
)
def test_a_wrong_manual_assignment_is_refused(assignments) -> None:
    image = cluster(broker(1), broker(2), broker(3, fenced=True))
    assert refusal(manual(*assignments), image=image) == ErrorCode.INVALID_REPLICA_ASSIGNMENT


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention.ms", None),
        ("no.such.config", "1"),
        ("retention.ms", "soon"),
        ("segment.bytes", "13"),
        ("min.insync.replicas", "0"),
        ("cleanup.policy", "burn"),
    ],
)
def test_a_configuration_that_is_null_unknown_or_wrong_is_refused(name: str, value: str | None) -> None:
    assert refusal(topic(configs=[(name, value)])) == ErrorCode.INVALID_CONFIG


def test_compaction_lags_must_fit_together() -> None:
    lags = [("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "9")]
    assert refusal(topic(configs=lags)) == ErrorCode.INVALID_CONFIG


def test_a_retired_configuration_is_accepted_without_effect() -> None:
    image = after(cluster(), decide(topic(configs=[("message.format.version", "2.8")])))
    assert image.topic_configs("orders") == {}


def test_a_wrong_topic_does_not_hinder_the_others() -> None:
    decision = decide(topic("bad name"), topic())
    assert [result.error_code for result in decision.response.topics] == [17, 0]
    assert [*after(cluster(), decision).topics.by_name] == ["orders"]


def test_too_many_partitions_in_one_request_are_refused_altogether() -> None:
    assert outcome(topic(partitions=9_999), topic("more", partitions=2)) == {
        "orders": ErrorCode.POLICY_VIOLATION,
        "more": ErrorCode.POLICY_VIOLATION,
    }
    assert outcome(topic(partitions=1 << 28)) == {"orders": ErrorCode.POLICY_VIOLATION}


def test_configurations_count_like_partitions_against_the_bound_of_one_request() -> None:
    """Partitions alone were counted: configurations could make a decision as large as the request."""
    configs = [("retention.ms", "1"), ("segment.bytes", "1048576")]
    assert outcome(topic(partitions=9_999)) == {"orders": 0}
    assert outcome(topic(partitions=9_999, configs=configs)) == {"orders": ErrorCode.POLICY_VIOLATION}


def test_a_negative_number_of_partitions_makes_no_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """300000 and -300000 were 0 partitions to the bound, and 3 s of planning."""
    monkeypatch.delattr(topics, "place")
    assert outcome(topic("a", partitions=20_000), topic("b", partitions=-20_000)) == {
        "a": ErrorCode.POLICY_VIOLATION,
        "b": ErrorCode.POLICY_VIOLATION,
    }


def test_what_does_not_fit_a_batch_is_refused_topic_by_topic() -> None:
    refuse = decide(topic("a"), topic("bad name")).refuse
    assert refuse is not None
    response = refuse(Refused(ErrorCode.POLICY_VIOLATION, "too much"))
    assert [(each.name, each.error_code, each.error_message) for each in response.topics] == [
        ("a", ErrorCode.POLICY_VIOLATION, "too much"),
        ("bad name", ErrorCode.POLICY_VIOLATION, "too much"),
    ]


def test_validation_alone_makes_nothing_but_checks_everything() -> None:
    decision = decide(topic(), topic("bad name"), validate_only=True)
    assert decision.records == []
    assert [result.error_code for result in decision.response.topics] == [0, 17]
    assert decision.response.topics[0].topic_id == bytes(16)


def test_a_time_out_of_zero_creates() -> None:
    assert decide(topic(), timeout_ms=0).records != []


@pytest.mark.parametrize(
    ("directories", "expected"),
    [((b"d" * 16,), b"d" * 16), ((b"d" * 16, b"e" * 16), DIRECTORY_UNASSIGNED), ((), DIRECTORY_MIGRATING)],
)
def test_a_replica_has_its_directory_at_once_where_its_broker_has_one(directories, expected: bytes) -> None:
    image = cluster(broker(1, log_dirs=directories))
    partition = after(image, decide(topic(), image=image)).partition("orders", 0)
    assert partition.directories == (expected,)
