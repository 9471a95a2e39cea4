"""Topics made, described, deleted, made again, and made by the first produce."""

from __future__ import annotations

from compat.cell import Cell, expect, expect_contents
from compat.record import Record
from compat.scenarios.registry import scenario

#: What a broker still does in the background for new partitions meets their removal in one of a few rounds.
CHURN_ROUNDS = 6


@scenario("topic-lifecycle", needs=("admin",))
def topic_lifecycle(cell: Cell) -> None:
    """A topic is made, described, used, deleted, gone, and made again empty."""
    topic = cell.name("topic")
    cell.do("create_topic", topic=topic, partitions=3)
    _await_listed(cell, topic)
    expect(cell.do("describe_topic", topic=topic)["partitions"], 3, "partitions")
    cell.produce(topic, [Record(b"old", key=b"k", partition=2)])
    expect_contents(cell.consume(topic, 1, partition=2), [Record(b"old", key=b"k")])

    cell.do("delete_topic", topic=topic)
    cell.until(lambda: topic not in cell.do("list_topics")["topics"], lambda: "the deleted topic is still listed")

    cell.do("create_topic", topic=topic, partitions=1)
    _await_listed(cell, topic)
    expect(cell.do("describe_topic", topic=topic)["partitions"], 1, "partitions of the second life")
    cell.produce(topic, [Record(b"new", key=b"k")])
    found = cell.consume(topic, 1)
    expect_contents(found, [Record(b"new", key=b"k")], "records of the second life")
    expect(found[0].offset, 0, "first offset of the second life")
    expect(cell.end_offset(topic), 1, "end offset of the second life")


def _await_listed(cell: Cell, topic: str) -> None:
    """Apache Kafka answers CreateTopics a moment before its brokers know of the topic."""
    cell.until(lambda: topic in cell.do("list_topics")["topics"], lambda: "the made topic isn't listed")


@scenario("auto-create")
def auto_create(cell: Cell) -> None:
    """The first produce makes the topic (auto.create.topics.enable)."""
    topic = cell.name("auto")
    record = Record(b"first", key=b"k", partition=None)
    cell.produce(topic, [record])
    expect_contents(cell.consume(topic, 1), [record])
    expect(topic in cell.do("list_topics")["topics"], True, "the topic is listed")


@scenario("topic-churn", needs=("admin",))
def topic_churn(cell: Cell) -> None:
    """Topics are deleted right behind their first records, one after the other, and the broker goes on."""
    for number in range(CHURN_ROUNDS):
        topic = cell.name("churn")
        cell.do("create_topic", topic=topic, partitions=8)
        cell.produce(topic, [Record(b"%d" % number, key=b"k", partition=partition) for partition in range(8)])
        cell.do("delete_topic", topic=topic)
    topic = cell.topic()
    cell.produce(topic, [Record(b"after", key=b"k")])
    expect_contents(cell.consume(topic, 1), [Record(b"after", key=b"k")])
