"""Whatever the bytes, an engine gives a right value or MalformedFrame, the engines agree, and memory stays bounded.

KBROKER_FUZZ=1 (`make fuzz`) tries a hundred times as much.
"""

from __future__ import annotations

import os
import random
import tracemalloc
from typing import Any

import pytest

from kbroker.wire import codec, reference
from protocol_specs import api
from protocol_specs.grammar import (
    Array,
    Int8,
    Int32,
    Layout,
    MalformedFrame,
    Message,
    Nullable,
    String,
    Struct,
    Unencodable,
    UnsupportedVersion,
)
from tests.wire.golden_frames import GoldenFrame, declared_messages, golden_frames, same

FUZZING = bool(os.environ.get("KBROKER_FUZZ"))
ROUNDS = 100 if FUZZING else 1
SMALL = [frame for frame in golden_frames() if frame.variant in ("random", "unknown_tags")]
# Extreme lengths and counts: int16, int32, varints, overlong varints; each is cut out of the text by its blanks.
EXTREMES = """
ffff 7fff 8000 ffffffff 7fffffff 80000000 7ffffffe
ffffffff07 ffffffff0f ffffffff7f ffffffffff0f
8000 808000 80808080808000
"""
NUMBERS = [bytes.fromhex(text) for text in EXTREMES.split()]


def outcome(engine: Any, frame: GoldenFrame, data: bytes) -> Any:
    """(value, end), or the error."""
    try:
        return engine.decode(frame.message, frame.version, data)
    except MalformedFrame as error:
        return error


def assert_engines_agree(frame: GoldenFrame, data: bytes) -> None:
    fast, slow = outcome(codec, frame, data), outcome(reference, frame, data)
    if isinstance(slow, MalformedFrame):
        assert isinstance(fast, MalformedFrame), (frame, data)
        assert (fast.path, fast.position, fast.reason) == (slow.path, slow.position, slow.reason)
        assert 0 <= slow.position <= len(data)
        return
    assert not isinstance(fast, MalformedFrame), (frame, data, fast)
    assert fast[1] == slow[1] <= len(data)
    assert same(fast[0], slow[0]), (frame, data)
    written = codec.encode(frame.message, frame.version, fast[0])
    assert written == reference.encode(frame.message, frame.version, slow[0])
    assert same(codec.decode(frame.message, frame.version, written)[0], fast[0])


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One or two small changes of any kind."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2))):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0 if place < len(changed):
                changed[place] ^= 1 << chance.randrange(8)
            case 1 if place < len(changed):
                changed[place] = chance.choice((0, 1, 2, 0x7F, 0x80, 0xFF))
            case 2:
                number = chance.choice(NUMBERS)
                changed[place : place + len(number)] = number
            case 3:
                changed[place:place] = chance.choice(NUMBERS)
            case 4:
                del changed[place : place + chance.randrange(1, 5)]
            case _:
                changed[place:place] = changed[place : place + chance.randrange(1, 20)]
    return bytes(changed)


@pytest.mark.parametrize("part", range(32))
def test_engines_agree_on_mutated_frames(part: int):
    chance = random.Random(part)
    for frame in SMALL[part::32]:
        for _ in range(3 * ROUNDS):
            assert_engines_agree(frame, mutated(frame.data, chance))


@pytest.mark.parametrize("part", range(32))
def test_engines_agree_on_cut_frames(part: int):
    chance = random.Random(part)
    for frame in golden_frames()[part::32]:
        sizes = (
            range(len(frame.data)) if FUZZING and len(frame.data) < 2000 else [chance.randrange(len(frame.data) or 1)]
        )
        for size in sizes:
            assert_engines_agree(frame, frame.data[:size])


def test_engines_agree_on_noise():
    chance = random.Random(5)
    for frame in SMALL[:: 1 if FUZZING else 5]:
        assert_engines_agree(frame, chance.randbytes(chance.randrange(60)))


ELEMENT = Struct("Element")("number" / Int8, "name" / Nullable(String, default=None))
EXAMPLE = Message("Example", versions="0-1", flexible="1+")(
    "id" / Int32,
    "items" / Array(ELEMENT),
    "note" / String(tag=0, since=1),
    "more" / Array(Int32, tag=3, since=1),
)


@pytest.mark.parametrize("engine", [codec, reference])
@pytest.mark.parametrize(
    ("version", "frame", "path", "position", "reason"),
    [
        (0, "00000001", "items", 4, "needs 4 bytes, 0 are left"),
        (0, "00000001 00000002 01 ffff", "items", 4, "2 elements of at least 3 bytes, 3 bytes are left"),
        (0, "00000001 00000001 01 0005 6162", "items[0].name", 11, "needs 5 bytes, 2 are left"),
        (0, "00000001 7fffffff 01 ffff", "items", 4, "2147483647 elements of at least 3 bytes, 3 bytes are left"),
        (0, "00000001 ffffffff", "items", 4, "null is not allowed here"),
        (1, "00000001 00 00", "items", 4, "null is not allowed here"),
        (1, "00000001 ffffffff7f 00", "items", 4, "a varint that does not fit 32 bits"),
        (1, "00000001 ffffffffff01 00", "items", 4, "a varint of more than 5 bytes"),
        (1, "00000001 01 02 03 01 01 00 02 01 61", "", 11, "tag 0 after tag 3"),
        (1, "00000001 01 02 00 02 02 61 00 02 01", "", 10, "tag 0 after tag 0"),
        (1, "00000001 01 01 00 02 03 61 62", "note", 8, "tag 0 says 2 bytes and has 3"),
        (1, "00000001 01 01 00 03 02 61 62", "note", 8, "tag 0 says 3 bytes and has 2"),
        (1, "00000001 01 01 00 01 00", "note", 8, "null is not allowed here"),
        (1, "00000001 01 01 07 7f 00", "", 8, "needs 127 bytes, 1 are left"),
        (1, "00000001 01 01 00 05 81800200", "note", 8, "a string of 32768 bytes"),
    ],
)
def test_a_malformed_frame_is_explained(engine, version, frame, path, position, reason):
    with pytest.raises(MalformedFrame) as caught:
        engine.decode(EXAMPLE, version, bytes.fromhex(frame))
    assert (caught.value.path, caught.value.position) == (path, position) or not path
    assert caught.value.reason == reason


