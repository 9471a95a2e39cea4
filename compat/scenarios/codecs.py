"""Every codec, produced and consumed back byte-identical, and really stored compressed."""

from __future__ import annotations

from compat.cell import Cell, expect, expect_contents
from compat.record import Record
from compat.scenarios.registry import scenario

BLOB_BYTES = 32_768


def _round_trip(cell: Cell, codec: str) -> None:
    topic = cell.topic()
    records = [Record(b"%d: " % number + b"to be or not to be " * 50, key=b"key-%d" % number) for number in range(50)]
    # Half of it can't be compressed; a batch that wouldn't shrink at all some clients send as it is.
    records.append(Record(cell.blob(BLOB_BYTES) + bytes(BLOB_BYTES), key=b"blob"))
    cell.produce(topic, records, codec=codec)
    found = cell.consume(topic, len(records))
    expect_contents(found, records)
    expect([record.offset for record in found], list(range(len(records))), "offsets")
    expect(cell.stored_codecs(topic), {codec}, "codecs of the stored batches")


@scenario("codec-none")
def codec_none(cell: Cell) -> None:
    """Uncompressed batches come back byte-identical."""
    _round_trip(cell, "none")


@scenario("codec-gzip", needs=("codec-gzip",))
def codec_gzip(cell: Cell) -> None:
    """gzip batches come back byte-identical and are stored as gzip."""
    _round_trip(cell, "gzip")


@scenario("codec-snappy", needs=("codec-snappy",))
def codec_snappy(cell: Cell) -> None:
    """snappy batches come back byte-identical and are stored as snappy."""
    _round_trip(cell, "snappy")


@scenario("codec-lz4", needs=("codec-lz4",))
def codec_lz4(cell: Cell) -> None:
    """lz4 batches come back byte-identical and are stored as lz4."""
    _round_trip(cell, "lz4")


@scenario("codec-zstd", needs=("codec-zstd",))
def codec_zstd(cell: Cell) -> None:
    """zstd batches come back byte-identical and are stored as zstd."""
    _round_trip(cell, "zstd")
