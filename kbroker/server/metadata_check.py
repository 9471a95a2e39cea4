"""Looking for damage in what the metadata log says, and in who a node's log directories say that they are.

Nothing is changed. Every snapshot is read, then the log behind the newest sound one; the image that comes out names the
topic of each partition's directory.
Source: Kafka's MetaPropertiesEnsemble.verify, LogManager.isStrayReplica, kafka-dump-log's decoder of metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from kbroker.controller.directories import is_online
from kbroker.log.checkpoints import CorruptCheckpoint, parse_offsets, parse_partition_metadata
from kbroker.log.directory import CHECKPOINTS_OF_A_STOP, CLEAN_FILE, METADATA_PARTITION
from kbroker.log.meta_properties import FILE_NAME, MetaProperties, UnreadableProperties, parse_meta_properties
from kbroker.log.partition_metadata import METADATA_FILE
from kbroker.log.recovery import LOG_SUFFIX, batches
from kbroker.log.verify import Finding, partition_names
from kbroker.metadata.checkpoint import parse_name
from kbroker.metadata.delta import InconsistentRecord, MetadataDelta
from kbroker.metadata.image import MetadataImage
from kbroker.metadata.records import UnknownRecord
from kbroker.names import METADATA_TOPIC, NO_UUID, TopicPartition, uuid_text
from kbroker.quorum.control import QuorumRecords
from kbroker.quorum.election import ElectionUnreadable, parse_election
from kbroker.record.batch import checksum_matches, iterate_records
from kbroker.record.compression import CorruptRecords
from kbroker.server.metadata_log import ELECTION_FILE
from kbroker.server.metadata_replay import Replayed, load_snapshot, replay_records
from kbroker.server.missing_logs import NAMED_MAX, assigned_to, noted_end, set_aside_in
from kbroker.world import Disk
from protocol_specs.frame import MalformedFrame

DIFFICULTIES: Final = (CorruptRecords, MalformedFrame, UnknownRecord, InconsistentRecord)
RESERVED_IDS: Final = 100
"""Smaller directory ids are no directory's: unassigned, lost, of before there were any (Kafka: DirectoryId)."""


class MetadataCheck:
    """One metadata log; `image` is what it says, as far as it could be read, once `run` is through."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._path = path
        self.image = MetadataImage()
        self.is_whole = True
        """Could all be read? What the image lacks may be there otherwise."""
        self.quorum = QuorumRecords()
        """Who votes, as far as the log says it."""

    def run(self) -> Iterator[Finding]:
        """Every snapshot, then the records behind the newest sound one."""
        names = self._disk.list(self._path)
        replayed = Replayed(MetadataImage())
        for snapshot in sorted(filter(None, map(parse_name, names))):
            try:
                replayed = load_snapshot(self._disk, self._path, snapshot, MetadataImage())
            except DIFFICULTIES as error:
                path = f"{self._path}/{snapshot.file_name}"
                yield Finding(path, str(error).removeprefix(f"{path}: "))
        delta = MetadataDelta(replayed.image)
        for name in names:
            if name.endswith(LOG_SUFFIX):
                try:
                    self._replay(f"{self._path}/{name}", delta, replayed)
                except DIFFICULTIES as error:
                    self.is_whole = False
                    yield Finding(f"{self._path}/{name}", str(error))
                    break
        self.image = delta.apply(replayed.image.offset, replayed.image.epoch)
        self.quorum = replayed.quorum

    def _replay(self, path: str, delta: MetadataDelta, replayed: Replayed) -> None:
        file = self._disk.open(path)
        try:
            for _, header, batch in batches(file, file.size()):
                if not checksum_matches(batch, header):
                    self.is_whole = False
                    return  # the check of the batches says it
                if header.base_offset > replayed.image.offset:
                    replay_records(iterate_records(batch), delta, replayed, is_control=header.is_control)
        finally:
            file.close()


def verify_topic_ids(disk: Disk, path: str, image: MetadataImage) -> Iterator[Finding]:
    """The partitions in a log directory that the metadata log knows nothing of, or as another topic's."""
    for name in partition_names(disk, path):
        topic_name, _, number = name.rpartition("-")
        if topic_name == METADATA_TOPIC:
            continue
        file = f"{path}/{name}/{METADATA_FILE}"
        topic = image.topics.by_name.get(topic_name)
        if topic is None or int(number) >= len(topic.partitions):
            yield Finding(f"{path}/{name}", "is of no partition in the metadata log; the next start sets it aside")
            continue
        try:
            found = parse_partition_metadata(disk.read(file))
        except (FileNotFoundError, CorruptCheckpoint):
            continue  # the check of the partition says it
        if found != topic.topic_id:
            wanted = uuid_text(topic.topic_id)
            yield Finding(file, f"names topic id {uuid_text(found)}, and the metadata log {wanted}")


