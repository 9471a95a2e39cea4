"""Both engines mean by a frame what Apache Kafka means, and write the same bytes."""

from __future__ import annotations

import struct
from collections import defaultdict
from functools import cache
from typing import Any

import pytest

from kbroker.wire import codec, reference
from kbroker.wire.compiled import decoder
from kbroker.wire.dissect import dissect
from kbroker.wire.source import Refused
from tests.wire.golden_frames import GoldenFrame, declared_messages, golden_frames, raw_frames, same


@cache
def frames_by_name() -> dict[str, list[GoldenFrame]]:
    found = defaultdict(list)
    for frame in golden_frames():
        found[frame.message.name].append(frame)
    return found


NAMES = sorted({raw["name"] for raw in raw_frames()})


def test_every_message_that_kafka_wrote_is_declared():
    assert not set(NAMES) - set(declared_messages())


@pytest.mark.parametrize("name", NAMES)
def test_every_declared_version_was_written_by_kafka(name: str):
    versions = {frame.version for frame in frames_by_name()[name]}
    assert versions == set(declared_messages()[name].versions)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("engine", [reference, codec])
def test_an_engine_reads_and_writes_what_kafka_wrote(engine: Any, name: str):
    for frame in frames_by_name()[name]:
        value, end = engine.decode(frame.message, frame.version, frame.data)
        assert end == len(frame.data), frame
        assert same(value, frame.value), frame
        assert engine.encode(frame.message, frame.version, frame.value) == frame.data, frame
        assert engine.encode(frame.message, frame.version, value) == frame.data, frame


@pytest.mark.parametrize("name", NAMES)
def test_what_follows_a_frame_is_left_alone_and_what_precedes_it_too(name: str):
    for frame in frames_by_name()[name]:
        for engine in (codec, reference):
            value, end = engine.decode(frame.message, frame.version, b"ab" + frame.data + b"\x00\xff\x80junk", 2)
            assert end == len(frame.data) + 2, frame
            assert same(value, frame.value), frame


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [memoryview, bytearray])
def test_any_buffer_will_do(name: str, kind: Any):
    for frame in frames_by_name()[name][-2:]:
        value, end = codec.decode(frame.message, frame.version, kind(frame.data))
        assert end == len(frame.data), frame
        assert same(value, frame.value), frame


@pytest.mark.parametrize("name", NAMES)
def test_a_frame_cut_anywhere_is_refused(name: str):
    for frame in frames_by_name()[name]:
        read, data = decoder(frame.message, frame.version), frame.data
        for size in range(len(data)):
            try:
                read(data[:size], 0)
            except (Refused, struct.error, IndexError):
                continue
            pytest.fail(f"{frame} is accepted when cut at {size} of {len(data)}")


@pytest.mark.parametrize("name", NAMES)
def test_the_fields_of_a_frame_lie_where_the_dissector_says(name: str):
    for frame in frames_by_name()[name]:
        fields = list(dissect(frame.message, frame.version, frame.data))
        position = 0
        for field in fields:
            assert field.position >= position, field
            position = field.position + field.size
        assert position <= len(frame.data)
        named = {field.path: field.value for field in fields}
        for field in frame.message.fields:
            if field.name in named and field.kind.type_name != "array":
                assert same(named[field.name], getattr(frame.value, field.name)), field.name
