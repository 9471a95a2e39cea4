"""Formatting interrupted at every step: a directory is formatted with all that it needs, or not at all."""

from __future__ import annotations

import pytest

from kbroker.controller.formatting import bootstrap_records, feature_levels
from kbroker.metadata.checkpoint import read_checkpoint
from kbroker.quorum.control import VoterEndpoint, voters_of
from kbroker.server.formatting import Plan, format_directories, read_bootstrap, read_meta
from kbroker.testing.counting_entropy import CountingEntropy
from kbroker.testing.simulated_disk import Crashed, Keep, Loss, SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock

VOTERS = "/m/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint"
LEVELS = feature_levels([], None, is_dynamic=True)
PLAN = Plan(
    directories=["/a", "/b"],
    metadata_directory="/m",
    cluster_id="cluster",
    node_id=1,
    records=bootstrap_records(LEVELS),
    metadata_version=LEVELS["metadata.version"],
    endpoints=(VoterEndpoint("CONTROLLER", "localhost", 9093),),
)


def formatted(disk: SimulatedDisk, first: int = 1) -> list[str]:
    return [*format_directories(disk, VirtualClock(), CountingEntropy(first), PLAN, ignore_formatted=True)]


def voter_directory(disk: SimulatedDisk) -> bytes:
    header, _ = read_checkpoint(disk.read(VOTERS), VOTERS)
    (voter,) = voters_of(header.records[2].value or b"")
    return voter.directory_id


@pytest.mark.parametrize(
    ("loss", "keep"), [(Loss.PROCESS_DIED, Keep.ALL), *((Loss.POWER_FAILED, keep) for keep in Keep)]
)
def test_a_directory_is_formatted_wholly_or_not_at_all(loss: Loss, keep: Keep) -> None:
    steps = 0
    whole = SimulatedDisk()
    formatted(whole)
    for step in range(1, whole.steps):
        disk = SimulatedDisk()
        disk.crash_at = step
        with pytest.raises(Crashed):
            formatted(disk)
        steps += 1
        after = disk.restarted(loss, keep)
        for directory in ("/a", "/b", "/m"):
            if read_meta(after, directory) is not None:
                assert len(read_bootstrap(after, directory)) == 6
        formatted(after, 100)
        meta = read_meta(after, "/m")
        assert meta is not None
        assert voter_directory(after) == meta.directory_id
    assert steps > 30
