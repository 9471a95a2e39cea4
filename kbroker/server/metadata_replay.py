"""Reading the metadata log at start: the newest snapshot, then every batch behind it, into one image.

    __cluster_metadata-0/
        00000000000000000000.log ...    the records
        ....checkpoint                  snapshots, see metadata/checkpoint.py

A damaged snapshot is passed over where the one before it and the log still hold everything.

Source: KIP-630; Kafka's KafkaRaftLog, RecordsSnapshotReader and KRaftControlRecordStateMachine.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from kbroker.log.outcome import Refused
from kbroker.log.partition_log import PartitionLog
from kbroker.metadata.checkpoint import EMPTY, SnapshotId, parse_name, read_checkpoint
from kbroker.metadata.delta import MetadataDelta
from kbroker.metadata.image import MetadataImage
from kbroker.metadata.records import decode_record
from kbroker.quorum.control import (
    ControlType,
    QuorumRecords,
    control_type,
    kraft_version_of,
    last_contained_ms_of,
    voters_of,
)
from kbroker.record.batch import Record, checksum_matches, iterate_batches, iterate_records, read_header
from kbroker.record.compression import CorruptRecords
from kbroker.world import Disk
from protocol_specs.frame import MalformedFrame

READ_BYTES: Final = 1 << 20
"""How much of the log is replayed at a time; a larger batch is read whole."""


@dataclass(slots=True)
class Replayed:
    """What the metadata log said."""

    image: MetadataImage
    quorum: QuorumRecords = field(default_factory=QuorumRecords)
    is_quorum_in_log: bool = False
    """Did anything but the empty snapshot that formatting leaves speak of the quorum?"""
    tail_bytes: int = 0
    """How much of the log no snapshot stands for."""
    last_ms: int = 0
    """The time of the last batch."""
    passed_over: list[str] = field(default_factory=list)
    """What was wrong with snapshots that were left aside."""
    damaged: list[SnapshotId] = field(default_factory=list)
    """Which they were."""


def replay_log(disk: Disk, log: PartitionLog, empty: MetadataImage) -> Replayed:
    """Everything that snapshot and log hold, over `empty`.

    The image may end behind the log where a crash kept the snapshot and not the log's tail. Raises CorruptRecords,
    UnknownRecord, MalformedFrame or InconsistentRecord where they cannot be understood: starting without what they say
    would invent another cluster.
    """
    replayed = newest_snapshot(disk, log, empty)
    start = max(replayed.image.offset + 1, log.log_start)
    if start > replayed.image.offset + 1:
        lost = [f"{log.directory}: records up to offset {start} are gone and no snapshot stands for them"]
        raise CorruptRecords("; ".join(lost + replayed.passed_over))
    delta = MetadataDelta(replayed.image)
    offset, epoch = replayed.image.offset, replayed.image.epoch
    for batch in _batches(log, start):
        header = read_header(batch)
        if not checksum_matches(batch, header):
            raise CorruptRecords(f"metadata batch at offset {header.base_offset} has a wrong checksum")
        replay_records(iterate_records(batch), delta, replayed, is_control=header.is_control)
        offset, epoch = header.last_offset, header.partition_leader_epoch
        replayed.tail_bytes += header.size
        replayed.last_ms = header.max_timestamp
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


def newest_snapshot(disk: Disk, log: PartitionLog, empty: MetadataImage) -> Replayed:
    """The newest sound snapshot beside the log, over `empty`; `empty` itself where there is none.

    Raises CorruptRecords where a damaged one stood for more than the log holds.
    """
    passed_over: list[str] = []
    damaged: list[SnapshotId] = []
    for snapshot in sorted(filter(None, map(parse_name, disk.list(log.directory))), reverse=True):
        try:
            replayed = load_snapshot(disk, log.directory, snapshot, empty)
        except (CorruptRecords, MalformedFrame) as error:
            if snapshot.end > log.log_end:
                raise
            passed_over.append(str(error))
            damaged.append(snapshot)
            continue
        replayed.passed_over, replayed.damaged = passed_over, damaged
        return replayed
    return Replayed(empty, passed_over=passed_over, damaged=damaged)


def newest_snapshot_end(disk: Disk, directory: str) -> int:
    """Up to where the log stood when the newest snapshot beside it was taken, by its name; 0 without one."""
    if not disk.is_directory(directory):
        return 0
    return max((snapshot.end for snapshot in filter(None, map(parse_name, disk.list(directory)))), default=0)


def load_snapshot(disk: Disk, directory: str, snapshot: SnapshotId, empty: MetadataImage) -> Replayed:
    """One snapshot over `empty`. Raises CorruptRecords, MalformedFrame, UnknownRecord, InconsistentRecord."""
    path = f"{directory}/{snapshot.file_name}"
    replayed = Replayed(empty)
    delta = MetadataDelta(empty)
    for batch in read_checkpoint(disk.read(path), path):
        replay_records(batch.records, delta, replayed, is_control=batch.is_control)
    # Offsets inside a snapshot count its own records; its name says what it stands for.
    replayed.image = delta.apply(snapshot.end - 1, snapshot.epoch)
    replayed.is_quorum_in_log = snapshot != EMPTY
    return replayed


def replay_records(records: Iterable[Record], delta: MetadataDelta, replayed: Replayed, *, is_control: bool) -> None:
    """The records of one batch into `delta`; what the quorum's say of it into `replayed`.

    Raises CorruptRecords, MalformedFrame, UnknownRecord, InconsistentRecord.
    """
    for record in records:
        if record.value is None:
            raise CorruptRecords(f"metadata record {record.offset} has no value")
        if is_control:
            _take_control(_control_type(record), record.value, replayed)
        else:
            delta.replay(decode_record(record.value))


def _take_control(kind: int, value: bytes, replayed: Replayed) -> None:
    if kind == ControlType.KRAFT_VERSION:
        replayed.quorum = replace(replayed.quorum, kraft_version=kraft_version_of(value))
    elif kind == ControlType.KRAFT_VOTERS:
        replayed.quorum = replace(replayed.quorum, voters=voters_of(value))
        replayed.is_quorum_in_log = True
    elif kind == ControlType.SNAPSHOT_HEADER:
        replayed.last_ms = last_contained_ms_of(value)


def _control_type(record: Record) -> int:
    try:
        return control_type(record.key or b"")
    except struct.error as error:
        raise CorruptRecords(f"metadata control record {record.offset} has no whole key") from error
