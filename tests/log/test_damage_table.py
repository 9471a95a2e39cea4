"""What a log directory makes of damage: each kind of file, each kind of damage, after a clean stop and after a kill.

Whatever it is: the start succeeds, says it in one line, invents no record, and goes on from the end that it serves.
The starts after that have nothing to say and serve the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from kbroker.log.directory import LogDirectory
from kbroker.log.outcome import Appended, LogRead, Origin
from kbroker.log.partition_log import PartitionLog
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.entropy import RealEntropy
from kbroker.record.batch import build_batch
from kbroker.record.markers import build_marker
from kbroker.server.hosting import say_what_was_found
from kbroker.testing.simulated_disk import Loss, SimulatedDisk
from kbroker.testing.virtual_clock import VirtualClock
from kbroker.world import FileSlice
from protocol_specs.errors import ErrorCode
from tests.log.ways_of_damage import damaged

WHERE = TopicPartition("t", 0)
FOLDER = "/data/t-0"
ID = bytes(range(16))
SETTINGS = LogSettings(segment_bytes=460, index_interval_bytes=1)
TIME_MS = 1_700_000_000_000
END = 12
STOPPED_AT = 10
"""Where the clean stop before the last life was: what came behind it, a kill has not flushed."""

SAID = {
    "ends": "log ends at offset",
    "torn": "so that it ends at offset",
    "cut": "a log was cut behind its last sound batch",
    "tail": "behind its last batch that are none: cut",
    "short": "before what its index knows",
    "index": ".index is damaged: made anew",
    "no-index": ".index is missing: made anew",
    "timeindex": ".timeindex is damaged: made anew",
    "no-timeindex": ".timeindex is missing: made anew",
    "txnindex": ".txnindex is damaged: made anew",
    "gone": f"{4:020d}.log is missing, and with it offsets 4 to 7: what comes behind them is served",
    "snapshot": "snapshot is damaged",
    "no-snapshot": "snapshot is missing",
    "epochs": "leader-epoch-checkpoint is damaged",
    "no-epochs": "leader-epoch-checkpoint is missing, or lacks some",
    "id": "partition.metadata is damaged",
    "no-id": "partition.metadata is missing",
    "file": "offset-checkpoint is damaged",
    "no-file": "offset-checkpoint is missing",
}
"""The one line that a start says."""
TABLE = """
sealed-log         flip          -             ++++++?+++++  -             ++++++?+++++
sealed-log         flip-offset   -             ++++++x+++++  -             ++++++x+++++
sealed-log         flip-magic    -             ++++++x+++++  -             ++++++x+++++
sealed-log         zeros         -             ++++++xx++++  -             ++++++xx++++
sealed-log         zero-hole     -             +++++x++++++  -             +++++x++++++
sealed-log         all-zeros     -             ++++xxxx++++  -             ++++xxxx++++
sealed-log         cut           -             +++++++x++++  -             +++++++x++++
sealed-log         empty         short         ++++>>>>++++  short         ++++>>>>++++
sealed-log         missing       gone          ++++>>>>++++  gone          ++++>>>>++++
sealed-log         garbage       -             all           -             all
sealed-log         zeros-behind  -             all           -             all
growing-log        flip          -             ++++++++++?+  cut           ++++++++++
growing-log        flip-offset   -             ++++++++++x+  absent        -
growing-log        flip-magic    -             ++++++++++x+  cut           ++++++++++
growing-log        zeros         torn          ++++++++++    cut           ++++++++++
growing-log        zero-hole     -             +++++++++x++  torn          +++++++++
growing-log        all-zeros     torn          ++++++++      torn          ++++++++
growing-log        cut           torn          +++++++++++   cut           +++++++++++
growing-log        empty         ends          ++++++++      ends          ++++++++
growing-log        missing       ends          ++++++++      ends          ++++++++
growing-log        garbage       tail          all           cut           all
growing-log        zeros-behind  tail          all           cut           all
sealed-index       flip          -             all           -             all
sealed-index       zeros         index         all           index         all
sealed-index       zero-hole     -             all           -             all
sealed-index       all-zeros     index         all           index         all
sealed-index       cut           index         all           index         all
sealed-index       empty         -             all           -             all
sealed-index       missing       no-index      all           no-index      all
sealed-index       garbage       index         all           index         all
sealed-index       zeros-behind  index         all           index         all
growing-index      flip          -             all           -             all
growing-index      zeros         index         all           -             all
growing-index      zero-hole     -             all           -             all
growing-index      all-zeros     index         all           -             all
growing-index      cut           index         all           -             all
growing-index      empty         -             all           -             all
growing-index      missing       no-index      all           -             all
growing-index      garbage       index         all           -             all
growing-index      zeros-behind  index         all           -             all
sealed-timeindex   flip          -             all           -             all
sealed-timeindex   zeros         -             all           -             all
sealed-timeindex   zero-hole     -             all           -             all
sealed-timeindex   all-zeros     timeindex     all           timeindex     all
sealed-timeindex   cut           timeindex     all           timeindex     all
sealed-timeindex   empty         timeindex     all           timeindex     all
sealed-timeindex   missing       no-timeindex  all           no-timeindex  all
sealed-timeindex   garbage       timeindex     all           timeindex     all
sealed-timeindex   zeros-behind  timeindex     all           timeindex     all
growing-timeindex  flip          -             all           -             all
growing-timeindex  zeros         -             all           -             all
growing-timeindex  zero-hole     -             all           -             all
growing-timeindex  all-zeros     timeindex     all           -             all
growing-timeindex  cut           timeindex     all           -             all
growing-timeindex  empty         timeindex     all           -             all
growing-timeindex  missing       no-timeindex  all           -             all
growing-timeindex  garbage       timeindex     all           -             all
growing-timeindex  zeros-behind  timeindex     all           -             all
txnindex           flip          txnindex      all           txnindex      all
txnindex           zeros         txnindex      all           txnindex      all
txnindex           zero-hole     -             all-aborted   -             all-aborted
txnindex           all-zeros     txnindex      all           txnindex      all
txnindex           cut           txnindex      all           txnindex      all
txnindex           empty         -             all-aborted   -             all-aborted
txnindex           missing       -             all-aborted   -             all-aborted
txnindex           garbage       txnindex      all           txnindex      all
txnindex           zeros-behind  txnindex      all           txnindex      all
older-snapshot     flip          -             all           -             all
older-snapshot     zeros         -             all           -             all
older-snapshot     zero-hole     -             all           -             all
older-snapshot     all-zeros     -             all           -             all
older-snapshot     cut           -             all           -             all
older-snapshot     empty         -             all           -             all
older-snapshot     missing       -             all           -             all
older-snapshot     garbage       -             all           -             all
older-snapshot     zeros-behind  -             all           -             all
newest-snapshot    flip          snapshot      all           absent        -
newest-snapshot    zeros         snapshot      all           absent        -
newest-snapshot    zero-hole     snapshot      all           absent        -
newest-snapshot    all-zeros     snapshot      all           absent        -
newest-snapshot    cut           snapshot      all           absent        -
newest-snapshot    empty         snapshot      all           absent        -
newest-snapshot    missing       no-snapshot   all           absent        -
newest-snapshot    garbage       snapshot      all           absent        -
newest-snapshot    zeros-behind  snapshot      all           absent        -
epochs             flip          epochs        all           epochs        all
epochs             zeros         epochs        all           epochs        all
epochs             zero-hole     epochs        all           epochs        all
epochs             all-zeros     epochs        all           epochs        all
epochs             cut           epochs        all           epochs        all
epochs             empty         no-epochs     all           no-epochs     all
epochs             missing       no-epochs     all           no-epochs     all
epochs             garbage       epochs        all           epochs        all
epochs             zeros-behind  epochs        all           epochs        all
topic-id           flip          id            all           id            all
topic-id           zeros         id            all           id            all
topic-id           zero-hole     id            all           id            all
topic-id           all-zeros     id            all           id            all
topic-id           cut           id            all           id            all
topic-id           empty         id            all           id            all
topic-id           missing       no-id         all           no-id         all
topic-id           garbage       id            all           id            all
topic-id           zeros-behind  id            all           id            all
recovery-points    flip          file          all           file          all
recovery-points    zeros         file          all           file          all
recovery-points    zero-hole     file          all           file          all
recovery-points    all-zeros     file          all           file          all
recovery-points    cut           file          all           file          all
recovery-points    empty         file          all           -             all
recovery-points    missing       no-file       all           -             all
recovery-points    garbage       file          all           file          all
recovery-points    zeros-behind  file          all           file          all
log-starts         flip          file          all           file          all
log-starts         zeros         file          all           file          all
log-starts         zero-hole     file          all           file          all
log-starts         all-zeros     file          all           file          all
log-starts         cut           file          all           file          all
log-starts         empty         file          all           -             all
log-starts         missing       no-file       all           -             all
log-starts         garbage       file          all           file          all
log-starts         zeros-behind  file          all           file          all
high-watermarks    flip          file          all           file          all
high-watermarks    zeros         file          all           file          all
high-watermarks    zero-hole     file          all           file          all
high-watermarks    all-zeros     file          all           file          all
high-watermarks    cut           file          all           file          all
high-watermarks    empty         file          all           -             all
high-watermarks    missing       no-file       all           -             all
high-watermarks    garbage       file          all           file          all
high-watermarks    zeros-behind  file          all           file          all
cleaned-ends       flip          file          all           file          all
cleaned-ends       zeros         file          all           file          all
cleaned-ends       zero-hole     file          all           file          all
cleaned-ends       all-zeros     file          all           file          all
cleaned-ends       cut           file          all           file          all
cleaned-ends       empty         -             all           -             all
cleaned-ends       missing       -             all           -             all
cleaned-ends       garbage       file          all           file          all
cleaned-ends       zeros-behind  file          all           file          all
"""
"""File, damage, and after a clean stop and after a kill: what is said, and how offsets from 0 on are answered.

    + as written   ? with changed bytes under the old checksum   x CORRUPT_MESSAGE   > with what comes next

