"""Headers, whole responses, and records that are never copied."""

from __future__ import annotations

from typing import Any

import pytest

from kbroker.wire import codec, reference
from kbroker.wire.codec import RequestHeader, decode_request_header, encode_response
from kbroker.wire.dissect import Field, dissect
from kbroker.world import FileSlice
from protocol_specs import api
from protocol_specs.grammar import MalformedFrame, Unencodable, UnsupportedVersion
from protocol_specs.headers import RequestHeader as DeclaredHeader

ProduceRequest, ProduceResponse = api.messages(0)
FetchRequest, FetchResponse = api.messages(1)
ApiVersionsRequest, ApiVersionsResponse = api.messages(18)


def header(key: int, version: int, client_id: str | None = "me", tags: tuple[Any, ...] = (), flexible: bool = False):
    value = DeclaredHeader(key, version, 77, client_id, unknown_tags=tags)
    return DeclaredHeader.build_version(2 if flexible else 1, value)


@pytest.mark.parametrize(
    ("data", "client_id"),
    [
        (header(0, 8), "me"),
        (header(0, 8, None), ""),
        (header(0, 8, ""), ""),
        (header(0, 9, flexible=True), "me"),
        (header(0, 9, None, flexible=True), ""),
        (header(0, 9, "é" * 300, ((1, b"abc"), (200, b"x" * 200)), flexible=True), "é" * 300),
        (header(18, 99, flexible=True), "me"),  # a version nobody has yet is laid out like the newest
    ],
)
def test_a_request_header_is_read(data, client_id):
    key, version = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    assert decode_request_header(memoryview(data + b"body")) == RequestHeader(key, version, 77, client_id, len(data))
    for size in range(len(data)):
        with pytest.raises(MalformedFrame):
            decode_request_header(memoryview(data[:size]))


def test_a_request_header_says_which_field_is_wrong():
    with pytest.raises(MalformedFrame, match="client_id at byte 10: needs 32767 bytes, 2 are left") as caught:
        decode_request_header(memoryview(header(0, 8)[:8] + b"\x7f\xffme"))
    assert caught.value.path == "client_id"


@pytest.mark.parametrize("key", [-1, 4, 7, 999])
def test_the_header_of_an_unknown_key_cannot_be_read(key):
    with pytest.raises(UnsupportedVersion, match=f"API key {key}"):
        decode_request_header(memoryview(header(key, 0)))


@pytest.mark.parametrize("key", api.SNAKE_NAMES)
def test_every_declared_api_has_a_readable_header(key):
    request, response = api.messages(key)
    assert (request.key, response.key) == (key, key)
    assert (request.name, response.name) == (f"{api.api_name(key)}Request", f"{api.api_name(key)}Response")
    assert (request.lowest, request.highest) == (response.lowest, response.highest)
    for version in request.versions:
        data = header(key, version, flexible=request.is_flexible(version))
        assert decode_request_header(memoryview(data)).body_position == len(data)


@pytest.mark.parametrize(
    ("response", "version", "head"),
    [
        (ProduceResponse, 8, "00000009 0000004d 00000000 00000000"),
        (ProduceResponse, 9, "0000000b 0000004d 00 01 00000000 00"),
        (ApiVersionsResponse, 0, "0000000a 0000004d 0000 00000000"),
        (ApiVersionsResponse, 3, "0000000c 0000004d 0000 01 00000000 00"),  # its header is never flexible
    ],
)
def test_a_response_has_its_size_and_header_in_front(response, version, head):
    (frame,) = encode_response(response, version, 77, response())
    expected = bytes.fromhex(head)
    assert frame == len(expected[4:]).to_bytes(4, "big") + expected[4:]


class InMemoryFile:
    """Enough of a file for a slice that nobody reads."""

    path = "segment"


def fetch_response(*records: Any) -> Any:
    partitions = [FetchResponse.PartitionData(partition_index=i, records=r) for i, r in enumerate(records)]
    return FetchResponse(responses=[FetchResponse.FetchableTopicResponse(topic="t", partitions=partitions)])


@pytest.mark.parametrize("version", FetchResponse.versions)
def test_records_keep_their_own_chunks(version):
    slice_of_file = FileSlice(InMemoryFile(), 100, 5000, lambda: None)
    view = memoryview(b"records")
    response = fetch_response(view, b"", None, slice_of_file, b"more")
    response.responses[0].topic = "t" if version < 13 else ""
    chunks = encode_response(FetchResponse, version, 1, response)
    assert [type(chunk) for chunk in chunks] == [
        bytes,
        memoryview,
        bytes,
        FileSlice,
        bytes,
        bytes,
        *[bytes] * (version > 11),
    ]
    assert chunks[1] is view
    assert chunks[3] is slice_of_file
    assert int.from_bytes(chunks[0][:4], "big") == sum(map(len, chunks)) - 4
    response.responses[0].partitions[3].records = bytes(5000)
    whole = codec.encode(FetchResponse, version, response)
    chunks[3] = bytes(5000)
    head = 4 + 4 + (version > 11)
    assert b"".join(chunks)[head:] == whole == reference.encode(FetchResponse, version, response)


def test_records_in_a_file_cannot_become_bytes():
    response = fetch_response(FileSlice(InMemoryFile(), 0, 10, lambda: None))
    with pytest.raises(Unencodable, match="need encode_chunks"):
        codec.encode(FetchResponse, 4, response)


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("version", ProduceRequest.versions)
def test_records_are_a_view_of_the_input(version, size):
    partition = ProduceRequest.PartitionProduceData(index=1, records=bytes(range(10)) * (size // 10))
    topic = ProduceRequest.TopicProduceData(name="t", partition_data=[partition])
    data = bytearray(codec.encode(ProduceRequest, version, ProduceRequest(topic_data=[topic])))
    for engine in (codec, reference):
        value, _ = engine.decode(ProduceRequest, version, memoryview(data))
        records = value.topic_data[0].partition_data[0].records
        assert records == partition.records
        assert records.obj is data


def test_a_frame_is_dissected_field_by_field():
    topic = FetchRequest.FetchTopic(topic="orders", partitions=[FetchRequest.FetchPartition(partition=3)])
    request = FetchRequest(max_wait_ms=5, topics=[topic], cluster_id="c", unknown_tags=((9, b"x"),))
    data = FetchRequest.build_version(12, request)
    fields = {field.path: field for field in dissect(FetchRequest, 12, data)}
    assert fields["max_wait_ms"] == Field("max_wait_ms", "DurationMs", 5, 4, 4)
    assert fields["topics"] == Field("topics", "[]FetchTopic", 1, 25, 1)
    assert fields["topics[0].topic"] == Field("topics[0].topic", "TopicName", "orders", 26, 7)
    assert fields["topics[0].partitions[0].partition"].value == 3
    assert fields["cluster_id"].value == "c"
    assert fields["tag9"][1:3] == ("unknown tag", b"x")
    assert "topics[0].topic_id" not in fields


def test_a_malformed_frame_is_dissected_up_to_the_bad_field():
    data = FetchRequest.build_version(4, FetchRequest(max_wait_ms=5))
    fields = dissect(FetchRequest, 4, data[:10])
    assert [next(fields).path, next(fields).path] == ["replica_id", "max_wait_ms"]
    with pytest.raises(MalformedFrame, match="min_bytes at byte 8"):
        next(fields)
