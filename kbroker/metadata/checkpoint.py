"""Snapshot files: an image as record batches between a header and a footer.

    <end offset, 20 digits>-<epoch, 10 digits>.checkpoint    stands for every record below `end`, the last of `epoch`
    ....checkpoint.part       being written;   ....checkpoint.deleted   on its way out
    bootstrap.checkpoint      in a log directory: what an empty metadata log begins with

    control batch   SnapshotHeader | KRaftVersion and KRaftVoters where the voters are in the log
    batches         records of the cluster, offsets counted from the header on
    control batch   SnapshotFooter

Of the formatted and empty log there may be a snapshot too, of end 0 and epoch 0: it says who votes.

Source: KIP-630, KIP-853; Kafka's Snapshots, RecordsSnapshotWriter, BootstrapDirectory.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from kbroker.quorum.control import (
    ControlType,
    QuorumRecords,
    control_type,
    last_contained_ms_of,
    snapshot_footer,
    snapshot_header,
)
from kbroker.record.batch import (
    HEADER_BYTES,
    Record,
    build_batch,
    checksum_matches,
    iterate_records,
    read_header,
)
from kbroker.record.compression import CorruptRecords
from protocol_specs.frame import Buffer, MalformedFrame

SUFFIX: Final = ".checkpoint"
PART_SUFFIX: Final = ".checkpoint.part"
DELETED_SUFFIX: Final = ".checkpoint.deleted"
BOOTSTRAP_FILE: Final = "bootstrap.checkpoint"

BATCH_RECORDS_MAX: Final = 50
"""Records of one batch: about a millisecond's work, after which whoever writes a snapshot can give way."""

_NAME = re.compile(r"(\d{20})-(\d{10})\.checkpoint")
_LEFT_OVER = re.compile(r"\d{20}-\d{10}.*\.checkpoint\.(part|deleted)")


class SnapshotId(NamedTuple):
    """What a snapshot stands for: everything below offset `end`, of which the last was written in `epoch`."""

    end: int
    epoch: int

    @property
    def file_name(self) -> str:
        """Its name without the directory."""
        return f"{self.end:020d}-{self.epoch:010d}{SUFFIX}"


EMPTY: Final = SnapshotId(0, 0)
"""The snapshot that formatting leaves: of no records, only of who votes."""


class SnapshotRecords(NamedTuple):
    """One batch of a snapshot: control records of the quorum, or values of the cluster's records."""

    is_control: bool
    records: list[Record]


def parse_name(name: str) -> SnapshotId | None:
    """Which snapshot a file is; None where it is none."""
    found = _NAME.fullmatch(name)
    return None if found is None else SnapshotId(int(found[1]), int(found[2]))


def is_left_over(name: str) -> bool:
    """Is the file a snapshot that was never finished, or one that was to be removed?"""
    return _LEFT_OVER.fullmatch(name) is not None


def checkpoint_batches(
    values: Iterable[bytes],
    *,
    epoch: int = 0,
    wall_ms: int,
    last_contained_ms: int = 0,
    quorum: QuorumRecords | None = None,
) -> Iterator[bytearray]:
    """The batches of a snapshot file, a few records at a time. `values` are frames as encode_record makes them."""
    front = (snapshot_header(last_contained_ms), *(() if quorum is None else quorum.entries()))
    yield build_batch(front, timestamp_ms=wall_ms, leader_epoch=epoch, control=True)
    offset = len(front)
    for part in _parts(values):
        yield build_batch(
            [(None, value) for value in part], timestamp_ms=wall_ms, base_offset=offset, leader_epoch=epoch
        )
        offset += len(part)
    footer = (snapshot_footer(),)
    yield build_batch(footer, timestamp_ms=wall_ms, base_offset=offset, leader_epoch=epoch, control=True)


def _parts(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    for value in values:
        part.append(value)
        if len(part) == BATCH_RECORDS_MAX:
            yield part
            part = []
    if part:
        yield part


def read_checkpoint(data: Buffer, place: str) -> Iterator[SnapshotRecords]:
    """The batches between header and footer, the header's own records included.

    Raises CorruptRecords, before the last batch is given or at the end, where the file is not what was written.
    """
    view = memoryview(data)
    position, is_first, is_ended = 0, True, False
    while position < len(view):
        if is_ended:
            raise CorruptRecords(f"{place}: {len(view) - position} bytes follow the footer")
        batch = _batch(view, position, place)
        position += len(batch)
        is_control = read_header(batch).is_control
        records = [*iterate_records(batch)]
        kinds = [_kind(record, place) for record in records] if is_control else []
        if is_first and ControlType.SNAPSHOT_HEADER not in kinds:
            raise CorruptRecords(f"{place}: it does not begin with a snapshot's header")
        is_first, is_ended = False, ControlType.SNAPSHOT_FOOTER in kinds
        yield SnapshotRecords(is_control, records)
    if not is_ended:
        raise CorruptRecords(f"{place}: it ends without a snapshot's footer")


def _batch(view: memoryview, position: int, place: str) -> memoryview:
    if len(view) - position >= HEADER_BYTES:
        header = read_header(view, position)
        batch = view[position : position + header.size]
        if header.size >= HEADER_BYTES and len(batch) == header.size and checksum_matches(batch, header):
            return batch
    raise CorruptRecords(f"{place}: the batch at byte {position} is damaged")


def _kind(record: Record, place: str) -> int:
    try:
        return control_type(record.key or b"")
    except struct.error as error:
        raise CorruptRecords(f"{place}: control record {record.offset} has no whole key") from error


def last_contained_ms(data: Buffer, place: str) -> int:
    """The time of the newest record that a snapshot stands for, by its header. Raises CorruptRecords."""
    first = next(iter(read_checkpoint(data, place)), None)
    if first is None:
        raise CorruptRecords(f"{place}: it is empty")
    try:
        return last_contained_ms_of(first.records[0].value or b"")
    except MalformedFrame as error:
        raise CorruptRecords(f"{place}: {error}") from error
