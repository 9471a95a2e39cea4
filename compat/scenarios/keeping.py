"""What a topic's configuration makes of records: when and how they are stored, which of them stay."""

from __future__ import annotations

import time

from compat import wire
from compat.cell import Cell, expect, expect_contents
from compat.record import Record
from compat.scenarios.registry import scenario

CODECS = ("gzip", "snappy", "lz4", "zstd")
DAY_MS = 24 * 3600 * 1000
#: The broker's clock may be another machine's.
CLOCK_SLACK_MS = 30_000
KEYS, ROUNDS = 10, 4
#: A segment is closed by the first record that comes so long after its first.
SEGMENT_MS = 200
COMPACTED = {"cleanup.policy": "compact", "segment.ms": str(SEGMENT_MS), "min.cleanable.dirty.ratio": "0.01"}


def _usual_codec(cell: Cell) -> str:
    """Compressed where the client can: in old formats the broker has to open what it keeps."""
    return "gzip" if cell.can("codec-gzip") else "none"


def _texts(count: int) -> list[Record]:
    return [Record(b"%d: " % number + b"to be or not to be " * 20, key=b"key-%d" % number) for number in range(count)]


@scenario("log-append-time")
def log_append_time(cell: Cell) -> None:
    """In a topic with LogAppendTime every reader gets the time of the append, whatever the producer said."""
    topic = cell.topic(configs={"message.timestamp.type": "LogAppendTime"})
    earliest = int(time.time() * 1000) - CLOCK_SLACK_MS
    old = earliest - DAY_MS if cell.can("timestamp") else None
    records = [Record(b"%d" % number, key=b"k", timestamp=old) for number in range(20)]
    cell.produce(topic, records, codec=_usual_codec(cell))
    latest = int(time.time() * 1000) + CLOCK_SLACK_MS
    for reader in (cell, cell.other()):
        found = reader.consume(topic, len(records))
        expect_contents(found, records)
        times = [one.timestamp or 0 for one in found]
        if reader.can("read-timestamp"):
            expect(earliest <= min(times) <= max(times) <= latest, True, f"the times {times[0]}... are the broker's")
            expect(sorted(times), times, "the times are ascending")


@scenario("topic-codec")
def topic_codec(cell: Cell) -> None:
    """compression.type of a topic decides how batches are stored, and every reader gets the same records."""
    records = _texts(50)
    for codec in (codec for codec in CODECS if cell.can(f"codec-{codec}")):
        packed = cell.topic(configs={"compression.type": codec})
        cell.produce(packed, records, codec="none")
        expect(cell.stored_codecs(packed), {codec}, "codec of what was sent plain")
        expect_contents(cell.consume(packed, len(records)), records, f"records in {codec}")
        unpacked = cell.topic(configs={"compression.type": "uncompressed"})
        cell.produce(unpacked, records, codec=codec)
        expect(cell.stored_codecs(unpacked), {"none"}, f"codec of what was sent in {codec}")
        expect_contents(cell.consume(unpacked, len(records)), records, "records that were unpacked")


@scenario("delete-records")
def delete_records(cell: Cell) -> None:
    """After DeleteRecords in the middle of a batch everybody starts at the offset; after all of them, at the end."""
    topic, records = cell.topic(), _texts(30)
    for start in (0, 10, 20):
        cell.produce(topic, records[start : start + 10], codec=_usual_codec(cell))
    wire.delete_records(cell.target.bootstrap, topic, 14)
    found = cell.consume(topic, 16)
    expect_contents(found, records[14:], "records that are left")
    expect([one.offset for one in found], list(range(14, 30)), "offsets that are left")
    told = cell.do("watermarks", topic=topic, partition=0)
    expect((told["beginning"], told["end"]), (14, 30), "beginning and end")
    expect_contents(cell.group_read(cell.name("group"), topic, 16), records[14:], "records of a new group")

    wire.delete_records(cell.target.bootstrap, topic, 30)
    cell.produce(topic, records[:1])
    found = cell.consume(topic, 1)
    expect_contents(found, records[:1], "records behind the deleted ones")
    expect(found[0].offset, 30, "offset behind the deleted ones")


def _compacted(cell: Cell, **configs: str) -> tuple[str, list[Record]]:
    """A topic with several values for each key, the newest of two of them null, in segments that are closed.

    And what a compaction leaves of them; behind them stands a record with the key "filler".
    """
    topic = cell.topic(configs={**COMPACTED, **configs})
    newest: dict[bytes, tuple[int, Record]] = {}
    end = 0
    for number in range(ROUNDS):
        batch = [Record(b"round %d of %d" % (number, key), key=b"%d" % key) for key in range(KEYS)]
        if number == ROUNDS - 1:
            batch[0], batch[1] = Record(None, key=b"0"), Record(None, key=b"1")
        cell.produce(topic, batch, codec=_usual_codec(cell))
        for one in batch:
            assert one.key is not None
            newest[one.key] = end, one
            end += 1
    _close_segment(cell, topic)
    return topic, [one for _, one in sorted(newest.values(), key=lambda found: found[0])]


def _close_segment(cell: Cell, topic: str) -> None:
    time.sleep(2 * SEGMENT_MS / 1000)
    cell.produce(topic, [Record(b"filler", key=b"filler")])


def _await_records(cell: Cell, topic: str, count: int) -> None:
    cell.until(
        lambda: cell.stored_records(topic) == count,
        lambda: f"{cell.stored_records(topic)} records are stored instead of {count}",
    )


@scenario("compaction", waits=True)
def compaction(cell: Cell) -> None:
    """A compacted topic keeps each key's newest value at its offset, a null one too, for every reader."""
    topic, newest = _compacted(cell)
    wanted = [*newest, Record(b"filler", key=b"filler")]
    _await_records(cell, topic, len(wanted))
    first = (ROUNDS - 1) * KEYS
    for reader in (cell, cell.other()):
        found = reader.consume(topic, len(wanted))
        expect_contents(found, wanted)
        expect([one.offset for one in found], list(range(first, first + len(wanted))), "offsets")
    expect_contents(cell.consume(topic, 1, start={"offset": first - 1}), wanted[:1], "records from a cleaned offset on")


@scenario("compaction-tombstones", waits=True)
def compaction_tombstones(cell: Cell) -> None:
    """Behind delete.retention.ms a null value goes as well, and its key is unheard of."""
    topic, newest = _compacted(cell, **{"delete.retention.ms": "0"})
    # A second round may have come already, and the null values be gone.
    cell.until(
        lambda: cell.stored_records(topic) <= len(newest) + 1,
        lambda: f"{cell.stored_records(topic)} records are stored, more than {len(newest) + 1}",
    )
    _close_segment(cell, topic)
    wanted = [*(one for one in newest if one.value is not None), *[Record(b"filler", key=b"filler")] * 2]
    _await_records(cell, topic, len(wanted))
    expect_contents(cell.consume(topic, len(wanted)), wanted)
