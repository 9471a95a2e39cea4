"""The frame of a metadata record."""

import pytest

from kbroker.metadata.records import UnknownRecord, decode_record, encode_record, record_version
from protocol_specs.frame import MalformedFrame, Unencodable
from protocol_specs.metadata import RECORDS
from protocol_specs.metadata.partition import PartitionRecord
from protocol_specs.metadata.register_broker import RegisterBrokerRecord
from protocol_specs.metadata.topic import TopicRecord


def test_a_record_is_framed_as_kafka_frames_it() -> None:
    frame = encode_record(TopicRecord(name="orders", topic_id=bytes(range(16))))
    assert frame == b"\x01\x02\x00" + b"\x07orders" + bytes(range(16)) + b"\x00"


def test_a_record_comes_back_as_it_was_written() -> None:
    record = TopicRecord(name="orders", topic_id=bytes(range(16)))
    assert decode_record(encode_record(record)) == record


@pytest.mark.parametrize("declared", RECORDS.values(), ids=lambda declared: declared.name)
def test_every_kind_is_written_in_a_version_that_it_has_and_at_the_latest_level_in_its_highest(declared) -> None:
    for level in range(17, 31):
        assert declared.lowest <= record_version(declared.name, level) <= declared.highest
    assert record_version(declared.name, 30) == declared.highest


@pytest.mark.parametrize(
    ("name", "level", "version"),
    [
        ("PartitionRecord", 22, 1),
        ("PartitionRecord", 23, 2),  # 4.0-IV1: eligible leader replicas
        ("RegisterBrokerRecord", 29, 3),
        ("RegisterBrokerRecord", 30, 4),  # 4.3-IV0: cordoned log directories
    ],
)
def test_the_metadata_version_decides_in_which_version_a_record_is_written(name: str, level: int, version: int) -> None:
    assert record_version(name, level) == version


def test_an_old_level_refuses_what_it_cannot_carry() -> None:
    with pytest.raises(Unencodable):
        encode_record(PartitionRecord(replicas=[1], isr=[1], eligible_leader_replicas=[2]), 22)


@pytest.mark.parametrize("frame", [b"\x02\x02\x00", b"\x01\x7e\x00", b"\x01\x06\x00", b"\x01\x02\x05"])
def test_an_unknown_frame_kind_or_version_is_never_skipped(frame: bytes) -> None:
    with pytest.raises(UnknownRecord):
        decode_record(frame)


def test_a_frame_cut_anywhere_is_malformed() -> None:
    frame = encode_record(RegisterBrokerRecord(broker_id=1, rack="a", incarnation_id=bytes(16)))
    for end in range(len(frame)):
        with pytest.raises(MalformedFrame):
            decode_record(frame[:end])


def test_bytes_behind_a_record_are_malformed() -> None:
    with pytest.raises(MalformedFrame):
        decode_record(encode_record(TopicRecord(name="a")) + b"\x00")
