"""Frames come out as they went in, however the stream is cut; buffers are shared, grown, and never reused too early."""

import random

import pytest

from kbroker.wire.connection import (
    FIRST_BUFFER_BYTES,
    KEPT_FRAME_BYTES_MAX,
    SHARED_BUFFER_BYTES_MAX,
    UNPROVEN_BYTES_MAX,
    FrameSplitter,
    FrameTooLarge,
)


def framed(*bodies: bytes) -> bytes:
    return b"".join(len(body).to_bytes(4, "big") + body for body in bodies)


def feed(splitter: FrameSplitter, stream: bytes, step: int | None = None) -> list[bytes]:
    """Push the stream through as a socket would: never more than there is space, at most `step` bytes a read."""
    frames: list[bytes] = []
    while stream:
        space = splitter.space()
        count = min(len(space), len(stream), step or len(stream))
        assert count > 0
        space[:count] = stream[:count]
        del space
        splitter.received(count)
        stream = stream[count:]
        while True:
            frame = splitter.next_frame()
            if frame is None:
                break
            frames.append(bytes(frame))
            del frame
    return frames


BODIES = [
    b"a",
    b"bc" * 100,
    b"x" * FIRST_BUFFER_BYTES,
    b"y" * 70_000,
    b"z",
    b"w" * (SHARED_BUFFER_BYTES_MAX + 5),
    b"end",
]


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7])
def test_a_stream_of_small_frames_comes_whole_at_every_cut(step):
    bodies = [b"k" * size for size in (1, 2, 3, 40, 500)]
    assert feed(FrameSplitter(1000), framed(*bodies), step) == bodies


@pytest.mark.parametrize("step", [1021, 4096, 65_536, None])
def test_frames_of_all_sizes_come_whole_and_in_order(step):
    assert feed(FrameSplitter(1 << 20), framed(*BODIES, *BODIES), step) == BODIES * 2


def test_random_sizes_and_random_reads_give_the_same_frames():
    seeded = random.Random(7)
    bodies = [seeded.randbytes(seeded.choice([1, 9, 300, 9_000, 300_000])) for _ in range(60)]
    stream, splitter, frames = framed(*bodies), FrameSplitter(1 << 20), []
    while stream:
        count = seeded.randrange(1, 200_000)
        frames += feed(splitter, stream[:count])
        stream = stream[count:]
    assert frames == bodies


@pytest.mark.parametrize("count_max", [1, 3, 1000])
@pytest.mark.parametrize("step", [3, 1021, 65_536, None])
def test_frames_taken_together_are_those_taken_one_by_one(step, count_max):
    bodies = [b"k" * size for size in (1, 2, 3, 40, 500)] * (1 if step == 3 else 40) + BODIES[:: 9 if step == 3 else 1]
    stream, splitter, frames = framed(*bodies), FrameSplitter(1 << 20), []
    while stream:
        space = splitter.space()
        count = min(len(space), len(stream), step or len(stream))
        space[:count] = stream[:count]
        del space
        splitter.received(count)
        stream = stream[count:]
        while taken := splitter.next_frames(count_max):
            assert len(taken) <= count_max
            frames += [bytes(taken.popleft()) for _ in range(len(taken))]
    assert frames == bodies


def test_an_impossible_size_is_refused_behind_the_frames_before_it():
    splitter = FrameSplitter(1000)
    data = framed(b"a", b"b") + (1001).to_bytes(4, "big") + b"rest"
    splitter.space()[: len(data)] = data
    splitter.received(len(data))
    assert [bytes(frame) for frame in splitter.next_frames(10)] == [b"a", b"b"]
    with pytest.raises(FrameTooLarge, match="1001"):
        splitter.next_frames(10)


@pytest.mark.parametrize("size", [0, -1, -(1 << 31), 1001, (1 << 31) - 1])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(FrameTooLarge, match=str(size)):
        feed(FrameSplitter(1000), size.to_bytes(4, "big", signed=True) + b"rest")


def test_a_held_small_frame_is_not_overwritten_by_the_next_read():
    """An append may wait for the disk while its connection reads on."""
    splitter = FrameSplitter(1 << 20)
    space = splitter.space()
    first = framed(b"held")
    space[: len(first)] = first
    del space
    splitter.received(len(first))
    held = splitter.next_frame()
    assert splitter.next_frame() is None
    assert feed(splitter, framed(b"over")) == [b"over"]
    assert bytes(held) == b"held"


