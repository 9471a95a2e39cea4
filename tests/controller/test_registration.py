"""How the cluster begins and how a broker joins it."""

from dataclasses import replace

import pytest
from cluster import after, broker

from kbroker.controller.registration import Registration, UnsupportedMetadataVersion, elections, join
from kbroker.metadata.image import Endpoint, MetadataImage, PartitionImage, TopicImage, Topics
from protocol_specs.metadata.no_op import NoOpRecord

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


def with_partition(isr: tuple[int, ...], leader: int) -> MetadataImage:
    partition = PartitionImage((1, 2), isr, leader, 6, 6, directories=(bytes(16),) * 2)
    topic = TopicImage("orders", b"t" * 16, (partition,))
    topics = Topics({"orders": topic}, {topic.topic_id: topic})
    return MetadataImage(offset=5, features={"metadata.version": 30}, brokers={1: broker(1)}, topics=topics)


@pytest.mark.parametrize(
    ("isr", "leader", "elected"),
    [
        ((1,), 1, True),  # it led: a new epoch, so that a lost tail is never taken for new records
        ((1, 2), -1, True),  # nobody leads and it is in sync
        ((1, 2), 2, False),  # somebody else leads
        ((2,), -1, False),  # it is not in sync
    ],
)
def test_a_broker_that_came_back_leads_what_it_may(isr: tuple[int, ...], leader: int, *, elected: bool) -> None:
    image = with_partition(isr, leader)
    assert bool(elections(image, 1)) is elected
    partition = after(image, join(image, joining())).partition("orders", 0)
    assert (partition.leader, partition.leader_epoch) == ((1, 7) if elected else (leader, 6))
