"""Formatting log directories on a disk, before any broker runs there.

    bootstrap.checkpoint                                   what the empty metadata log begins with
    __cluster_metadata-0/00000000000000000000-0000000000.checkpoint   who votes, in the metadata directory, unless the
                                                           configuration says so
    meta.properties                                        written last: with it the directory counts as formatted

Source: Kafka's Formatter.doFormat and MetaPropertiesEnsemble.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kbroker.controller.formatting import FormatRefused, release_name
from kbroker.log.directory import METADATA_PARTITION
from kbroker.log.meta_properties import FILE_NAME, ForeignDirectory, MetaProperties, parse_meta_properties
from kbroker.metadata.checkpoint import BOOTSTRAP_FILE, EMPTY, checkpoint_batches, read_checkpoint
from kbroker.metadata.records import decode_record, encode_record
from kbroker.quorum.control import QuorumRecords, Voter, VoterEndpoint
from kbroker.world import Clock, Disk, Entropy

NOTHING_LEFT: Final = "Nothing to format: every log directory belongs to the cluster already."


@dataclass(frozen=True, slots=True)
class Plan:
    """What to format, and for whom. `endpoints` None: the configuration names the voters."""

    directories: Sequence[str]
    metadata_directory: str
    cluster_id: str
    node_id: int
    records: Sequence[Any]
    metadata_version: int
    endpoints: Sequence[VoterEndpoint] | None = None
    voter_directory_id: bytes | None = None
    """The id that the metadata directory must get; None: a random one."""

    @property
    def all_directories(self) -> list[str]:
        """Each once: the metadata directory first where it is none of the others."""
        return [*dict.fromkeys([*self.directories, self.metadata_directory])]


def read_meta(disk: Disk, directory: str) -> MetaProperties | None:
    """The directory's meta.properties, None where it has none. Raises ForeignDirectory, DiskFailure."""
    try:
        path = f"{directory}/{FILE_NAME}"
        return parse_meta_properties(disk.read(path), path)
    except FileNotFoundError:
        return None


def format_directories(
    disk: Disk, clock: Clock, entropy: Entropy, plan: Plan, *, ignore_formatted: bool
) -> Iterator[str]:
    """Format what isn't; a line for the user before each. Raises FormatRefused, ForeignDirectory, DiskFailure."""
    unformatted = []
    for directory in plan.all_directories:
        meta = read_meta(disk, directory)
        if meta is None:
            unformatted.append(directory)
            continue
        _check_identity(meta, directory, plan)
        if not ignore_formatted:
            raise FormatRefused(f"{directory} is formatted: --ignore-formatted passes over it")
    if not unformatted:
        yield NOTHING_LEFT
    for directory in sorted(unformatted, key=lambda each: each != plan.metadata_directory):
        yield f"Formatting {_description(plan, directory)} with metadata.version {release_name(plan.metadata_version)}."
        _format(disk, clock, entropy, plan, directory)


def _check_identity(meta: MetaProperties, directory: str, plan: Plan) -> None:
    place = f"{directory}/{FILE_NAME}"
    if meta.cluster_id != plan.cluster_id:
        raise ForeignDirectory(f"{place} is of cluster {meta.cluster_id}, not {plan.cluster_id}")
    if meta.node_id != plan.node_id:
        raise ForeignDirectory(f"{place} is of node {meta.node_id}, and node.id is {plan.node_id}")


def _description(plan: Plan, directory: str) -> str:
    if directory != plan.metadata_directory:
        return f"data directory {directory}"
    return f"{'metadata directory' if plan.endpoints is None else 'dynamic metadata voter directory'} {directory}"


def _format(disk: Disk, clock: Clock, entropy: Entropy, plan: Plan, directory: str) -> None:
    now_ms = clock.wall_ms()
    is_voter = directory == plan.metadata_directory and plan.endpoints is not None
    directory_id = (plan.voter_directory_id if is_voter else None) or entropy.uuid()
    disk.make_directory(directory)
    values = [encode_record(record, plan.metadata_version) for record in plan.records]
    disk.replace(f"{directory}/{BOOTSTRAP_FILE}", b"".join(checkpoint_batches(values, wall_ms=now_ms)))
    if is_voter:
        voter = Voter(plan.node_id, directory_id, tuple(plan.endpoints or ()))
        batches = checkpoint_batches((), wall_ms=now_ms, last_contained_ms=now_ms, quorum=QuorumRecords(1, (voter,)))
        disk.make_directory(f"{directory}/{METADATA_PARTITION}")
        disk.replace(f"{directory}/{METADATA_PARTITION}/{EMPTY.file_name}", b"".join(batches))
    meta = MetaProperties(plan.cluster_id, plan.node_id, directory_id)
    disk.replace(f"{directory}/{FILE_NAME}", meta.format())


def read_bootstrap(disk: Disk, directory: str) -> list[Any]:
    """The records that formatting left for an empty metadata log; none where it left no file.

    Raises CorruptRecords, MalformedFrame, UnknownRecord, DiskFailure.
    """
    path = f"{directory}/{BOOTSTRAP_FILE}"
    try:
        data = disk.read(path)
    except FileNotFoundError:
        return []
    batches = [batch for batch in read_checkpoint(data, path) if not batch.is_control]
    return [decode_record(record.value or b"") for batch in batches for record in batch.records]
