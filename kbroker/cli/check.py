"""`kbroker check`: is a log directory sound? What Kafka's dump tool verifies, and more, without changing anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

import click

from kbroker.cli.main import EXIT_CONFIG, EXIT_FAILED, CommandFailed
from kbroker.cli.settings import Flags, load_config
from kbroker.config import BrokerConfig
from kbroker.controller.configs import log_settings
from kbroker.log.checkpoints import CorruptCheckpoint, parse_partition_metadata
from kbroker.log.clean_marker import UNKNOWN_EPOCH, parse_marker
from kbroker.log.damage import DamagedBatch
from kbroker.log.directory import CLEAN_FILE, LOCK_FILE, METADATA_PARTITION, LogDirectory
from kbroker.log.meta_properties import ForeignDirectory
from kbroker.log.open_files import OpenFiles
from kbroker.log.partition_log import PartitionLog
from kbroker.log.partition_metadata import METADATA_FILE
from kbroker.log.recovery import EPOCHS_FILE, SNAPSHOT_SUFFIX
from kbroker.log.verify import Finding, total_bytes, verify_directory
from kbroker.metadata.image import MetadataImage, TopicImage
from kbroker.names import NO_UUID
from kbroker.real.clock import RealClock
from kbroker.real.disk import RealDisk
from kbroker.real.entropy import RealEntropy
from kbroker.real.files import FileUnreadable
from kbroker.record.compression import CorruptRecords
from kbroker.server.metadata_check import (
    MetadataCheck,
    verify_all_there,
    verify_directory_id,
    verify_identities,
    verify_topic_ids,
)
from kbroker.world import DirectoryLocked, Disk, DiskFailure

INDEX_SUFFIX = ".index"
TRANSACTION_INDEX_SUFFIX = ".txnindex"
_MADE_ANEW = (INDEX_SUFFIX, ".timeindex", TRANSACTION_INDEX_SUFFIX, SNAPSHOT_SUFFIX, EPOCHS_FILE)


@click.command()
@click.option("--repair", is_flag=True, help="Do what a broker's start would do, then check again.")
@click.option("-c", "--config", "properties", metavar="FILE", help="The broker's properties: what topics inherit.")
@click.option("-f", "--format", "form", type=click.Choice(["text", "json"]), default="text", help="[text]")
@click.argument("directories", nargs=-1, required=True)
def check(directories: tuple[str, ...], form: str, properties: str | None, repair: bool) -> int:
    """Check log directories: batches, indexes, producer snapshots, leader epochs, checkpoints, metadata, identity.

    Name all directories of a node together: logs are compared with its metadata log. Nothing is changed without
    --repair, which makes indexes as dense as the topics are configured, and the broker in --config. Exit code 0:
    nothing found; 1: something is not as it should be. In a directory that a broker is using, what grows is looked at
    twice.
    """
    disk = RealDisk(_leave_to_drain)
    paths = [*dict.fromkeys(path.rstrip("/") or "/" for path in directories)]
    count = 0
    try:
        _check_there(disk, paths)
        config = load_config(Flags(properties=properties))
        if repair:
            _repair_all(disk, paths, config)
        metadata = _metadata_of(disk, paths)
        for path in paths:
            count += _report(_findings(disk, path, metadata, paths, config), form)
        count += _report(verify_identities(disk, paths), form)
    except FileUnreadable as error:
        raise CommandFailed(str(error), EXIT_CONFIG) from None
    except (DiskFailure, CorruptRecords, FileNotFoundError) as error:
        raise CommandFailed(str(error)) from None
    finally:
        disk.close()
    return EXIT_FAILED if count else 0


def _check_there(disk: Disk, paths: Sequence[str]) -> None:
    """A name that was mistyped is nothing to lock or to look into. Raises CommandFailed."""
    for path in paths:
        if not disk.is_directory(path):
            raise CommandFailed(f"{path} {'is not a directory' if disk.exists(path) else 'does not exist'}")


def _leave_to_drain(action: Callable[[], None]) -> None:
    """What a worker has done is taken over by drain(), in this thread."""


def _metadata_of(disk: Disk, paths: Sequence[str]) -> MetadataCheck | None:
    """The metadata log in these directories, not read yet."""
    logs = [f"{path}/{METADATA_PARTITION}" for path in paths]
    return next((MetadataCheck(disk, log) for log in logs if disk.is_directory(log)), None)


def _findings(
    disk: Disk, path: str, metadata: MetadataCheck | None, paths: Sequence[str], config: BrokerConfig
) -> Iterator[Finding]:
    """What is found in one of the directories, with a bar on stderr meanwhile."""
    is_in_use = _is_in_use(disk, path)
    if is_in_use:
        click.echo(f"{path}: a broker is using it: what it writes meanwhile is not looked at", err=True)
    look = partial(_metadata_findings, disk, path, metadata, paths, only_lost=is_in_use)
    of_metadata = look()
    is_plain = partial(_is_plain, metadata, config)
    with click.progressbar(length=total_bytes(disk, path), label=path, file=sys.stderr) as bar:
        for found in verify_directory(disk, path, is_in_use=is_in_use, is_plain=is_plain):
            if isinstance(found, Finding):
                yield found
            else:
                bar.update(found)
    # Topics come and go.
    again = look() if is_in_use and of_metadata else of_metadata
    yield from (found for found in of_metadata if found in again)


def _is_plain(metadata: MetadataCheck | None, config: BrokerConfig, topic: str) -> bool:
    """Does the metadata log say that the topic is not compacted?"""
    if metadata is None or not metadata.is_whole or topic not in metadata.image.topics.by_name:
        return False
    return not log_settings(metadata.image, config, topic).is_compacted


def _metadata_findings(
    disk: Disk, path: str, metadata: MetadataCheck | None, paths: Sequence[str], *, only_lost: bool
) -> list[Finding]:
    if metadata is None:
        return []
    of_log = [*metadata.run()]
    own = [found for found in of_log if found.path.startswith(f"{path}/")]
    # A log that could not be read names too few topics.
    if not metadata.is_whole:
        return own
    return [
        *own,
        *verify_topic_ids(disk, path, metadata.image),
        *verify_directory_id(disk, path, metadata),
        *verify_all_there(disk, path, metadata, paths, only_lost=only_lost),
    ]


def _report(findings: Iterable[Finding], form: str) -> int:
    """Print what is found; how much that is."""
    found = list(findings)
    for finding in found:
        text = json.dumps(finding._asdict()) if form == "json" else f"{finding.path}: {finding.problem}"
        click.echo(text)
    return len(found)


def _is_in_use(disk: Disk, path: str) -> bool:
    if not disk.exists(f"{path}/{LOCK_FILE}"):
        return False
    try:
        disk.lock(f"{path}/{LOCK_FILE}").release()
    except DirectoryLocked:
        return True
    return False


def _repair_all(disk: RealDisk, paths: Sequence[str], config: BrokerConfig) -> None:
    """Repair each. Indexes are made anew as the topic is configured: by the metadata log, or else by `config`."""
    metadata = _metadata_of(disk, paths)
    if metadata is not None:
        for _ in metadata.run():
            pass
        # What tells of them is a checkpoint's, and a repaired directory's names the logs that are there.
        for path in paths if metadata.is_whole else ():
            for found in verify_all_there(disk, path, metadata, paths, only_lost=True):
                click.echo(f"lost: {found.path}: {found.problem}", err=True)
    for path in paths:
        _repair(disk, path, metadata.image if metadata is not None else MetadataImage(), config)


def _repair(disk: RealDisk, path: str, image: MetadataImage, config: BrokerConfig) -> None:
    """Open every log as a broker's start would, and close it cleanly. Raises CommandFailed for a directory in use.

    What can be made anew from the batches and is not what they say goes first: indexes, snapshots, leader epochs.
    """
    try:
        directory = LogDirectory.locked(disk, path, RealClock(), RealEntropy(), OpenFiles(disk))
    except (DirectoryLocked, ForeignDirectory) as error:
        raise CommandFailed(str(error)) from None
    if not directory.is_formatted:
        directory.unlock()
        raise CommandFailed(f"{path} is not formatted: there is nothing to repair")
    for found in verify_directory(disk, path):
        if isinstance(found, Finding) and found.path.endswith(_MADE_ANEW):
            disk.remove(found.path)
            if found.path.endswith(TRANSACTION_INDEX_SUFFIX):  # the segment is read anew
                disk.remove(found.path.removesuffix(TRANSACTION_INDEX_SUFFIX) + INDEX_SUFFIX)
    left_by = parse_marker(disk.read(f"{path}/{CLEAN_FILE}")) if directory.was_clean else None
    if disk.is_directory(f"{path}/{METADATA_PARTITION}"):
        directory.open_metadata_log()
    for where in list(directory.partitions()):
        # What recovery must not cut stays; the check that follows says it.
        with suppress(DamagedBatch):
            topic_id = _missing_id(disk, f"{path}/{where}/{METADATA_FILE}", image.topics.by_name.get(where.topic))
            opened = directory.open_log(where, topic_id, log_settings(image, config, where.topic))
            assert opened.segments, "woken, and so loaded"
            _say_what_was_done(opened)
    disk.drain()
    # Who lost records has to be led in a new epoch.
    is_whole = not any(any(log.cut) or any(each.is_loss for each in log.mended) for log in directory.logs.values())
    directory.close(clean=True, broker_epoch=left_by if left_by is not None and is_whole else UNKNOWN_EPOCH)


def _missing_id(disk: Disk, path: str, topic: TopicImage | None) -> bytes:
    """The topic's id where the partition's own file does not tell one; else NO_UUID: that is not ours to judge."""
    try:
        parse_partition_metadata(disk.read(path))
    except (FileNotFoundError, CorruptCheckpoint):
        return topic.topic_id if topic is not None else NO_UUID
    return NO_UUID


def _say_what_was_done(opened: PartitionLog) -> None:
    """On stderr: the findings are for what is still there."""
    for mended in opened.mended:
        click.echo(f"repaired: {opened.directory}/{mended}", err=True)
    cut_bytes, cut_segments = opened.cut
    if cut_bytes or cut_segments:
        what = f"{cut_bytes} bytes and {cut_segments} segments cut"
        click.echo(f"repaired: {opened.directory}: {what} behind offset {opened.log_end}", err=True)
