"""What records may contain, how large they may be, and the three levels of acknowledgement."""

from __future__ import annotations

from compat import wire
from compat.cell import Cell, expect, expect_contents
from compat.record import Record
from compat.scenarios.registry import scenario

#: Below the default of max.message.bytes (1 MiB and some), with room for the batch's header.
BIG_RECORD_BYTES = 900_000
SMALL_RECORDS = 10_000


def _round_trip(cell: Cell, records: list[Record]) -> None:
    topic = cell.topic()
    cell.produce(topic, records)
    expect_contents(cell.consume(topic, len(records)), records)


@scenario("headers", needs=("headers", "header-order"))
def headers(cell: Cell) -> None:
    """Repeated and empty headers keep their order and bytes."""
    repeated = (("trace", b"1"), ("trace", b"2"), ("other", b"3"), ("trace", b"1"))
    several = Record(b"several", key=b"a", headers=repeated)
    _round_trip(cell, [several, Record(b"empty", key=b"b", headers=(("empty", b""),)), Record(b"none", key=b"c")])


@scenario("headers-binary", needs=("headers", "any-byte"))
def headers_binary(cell: Cell) -> None:
    """A header's value may hold any byte, its name may be empty or not ASCII."""
    odd = (("every byte", bytes(range(256))), ("", b"unnamed"), ("\u5c3e\u306a\u3057", b"not ASCII"))
    _round_trip(cell, [Record(b"binary", key=b"a", headers=odd)])


@scenario("headers-null", needs=("headers", "null-header"))
def headers_null(cell: Cell) -> None:
    """A header's null value stays null."""
    _round_trip(cell, [Record(b"null", key=b"a", headers=(("null", None), ("null", b"not")))])


@scenario("null-and-empty")
def null_and_empty(cell: Cell) -> None:
    """Null and empty keys and values stay what they are."""
    tombstone, keyless = Record(None, key=b"tombstone"), Record(b"null key", key=None)
    _round_trip(
        cell, [tombstone, Record(b"", key=b"empty value"), keyless, Record(b"empty key", key=b""), Record(b"", key=b"")]
    )


@scenario("null-beside-empty", needs=("null-beside-empty",))
def null_beside_empty(cell: Cell) -> None:
    """A null key beside an empty value, and the other way round."""
    _round_trip(cell, [Record(b"", key=None), Record(None, key=b"")])


@scenario("null-record", needs=("null-record",))
def null_record(cell: Cell) -> None:
    """A record whose key and value are both null."""
    headed = [Record(None, key=None, headers=(("only", b"this"),))] if cell.can("headers") else []
    _round_trip(cell, [Record(None, key=None), *headed])


@scenario("big-record")
def big_record(cell: Cell) -> None:
    """A record of 900 kB between two small ones."""
    _round_trip(cell, [Record(b"before", b"1"), Record(cell.blob(BIG_RECORD_BYTES), b"2"), Record(b"after", b"3")])


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