`all` is every offset as written. What differs from Apache Kafka 4.3.1, measured:
a growing log whose end is torn after a clean stop keeps it from starting, or makes it answer every second append with
UNKNOWN_SERVER_ERROR; one with garbage behind its end keeps it from starting; cut and emptied sealed logs are passed
over in silence there. The same: nobody knows of a transaction index that is missing or empty, or whose only entry
names another producer, so that aborted transactions are seen (-aborted); an offset is under no checksum, so that
recovery can't tell a changed one in the growing segment from a gap (absent).
"""


def _batch(**named: Any) -> bytes:
    return bytes(build_batch([(None, b"v" * 40)], timestamp_ms=TIME_MS, **named))


def _append(log: PartitionLog, records: bytes, epoch: int, origin: Origin = Origin.CLIENT) -> int:
    outcome = log.append_as_leader(bytearray(records), epoch, origin=origin)
    assert isinstance(outcome, Appended), outcome
    return outcome.base_offset


def _opened(disk: SimulatedDisk) -> LogDirectory:
    return LogDirectory.open(disk, "/data", VirtualClock(), RealEntropy(), node_id=1)


def _grown(*, is_clean: bool) -> SimulatedDisk:
    """Twelve batches in segments from 0, 4 and 8 on, an aborted transaction, two epochs, a moved start elsewhere."""
    disk = SimulatedDisk()
    directory = _opened(disk)
    log = directory.open_log(WHERE, ID, SETTINGS)
    transactional = _batch(producer_id=9, producer_epoch=0, base_sequence=0, transactional=True)
    _append(log, transactional, 3, Origin.TRANSACTION)
    marker = build_marker(9, 0, is_abort=True, coordinator_epoch=1, timestamp_ms=TIME_MS)
    _append(log, bytes(marker), 3, Origin.COORDINATOR)
    other = directory.open_log(TopicPartition("u", 0), bytes(16), SETTINGS)
    _append(other, _batch(), 3)
    _append(other, _batch(), 3)
    other.delete_before(1)
    for offset in range(2, STOPPED_AT):
        _append(log, _sequenced(offset), 3 if offset < 6 else 4)
    directory.note_cleaned_end(WHERE, 4)
    assert directory.close(clean=True)
    directory = _opened(disk)
    log = directory.open_log(WHERE, ID, SETTINGS)
    for offset in range(STOPPED_AT, END):
        _append(log, _sequenced(offset), 4)
    assert [segment.base_offset for segment in log.segments] == [0, 4, 8]
    assert directory.close(clean=is_clean) is is_clean
    return disk.restarted(Loss.PROCESS_DIED)


def _sequenced(offset: int) -> bytes:
    return _batch(producer_id=7, producer_epoch=0, base_sequence=offset - 2)


def _bytes_of(log: PartitionLog, offset: int, end: int) -> bytes | ErrorCode:
    read = log.read(offset, 1, end)
    if not isinstance(read, LogRead):
        return read.error
    if not isinstance(read.records, FileSlice):
        return b""
    data = read.records.file.read_at(read.records.position, read.records.length)
    read.records.release()
    return data


class Seen(NamedTuple):
    """What a start said, and what each offset up to the end is answered with."""

    said: list[str]
    served: str
    end: int


def _looked_at(disk: SimulatedDisk, whole: list[bytes], caplog: pytest.LogCaptureFixture) -> tuple[LogDirectory, Seen]:
    caplog.clear()
    directory = _opened(disk)
    said = list(directory.damage)
    for where, topic_id in ((WHERE, ID), (TopicPartition("u", 0), bytes(16))):
        log = directory.open_log(where, topic_id, SETTINGS)
        say_what_was_found(log)
        if log.is_asleep:
            log.on_woken = say_what_was_found
        assert log.segments
        assert log.failure is None
    said += [f"{record.getMessage()} {record.__dict__.get('reason', '')}" for record in caplog.records]
    log = directory.logs[WHERE]
    served = "".join(_letter(_bytes_of(log, offset, log.log_end), whole[offset]) for offset in range(log.log_end))
    return directory, Seen(said, served, log.log_end)


def _letter(found: bytes | ErrorCode, whole: bytes) -> str:
    """+ as it was, ? changed, x refused, > what comes next instead."""
    if found == whole:
        return "+"
    if isinstance(found, bytes):
        return "?" if found[:8] == whole[:8] else ">"
    assert found == ErrorCode.CORRUPT_MESSAGE
    return "x"


FILES = {
    "sealed-log": f"{FOLDER}/{4:020d}.log",
    "growing-log": f"{FOLDER}/{8:020d}.log",
    "sealed-index": f"{FOLDER}/{4:020d}.index",
    "growing-index": f"{FOLDER}/{8:020d}.index",
    "sealed-timeindex": f"{FOLDER}/{4:020d}.timeindex",
    "growing-timeindex": f"{FOLDER}/{8:020d}.timeindex",
    "txnindex": f"{FOLDER}/{0:020d}.txnindex",
    "older-snapshot": f"{FOLDER}/{8:020d}.snapshot",
    "newest-snapshot": f"{FOLDER}/{12:020d}.snapshot",
    "epochs": f"{FOLDER}/leader-epoch-checkpoint",
    "topic-id": f"{FOLDER}/partition.metadata",
    "recovery-points": "/data/recovery-point-offset-checkpoint",
    "log-starts": "/data/log-start-offset-checkpoint",
    "high-watermarks": "/data/replication-offset-checkpoint",
    "cleaned-ends": "/data/cleaner-offset-checkpoint",
}


def _damage(disk: SimulatedDisk, path: str, how: str) -> None:
    """Change the file. Of a log: a record's body, an offset, a magic byte; else what stands in the middle."""
    if how == "missing":
        disk.remove(path)
        return
    data = disk.read(path)
    at = len(data) // 2 + ({"flip": 70, "flip-offset": 7, "flip-magic": 16}.get(how, 0) if path.endswith(".log") else 0)
    file = disk.open(path)
    file.truncate(0)
    file.write_at(0, [damaged(data, how, at)])


