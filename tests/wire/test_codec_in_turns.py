"""Long frames are read and written in turns: the same values and bytes, some hundreds of elements at a time."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import pytest

from kbroker.turns import at_once
from kbroker.wire import codec, compiled, source
from kbroker.wire.source import ELEMENTS_PER_TURN
from protocol_specs import api
from protocol_specs.frame import REQUEST_ELEMENTS_MAX, MalformedFrame
from tests.wire.golden_frames import GoldenFrame, golden_frames, same

FetchRequest, FetchResponse = api.messages(1)
MetadataRequest, MetadataResponse = api.messages(3)
ProduceRequest, ProduceResponse = api.messages(0)
MANY = 5 * ELEMENTS_PER_TURN


@cache
def frames_by_name() -> dict[str, list[GoldenFrame]]:
    found = defaultdict(list)
    for frame in golden_frames():
        found[frame.message.name].append(frame)
    return found


@pytest.fixture
def _an_element_is_a_turn(monkeypatch: pytest.MonkeyPatch) -> Any:
    """In functions that are made anew."""
    made = (compiled.decoder_in_turns, compiled.encoder_in_turns)
    for each in made:
        each.cache_clear()
    monkeypatch.setattr(source, "ELEMENTS_PER_TURN", 1)
    yield
    for each in made:
        each.cache_clear()


@pytest.mark.parametrize("name", ["ProduceRequest", "FetchRequest", "MetadataRequest", "OffsetCommitRequest"])
@pytest.mark.usefixtures("_an_element_is_a_turn")
def test_what_kafka_wrote_is_read_in_turns(name: str) -> None:
    for frame in frames_by_name()[name]:
        value, end = at_once(codec.decode_in_turns(frame.message, frame.version, frame.data))
        assert end == len(frame.data), frame
        assert same(value, frame.value), frame


@pytest.mark.parametrize("name", ["ProduceResponse", "FetchResponse", "MetadataResponse", "DescribeConfigsResponse"])
@pytest.mark.usefixtures("_an_element_is_a_turn")
def test_what_kafka_wrote_is_written_in_turns(name: str) -> None:
    for frame in frames_by_name()[name]:
        chunks = at_once(codec.encode_chunks_in_turns(frame.message, frame.version, frame.value))
        assert b"".join(map(bytes, chunks)) == frame.data, frame


def turns_of(turns: Any) -> tuple[int, Any]:
    count = 1
    while True:
        try:
            next(turns)
        except StopIteration as over:
            return count, over.value
        count += 1


def fetched(records: Any) -> Any:
    partition = FetchResponse.PartitionData
    topic = FetchResponse.FetchableTopicResponse
    partitions = [partition(partition_index=index, records=records) for index in range(MANY)]
    return FetchResponse(responses=[topic(topic="t", partitions=partitions)])


@pytest.mark.parametrize("records", [b"", b"xyz"])
def test_a_long_answer_is_written_in_turns_of_some_elements(records: bytes) -> None:
    """5,000 topics' configurations took 300 ms in one turn."""
    value = fetched(records)
    count, frame = turns_of(codec.encode_response_in_turns(FetchResponse, 12, 7, value))
    assert count == 1 + MANY // ELEMENTS_PER_TURN
    assert b"".join(frame) == b"".join(codec.encode_response(FetchResponse, 12, 7, value))
    assert sum(chunk is records for chunk in frame) == (MANY if records else 0), "records are never copied"


def test_a_long_request_is_read_in_turns_of_some_elements() -> None:
    topics = [MetadataRequest.MetadataRequestTopic(name=f"t{number}") for number in range(MANY)]
    data = codec.encode(MetadataRequest, 12, MetadataRequest(topics=topics))
    count, (value, end) = turns_of(codec.decode_in_turns(MetadataRequest, 12, data))
    assert (count, end) == (1 + MANY // ELEMENTS_PER_TURN, len(data))
    assert codec.encode(MetadataRequest, 12, value) == data


def test_a_large_request_of_few_elements_is_read_in_one_turn() -> None:
    partition, topic = ProduceRequest.PartitionProduceData, ProduceRequest.TopicProduceData
    records = memoryview(bytes(1 << 20))
    asked = ProduceRequest(topic_data=[topic(name="t", partition_data=[partition(index=0, records=records)])])
    data = b"".join(map(bytes, codec.encode_chunks(ProduceRequest, 9, asked)))
    count, (value, _) = turns_of(codec.decode_in_turns(ProduceRequest, 9, memoryview(data)))
    assert count == 1
    assert value.topic_data[0].partition_data[0].records.obj is data


def test_what_is_refused_is_refused_for_the_same_reason_in_a_later_turn() -> None:
    topics = [MetadataRequest.MetadataRequestTopic(name="t") for _ in range(MANY)]
    data = codec.encode(MetadataRequest, 12, MetadataRequest(topics=topics))
    with pytest.raises(MalformedFrame) as plain:
        codec.decode(MetadataRequest, 12, data[:-8])
    turns = codec.decode_in_turns(MetadataRequest, 12, data[:-8])
    with pytest.raises(MalformedFrame) as in_turns:
        assert turns_of(turns)
    assert str(in_turns.value) == str(plain.value)


def test_elements_are_counted_in_turns_too() -> None:
    topics = [MetadataRequest.MetadataRequestTopic(name="t")] * (REQUEST_ELEMENTS_MAX + 1)
    data = codec.encode(MetadataRequest, 12, MetadataRequest(topics=topics))
    with pytest.raises(MalformedFrame, match=str(REQUEST_ELEMENTS_MAX)):
        at_once(codec.decode_in_turns(MetadataRequest, 12, data))
