"""How the cluster begins and how a broker joins it."""

from dataclasses import replace

import pytest
from cluster import after, broker

from kbroker.controller.registration import Registration, UnsupportedMetadataVersion, elections, join
from kbroker.metadata.image import Endpoint, MetadataImage, PartitionImage, ResourceType, TopicImage, Topics
from kbroker.names import TopicPartition
from protocol_specs.metadata.feature_level import FeatureLevelRecord
from protocol_specs.metadata.no_op import NoOpRecord

DIRECTORY = b"d" * 16
ENDPOINT = Endpoint("PLAINTEXT", "localhost", 9092, 0)


def joining(incarnation: bytes = b"i" * 16) -> Registration:
    return Registration(1, incarnation, [ENDPOINT], [b"e" * 16, b"d" * 16], rack="r")


def names(decision) -> list[str]:
    return [type(record).__name__ for record in decision.records]


def test_the_first_start_finalizes_the_metadata_version_and_nothing_else() -> None:
    decision = join(MetadataImage(), joining())
    assert names(decision)[:3] == ["BeginTransactionRecord", "FeatureLevelRecord", "EndTransactionRecord"]
    assert after(MetadataImage(), decision).features == {"metadata.version": 30}


def test_a_later_start_only_registers() -> None:
    image = after(MetadataImage(), join(MetadataImage(), joining()))
    assert names(join(image, joining())) == ["RegisterBrokerRecord", "BrokerRegistrationChangeRecord"]


def test_the_broker_is_registered_and_unfenced() -> None:
    registered = after(MetadataImage(), join(MetadataImage(), joining())).brokers[1]
    assert registered.is_active
    assert registered.endpoints == (ENDPOINT,)
    assert registered.log_dirs == (b"d" * 16, b"e" * 16)
    assert registered.rack == "r"
    assert registered.features == {"metadata.version": (17, 30)}


def test_the_broker_epoch_is_the_offset_of_the_registration() -> None:
    image = replace(MetadataImage(), offset=41, features={"metadata.version": 30})
    decision = join(image, joining())
    assert decision.response == 42
    assert decision.records[0].broker_epoch == 42
    assert after(image, decision).brokers[1].epoch == 42


def test_every_start_has_its_own_incarnation_and_epoch() -> None:
    image = after(MetadataImage(), join(MetadataImage(), joining()))
    again = after(image, join(image, joining(b"j" * 16)))
    assert again.brokers[1].incarnation == b"j" * 16
    assert again.brokers[1].epoch > image.brokers[1].epoch


def test_a_transaction_that_was_left_open_is_aborted_first() -> None:
    image = replace(MetadataImage(), features={"metadata.version": 30}, open_transaction=(NoOpRecord(),))
    decision = join(image, joining())
    assert names(decision)[0] == "AbortTransactionRecord"
    assert after(image, decision).open_transaction is None


@pytest.mark.parametrize("level", [16, 31])
def test_a_metadata_version_that_we_do_not_know_stops_the_start(level: int) -> None:
    with pytest.raises(UnsupportedMetadataVersion, match=str(level)):
        join(replace(MetadataImage(), features={"metadata.version": level}), joining())


def test_the_first_start_begins_with_what_formatting_asked_for() -> None:
    wanted = [
        FeatureLevelRecord(name="metadata.version", feature_level=26),
        FeatureLevelRecord(name="transaction.version", feature_level=2),
    ]
    image = after(MetadataImage(), join(MetadataImage(), replace(joining(), bootstrap=wanted)))
    assert image.features == {"metadata.version": 26, "transaction.version": 2}
    assert not image.configs
    again = join(image, replace(joining(), bootstrap=wanted))
    assert names(again) == ["RegisterBrokerRecord", "BrokerRegistrationChangeRecord"]


def test_with_eligible_leader_replicas_the_cluster_begins_with_one_min_isr() -> None:
    wanted = [FeatureLevelRecord(name="eligible.leader.replicas.version", feature_level=1)]
    decision = join(MetadataImage(), replace(joining(), bootstrap=wanted, min_insync_replicas=2))
    image = after(MetadataImage(), decision)
    assert image.features == {"metadata.version": 30, "eligible.leader.replicas.version": 1}
    assert image.configs == {(ResourceType.BROKER, ""): {"min.insync.replicas": "2"}}


