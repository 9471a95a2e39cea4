"""What one client writes and another reads, in every codec: between them stands what the broker has to convert."""

from __future__ import annotations

import time
from dataclasses import replace

from compat.cell import Cell, expect, expect_contents
from compat.record import Record
from compat.scenarios.registry import scenario

RECORDS = 60
HEADED = 20
NULL_VALUES = range(30, 40)
FROM_THE_MIDDLE = 25
#: Far enough back that a time the broker set would be seen, near enough for any retention.
AGO_MS = 600_000


def _exchange(cell: Cell, codec: str) -> None:
    first_ms = int(time.time() * 1000) - AGO_MS
    # In blocks: kcat sends each in a run of its own, and what wouldn't shrink it sends as it is.
    records = [
        Record(
            None if number in NULL_VALUES else b"%d: " % number + b"to be or not to be " * 20,
            key=b"key-%d " % number * 5,
            headers=(("which", b"headed"), ("which", b"again")) if number < HEADED else (),
            timestamp=first_ms + number,
        )
        for number in range(RECORDS)
    ]
    _there(cell, codec, records)
    _back(cell, codec, records)


def _there(cell: Cell, codec: str, records: list[Record]) -> None:
    """This client writes, the other reads."""
    stamped, headed = cell.can("timestamp"), cell.can("headers")
    sent = [
        replace(one, timestamp=one.timestamp if stamped else None, headers=one.headers if headed else ())
        for one in records
    ]
    topic = cell.topic()
    cell.produce(topic, sent, codec=codec)
    expect(cell.stored_codecs(topic), {codec}, "codecs of this client's batches")
    found = cell.other().consume(topic, len(sent))
    expect_contents(found, sent, "this client's records")
    expect([one.offset for one in found], list(range(len(sent))), "offsets of this client's records")
    if stamped:
        expect([one.timestamp for one in found], [one.timestamp for one in sent], "times of this client's records")


def _back(cell: Cell, codec: str, records: list[Record]) -> None:
    """The other writes, this client reads; what it can't be told is left out."""
    topic, other = cell.topic(), cell.other()
    other.produce(topic, records, codec=codec)
    expect(cell.stored_codecs(topic), {codec}, "codecs of the other's batches")
    told = records if cell.can("headers") else [replace(one, headers=()) for one in records]
    for start in (0, FROM_THE_MIDDLE):
        found = cell.consume(topic, len(records) - start, start={"offset": start})
        expect_contents(found, told[start:], f"the other's records from {start} on")
        expect([one.offset for one in found], list(range(start, len(records))), f"offsets from {start} on")
        if cell.can("read-timestamp"):
            expect([one.timestamp for one in found], [one.timestamp for one in told[start:]], f"times from {start} on")


@scenario("exchange-none")
def exchange_none(cell: Cell) -> None:
    """Plain batches are read by another client, and the other's by this one."""
    _exchange(cell, "none")


@scenario("exchange-gzip", needs=("codec-gzip",))
def exchange_gzip(cell: Cell) -> None:
    """gzip batches are read by another client, and the other's by this one."""
    _exchange(cell, "gzip")


@scenario("exchange-snappy", needs=("codec-snappy",))
def exchange_snappy(cell: Cell) -> None:
    """snappy batches are read by another client, and the other's by this one."""
    _exchange(cell, "snappy")


@scenario("exchange-lz4", needs=("codec-lz4",))
def exchange_lz4(cell: Cell) -> None:
    """lz4 batches are read by another client, and the other's by this one."""
    _exchange(cell, "lz4")


@scenario("exchange-zstd", needs=("codec-zstd",))
def exchange_zstd(cell: Cell) -> None:
    """zstd batches are read by another client, and the other's by this one."""
    _exchange(cell, "zstd")
