"""Bytes in, frames out: the sans-IO half of a connection.

    frame:  | size int32 | request header | body |

The splitter owns the buffers that the socket reads into. Small frames stand side by side in one buffer, which grows
with the traffic; a frame that does not fit gets a buffer of its own, is received straight into it, and so is never
copied. A buffer is used again as soon as nobody holds a view of it: an append that is still queued for the disk does.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import Final

FIRST_BUFFER_BYTES: Final = 8 * 1024
"""What an idle connection costs."""

SHARED_BUFFER_BYTES_MAX: Final = 256 * 1024
"""Reads are not made larger than this; frames above it are received into their own buffer."""

KEPT_FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
"""A frame buffer above this goes back to the system after use."""

UNPROVEN_BYTES_MAX: Final = 64 * 1024
"""What a mere announcement makes us allocate; the rest follows the bytes that come. A peer that has sent frames of some
size gets that much at once."""

EXPECTED_BYTES_MIN: Final = 16 * 1024
"""Less is on its way before anybody could be told to wait for it."""

_SIZE: Final = Struct(">i")


class FrameTooLarge(Exception):
    """The peer announced a frame of no or too many bytes; the connection must close."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a frame of {size} bytes was announced; allowed are 1 to {limit}")


class FrameSplitter:
    """Cuts a stream into frames of at most `frame_bytes_max` bytes.

    Use: receive into `space()`, say how much came with `received(n)`, take frames with `next_frame()` until None. A
    frame is a writable memoryview without its size prefix; views of it stay valid as long as they are held.
    """

    __slots__ = ("_buffer", "_end", "_frame", "_frame_end", "_frame_size", "_limit", "_proven", "_start", "_view")

    def __init__(self, frame_bytes_max: int) -> None:
        self._limit = frame_bytes_max
        self._buffer = bytearray(FIRST_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        # The frame that is received into its own buffer; _frame_size is 0 when there is none.
        self._frame = bytearray()
        self._frame_size = 0
        self._frame_end = 0
        # The largest frame that came whole.
        self._proven = UNPROVEN_BYTES_MAX

    def space(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        if self._frame_size:
            if self._frame_end == len(self._frame):
                self._grow_frame()
            return memoryview(self._frame)[self._frame_end : self._frame_size]
        return self._view[self._end :]

    def received(self, count: int) -> None:
        """`count` bytes were written to the last space()."""
        if self._frame_size:
            self._frame_end += count
        else:
            self._end += count

    @property
    def expected(self) -> int:
        """How many bytes are sure to come, because a frame announced them; 1 where it is not worth the waiting."""
        if self._frame_size:
            return self._frame_size - self._frame_end
        held = self._end - self._start
        if held < 4:
            return 1
        size: int = _SIZE.unpack_from(self._buffer, self._start)[0]
        missing = min(4 + size - held, len(self._buffer) - self._end)
        return missing if missing >= EXPECTED_BYTES_MIN else 1

    def next_frame(self) -> memoryview | None:
        """The next whole frame, or None until more is received. Raises FrameTooLarge."""
        if self._frame_size:
            return self._own_frame()
        start = self._start
        held = self._end - start
        if held >= 4:
            size: int = _SIZE.unpack_from(self._buffer, start)[0]
            if not 0 < size <= self._limit:
                raise FrameTooLarge(size, self._limit)
            if held >= 4 + size:
                self._start = start + 4 + size
                return self._view[start + 4 : start + 4 + size]
            if 4 + size > len(self._buffer) and 4 + size > SHARED_BUFFER_BYTES_MAX:
                self._begin_own_frame(size)
                return None
        self._make_room(held)
        return None

    def next_frames(self, count_max: int) -> deque[memoryview]:
        """Like next_frame(), for up to `count_max` frames that are there; empty until more is received.

        They are let go before the next call, or the buffer can't be used again. FrameTooLarge comes behind them.
        """
        frames: deque[memoryview] = deque()
        if not self._frame_size:
            buffer, view, start, end, limit = self._buffer, self._view, self._start, self._end, self._limit
            while end - start >= 4 and len(frames) < count_max:
                stop = start + 4 + _SIZE.unpack_from(buffer, start)[0]
                if not start + 4 < stop <= min(end, start + 4 + limit):
                    break
                frames.append(view[start + 4 : stop])
                start = stop
            self._start = start
        if not frames:
            frame = self.next_frame()
            if frame is not None:
                frames.append(frame)
        return frames

    def _own_frame(self) -> memoryview | None:
        if self._frame_end < self._frame_size:
            return None
        frame = memoryview(self._frame)[: self._frame_size]
        self._proven = max(self._proven, self._frame_size)
        self._frame_size = 0
        if len(self._frame) > KEPT_FRAME_BYTES_MAX:
            self._frame = bytearray()
        return frame

    def _begin_own_frame(self, size: int) -> None:
        held = self._end - self._start - 4
        wanted = min(size, max(self._proven, held))
        if len(self._frame) < wanted or not _is_free(self._frame):
            self._frame = bytearray(wanted)
        self._frame[:held] = self._view[self._start + 4 : self._end]
        self._frame_size = size
        self._frame_end = held
        self._start = self._end = 0
        self._renew_if_held()

    def _grow_frame(self) -> None:
        """Twice what came so far: nobody holds a view of a frame that is not whole."""
        grown = min(2 * len(self._frame), self._frame_size)
        self._frame.extend(bytes(grown - len(self._frame)))

    def _make_room(self, held: int) -> None:
        """Bring the partial frame to the front; grow when the last read filled the buffer."""
        was_full = self._end == len(self._buffer)
        if was_full and len(self._buffer) < SHARED_BUFFER_BYTES_MAX:
            self._replace(held, min(4 * len(self._buffer), SHARED_BUFFER_BYTES_MAX))
        elif self._start or held == 0:
            self._view.release()
            if _is_free(self._buffer):
                self._buffer[:held] = self._buffer[self._start : self._end]
                self._view = memoryview(self._buffer)
                self._start, self._end = 0, held
            else:
                self._view = memoryview(self._buffer)
                self._replace(held, self._size_needed())

    def _size_needed(self) -> int:
        """Of a buffer in place of one that is held: as the last reads were, not as the largest ever was."""
        size = FIRST_BUFFER_BYTES
        while size < 2 * self._end and size < len(self._buffer):
            size *= 4
        return min(size, len(self._buffer))

    def _renew_if_held(self) -> None:
        self._view.release()
        if not _is_free(self._buffer):
            self._buffer = bytearray(len(self._buffer))
        self._view = memoryview(self._buffer)

    def _replace(self, held: int, size: int) -> None:
        fresh = bytearray(size)
        fresh[:held] = self._view[self._start : self._end]
        self._buffer = fresh
        self._view = memoryview(fresh)
        self._start, self._end = 0, held


def _is_free(buffer: bytearray) -> bool:
    """Does nobody hold a view? A bytearray refuses to change its length while exported; shrinking by one is free."""
    if not buffer:
        return True
    try:
        last = buffer.pop()
    except BufferError:
        return False
    buffer.append(last)
    return True