def test_formatting_for_a_metadata_version_that_we_do_not_know_stops_the_start() -> None:
    wanted = [FeatureLevelRecord(name="metadata.version", feature_level=31)]
    with pytest.raises(UnsupportedMetadataVersion, match="31"):
        join(MetadataImage(), replace(joining(), bootstrap=wanted))


def with_partition(
    isr: tuple[int, ...],
    leader: int,
    elr: tuple[int, ...] = (),
    last_known: tuple[int, ...] = (),
    directory: bytes = bytes(16),
) -> MetadataImage:
    directories = (directory, bytes(16))
    partition = PartitionImage(
        (1, 2), isr, leader, 6, 6, 0, directories=directories, eligible_leader_replicas=elr, last_known_elr=last_known
    )
    topic = TopicImage("orders", b"t" * 16, (partition,))
    topics = Topics({"orders": topic}, {topic.topic_id: topic})
    return MetadataImage(offset=5, features={"metadata.version": 30}, brokers={1: broker(1)}, topics=topics)


@pytest.mark.parametrize(
    ("isr", "leader", "elr", "last_known", "elected"),
    [
        ((1,), 1, (), (), True),  # it led: a new epoch, so that a lost tail is never taken for new records
        ((1, 2), -1, (), (), True),  # nobody leads and it is in sync
        ((1, 2), 2, (), (), False),  # somebody else leads
        ((2,), -1, (), (), False),  # it is not in sync
        ((2,), -1, (1,), (1,), False),  # eligible, but somebody is in sync
        ((), -1, (1,), (1,), True),  # Apache Kafka after a clean stop: eligible, and nobody is in sync
        ((), -1, (2, 1), (), True),
        ((), -1, (2,), (1,), False),  # somebody else is eligible
        ((), -1, (), (1,), True),  # nobody is eligible: the last known leader
        ((), -1, (), (1, 2), False),  # more than one: not a last known leader, but who was eligible last
        ((), -1, (), (), False),
    ],
)
def test_a_broker_that_came_back_leads_what_it_may(isr, leader, elr, last_known, *, elected: bool) -> None:
    image = with_partition(isr, leader, elr, last_known)
    assert bool(elections(image, 1, [DIRECTORY])) is elected
    partition = after(image, join(image, joining())).partition("orders", 0)
    assert (partition.leader, partition.leader_epoch) == ((1, 7) if elected else (leader, 6))
    if elected:
        assert partition.isr == (isr or (1,))
        assert partition.eligible_leader_replicas == tuple(node for node in elr if node != 1)
        assert partition.last_known_elr == ()
    else:
        assert partition == image.partition("orders", 0)


def test_the_election_of_an_eligible_leader_is_the_record_that_kafka_writes() -> None:
    """Fields as an Apache Kafka 4.3.1 node wrote them on its second start."""
    (change,) = elections(with_partition((), -1, (1,), (1,)), 1, [DIRECTORY])
    said = (change.leader, change.isr, change.eligible_leader_replicas, change.last_known_elr)
    assert said == (1, [1], [], [])
    assert (change.replicas, change.leader_recovery_state, change.directories) == (None, -1, None)


def test_a_broker_is_never_elected_where_it_has_no_replica() -> None:
    assert elections(with_partition((), -1, (3,), (3,)), 3, [DIRECTORY]) == []


def test_a_leader_goes_on_in_its_epoch_where_its_log_was_left_whole() -> None:
    """Every start of 10,000 partitions used to write 10,000 changes, and to replay those of all starts before it."""
    image, name = with_partition((1,), 1, directory=DIRECTORY), TopicPartition("orders", 0)
    assert elections(image, 1, [DIRECTORY], {DIRECTORY: {name}}) == []
    assert len(elections(image, 1, [DIRECTORY], {DIRECTORY: {TopicPartition("orders", 1)}})) == 1
    assert len(elections(image, 1, [DIRECTORY], {b"e" * 16: {name}})) == 1


def test_nobody_leads_without_being_elected_though_the_log_was_left_whole() -> None:
    image = with_partition((), -1, (1,), (1,), directory=DIRECTORY)
    assert len(elections(image, 1, [DIRECTORY], {DIRECTORY: {TopicPartition("orders", 0)}})) == 1
