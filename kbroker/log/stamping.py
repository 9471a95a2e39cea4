"""A batch made ready to be written: its offsets, its leader's epoch and, where the topic asks, the broker's time."""

from __future__ import annotations

from kbroker.record.batch import HEADER_BYTES, BatchHeader, stamp, stamp_log_append_time
from kbroker.world import Buffer


def stamped(
    view: memoryview, header: BatchHeader, base_offset: int, leader_epoch: int, log_append_time_ms: int | None
) -> list[Buffer]:
    """The batch ready to be written: stamped in place, or its header in a copy where the buffer can't be written."""
    if not view.readonly:
        if log_append_time_ms is not None:
            stamp_log_append_time(view, header, log_append_time_ms)
        stamp(view, base_offset, leader_epoch)
        return [view]
    if log_append_time_ms is not None:  # its checksum covers the whole batch
        copy = bytearray(view)
        stamp_log_append_time(copy, header, log_append_time_ms)
        stamp(copy, base_offset, leader_epoch)
        return [copy]
    front = bytearray(view[:HEADER_BYTES])
    stamp(front, base_offset, leader_epoch)
    return [front, view[HEADER_BYTES:]]
