"""Reading the metadata log at start: the newest snapshot, then every batch behind it, into one image.

    __cluster_metadata-0/
        00000000000000000000.log ...                the records
        <end offset, 20 digits>-<epoch, 10>.checkpoint   a snapshot of everything below that offset, as batches

Source: KIP-630; Kafka's Snapshots.java and RecordsSnapshotReader.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kbroker.log.outcome import Refused
from kbroker.log.partition_log import PartitionLog
from kbroker.metadata.delta import MetadataDelta
from kbroker.metadata.image import MetadataImage
from kbroker.metadata.records import decode_record
from kbroker.quorum.control import ControlType, control_type, kraft_version_of
from kbroker.record.batch import Record, checksum_matches, iterate_batches, iterate_records, read_header
from kbroker.record.compression import CorruptRecords
from kbroker.world import Disk

READ_BYTES: Final = 1 << 20
"""How much of the log is replayed at a time; a larger batch is read whole."""

_SNAPSHOT_NAME = re.compile(r"(\d{20})-(\d{10})\.checkpoint")


@dataclass(slots=True)
class Replayed:
    """What the metadata log said: the image of all of it, and the finalized kraft.version."""

    image: MetadataImage
    kraft_version: int = 0


def replay_log(disk: Disk, log: PartitionLog, empty: MetadataImage) -> Replayed:
    """Everything that snapshot and log hold, over `empty`.

    Raises CorruptRecords, UnknownRecord, MalformedFrame or InconsistentRecord where they cannot be understood: starting
    without what they say would invent another cluster.
    """
    replayed = newest_snapshot(disk, log.directory, empty)
    start = max(replayed.image.offset + 1, log.log_start)
    if start > replayed.image.offset + 1:
        raise CorruptRecords(f"{log.directory}: records up to offset {start} are gone and no snapshot stands for them")
    delta = MetadataDelta(replayed.image)
    offset, epoch = replayed.image.offset, replayed.image.epoch
    for batch in _batches(log, start):
        epoch = _replay_batch(batch, delta, replayed)
        offset = read_header(batch).last_offset
    replayed.image = delta.apply(offset, epoch)
    return replayed


def _batches(log: PartitionLog, offset: int) -> Iterator[memoryview]:
    while offset < log.log_end:
        read = log.read(offset, READ_BYTES, log.log_end)
        if isinstance(read, Refused):
            raise CorruptRecords(f"{log.directory}: offset {offset} cannot be read: {read.reason}")
        if isinstance(read.records, bytes):
            raise CorruptRecords(f"{log.directory}: nothing at offset {offset} of {log.log_end}")
        try:
            data = read.records.file.read_at(read.records.position, read.records.length)
        finally:
            read.records.release()
        for batch in iterate_batches(data):
            offset = read_header(batch).last_offset + 1
            yield batch


def newest_snapshot(disk: Disk, directory: str, empty: MetadataImage) -> Replayed:
    """The newest complete snapshot in `directory`, over `empty`; `empty` itself where there is none."""
    names = [name for name in disk.list(directory) if _SNAPSHOT_NAME.fullmatch(name)]
    if not names:
        return Replayed(empty)
    newest = max(names)
    found = _SNAPSHOT_NAME.fullmatch(newest)
    assert found is not None
    replayed = Replayed(empty)
    delta = MetadataDelta(empty)
    for batch in iterate_batches(disk.read(f"{directory}/{newest}")):
        _replay_batch(batch, delta, replayed)
    # Offsets inside a snapshot count its own records; its name says what it stands for.
    replayed.image = delta.apply(int(found[1]) - 1, int(found[2]))
    return replayed


def _replay_batch(batch: memoryview, delta: MetadataDelta, replayed: Replayed) -> int:
    """Take one batch in; its epoch."""
    header = read_header(batch)
    if not checksum_matches(batch, header):
        raise CorruptRecords(f"metadata batch at offset {header.base_offset} has a wrong checksum")
    for record in iterate_records(batch):
        if record.value is None:
            raise CorruptRecords(f"metadata record {record.offset} has no value")
        if not header.is_control:
            delta.replay(decode_record(record.value))
        elif _control_type(record) == ControlType.KRAFT_VERSION:
            replayed.kraft_version = kraft_version_of(record.value)
    return header.partition_leader_epoch


def _control_type(record: Record) -> int:
    try:
        return control_type(record.key or b"")
    except struct.error as error:
        raise CorruptRecords(f"metadata control record {record.offset} has no whole key") from error
