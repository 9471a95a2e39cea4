"""How many elements a request may have, whatever its frame holds: in both engines, and what is found out of it when."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from kbroker.wire import codec, reference
from protocol_specs import api
from protocol_specs.frame import REQUEST_ELEMENTS_MAX, MalformedFrame, uvarint_bytes
from protocol_specs.grammar import Array, Int32, Message, String, Struct

METADATA, OFFSET_COMMIT, OFFSET_FETCH, CREATE_TOPICS, PRODUCE = 3, 8, 9, 19, 0

Nested = Message("NestedRequest", versions="0-1", flexible="1+")(
    "topics" / Array(Struct("Topic")("name" / String, "numbers" / Array(Int32))),
)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is 10, in decoders that are made anew."""
    monkeypatch.setattr("protocol_specs.grammar.REQUEST_ELEMENTS_MAX", 10)
    monkeypatch.setattr(Nested, "decoders", {})


def offset_fetch(count: int) -> bytes:
    """OffsetFetch 1 of so many partitions of one topic, four bytes each."""
    return struct.pack(">h1si", 1, b"g", 1) + struct.pack(">h1si", 1, b"t", count) + bytes(4 * count)


def refused(engine: Any, message: Message, version: int, data: bytes) -> MalformedFrame:
    with pytest.raises(MalformedFrame) as caught:
        engine.decode(message, version, data)
    return caught.value


@pytest.mark.parametrize("engine", [codec, reference])
def test_a_request_of_a_million_tiny_elements_is_refused_by_the_field(engine: Any) -> None:
    """5 MB of them, from any peer, kept everybody waiting for seconds and took a hundred times their memory."""
    error = refused(engine, api.messages(OFFSET_FETCH)[0], 1, offset_fetch(1_000_000))
    assert (error.path, error.position) == ("topics[].partition_indexes", 14)
    assert str(REQUEST_ELEMENTS_MAX) in error.reason


def test_the_bound_is_for_all_arrays_of_a_request_together() -> None:
    message = api.messages(OFFSET_FETCH)[0]
    data = offset_fetch(REQUEST_ELEMENTS_MAX - 1)
    assert len(codec.decode(message, 1, data)[0].topics[0].partition_indexes) == REQUEST_ELEMENTS_MAX - 1
    assert refused(codec, message, 1, offset_fetch(REQUEST_ELEMENTS_MAX)).path == "topics[].partition_indexes"


@pytest.mark.parametrize("engine", [codec, reference])
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(("counts", "is_refused"), [((3, 4), False), ((8,), False), ((9,), False), ((4, 4, 0), True)])
@pytest.mark.usefixtures("few")
def test_elements_of_many_small_arrays_are_counted(
    engine: Any, version: int, counts: tuple[int, ...], is_refused: bool
) -> None:
    value = Nested(topics=[Nested.Topic(name="t", numbers=list(range(count))) for count in counts])
    data = codec.encode(Nested, version, value)
    if is_refused:
        error = refused(engine, Nested, version, data)
        assert (error.path, error.reason) == ("topics[].numbers", "more than 10 elements in all")
    else:
        assert engine.decode(Nested, version, data)[0] == value


@pytest.mark.usefixtures("few")
def test_both_engines_name_the_same_place() -> None:
    value = Nested(topics=[Nested.Topic(name="t", numbers=[1] * 3) for _ in range(4)])
    errors = [refused(engine, Nested, 1, codec.encode(Nested, 1, value)) for engine in (codec, reference)]
    assert errors[0].args == errors[1].args


@pytest.mark.parametrize("engine", [codec, reference])
@pytest.mark.usefixtures("few")
def test_tagged_fields_count_too(engine: Any) -> None:
    tags = [bytes([tag, 0]) for tag in range(11)]
    topic = b"\x02t\x01" + uvarint_bytes(len(tags)) + b"".join(tags)
    assert refused(engine, Nested, 1, b"\x02" + topic + b"\0").path == "topics[]"
    fewer = b"\x02t\x01\x05" + b"".join(tags[:5])
    assert len(engine.decode(Nested, 1, b"\x02" + fewer + b"\0")[0].topics[0].unknown_tags) == 5