def verify_directory_id(disk: Disk, path: str, metadata: MetadataCheck) -> Iterator[Finding]:
    """Is a log directory the one that the voters' record and the partitions in it name?

    Only a clean stop promises that the metadata log has been told where each log lies.
    """
    try:
        meta = parse_meta_properties(disk.read(f"{path}/{FILE_NAME}"), path)
    except (FileNotFoundError, UnreadableProperties):
        return  # the check of the directory says it
    own = meta.directory_id
    if own is None:
        return
    if disk.is_directory(f"{path}/{METADATA_PARTITION}"):
        for voter in metadata.quorum.voters:
            if voter.node_id == meta.node_id and voter.directory_id not in (own, NO_UUID):
                named = f"the voter of node {meta.node_id} is directory {uuid_text(voter.directory_id)}"
                yield Finding(f"{path}/{METADATA_PARTITION}", f"{named}, and {FILE_NAME} says {uuid_text(own)}")
    for name in partition_names(disk, path) if disk.exists(f"{path}/{CLEAN_FILE}") else ():
        topic_name, _, number = name.rpartition("-")
        topic = metadata.image.topics.by_name.get(topic_name)
        if topic is None or int(number) >= len(topic.partitions):
            continue  # verify_topic_ids says it
        image = topic.partitions[int(number)]
        assigned = dict(zip(image.replicas, image.directories, strict=False))
        home = assigned.get(meta.node_id, own)
        if home != own and int.from_bytes(home) >= RESERVED_IDS:
            yield Finding(f"{path}/{name}", f"lies in directory {uuid_text(own)}, and its place is {uuid_text(home)}")


def verify_all_there(
    disk: Disk, path: str, metadata: MetadataCheck, paths: Sequence[str], *, only_lost: bool = False
) -> Iterator[Finding]:
    """The partitions that belong in a log directory, and lie in none of `paths`.

    Where a checkpoint names one with an offset, its records are gone. Otherwise a kill may have come before its log was
    made, and `only_lost` passes it over: while a broker runs it is so for a moment.
    """
    try:
        meta = parse_meta_properties(disk.read(f"{path}/{FILE_NAME}"), path)
    except (FileNotFoundError, UnreadableProperties):
        return  # the check of the directory says it
    here = {name for each in paths for name in partition_names(disk, each)}
    set_aside = set_aside_in(disk, path)
    checkpoints = [_offsets(disk, f"{path}/{name}") for name in CHECKPOINTS_OF_A_STOP]
    unmade: list[TopicPartition] = []
    for where, wanted in assigned_to(metadata.image, meta.node_id):
        if str(where) in here:
            continue
        end = 0 if str(where) in set_aside else noted_end(where, checkpoints)
        if end and (wanted == meta.directory_id or is_online(wanted, ())):
            lost = f"is gone, and held records up to offset {end} at least; the next start makes an empty log"
            yield Finding(f"{path}/{where}", lost)
        elif wanted == meta.directory_id and not only_lost:
            unmade.append(where)
    for where in unmade[:NAMED_MAX]:
        yield Finding(f"{path}/{where}", "is not there; the next start makes an empty log")
    if len(unmade) > NAMED_MAX:  # a kill while a large topic was made
        yield Finding(path, f"{len(unmade) - NAMED_MAX} more partitions are not there; the next start makes empty logs")


def _offsets(disk: Disk, path: str) -> Mapping[TopicPartition, int]:
    try:
        return parse_offsets(disk.read(path))
    except (FileNotFoundError, CorruptCheckpoint):
        return {}  # the check of the directory says it


def verify_identities(disk: Disk, paths: Sequence[str]) -> Iterator[Finding]:
    """Do these directories belong to one node of one cluster, and hold every partition once?"""
    known: dict[str, MetaProperties] = {}
    holders: dict[str, str] = {}
    for path in paths:
        for name in partition_names(disk, path):
            other = holders.setdefault(name, path)
            if other != path:
                yield Finding(f"{path}/{name}", f"lies in {other} too")
        try:
            meta = parse_meta_properties(disk.read(f"{path}/{FILE_NAME}"), path)
        except (FileNotFoundError, UnreadableProperties):
            continue  # the check of the directory says it
        yield from _differences(f"{path}/{FILE_NAME}", meta, known)
        known[path] = meta
        yield from _election(disk, f"{path}/{METADATA_PARTITION}/{ELECTION_FILE}", meta)


def _differences(file: str, meta: MetaProperties, known: Mapping[str, MetaProperties]) -> Iterator[Finding]:
    for path, other in known.items():
        if meta.cluster_id != other.cluster_id:
            yield Finding(file, f"belongs to cluster {meta.cluster_id}, and {path} to {other.cluster_id}")
        elif meta.node_id != other.node_id:
            yield Finding(file, f"belongs to node {meta.node_id}, and {path} to {other.node_id}")
        elif meta.directory_id is not None and meta.directory_id == other.directory_id:
            yield Finding(file, f"has the directory id of {path}: one is a copy of the other")


def _election(disk: Disk, path: str, meta: MetaProperties) -> Iterator[Finding]:
    try:
        stored = parse_election(disk.read(path))
    except (FileNotFoundError, ElectionUnreadable):
        return  # the check of the metadata log says it
    others = {*stored.voters, stored.leader_id, stored.voted_id} - {meta.node_id, -1}
    if others:
        yield Finding(path, f"names voters {sorted(others)}, and the directory belongs to node {meta.node_id}")