def test_small_frames_that_are_held_one_by_one_pin_small_buffers():
    """Each used to pin a buffer as large as the traffic had ever needed: 256 KiB for an append of 100 bytes."""
    splitter = FrameSplitter(1 << 20)
    feed(splitter, framed(b"x" * 200_000))
    held = []
    for number in range(50):
        stream = framed(bytes([number]) * 100)
        splitter.space()[: len(stream)] = stream
        splitter.received(len(stream))
        held.append(splitter.next_frame())
        assert splitter.next_frame() is None
    assert sum(len(frame.obj) for frame in held) < SHARED_BUFFER_BYTES_MAX + 50 * FIRST_BUFFER_BYTES
    assert [bytes(frame) for frame in held] == [bytes([number]) * 100 for number in range(50)]
    after = [b"y" * 200_000, b"z"]
    assert feed(splitter, framed(*after)) == after


def test_a_held_large_frame_is_not_overwritten_by_the_next_one():
    size = SHARED_BUFFER_BYTES_MAX + 1
    splitter = FrameSplitter(1 << 20)
    stream = framed(b"1" * size)
    held = None
    while stream:
        space = splitter.space()
        count = min(len(space), len(stream))
        space[:count] = stream[:count]
        del space
        splitter.received(count)
        stream = stream[count:]
        held = splitter.next_frame() or held
    assert held is not None
    assert feed(splitter, framed(b"2" * size)) == [b"2" * size]
    assert bytes(held) == b"1" * size


def test_a_large_buffer_is_used_again_when_nobody_holds_it():
    size = SHARED_BUFFER_BYTES_MAX + 1
    splitter = FrameSplitter(1 << 20)
    feed(splitter, framed(b"1" * size))
    buffer = splitter._frame
    feed(splitter, framed(b"2" * (size - 1)))
    assert splitter._frame is buffer


def test_a_huge_buffer_is_given_back_as_soon_as_its_frame_is_let_go():
    """It used to stay until the next frame that needs a buffer of its own: for ever, if only small ones came."""
    splitter = FrameSplitter(1 << 24)
    assert feed(splitter, framed(b"1" * (KEPT_FRAME_BYTES_MAX + 1))) == [b"1" * (KEPT_FRAME_BYTES_MAX + 1)]
    assert len(splitter._frame) == 0
    after = [b"2" * (SHARED_BUFFER_BYTES_MAX + 1), b"small"]
    assert feed(splitter, framed(*after)) == after


def test_an_idle_connection_costs_one_small_buffer():
    splitter = FrameSplitter(1 << 20)
    feed(splitter, framed(b"1") * 100)
    assert len(splitter._buffer) == FIRST_BUFFER_BYTES


@pytest.mark.parametrize(
    ("size", "arrived", "expected"),
    [
        (100, 50, 1),  # small: not worth it
        (100_000, 3, 1),  # nobody knows yet
        (100_000, 60_000, 100_004 - 60_000),  # the rest of a frame that shares the buffer
        (100_000, 90_000, 1),  # the rest is small
        (1_000_000, 65_536, 1_000_004 - 65_536),  # a buffer of its own takes all that is missing
    ],
)
def test_what_a_frame_announced_is_expected_where_that_is_worth_it(size, arrived, expected):
    splitter = FrameSplitter(1 << 20)
    feed(splitter, framed(b"x" * 100_000))  # the buffer has grown
    assert len(splitter._buffer) == 4 * 4 * FIRST_BUFFER_BYTES
    feed(splitter, framed(b"y" * size)[:arrived])
    assert splitter.expected == expected


def test_an_announcement_alone_costs_little():
    """A hundred megabytes used to be allocated, and touched, for four bytes."""
    splitter = FrameSplitter(100 << 20)
    feed(splitter, (100 << 20).to_bytes(4, "big") + b"first bytes")
    assert splitter.expected == (100 << 20) - len(b"first bytes")
    assert 0 < len(splitter.space()) < UNPROVEN_BYTES_MAX


@pytest.mark.parametrize("step", [1021, 70_000, None])
def test_a_large_frame_takes_at_most_twice_what_came_of_it(step):
    splitter = FrameSplitter(8 << 20)
    body = random.Random(1).randbytes(3_000_000)
    stream = framed(body)
    came = 0
    while came < len(stream) - 1:
        space = splitter.space()
        assert len(space) <= max(came, SHARED_BUFFER_BYTES_MAX)
        count = min(len(space), step or len(space), len(stream) - 1 - came)
        space[:count] = stream[came : came + count]
        del space
        splitter.received(count)
        came += count
        assert splitter.next_frame() is None
    assert feed(splitter, stream[-1:]) == [body]


def test_a_peer_that_has_sent_a_large_frame_gets_room_for_the_next_at_once():
    splitter = FrameSplitter(8 << 20)
    body = b"r" * 1_000_000
    assert feed(splitter, framed(body)) == [body]
    feed(splitter, framed(body)[:100])
    assert len(splitter.space()) == len(body) - 96