def commits() -> tuple[Message, int, Any]:
    """Of 100,000 partitions, each of its own topic."""
    message = api.messages(OFFSET_COMMIT)[0]
    part = message.OffsetCommitRequestPartition(partition_index=0, committed_offset=1)
    topic = message.OffsetCommitRequestTopic
    return message, 8, message(topics=[topic(name=f"topic-{at}", partitions=[part]) for at in range(100_000)])


def fetches() -> tuple[Message, int, Any]:
    """Committed offsets of 100,000 partitions."""
    message = api.messages(OFFSET_FETCH)[0]
    indexes = list(range(100))
    topic = message.OffsetFetchRequestTopic
    return message, 7, message(topics=[topic(name=f"topic-{at}", partition_indexes=indexes) for at in range(1_000)])


def creates() -> tuple[Message, int, Any]:
    """10,000 topics with assigned partitions."""
    message = api.messages(CREATE_TOPICS)[0]
    assigned = [message.CreatableReplicaAssignment(partition_index=index, broker_ids=[1]) for index in range(10)]
    topic = message.CreatableTopic
    return message, 5, message(topics=[topic(name=f"topic-{at}", assignments=assigned) for at in range(10_000)])


def batches() -> tuple[Message, int, Any]:
    """For 5,000 partitions."""
    message = api.messages(PRODUCE)[0]
    data = [message.PartitionProduceData(index=index, records=b"r" * 70) for index in range(5_000)]
    return message, 9, message(topic_data=[message.TopicProduceData(name="t", partition_data=data)])


def names() -> tuple[Message, int, Any]:
    """Of 20,000 topics."""
    message = api.messages(METADATA)[0]
    return message, 9, message(topics=[message.MetadataRequestTopic(name=f"topic-{at}") for at in range(20_000)])


@pytest.mark.parametrize("make", [commits, fetches, creates, batches, names])
def test_the_largest_requests_of_honest_clients_are_read(make: Callable[[], tuple[Message, int, Any]]) -> None:
    message, version, value = make()
    data = codec.encode(message, version, value)
    assert codec.decode(message, version, data)[1] == len(data)


def test_a_produce_request_may_have_fewer() -> None:
    """A quarter of a million null batches took 3 s of the loop to refuse them one by one."""
    message, version, value = batches()
    value.topic_data *= 6
    error = refused(codec, message, version, codec.encode(message, version, value))
    assert (error.path, error.reason) == ("topic_data[].partition_data", "more than 25000 elements in all")


def test_answers_and_records_may_have_as_many_as_they_have() -> None:
    """They are ours, and so large: a metadata answer of 20,000 topics has hundreds of thousands."""
    message = api.messages(OFFSET_FETCH)[1]
    assert message.elements_max > 1 << 40
    assert api.messages(OFFSET_FETCH)[0].elements_max == REQUEST_ELEMENTS_MAX


def test_what_is_wrong_with_a_large_frame_is_looked_for_at_its_beginning_only() -> None:
    """The reference engine takes 20 us an element: 100,000 of them and a bad byte behind were two seconds."""
    message = api.messages(METADATA)[0]
    data = struct.pack(">i", 100_000) + bytes(2 * 99_999) + b"\xff\xff"
    error = refused(codec, message, 1, data)
    assert (error.path, error.reason) == ("topics", "something is wrong here or behind")
    assert refused(codec, message, 1, struct.pack(">i", 500) + bytes(2 * 499) + b"\xff\xff").path == "topics[499].name"


def test_a_header_of_many_tagged_fields_is_refused() -> None:
    tags = b"".join(uvarint_bytes(tag) + b"\0" for tag in range(2_000))
    head = struct.pack(">hhih", METADATA, 9, 0, -1)
    with pytest.raises(MalformedFrame):
        codec.decode_request_header(memoryview(head + uvarint_bytes(2_000) + tags + bytes(9)))
    header = codec.decode_request_header(memoryview(head + uvarint_bytes(200) + tags[: 128 * 2 + 72 * 3] + bytes(9)))
    assert header.body_position == len(head) + 2 + 128 * 2 + 72 * 3
