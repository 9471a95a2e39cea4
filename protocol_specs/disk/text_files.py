"""Kafka's small text files: checkpoints of a log directory and of a partition. UTF-8, lines end with a newline.

A checkpoint has its version alone on line 1, the number of rows on line 2, and rows of columns between single spaces:

    0
    2
    orders 0 1500
    orders 1 1498

Each is written to a `.tmp` beside it, synced and renamed. Other text files: `partition.metadata` (two lines,
`version: 0` and `topic_id: <22 characters of base64url>`), `meta.properties` (Java properties: `version=1`,
`cluster.id`, `node.id`, `directory.id`), `.kafka_cleanshutdown` (JSON: `version` 0, `brokerEpoch`) and `quorum-state`
(JSON, see protocol_specs/raft/quorum_state.py).
"""

from typing import NamedTuple


class Checkpoint(NamedTuple):
    """A checkpoint file: its name, the version on its first line, the columns of its rows in order."""

    file_name: str
    version: int
    columns: tuple[str, ...]


_PARTITION_OFFSET = ("topic", "partition", "offset")

RECOVERY_POINTS = Checkpoint("recovery-point-offset-checkpoint", 0, _PARTITION_OFFSET)
"""Per log directory: everything before the offset is on disk for certain."""

HIGH_WATERMARKS = Checkpoint("replication-offset-checkpoint", 0, _PARTITION_OFFSET)
"""Per log directory: the high watermark, exclusive."""

LOG_STARTS = Checkpoint("log-start-offset-checkpoint", 0, _PARTITION_OFFSET)
"""Per log directory: the log start, where it differs from the first segment's base offset (KIP-107)."""

CLEANER_OFFSETS = Checkpoint("cleaner-offset-checkpoint", 0, _PARTITION_OFFSET)
"""Per log directory: the first offset that compaction has not seen."""

LEADER_EPOCHS = Checkpoint("leader-epoch-checkpoint", 0, ("epoch", "start_offset"))
"""Per partition: the first offset of each leader's epoch, ascending (KIP-101)."""

CHECKPOINTS = {
    checkpoint.file_name: checkpoint
    for checkpoint in (RECOVERY_POINTS, HIGH_WATERMARKS, LOG_STARTS, CLEANER_OFFSETS, LEADER_EPOCHS)
}
"""File name to checkpoint."""
