"""What records may contain, how large they may be, and the three levels of acknowledgement."""

from __future__ import annotations

from compat import wire
from compat.cell import Cell, expect, expect_contents
from compat.record import Record
from compat.scenarios.registry import scenario

#: Below the default of max.message.bytes (1 MiB and some), with room for the batch's header.
BIG_RECORD_BYTES = 900_000
SMALL_RECORDS = 10_000


@scenario("headers")
def headers(cell: Cell) -> None:
    """Repeated, empty, null and binary headers keep their order and bytes."""
    topic = cell.topic()
    records = [
        Record(b"several", key=b"a", headers=(("trace", b"1"), ("trace", b"2"), ("other", b"3"), ("trace", b"1"))),
        Record(b"empty", key=b"b", headers=(("empty", b""),)),
        Record(b"none", key=b"c"),
    ]
    if cell.can("null-header"):
        records.append(Record(b"null", key=b"e", headers=(("null", None), ("null", b"not"))))
    if cell.can("any-byte"):
        records.append(Record(b"binary", key=b"d", headers=(("every byte", bytes(range(256))), ("", b"unnamed"))))
    cell.produce(topic, records)
    expect_contents(cell.consume(topic, len(records)), records)


@scenario("null-and-empty")
def null_and_empty(cell: Cell) -> None:
    """Null and empty keys and values stay what they are."""
    topic = cell.topic()
    records = [
        Record(None, key=b"tombstone"),
        Record(b"", key=b"empty value"),
        Record(b"null key", key=None),
        Record(b"empty key", key=b""),
        Record(b"", key=b""),
    ]
    if cell.can("null-record"):
        records.append(Record(None, key=None))
    if cell.can("null-beside-empty"):
        records += [Record(b"", key=None), Record(None, key=b"")]
    cell.produce(topic, records)
    expect_contents(cell.consume(topic, len(records)), records)


@scenario("big-record")
def big_record(cell: Cell) -> None:
    """A record of 900 kB between two small ones."""
    topic = cell.topic()
    records = [Record(b"before", b"1"), Record(cell.blob(BIG_RECORD_BYTES), b"2"), Record(b"after", b"3")]
    cell.produce(topic, records)
    expect_contents(cell.consume(topic, len(records)), records)


@scenario("many-small-records")
def many_small_records(cell: Cell) -> None:
    """Ten thousand small records keep their order, without gap or duplicate."""
    topic = cell.topic()
    records = [Record(b"%d" % number, key=b"k") for number in range(SMALL_RECORDS)]
    cell.produce(topic, records)
    found = cell.consume(topic, len(records))
    expect_contents(found, records)
    expect([record.offset for record in found], list(range(SMALL_RECORDS)), "offsets")
    expect(cell.end_offset(topic), SMALL_RECORDS, "end offset")


def _acknowledged(cell: Cell, acks: int | str) -> None:
    topic = cell.topic()
    records = [Record(b"%d" % number, key=b"k") for number in range(20)]
    told = cell.produce(topic, records, acks=acks)
    # With acks=0 the broker owes no answer, and not every client tells what it learnt.
    if told is not None and acks != 0:
        expect(told, list(range(len(records))), "offsets told to the producer")
    expect_contents(cell.consume(topic, len(records)), records)


@scenario("acks-0")
def acks_0(cell: Cell) -> None:
    """Records sent without waiting for an answer arrive."""
    _acknowledged(cell, 0)


@scenario("acks-1")
def acks_1(cell: Cell) -> None:
    """Records acknowledged by the leader arrive, at the offsets it told."""
    _acknowledged(cell, 1)


@scenario("acks-all")
def acks_all(cell: Cell) -> None:
    """Records acknowledged by every in-sync replica arrive, at the offsets it told."""
    _acknowledged(cell, "all")


@scenario("idempotent", needs=("idempotence",))
def idempotent(cell: Cell) -> None:
    """An idempotent producer gets an id of its own and its batches are stored under it."""
    topic = cell.topic()
    records = [Record(b"%d" % number, key=b"k") for number in range(100)]
    cell.produce(topic, records, idempotent=True)
    expect_contents(cell.consume(topic, len(records)), records)
    producers = {batch.producer_id for batch in wire.stored_batches(cell.target.bootstrap, topic)}
    expect(len(producers), 1, "number of producer ids in the log")
    expect(producers.pop() >= 0, True, "the batches carry a producer id")
