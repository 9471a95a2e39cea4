"""Any value that a version can carry comes back from its bytes, and the engines write and read alike."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kbroker.wire import codec, reference
from protocol_specs.grammar import (
    Array,
    Bool,
    Bytes,
    ClassicString,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Kind,
    MalformedFrame,
    Message,
    Nullable,
    Records,
    String,
    Struct,
    UInt8,
    UInt16,
    UInt32,
    UnsignedVarint,
    Uuid,
    Varint,
    VarintArray,
    VarintBytes,
    VarintString,
    Varlong,
)
from tests.wire.golden_frames import declared_messages, same

INNER = Struct("Inner")(
    "id" / Uuid, "name" / Nullable(String, default=None), "flags" / Array(Bool), "late" / Int8(since=2)
)
EVERYTHING = Message("Everything", versions="0-3", flexible="2+")(
    "bool" / Bool,
    "int8" / Int8,
    "uint8" / UInt8,
    "text" / String,
    "int16" / Int16(default=-1),
    "uint16" / UInt16,
    "int32" / Int32(since=1, default=7, ignorable=True),
    "uint32" / UInt32,
    "int64" / Int64(until=2, ignorable=True),
    "float" / Float64,
    "varint" / Varint,
    "varlong" / Varlong,
    "uvarint" / UnsignedVarint,
    "classic" / Nullable(ClassicString),
    "blob" / Nullable(Bytes),
    "short_blob" / Nullable(VarintBytes),
    "short_text" / VarintString,
    "pairs" / VarintArray(Struct("Pair")("key" / VarintString, "value" / Nullable(VarintBytes))),
    "records" / Nullable(Records),
    "inner"
    / Struct("Alone")("numbers" / Array(Int32, nullable_since=1), "uuids" / Array(Uuid), "texts" / Array(String)),
    "maybe" / Nullable(INNER, since=2, default=None),
    "inners" / Array(INNER),
    "tagged_number" / Int32(since=2, tag=0, default=-1),
    "tagged_text" / Nullable(String, since=2, tag=2, default=None),
    "tagged_inner" / INNER(since=3, tag=4),
    "tagged_maybe" / Nullable(INNER, since=2, tag=5),
    "tagged_list" / Array(INNER, since=2, tag=7),
)

LIMITS = {
    "int8": (-(1 << 7), (1 << 7) - 1),
    "uint8": (0, (1 << 8) - 1),
    "int16": (-(1 << 15), (1 << 15) - 1),
    "uint16": (0, (1 << 16) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "uint32": (0, (1 << 32) - 1),
    "varint": (-(1 << 31), (1 << 31) - 1),
    "uvarint": (0, (1 << 32) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "varlong": (-(1 << 63), (1 << 63) - 1),
}


def values_of(kind: Kind, version: int, flexible: bool) -> st.SearchStrategy[Any]:
    if isinstance(kind, Struct):
        made = structs_of(kind, version, flexible)
    elif isinstance(kind, Array):
        made = st.lists(values_of(kind.element, version, flexible), max_size=3)
    elif kind.type_name in LIMITS:
        low, high = LIMITS[kind.type_name]
        made = st.integers(low, high)
    else:
        made = {
            "bool": st.booleans(),
            "string": st.text(max_size=8) | st.sampled_from(["x" * 126, "x" * 127, "x" * 128, "x" * 32767]),
            "bytes": st.binary(max_size=8),
            "records": st.binary(max_size=8),
            "uuid": st.binary(min_size=16, max_size=16),
            "float64": st.floats(),
        }[kind.type_name]
    return st.none() | made if kind.is_nullable(version) else made


def structs_of(struct: Struct, version: int, flexible: bool) -> st.SearchStrategy[Any]:
    fields = {
        field.name: values_of(field.kind, version, flexible)
        for field in struct.fields
        if field.kind.is_present(version)
    }
    if flexible:
        tags = st.integers(20, 1 << 20)
        unknown = st.dictionaries(tags, st.binary(max_size=5), max_size=2)
        fields["unknown_tags"] = unknown.map(lambda found: tuple(sorted(found.items())))
    return st.builds(struct.value_class, **fields)


@cache
def values_of_message(message: Message, version: int) -> st.SearchStrategy[Any]:
    return structs_of(message, version, message.is_flexible(version))


PROPERTY = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def assert_survives(message: Message, version: int, value: Any) -> None:
    data = codec.encode(message, version, value)
    assert data == reference.encode(message, version, value)
    assert data == b"".join(codec.encode_chunks(message, version, value))
    for engine in (codec, reference):
        decoded, end = engine.decode(message, version, data)
        assert end == len(data)
        assert same(decoded, value)


@pytest.mark.parametrize("version", EVERYTHING.versions)
def test_every_type_comes_back(version: int):
    @PROPERTY
    @given(values_of_message(EVERYTHING, version))
    def survives(value: Any) -> None:
        assert_survives(EVERYTHING, version, value)

    survives()


@pytest.mark.parametrize(
    "name",
    [
        "ProduceRequest",
        "FetchResponse",
        "MetadataResponse",
        "JoinGroupRequest",
        "OffsetFetchResponse",
        "PartitionRecord",
    ],
)
def test_messages_come_back(name: str):
    message = declared_messages()[name]

    @settings(PROPERTY, max_examples=15)
    @given(st.sampled_from(message.versions).flatmap(lambda v: st.tuples(st.just(v), values_of_message(message, v))))
    def survives(versioned: Any) -> None:
        assert_survives(message, *versioned)

    survives()


@pytest.mark.parametrize("version", EVERYTHING.versions)
def test_any_bytes_give_a_value_or_a_malformed_frame(version: int):
    @settings(PROPERTY, max_examples=100)
    @given(st.binary(max_size=80))
    def agree(data: bytes) -> None:
        outcomes = []
        for engine in (codec, reference):
            try:
                outcomes.append(engine.decode(EVERYTHING, version, data))
            except MalformedFrame as error:
                outcomes.append(str(error))
        fast, slow = outcomes
        assert fast == slow or (same(fast[0], slow[0]) and fast[1] == slow[1])

    agree()
