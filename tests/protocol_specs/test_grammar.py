"""A declaration parses and builds by itself, and calling it makes values."""

from __future__ import annotations

import construct
import pytest

from protocol_specs.grammar import (
    Array,
    Bool,
    Bytes,
    ClassicString,
    Int8,
    Int16,
    Int32,
    MalformedFrame,
    Message,
    NodeId,
    Nullable,
    Records,
    String,
    Struct,
    Unencodable,
    UnsupportedVersion,
    Uuid,
)

SHARED = Struct("Shared")("a" / Int16)
SAMPLE = Message("Sample", key=7, versions="0-4", flexible="2+")(
    "name" / String(until=1),
    "id" / Uuid(since=2, ignorable=True),
    "leader" / NodeId(default=-1),
    "parts" / Array(Struct("Part")("index" / Int32, "note" / Nullable(String, default=None)), nullable_since=1),
    "shared" / SHARED(since=3, ignorable=True),
    "tagged" / Struct("Tagged", since=2, tag=1, ignorable=True)("x" / Int8(default=-1)),
    "flag" / Bool(since=2, tag=0, ignorable=True),
    "maybe" / Nullable(Struct("Maybe")("y" / Int8), since=4, default=None, ignorable=True),
)


def test_a_value_has_every_field_of_every_version_at_its_default():
    value = SAMPLE()
    assert (value.name, value.id, value.leader, value.parts, value.flag, value.maybe) == (
        "",
        bytes(16),
        -1,
        [],
        False,
        None,
    )
    assert value.tagged == SAMPLE.Tagged(x=-1)
    assert value.unknown_tags == ()
    assert value == SAMPLE.value_class.fresh()


def test_mutable_defaults_are_not_shared():
    first, second = SAMPLE(), SAMPLE()
    first.parts.append(1)
    first.tagged.x = 5
    assert second == SAMPLE()


def test_values_are_slotted_compared_and_shown():
    value = SAMPLE(leader=3, parts=[SAMPLE.Part(index=1)])
    assert repr(value) == "Sample(leader=3, parts=[Part(index=1)])"
    assert value == SAMPLE(leader=3, parts=[SAMPLE.Part(index=1)])
    assert value != SAMPLE(leader=3)
    assert value != "Sample"
    with pytest.raises(AttributeError):
        value.lader = 1
    with pytest.raises(TypeError):
        SAMPLE(lader=1)
    with pytest.raises(TypeError):
        hash(value)


def test_long_bytes_are_shown_by_their_size():
    message = Message("M", versions="0")("records" / Nullable(Records), "data" / Bytes)
    assert repr(message(records=memoryview(b"ab"), data=bytes(100))) == "M(records=b'ab', data=<100 bytes>)"


def test_nested_structs_are_found_by_name():
    assert SAMPLE.Part is SAMPLE.Part
    assert SAMPLE.Part(index=4).index == 4
    assert isinstance(SAMPLE().tagged, SAMPLE.Tagged)
    with pytest.raises(AttributeError, match="Sample has no struct Prat, only Part, Shared, Tagged, Maybe"):
        _ = SAMPLE.Prat


def test_a_shared_struct_is_placed_with_other_options():
    again = SHARED(tag=3, since=1)
    assert again.value_class is SHARED.value_class
    assert (again.options.tag, SHARED.options.tag) == (3, None)


