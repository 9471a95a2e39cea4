"""The index of aborted transactions, as a check measures it where their records are, went, or never were."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from kbroker.log.directory import LogDirectory
from kbroker.log.outcome import Appended, Origin
from kbroker.log.settings import LogSettings
from kbroker.log.verify import Finding, verify_directory
from kbroker.names import TopicPartition
from kbroker.real.entropy import RealEntropy
from kbroker.record.batch import build_batch, iterate_batches, read_header
from kbroker.record.markers import build_marker
from kbroker.testing.simulated_disk import SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock

T0 = "/data/t-0"
FIRST = f"{T0}/{0:020d}"
PRODUCER = 1
ENTRY = struct.Struct(">hqqqq")
CLEANED = "/data/cleaner-offset-checkpoint"


def _filled(disk: SimulatedDisk, *, is_transaction: bool = True, settings: LogSettings | None = None) -> None:
    """Three records, of a transaction or not, one that is not, the marker of an abort at offset 4, one behind it."""
    clock = VirtualClock()
    directory = LogDirectory.open(disk, "/data", clock, RealEntropy(), node_id=1)
    log = directory.open_log(TopicPartition("t", 0), b"t" * 16, settings or LogSettings())

    def append(batch: Any, origin: Origin = Origin.CLIENT) -> None:
        clock.advance(7)
        assert isinstance(log.append_as_leader(batch, 0, origin=origin), Appended)

    identity = {"producer_id": PRODUCER, "producer_epoch": 0, "base_sequence": 0, "transactional": True}
    extra: dict[str, Any] = identity if is_transaction else {}
    append(build_batch([(b"k", b"v")] * 3, timestamp_ms=clock.wall_ms(), **extra), Origin.TRANSACTION)
    append(build_batch([(b"k", b"v")], timestamp_ms=clock.wall_ms()))
    marker = build_marker(PRODUCER, 0, is_abort=True, coordinator_epoch=0, timestamp_ms=clock.wall_ms())
    append(marker, Origin.COORDINATOR)
    append(build_batch([(b"k", b"v")], timestamp_ms=clock.wall_ms()))
    assert directory.close(clean=True)


def _findings(disk: SimulatedDisk) -> list[Finding]:
    return [found for found in verify_directory(disk, "/data") if isinstance(found, Finding)]


def _list(disk: SimulatedDisk, offset: int, *, start: int = 0) -> None:
    """Have the index list one abort alone: of the marker at `offset`."""
    disk.replace(f"{FIRST}.txnindex", ENTRY.pack(0, PRODUCER, start, offset, start))


def _clean(disk: SimulatedDisk) -> None:
    """As Apache Kafka's cleaner leaves it: the aborted records are gone, their marker and its entry are not."""
    whole = memoryview(disk.read(f"{FIRST}.log"))
    disk.replace(f"{FIRST}.log", b"".join(batch for batch in iterate_batches(whole) if read_header(batch).base_offset))
    disk.replace(CLEANED, b"0\n1\nt 0 6\n")


def _problem(offset: int) -> list[Finding]:
    return [Finding(f"{FIRST}.txnindex", f"lists an abort of producer {PRODUCER} at offset {offset}")]


def test_an_abort_whose_records_a_cleaner_took_is_listed_rightly() -> None:
    """Each such entry of a log that Apache Kafka had cleaned was called wrong, and its directory damaged."""
    disk = SimulatedDisk()
    _filled(disk)
    _clean(disk)
    assert _findings(disk) == []


def test_where_a_cleaner_has_been_an_entry_needs_its_marker_yet() -> None:
    disk = SimulatedDisk()
    _filled(disk)
    _clean(disk)
    _list(disk, 3)
    assert _findings(disk) == _problem(3)


@pytest.mark.parametrize("start", [0, 3])
def test_where_nothing_was_ever_cleaned_an_entry_needs_its_records(start: int) -> None:
    """A marker may be of a producer that wrote nothing here: nothing was aborted then."""
    disk = SimulatedDisk()
    _filled(disk, is_transaction=False)
    assert _findings(disk) == []
    _list(disk, 4, start=start)
    assert _findings(disk) == _problem(4)


def test_an_abort_whose_records_retention_took_is_listed_rightly() -> None:
    """Its entry was called wrong where the transaction lay in segments of before the marker's."""
    disk = SimulatedDisk()
    _filled(disk, settings=LogSettings(segment_bytes=200))
    second = min(base for name in disk.list(T0) if name.endswith(".log") and (base := int(name[:20])))
    assert disk.read(f"{T0}/{second:020d}.txnindex"), "the marker's"
    for name in disk.list(T0):
        if name.startswith(f"{0:020d}"):
            disk.remove(f"{T0}/{name}")
    assert _findings(disk) == []


def test_an_abort_that_is_there_whole_and_not_listed_is_found() -> None:
    disk = SimulatedDisk()
    _filled(disk)
    assert _findings(disk) == []
    disk.remove(f"{FIRST}.txnindex")
    problem = f"lacks an abort of producer {PRODUCER} at offset 4"
    assert _findings(disk) == [Finding(f"{FIRST}.txnindex", problem)]
