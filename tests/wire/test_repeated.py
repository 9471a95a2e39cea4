"""A request that comes again is known by the bytes round its records, and by all of them."""

import struct

import pytest

from kbroker.wire.codec import decode, decode_request_header, encode
from kbroker.wire.repeated import (
    CORRELATION_ID,
    HEADS_MAX,
    LEARNED_EVERY,
    LEARNED_MAX,
    Repeated,
    around_number,
    around_records,
)
from protocol_specs.api.k00_produce import ProduceRequest
from protocol_specs.api.k01_fetch import FetchRequest
from protocol_specs.frame import MalformedFrame

VERSIONS = range(3, 14)
FLEXIBLE_SINCE = 9


def request(records, *, partition=0, topic="orders", partitions=1, version=13):
    named = {"topic_id": topic.encode().ljust(16)} if version >= 13 else {"name": topic}
    data = [
        ProduceRequest.PartitionProduceData(index=partition + number, records=records) for number in range(partitions)
    ]
    return ProduceRequest(
        acks=-1,
        timeout_ms=30_000,
        topic_data=[ProduceRequest.TopicProduceData(**named, partition_data=data)],
    )


def frame(version, records, *, correlation_id=7, client=b"a-client", **named):
    head = struct.pack(">hhih", 0, version, correlation_id, len(client)) + client
    tags = b"\0" if version >= FLEXIBLE_SINCE else b""
    return memoryview(
        bytearray(head + tags + encode(ProduceRequest, version, request(records, version=version, **named)))
    )


def around(whole):
    header = decode_request_header(whole)
    decoded, _ = decode(ProduceRequest, header.version, whole, header.body_position)
    return around_records(whole, header.body_position, ProduceRequest, header.version, decoded)


def knowing(*wholes):
    repeated = Repeated()
    for number, whole in enumerate(wholes):
        repeated.learn(around(whole), number)
    return repeated


def meaning(whole):
    """All that a frame says but its correlation id; None where it can't be read."""
    try:
        header = decode_request_header(whole)
        decoded, end = decode(ProduceRequest, header.version, whole, header.body_position)
    except MalformedFrame:
        return None
    if end != len(whole):
        return None
    return header._replace(correlation_id=0), encode(ProduceRequest, header.version, decoded)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, 60, 126, 127, 128, 16_382, 16_383, 70_000])
def test_the_same_request_with_other_records_is_found_and_its_records_are_what_the_decoder_reads(version, size):
    repeated = knowing(frame(version, b"x" * 200))
    again = frame(version, bytes(range(256)) * 274, correlation_id=-5)
    again = frame(version, bytes(again[:size]), correlation_id=-5)
    known, records = repeated.find(again)
    decoded, _ = decode(ProduceRequest, version, again, decode_request_header(again).body_position)
    assert known == 0
    assert records == decoded.topic_data[0].partition_data[0].records
    assert int.from_bytes(again[CORRELATION_ID], "big", signed=True) == -5
    assert records.obj is again.obj


@pytest.mark.parametrize("version", VERSIONS)
def test_a_frame_of_other_bytes_is_not_found_unless_it_means_the_same(version):
    repeated, whole = knowing(frame(version, b"x" * 10)), frame(version, b"y" * 10)
    for at in range(len(whole)):
        for bit in range(8):
            changed = memoryview(bytearray(whole))
            changed[at] ^= 1 << bit
            found = repeated.find(changed)
            if found is not None:
                as_known = frame(version, bytes(found[1]))
                assert meaning(changed) == meaning(as_known), (at, bit)
    assert repeated.find(whole) is not None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_frame_cut_or_prolonged_is_not_found(version):
    repeated, whole = knowing(frame(version, b"x" * 10)), frame(version, b"y" * 200)
    assert repeated.find(whole) is not None
    assert [size for size in range(len(whole)) if repeated.find(whole[:size]) is not None] == []
    assert repeated.find(memoryview(bytes(whole) + b"\0")) is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("different", [{"partition": 1}, {"topic": "others"}, {"client": b"b-client"}])
def test_another_partition_topic_or_client_is_another_request(version, different):
    assert knowing(frame(version, b"x")).find(frame(version, b"x", **different)) is None


def test_another_version_or_api_is_another_request():
    whole = frame(9, b"x")
    repeated = knowing(whole)
    for at in range(4):
        changed = memoryview(bytearray(whole))
        changed[at] ^= 1
        assert repeated.find(changed) is None


def test_requests_of_several_partitions_by_turns_are_all_known():
    frames = [frame(13, b"x", partition=number) for number in range(HEADS_MAX)]
    repeated = knowing(*frames)
    assert [repeated.find(whole)[0] for whole in frames] == list(range(HEADS_MAX))
    repeated.learn(around(frame(13, b"x", partition=HEADS_MAX)), "new")
    assert repeated.find(frame(13, b"x", partition=HEADS_MAX))[0] == "new"
    assert repeated.find(frames[0]) is None, "what is kept is bounded"