@pytest.mark.parametrize(
    ("version", "value", "data"),
    [
        (0, SAMPLE(name="ab", parts=[SAMPLE.Part(index=1)]), "0002 6162 ffffffff 00000001 00000001 ffff"),
        (1, SAMPLE(parts=None), "0000 ffffffff ffffffff"),
        (2, SAMPLE(id=b"\x01" * 16), "01" * 16 + "ffffffff 01 00"),
        (2, SAMPLE(parts=None, flag=True), "00" * 16 + "ffffffff 00 01 00 01 01"),
        (2, SAMPLE(parts=[SAMPLE.Part(note="x")]), "00" * 16 + "ffffffff 02 00000000 02 78 00 00"),
        (2, SAMPLE(tagged=SAMPLE.Tagged(x=5)), "00" * 16 + "ffffffff 01 01 01 02 05 00"),
        (3, SAMPLE(shared=SAMPLE.Shared(a=2)), "00" * 16 + "ffffffff 01 0002 00 00"),
        (4, SAMPLE(maybe=SAMPLE.Maybe(y=2)), "00" * 16 + "ffffffff 01 0000 00 01 02 00 00"),
        (4, SAMPLE(), "00" * 16 + "ffffffff 01 0000 00 ff 00"),
        (4, SAMPLE(flag=True, unknown_tags=((3, b"z"),)), "00" * 16 + "ffffffff 01 0000 00 ff 02 00 01 01 03 01 7a"),
    ],
)
def test_values_become_bytes_and_come_back(version, value, data):
    frame = bytes.fromhex(data)
    assert SAMPLE.build_version(version, value) == frame
    assert SAMPLE.parse_version(version, frame) == value
    assert SAMPLE.build(value, version=version) == frame
    assert SAMPLE.parse(frame, version=version) == value


def test_unknown_tags_are_merged_in_ascending_order():
    message = Message("M", versions="0", flexible="0+")("b" / Int8(tag=5), "a" / Int8(tag=2))
    value = message(a=1, b=2, unknown_tags=((1, b"x"), (3, b""), (9, b"y")))
    data = bytes.fromhex("05 01 01 78 02 01 01 03 00 05 01 02 09 01 79")
    assert message.build_version(0, value) == data
    assert message.parse_version(0, data) == value


def test_what_a_version_lacks_is_dropped_only_when_ignorable():
    assert SAMPLE.build_version(0, SAMPLE(id=b"\x01" * 16)) == SAMPLE.build_version(0, SAMPLE())
    with pytest.raises(Unencodable, match="name: version 2 lacks the field"):
        SAMPLE.build_version(2, SAMPLE(name="x"))


def test_a_range_of_nullable_versions_may_end():
    message = Message("M", versions="0-2")("records" / Records(nullable_since=1, nullable_until=1))
    assert message.parse_version(1, b"\xff\xff\xff\xff") == message(records=None)
    for version in (0, 2):
        with pytest.raises(MalformedFrame, match="null is not allowed"):
            message.parse_version(version, b"\xff\xff\xff\xff")


def test_a_field_may_become_tagged_later():
    message = Message("M", versions="0-2", flexible="1+")("x" / Int8(tag=0, tagged_since=2))
    assert [message.build_version(version, message(x=5)).hex() for version in message.versions] == [
        "05",
        "0500",
        "01000105",
    ]


def test_a_classic_string_stays_classic_in_flexible_versions():
    message = Message("M", versions="0", flexible="0+")("x" / Nullable(ClassicString))
    assert message.build_version(0, message(x="a")) == b"\x00\x01a\x00"


def test_declarations_mix_with_plain_construct():
    envelope = construct.Struct("size" / construct.Int32ub, "body" / SAMPLE, "rest" / construct.GreedyBytes)
    data = bytes.fromhex("00000009 0000 00000001 00000000 beef")
    parsed = envelope.parse(data, version=0)
    assert (parsed.size, parsed.body, parsed.rest) == (9, SAMPLE(leader=1), b"\xbe\xef")
    assert envelope.build(parsed, version=0) == data


def test_versions_outside_the_range_are_refused():
    for version in (-1, 5):
        with pytest.raises(UnsupportedVersion, match=f"Sample has no version {version}"):
            SAMPLE.parse_version(version, b"")


@pytest.mark.parametrize("names", [("a", "a"), ("since",), ("unknown_tags",)])
def test_field_names_are_checked_when_declared(names):
    with pytest.raises(ValueError, match="names must differ"):
        Struct("S")(*(name / Int8 for name in names))
