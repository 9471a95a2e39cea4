"""Reading from a chosen offset or time."""

from __future__ import annotations

import time

from compat.cell import Cell, expect, expect_contents
from compat.record import Record
from compat.scenarios.registry import scenario

#: Far enough from now to be told apart, near enough for any retention.
STEP_MS = 60_000


@scenario("seek-offset")
def seek_offset(cell: Cell) -> None:
    """Reading starts at the very offset asked for, also in the middle of a batch."""
    topic = cell.topic()
    records = [Record(b"%d" % number, key=b"k") for number in range(30)]
    cell.produce(topic, records)
    for start in (0, 17, 29):
        found = cell.consume(topic, 30 - start, start={"offset": start})
        expect_contents(found, records[start:], f"records from offset {start}")
        expect(found[0].offset, start, "first offset")


@scenario("seek-time", needs=("seek-time",))
def seek_time(cell: Cell) -> None:
    """Reading by time starts at the first record that isn't older."""
    topic = cell.topic()
    stamped = cell.can("timestamp")
    first_ms = int(time.time() * 1000) - 10 * STEP_MS
    for number in range(5):
        timestamp = first_ms + number * STEP_MS if stamped else None
        cell.produce(topic, [Record(b"%d" % number, key=b"k", timestamp=timestamp)])
    found = cell.consume(topic, 5)
    times = [record.timestamp for record in found if record.timestamp is not None]
    if stamped:
        expect(times, [first_ms + number * STEP_MS for number in range(5)], "timestamps")
    expect(sorted(set(times)), times, "timestamps are ascending and all different")
    for start in (0, 3, 4):
        later = cell.consume(topic, 5 - start, start={"time": times[start]})
        expect_contents(later, found[start:], "records from that time on")
    between = cell.consume(topic, 3, start={"time": times[1] + 1})
    expect_contents(between, found[2:], "records after a time between two")
