"""`kbroker check`: is a log directory sound? What Kafka's dump tool verifies, and more, without changing anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import click

from kbroker.cli.main import EXIT_FAILED, CommandFailed
from kbroker.log.directory import LOCK_FILE, LogDirectory
from kbroker.log.meta_properties import ForeignDirectory
from kbroker.log.open_files import OpenFiles
from kbroker.log.recovery import EPOCHS_FILE, SNAPSHOT_SUFFIX
from kbroker.log.settings import LogSettings
from kbroker.log.verify import Finding, total_bytes, verify_directory
from kbroker.names import METADATA_TOPIC, NO_UUID
from kbroker.real.clock import RealClock
from kbroker.real.disk import RealDisk
from kbroker.real.entropy import RealEntropy
from kbroker.record.compression import CorruptRecords
from kbroker.world import DirectoryLocked, Disk, DiskFailure

INDEX_SUFFIX = ".index"
TRANSACTION_INDEX_SUFFIX = ".txnindex"
_MADE_ANEW = (INDEX_SUFFIX, ".timeindex", TRANSACTION_INDEX_SUFFIX, SNAPSHOT_SUFFIX, EPOCHS_FILE)


@click.command()
@click.option("--repair", is_flag=True, help="Do what a broker's start would do after a crash, then check again.")
@click.option("-f", "--format", "form", type=click.Choice(["text", "json"]), default="text", help="[text]")
@click.argument("directories", nargs=-1, required=True)
def check(directories: tuple[str, ...], form: str, repair: bool) -> int:
    """Check log directories: batches, indexes, producer snapshots, leader epochs, checkpoints, identity.

    Nothing is changed without --repair. Exit code 0: nothing found; 1: something is not as it should be. In a directory
    that a broker is using, files may change while they are read: check it again before you worry.
    """
    disk = RealDisk(_leave_to_drain)
    count = 0
    try:
        for path in directories:
            path = path.rstrip("/") or "/"
            if repair:
                _repair(disk, path)
            count += _report(disk, path, form)
    except (DiskFailure, CorruptRecords, FileNotFoundError) as error:
        raise CommandFailed(str(error)) from None
    finally:
        disk.close()
    return EXIT_FAILED if count else 0


def _leave_to_drain(action: Callable[[], None]) -> None:
    """What a worker has done is taken over by drain(), in this thread."""


def _report(disk: Disk, path: str, form: str) -> int:
    """Print what is found; how much that is."""
    if _is_in_use(disk, path):
        click.echo(f"{path}: a broker is using it; what it writes meanwhile may look damaged", err=True)
    findings = []
    with click.progressbar(length=total_bytes(disk, path), label=path, file=sys.stderr) as bar:
        for found in verify_directory(disk, path):
            if isinstance(found, Finding):
                findings.append(found)
            else:
                bar.update(found)
    for finding in findings:
        text = json.dumps(finding._asdict()) if form == "json" else f"{finding.path}: {finding.problem}"
        click.echo(text)
    return len(findings)


def _is_in_use(disk: Disk, path: str) -> bool:
    if not disk.exists(f"{path}/{LOCK_FILE}"):
        return False
    try:
        disk.lock(f"{path}/{LOCK_FILE}").release()
    except DirectoryLocked:
        return True
    return False


def _repair(disk: RealDisk, path: str) -> None:
    """Open every log as after a crash, and close it cleanly. Raises CommandFailed for a directory in use.

    What can be made anew from the batches and is not what they say goes first: indexes, snapshots, leader epochs.
    """
    try:
        directory = LogDirectory.locked(disk, path, RealClock(), RealEntropy(), OpenFiles(disk))
    except (DirectoryLocked, ForeignDirectory) as error:
        raise CommandFailed(str(error)) from None
    if not directory.is_formatted:
        directory.unlock()
        raise CommandFailed(f"{path} is not formatted: there is nothing to repair")
    directory.was_clean = False
    for found in verify_directory(disk, path):
        if isinstance(found, Finding) and found.path.endswith(_MADE_ANEW):
            disk.remove(found.path)
            if found.path.endswith(TRANSACTION_INDEX_SUFFIX):  # the segment is read anew
                disk.remove(found.path.removesuffix(TRANSACTION_INDEX_SUFFIX) + INDEX_SUFFIX)
    if disk.is_directory(f"{path}/{METADATA_TOPIC}-0"):
        directory.open_metadata_log()
    for where in list(directory.partitions()):
        directory.open_log(where, NO_UUID, LogSettings())
    disk.drain()
    directory.close(clean=True)
