"""What a medium changed behind our back: damage that fails what met it, and nothing else."""

from __future__ import annotations

from kbroker.world import DiskFailure


class DamagedBatch(DiskFailure):
    """The medium changed what it held: a batch's header is none that an append could have written.

    Reading meets it where the disk answers well, so nothing but that read fails (Kafka: CorruptRecordException).
    `position` is the byte where the batch begins, -1 where that is not known.
    """

    def __init__(self, path: str, reason: str, position: int = -1) -> None:
        super().__init__(path, reason)
        self.position = position


class DamagedIndex(DiskFailure):
    """An index was changed under the broker that had found it sound. The next start makes it anew from the batches.

    Nothing but that read fails, and whoever asks again may be lucky (Kafka: TransactionIndex, a plain KafkaException).
    """
