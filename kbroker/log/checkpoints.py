"""Kafka's small text files: a version line, a count, then one entry a line; replaced whole and atomically.

    offset checkpoints (one per log directory)    topic partition offset
    leader-epoch-checkpoint (one per partition)   epoch start-offset
    partition.metadata                            version: 0 / topic_id: <base64url>

Source: Kafka's CheckpointFile, OffsetCheckpointFile, LeaderEpochCheckpointFile, PartitionMetadataFile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from kbroker.names import TopicPartition, uuid_bytes, uuid_text


class CorruptCheckpoint(ValueError):
    """A file that isn't a checkpoint; the caller decides what can be rebuilt."""


def _entries(data: bytes, fields: int) -> list[list[str]]:
    if not data:
        return []  # Kafka makes the files when it starts and writes them later
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise CorruptCheckpoint("not text") from error
    while lines and not lines[-1]:
        lines.pop()
    if len(lines) < 2 or lines[0].strip() != "0":
        raise CorruptCheckpoint("the first line is not version 0")
    entries = [line.split() for line in lines[2:]]
    if not lines[1].strip().isdigit() or int(lines[1]) != len(entries):
        raise CorruptCheckpoint(f"{len(entries)} entries where {lines[1]!r} are announced")
    if any(len(entry) != fields for entry in entries):
        raise CorruptCheckpoint(f"an entry without {fields} fields")
    return entries


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise CorruptCheckpoint(f"{text!r} is not a number") from error


def format_offsets(offsets: Mapping[TopicPartition, int]) -> bytes:
    """An offset checkpoint file."""
    lines = [f"{where.topic} {where.partition} {offset}" for where, offset in offsets.items()]
    return "\n".join(["0", str(len(lines)), *lines, ""]).encode()


def parse_offsets(data: bytes) -> dict[TopicPartition, int]:
    """The entries of an offset checkpoint file. Raises CorruptCheckpoint."""
    return {TopicPartition(topic, _number(part)): _number(offset) for topic, part, offset in _entries(data, 3)}


def format_epochs(starts: Sequence[tuple[int, int]]) -> bytes:
    """A leader epoch checkpoint of (epoch, start offset) pairs."""
    lines = [f"{epoch} {start}" for epoch, start in starts]
    return "\n".join(["0", str(len(lines)), *lines, ""]).encode()


def parse_epochs(data: bytes) -> list[tuple[int, int]]:
    """The (epoch, start offset) pairs of a leader epoch checkpoint, rising. Raises CorruptCheckpoint.

    Of two epochs that begin at the same offset the first had no batch.
    """
    starts = [(_number(epoch), _number(start)) for epoch, start in _entries(data, 2)]
    for (epoch, start), (next_epoch, next_start) in pairwise([(-1, 0), *starts]):
        if next_epoch <= epoch or next_start < start:
            raise CorruptCheckpoint(f"epoch {next_epoch} at offset {next_start} behind epoch {epoch} at {start}")
    return starts


def format_partition_metadata(topic_id: bytes) -> bytes:
    """The file that ties a partition's directory to its topic's id."""
    return f"version: 0\ntopic_id: {uuid_text(topic_id)}".encode()


def parse_partition_metadata(data: bytes) -> bytes:
    """The topic id. Raises CorruptCheckpoint."""
    for line in data.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "topic_id":
            try:
                return uuid_bytes(value.strip())
            except ValueError as error:
                raise CorruptCheckpoint(str(error)) from error
    raise CorruptCheckpoint("no topic_id")
