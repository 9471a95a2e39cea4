"""What the metadata says of log directories: where replicas lie, and what is left when a directory goes (KIP-858)."""

from dataclasses import replace
from typing import Any

import pytest

from kbroker.controller.decision import Decision
from kbroker.controller.directories import Placed, assign, lose
from kbroker.controller.leadership import renew
from kbroker.controller.registration import elections
from kbroker.metadata.image import MetadataImage, PartitionImage, TopicImage, Topics
from kbroker.turns import UNITS_PER_TURN, at_once
from tests.controller.cluster import after, broker, cluster

A, B, GONE = b"A" * 16, b"B" * 16, b"C" * 16
UNASSIGNED, MIGRATING = bytes(15) + b"\1", bytes(16)
ID = b"t" * 16


def _image(*directories: bytes, **fields: Any) -> MetadataImage:
    """Broker 1 with directories A and B, and a topic with a partition in each of `directories`, led by it."""
    known: dict[str, Any] = {"replicas": (1,), "isr": (1,), "leader": 1, "leader_epoch": 5, "partition_epoch": 7}
    partitions = tuple(PartitionImage(**{**known, **fields}, directories=(each,)) for each in directories)
    topic = TopicImage("t", ID, partitions)
    return replace(cluster(broker(1, log_dirs=(A, B))), topics=Topics({"t": topic}, {ID: topic}))


def test_a_replica_is_where_its_broker_says() -> None:
    image = _image(UNASSIGNED, A, MIGRATING)
    decision = assign(image, 1, [Placed(ID, 0, B), Placed(ID, 1, A), Placed(ID, 2, A)])
    assert [record.partition_id for record in decision.records] == [0, 2], "partition 1 is known to be there"
    partitions = after(image, decision).topics.by_name["t"].partitions
    assert [each.directories for each in partitions] == [(B,), (A,), (A,)]
    assert [(each.leader_epoch, each.partition_epoch) for each in partitions] == [(5, 8), (5, 7), (5, 8)]


@pytest.mark.parametrize(("isr", "leader"), [((1,), 1), ((2,), -1)])
def test_a_replica_that_turns_up_in_another_directory_leads_again_if_it_may(isr: tuple[int, ...], leader: int) -> None:
    """A directory that was formatted anew, with its logs, stayed without leaders until the next start."""
    image = _image(GONE, leader=-1, isr=isr)
    found = after(image, assign(image, 1, [Placed(ID, 0, A)])).partition("t", 0)
    assert found is not None
    assert (found.directories, found.leader, found.leader_epoch) == ((A,), leader, 6 if leader == 1 else 5)


@pytest.mark.parametrize("placed", [Placed(b"x" * 16, 0, B), Placed(ID, 9, B)])
def test_a_replica_of_a_topic_that_went_meanwhile_is_nowhere(placed: Placed) -> None:
    assert assign(_image(A), 1, [placed]).records == []


def test_replicas_of_others_stay_where_they_are() -> None:
    image = _image(A)
    partition = image.topics.by_name["t"].partitions[0]._replace(replicas=(2, 1), directories=(GONE, UNASSIGNED))
    topic = TopicImage("t", ID, (partition,))
    image = replace(image, topics=Topics({"t": topic}, {ID: topic}))
    moved = after(image, assign(image, 1, [Placed(ID, 0, B)])).partition("t", 0)
    assert moved is not None
    assert moved.directories == (GONE, B)
    assert assign(image, 3, [Placed(ID, 0, B)]).records == [], "it has no replica here"


@pytest.mark.parametrize(("leader", "epoch"), [(1, 6), (2, 5), (-1, 5)])
def test_who_leads_goes_on_in_a_new_epoch_where_its_log_has_lost_records(leader: int, epoch: int) -> None:
    image = _image(A, B, leader=leader)
    renewed = after(image, renew(image, 1, [(ID, 1), (b"x" * 16, 0), (ID, 9)])).topics.by_name["t"].partitions
    assert [(each.leader, each.leader_epoch) for each in renewed] == [(leader, 5), (leader, epoch)]


def test_a_lost_directory_takes_its_leaderships_and_itself_with_it() -> None:
    image = _image(A, B, A)
    lost = after(image, at_once(lose(image, 1, A)))
    assert [each.leader for each in lost.topics.by_name["t"].partitions] == [-1, 1, -1]
    assert [each.leader_epoch for each in lost.topics.by_name["t"].partitions] == [6, 5, 6]
    assert lost.brokers[1].log_dirs == (B,)
    assert at_once(lose(lost, 1, A)).records == [], "it is lost already"


def test_the_leaderships_of_a_lost_directory_are_looked_for_in_turns() -> None:
    """Whoever had nothing to do with the directory waited for 2,000 of them."""
    image = _image(*[A, B] * 500)
    turns = list(lose(image, 1, A))
    assert len(turns) == 1000 // UNITS_PER_TURN
    assert len(at_once(lose(image, 1, A)).records) == 501


@pytest.mark.parametrize(
    ("directory", "leader", "isr", "elected"),
    [
        (A, 1, (1,), 1),
        (A, -1, (1,), 1),
        (GONE, 1, (1,), -1),  # it came back without that directory
        (GONE, -1, (1,), None),
        (UNASSIGNED, -1, (1,), 1),
        (MIGRATING, 1, (1,), 1),
        (A, -1, (), None),
    ],
)
def test_a_broker_that_came_back_leads_from_the_directories_that_it_has(
    directory: bytes, leader: int, isr: tuple[int, ...], elected: int | None
) -> None:
    records = elections(_image(directory, leader=leader, isr=isr), 1, (A, B))
    assert [record.leader for record in records] == ([] if elected is None else [elected])


@pytest.mark.parametrize("elr", [{"eligible_leader_replicas": (1,)}, {"last_known_elr": (1,)}])
def test_an_isr_that_kafka_emptied_is_filled_again(elr: dict[str, Any]) -> None:
    """With eligible leader replicas Kafka empties the ISR when a directory fails: nobody led ever after."""
    image = _image(A, leader=-1, isr=(), **elr)
    filled = after(image, Decision(elections(image, 1, (A, B)), None))
    partition = filled.partition("t", 0)
    assert partition is not None
    assert (partition.leader, partition.isr) == (1, (1,))
    assert (partition.eligible_leader_replicas, partition.last_known_elr) == ((), ())
