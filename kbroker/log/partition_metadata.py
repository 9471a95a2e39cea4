"""`partition.metadata`: which topic a partition's directory belongs to.

Source: Kafka's PartitionMetadataFile.
"""

from __future__ import annotations

from typing import Final

from kbroker.log.checkpoints import CorruptCheckpoint, format_partition_metadata, parse_partition_metadata
from kbroker.log.mended import Mended
from kbroker.names import NO_UUID
from kbroker.world import Disk

METADATA_FILE: Final = "partition.metadata"


class InconsistentTopicId(Exception):
    """The directory belongs to another topic of the same name."""

    def __init__(self, directory: str, found: bytes, wanted: bytes) -> None:
        super().__init__(f"{directory} belongs to topic id {found.hex()}, not {wanted.hex()}")
        self.found = found


def claim_directory(disk: Disk, directory: str, topic_id: bytes, mended: list[Mended]) -> tuple[bytes, bool]:
    """Make the directory with its topic id, or see that it is that topic's; the id, and whether it was made.

    NO_UUID takes whatever is there. `mended` is told when a log has no id that can be read. Raises DiskFailure,
    InconsistentTopicId.
    """
    is_new = not disk.is_directory(directory)
    if is_new:
        disk.make_directory(directory)
    path = f"{directory}/{METADATA_FILE}"
    try:
        found = parse_partition_metadata(disk.read(path))
    except (FileNotFoundError, CorruptCheckpoint) as error:
        if topic_id != NO_UUID:
            if any(name.endswith(".log") for name in disk.list(directory)):
                problem = f"is damaged ({error})" if isinstance(error, CorruptCheckpoint) else "is missing"
                mended.append(Mended(METADATA_FILE, problem, "written anew with the topic's id"))
            # Synced before the log's first batches are: a creation is promised by the metadata log, which names the id.
            file = disk.open(path, create=True)
            file.truncate(0)
            file.write_at(0, [format_partition_metadata(topic_id)])
            file.close()
        return topic_id, is_new
    if topic_id not in (NO_UUID, found):
        raise InconsistentTopicId(directory, found, topic_id)
    return found, is_new


def sync_claim(disk: Disk, directory: str) -> None:
    """The topic id reaches the medium. Before anything else of the log does: whose that is must be known.

    Where somebody took the file away, the next start writes it anew. Blocks. Raises DiskFailure.
    """
    try:
        file = disk.open(f"{directory}/{METADATA_FILE}")
    except FileNotFoundError:
        return
    try:
        file.sync()
    finally:
        file.close()