def test_a_head_of_another_length_takes_the_place_of_those_before():
    repeated = knowing(frame(9, b"x"), frame(9, b"x", topic="longer-name"))
    assert repeated.find(frame(9, b"x")) is None
    assert repeated.find(frame(9, b"x", topic="longer-name"))[0] == 1


@pytest.mark.parametrize("records", [None, b""])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_request_without_records_has_no_surroundings(version, records):
    assert around(frame(version, records)) is None


def test_a_request_of_two_batches_has_no_surroundings():
    assert around(frame(9, b"x", partitions=2)) is None


def test_a_request_with_unknown_tags_is_known_with_just_these():
    tagged = memoryview(bytearray(bytes(frame(9, b"x"))[:-1] + b"\x01\x63\x02ab"))
    others = memoryview(bytearray(bytes(frame(9, b"x"))[:-1] + b"\x01\x63\x02ac"))
    repeated = knowing(tagged)
    assert repeated.find(tagged) is not None
    assert repeated.find(others) is None
    assert repeated.find(frame(9, b"x")) is None


def test_a_request_that_could_have_been_written_shorter_is_one_of_a_kind():
    """A length of two bytes where one would do: the surroundings of the next could not be told from its records."""
    whole = bytes(frame(9, b"x"))
    assert whole.endswith(b"\x02x\0\0\0")
    assert around(memoryview(bytearray(whole[:-5] + b"\x82\0x\0\0\0"))) is None


def test_what_never_comes_again_is_seldom_learned():
    repeated = Repeated()
    assert [repeated.is_worth_learning() for _ in range(LEARNED_MAX + 3)] == [True] * LEARNED_MAX + [False] * 3
    assert sum(repeated.is_worth_learning() for _ in range(10 * LEARNED_EVERY)) == 10
    repeated.confirm()
    assert repeated.is_worth_learning()


def fetch_frame(version, offset, correlation_id=7, **fields):
    named = {"topic_id": b"orders".ljust(16)} if version >= 13 else {"topic": "orders"}
    partitions = [FetchRequest.FetchPartition(partition=3, fetch_offset=offset, partition_max_bytes=1000, **fields)]
    wanted = FetchRequest(topics=[FetchRequest.FetchTopic(**named, partitions=partitions)])
    head = struct.pack(">hhihc", 1, version, correlation_id, 1, b"c")
    tags = b"\0" * FetchRequest.is_flexible(version)
    return memoryview(bytearray(head + tags + encode(FetchRequest, version, wanted)))


def around_offset(whole):
    header = decode_request_header(whole)
    decoded, _ = decode(FetchRequest, header.version, whole, header.body_position)
    wanted = decoded.topics[0].partitions[0]
    found = around_number(whole, header.body_position, FetchRequest, header.version, decoded, wanted, "fetch_offset")
    assert encode(FetchRequest, header.version, decoded) == whole[header.body_position :] or found is None
    return found


@pytest.mark.parametrize("version", range(4, 19))
@pytest.mark.parametrize("offset", [0, 5, -1, (1 << 63) - 1, -(1 << 63)])
def test_the_same_request_with_another_number_is_found(version, offset):
    repeated = Repeated()
    repeated.learn(around_offset(fetch_frame(version, 5)), "known")
    known, number = repeated.find(fetch_frame(version, offset, correlation_id=-1))
    assert (known, number) == ("known", offset.to_bytes(8, "big", signed=True))


@pytest.mark.parametrize("version", range(4, 19))
def test_only_the_number_and_the_correlation_id_may_differ(version):
    repeated, whole = Repeated(), fetch_frame(version, 0x0102030405060708)
    repeated.learn(around_offset(whole), "known")
    differing = []
    for at in range(len(whole)):
        changed = memoryview(bytearray(whole))
        changed[at] ^= 255
        if repeated.find(changed) is not None:
            differing.append(at)
    number = bytes(whole).index(bytes(range(1, 9)))
    assert differing == [*range(4, 8), *range(number, number + 8)]
    assert [size for size in range(len(whole)) if repeated.find(whole[:size]) is not None] == []
    assert repeated.find(memoryview(bytes(whole) + b"\0")) is None


def test_a_number_in_a_frame_of_a_kind_has_no_surroundings():
    tagged = bytes(fetch_frame(12, 5))[:-1] + b"\x01\x63\x02ab"
    assert around_offset(memoryview(bytearray(tagged))) is not None, "unknown tags are kept as they came"
    assert around_offset(memoryview(bytes(fetch_frame(12, 5)) + b"more")) is None