@pytest.fixture(scope="module")
def grown() -> dict[bool, SimulatedDisk]:
    """By whether the last life ended in a clean stop."""
    return {is_clean: _grown(is_clean=is_clean) for is_clean in (True, False)}


@pytest.fixture(scope="module")
def whole(grown: dict[bool, SimulatedDisk]) -> list[bytes]:
    """Each batch as it was written."""
    log = _opened(grown[True].restarted(Loss.PROCESS_DIED)).open_log(WHERE, ID, SETTINGS)
    found = [_bytes_of(log, offset, END) for offset in range(END)]
    return [each for each in found if isinstance(each, bytes)]


def _cells() -> Iterator[Any]:
    for line in TABLE.strip().splitlines():
        file, how, *outcomes = line.split()
        for is_clean, said, served in ((True, *outcomes[:2]), (False, *outcomes[2:])):
            if said != "absent":
                ending = "clean stop" if is_clean else "kill"
                yield pytest.param(file, how, is_clean, said, served, id=f"{file} {how} after a {ending}")


@pytest.mark.parametrize(("file", "how", "is_clean", "said", "served"), list(_cells()))
def test_damage_is_said_in_one_line_and_costs_nothing_but_itself(
    file: str,
    how: str,
    is_clean: bool,
    said: str,
    served: str,
    grown: dict[bool, SimulatedDisk],
    whole: list[bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = grown[is_clean].restarted(Loss.PROCESS_DIED)
    _damage(disk, FILES[file], how)
    directory, seen = _looked_at(disk, whole, caplog)
    assert len(seen.said) == (said != "-"), seen.said
    assert all(SAID[said] in sentence for sentence in seen.said)
    served, _, lacking = served.partition("-")
    assert seen.served == (served if served != "all" else "+" * END)
    log = directory.logs[WHERE]
    assert log.epochs.entries() == [(epoch, start) for epoch, start in ((3, 0), (4, 6)) if start < log.log_end]
    aborted = [each.producer_id for each in log.aborted_transactions(0, log.log_end)]
    assert (aborted == [9]) is (not lacking)
    assert log.last_stable_end(log.log_end) == log.log_end
    assert _append(log, _batch(), 5) == seen.end
    added = _bytes_of(log, seen.end, seen.end + 1)
    assert isinstance(added, bytes)
    assert directory.close(clean=True)
    for clean_again in (True, False):
        directory, again = _looked_at(disk, [*whole[: seen.end], added], caplog)
        assert again == Seen([], seen.served + "+", seen.end + 1), "the second start says another thing"
        assert directory.close(clean=clean_again) is clean_again