@pytest.mark.parametrize("engine", [codec, reference])
@pytest.mark.parametrize(
    ("version", "frame", "value"),
    [
        (1, "00000001 8100 00", EXAMPLE(id=1)),  # an overlong count
        (1, "00000001 81808080 00 8000", EXAMPLE(id=1)),
        (1, "00000001 01 01 8780 00 8100 61", EXAMPLE(id=1, unknown_tags=((7, b"a"),))),
        (
            0,
            "00000001 00000001 05 8000",
            EXAMPLE(id=1, items=[EXAMPLE.Element(number=5)]),
        ),  # any negative length is null
        (0, "00000001 00000001 05 0002 c328", EXAMPLE(id=1, items=[EXAMPLE.Element(number=5, name="�(")])),
    ],
)
def test_odd_frames_that_kafka_accepts_are_accepted(engine, version, frame, value):
    data = bytes.fromhex(frame)
    assert engine.decode(EXAMPLE, version, data) == (value, len(data))


def test_an_unknown_version_is_told():
    for engine in (codec, reference):
        with pytest.raises(UnsupportedVersion, match="Example has no version 2"):
            engine.decode(EXAMPLE, 2, b"")
        with pytest.raises(UnsupportedVersion, match="Example has no version -1"):
            engine.encode(EXAMPLE, -1, EXAMPLE())


@pytest.mark.parametrize("engine", [codec, reference])
@pytest.mark.parametrize(
    ("version", "value", "message"),
    [
        (0, EXAMPLE(note="x"), "note: version 0 lacks the field"),
        (0, EXAMPLE(unknown_tags=((9, b""),)), "message: version 0 has no tagged fields"),
        (0, EXAMPLE(id=1 << 31), "id: 2147483648 is no int32"),
        (0, EXAMPLE(id="1"), "id: '1' is no int32"),
        (0, EXAMPLE(items=None), "items: null is not allowed"),
        (0, EXAMPLE(items=[EXAMPLE.Element(name=b"x")]), "items[0].name: bytes is no string"),
        (0, EXAMPLE(items=[EXAMPLE.Element(name="x" * 32768)]), "items[0].name: a string of 32768 bytes"),
        (1, EXAMPLE(items=[EXAMPLE.Element(name="x" * 32768)]), "items[0].name: a string of 32768 bytes"),
        (0, EXAMPLE(items=[EXAMPLE.Element(name="\ud800")]), "items[0].name: 'utf-8' codec can't encode"),
        (1, EXAMPLE(note=None), "note: null is not allowed"),
        (1, EXAMPLE(unknown_tags=((3, b""),)), "unknown tag 3 is more in version 1"),
        (1, EXAMPLE(unknown_tags=((4, b""), (4, b"x"))), "a tag stands twice"),
    ],
)
def test_a_value_that_cannot_be_written_is_explained(engine, version, value, message):
    with pytest.raises(Unencodable) as caught:
        engine.encode(EXAMPLE, version, value)
    assert message in str(caught.value)


def arrays_of_least_elements(message: Message, layout: Layout) -> Any:
    """(name, a message of that array alone, its frame of many elements as small as can be)."""
    for struct in [message, *message.structs.values()]:
        for field in struct.fields:
            if isinstance(field.kind, Array) and field.kind.is_present(layout.version):
                element = field.kind.element
                chunks: list[Any] = []
                try:
                    element.write(chunks, element.zero(), layout, "")
                except Unencodable:  # records that cannot be null
                    continue
                flexible = "0+" if layout.flexible else "none"
                holder = Message("Holder", versions=str(layout.version), flexible=flexible)("items" / Array(element))
                value = holder(items=[element.zero()] * (2000 // len(b"".join(chunks))))
                yield f"{struct.name}.{field.name}", holder, codec.encode(holder, layout.version, value)


@pytest.mark.parametrize("name", sorted(declared_messages()))
def test_memory_is_a_bounded_multiple_of_the_frame(name: str):
    message = declared_messages()[name]
    layout = message.layout(message.highest)
    for place, holder, data in arrays_of_least_elements(message, layout):
        codec.decode(holder, layout.version, data)  # generates the reader
        tracemalloc.start()
        try:
            codec.decode(holder, layout.version, data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < codec.MEMORY_MULTIPLE * len(data) + 2048, place


def test_a_count_alone_allocates_nothing():
    """A count of two thousand million is refused before anything is made for it, by both engines."""
    fetch = api.messages(1)[0]
    data = bytes(4) + bytes(4) + bytes(4) + b"\x7f\xff\xff\xff" + bytes(1000)
    tracemalloc.start()
    try:
        for engine in (codec, reference):
            with pytest.raises(MalformedFrame, match="elements of at least"):
                engine.decode(fetch, 0, data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
