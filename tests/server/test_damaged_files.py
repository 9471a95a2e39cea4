"""Files of a data directory that rot, shrink or go: each is said in one line, once, and costs no record."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kbroker.log.meta_properties import ForeignDirectory
from kbroker.record.batch import iterate_batches, iterate_records
from kbroker.testing import run
from protocol_specs.errors import ErrorCode
from tests.server.raw_peer import WAIT_S, RawPeer, batch_of

TOPIC = "t"
LOG = "t-0"
METADATA_LOG = "__cluster_metadata-0"
FIRST = "00000000000000000000"
VALUES = [b"%080000d" % number for number in range(48)]
CONFIG = {
    "node.id": 1,
    "log.segment.bytes": 1 << 20,
    "log.index.interval.bytes": 200,
    "metadata.log.max.record.bytes.between.snapshots": 1,
}

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a broker with a log of some segments, stopped in order."""
    path = tmp_path_factory.mktemp("grown") / "data"
    with run(data_dir=str(path), topics={TOPIC: 1}, config=CONFIG) as broker, RawPeer(broker.bootstrap) as peer:
        for number, value in enumerate(VALUES):
            batch = batch_of(value, producer_id=7, producer_epoch=0, base_sequence=number, timestamp_ms=1 + number)
            assert peer.produce(TOPIC, batch).error_code == 0
    with run(data_dir=str(path), topics={"later": 1}, config=CONFIG):
        pass
    assert len(list((path / LOG).glob("*.log"))) > 2
    assert len(list((path / METADATA_LOG).glob("*.checkpoint"))) > 1
    return path


@pytest.fixture
def data(grown: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(grown, tmp_path / "data"))


def start_and_read(data: Path, caplog: pytest.LogCaptureFixture, **named: Any) -> list[str]:
    """Start, see that every record is there and that the producer goes on where it was; what was complained about."""
    caplog.clear()
    with run(data_dir=str(data), **{"config": CONFIG, **named}) as broker, RawPeer(broker.bootstrap) as peer:
        assert [record.value for record in peer.records(TOPIC)][: len(VALUES)] == VALUES
        again = batch_of(VALUES[-1], producer_id=7, producer_epoch=0, base_sequence=len(VALUES) - 1, timestamp_ms=1)
        assert peer.produce(TOPIC, again).base_offset == len(VALUES) - 1, "stored already"
    complaints = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return [f"{record.getMessage()} {record.__dict__.get('reason', '')}" for record in complaints]


def _remove(name: str) -> Damage:
    return lambda data: _one(data, name).unlink()


def _write(name: str, contents: bytes) -> Damage:
    return lambda data: _one(data, name, is_new=True).write_bytes(contents) and None


def _zeros(name: str) -> Damage:
    def change(data: Path) -> None:
        file = _one(data, name)
        file.write_bytes(bytes(file.stat().st_size))

    return change


def _cut(name: str) -> Damage:
    def change(data: Path) -> None:
        file = _one(data, name)
        file.write_bytes(file.read_bytes()[:-3])

    return change


def _flip(name: str, position: int) -> Damage:
    def change(data: Path) -> None:
        file = _one(data, name)
        contents = bytearray(file.read_bytes())
        contents[position] ^= 0x80
        file.write_bytes(contents)

    return change


def _copy(name: str, suffix: str) -> Damage:
    def change(data: Path) -> None:
        file = _one(data, name)
        shutil.copy(file, file.with_name(file.name + suffix))

    return change


def _one(data: Path, name: str, *, is_new: bool = False) -> Path:
    """The last file that fits the pattern: the newest segment's."""
    found = sorted(data.glob(name))
    return data / name if is_new and not found else found[-1]


def _kill(damage: Damage) -> Damage:
    """As a kill leaves the directory, and then damaged."""

    def change(data: Path) -> None:
        (data / ".kafka_cleanshutdown").unlink()
        damage(data)

    return change


DAMAGES = {
    f"{what} of a {which} segment {how.__name__.strip('_')}": (how(f"{LOG}/{pattern}{what}"), what.lstrip("."))
    for which, pattern in {"sealed": FIRST, "growing": "*"}.items()
    for what in (".index", ".timeindex")
    for how in (_remove, _cut, _zeros)
}
DAMAGES |= {
    "an index turned round": (_flip(f"{LOG}/{FIRST}.index", 0), "index is damaged"),
    "a time index turned round": (_flip(f"{LOG}/{FIRST}.timeindex", 8), "timeindex is damaged"),
    "a sealed index after a kill": (_kill(_remove(f"{LOG}/{FIRST}.index")), "index is missing"),
    "a transaction index cut": (_write(f"{LOG}/{FIRST}.txnindex", bytes(30)), "txnindex is damaged"),
    "a transaction index of an unknown version": (_write(f"{LOG}/{FIRST}.txnindex", b"\1" * 34), "txnindex is damaged"),
    "an index of no segment": (_write(f"{LOG}/00000000000000000777.index", bytes(8)), "is of no segment"),
    "the newest snapshot removed": (_remove(f"{LOG}/*.snapshot"), "snapshot is missing"),
    "the newest snapshot cut": (_cut(f"{LOG}/*.snapshot"), "snapshot is damaged"),
    "the newest snapshot zeros": (_zeros(f"{LOG}/*.snapshot"), "snapshot is damaged"),
    "the newest snapshot flipped": (_flip(f"{LOG}/*.snapshot", 12), "snapshot is damaged"),
    "the newest snapshot empty": (_write(f"{LOG}/*.snapshot", b""), "snapshot is damaged"),
    "leader epochs removed": (_remove(f"{LOG}/leader-epoch-checkpoint"), "is missing, or lacks some"),
    "leader epochs empty": (_write(f"{LOG}/leader-epoch-checkpoint", b""), "is missing, or lacks some"),
    "leader epochs zeros": (_zeros(f"{LOG}/leader-epoch-checkpoint"), "leader-epoch-checkpoint is damaged"),
    "leader epochs flipped": (_flip(f"{LOG}/leader-epoch-checkpoint", 0), "leader-epoch-checkpoint is damaged"),
    "topic id removed": (_remove(f"{LOG}/partition.metadata"), "partition.metadata is missing"),
    "topic id empty": (_write(f"{LOG}/partition.metadata", b""), "partition.metadata is damaged"),
    "topic id cut": (_cut(f"{LOG}/partition.metadata"), "partition.metadata is damaged"),
    "an unfinished cleaning": (_copy(f"{LOG}/{FIRST}.log", ".cleaned"), ".cleaned is of a cleaning"),
    "an unfinished swap": (_copy(f"{LOG}/{FIRST}.log", ".swap"), ".swap is of a cleaning"),
    "the metadata log's index": (_remove(f"{METADATA_LOG}/{FIRST}.index"), "index is missing"),
    "the metadata log's epochs": (_cut(f"{METADATA_LOG}/leader-epoch-checkpoint"), "is damaged"),
    "the metadata log's topic id": (_remove(f"{METADATA_LOG}/partition.metadata"), "partition.metadata is missing"),
    "quorum-state removed": (_remove(f"{METADATA_LOG}/quorum-state"), "quorum-state is missing"),
    "the newest metadata snapshot flipped": (_flip(f"{METADATA_LOG}/*.checkpoint", 200), "passed over"),
    "an older metadata snapshot zeros": (
        lambda data: _zeros(f"{METADATA_LOG}/{sorted((data / METADATA_LOG).glob('*.checkpoint'))[-2].name}")(data),
        "a metadata snapshot is damaged",
    ),
    "cleaned ends zeros": (_write("cleaner-offset-checkpoint", bytes(20)), "cleaner-offset-checkpoint is damaged"),
}
for _name in ("recovery-point", "log-start", "replication"):
    _file = f"{_name}-offset-checkpoint"
    DAMAGES |= {
        f"{_name} checkpoint removed": (_remove(_file), f"{_file} is missing"),
        f"{_name} checkpoint garbage": (_write(_file, b"\xff\0"), f"{_file} is damaged"),
        f"{_name} checkpoint empty": (_write(_file, b""), f"{_file} is damaged (empty)"),
        f"{_name} checkpoint zeros": (_zeros(_file), f"{_file} is damaged"),
        f"{_name} checkpoint after a kill": (_kill(_write(_file, b"0\n9\n")), f"{_file} is damaged"),
    }


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_said_in_one_line_and_mended_once(
    damage: Damage, reason: str, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Producer snapshots, leader epochs, indexes and topic ids used to be made anew without a word."""
    damage(data)
    (complaint,) = start_and_read(data, caplog)
    assert reason in complaint
    assert start_and_read(data, caplog) == []


@pytest.mark.parametrize(
    "harmless",
    [
        lambda data: None,
        _kill(lambda data: None),
        _kill(_remove(f"{LOG}/*.snapshot")),
        _kill(_remove("replication-offset-checkpoint")),
        _write("cleaner-offset-checkpoint", b""),
        _kill(_write("recovery-point-offset-checkpoint", b"")),
        _write(f"{LOG}/{FIRST}.txnindex", b""),
    ],
)
def test_what_a_stop_a_crash_or_kafka_leaves_is_not_said(
    harmless: Damage, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    harmless(data)
    assert start_and_read(data, caplog) == []


def test_a_new_directory_is_made_in_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with run(data_dir=str(tmp_path / "data"), topics={TOPIC: 2}, config=CONFIG) as broker:
            assert broker.is_running
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_directory_that_lost_its_identity_is_formatted_anew_with_its_logs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As Kafka does for one of several directories. Nobody led what lay there until the start after that."""
    config = CONFIG | {"log.dirs": f"{tmp_path / 'a'},{tmp_path / 'b'}"}
    with run(config=config, topics={"other": 1, TOPIC: 1}) as broker, RawPeer(broker.bootstrap) as peer:
        assert peer.produce(TOPIC, batch_of(b"kept")).error_code == 0
    assert (tmp_path / "b" / LOG).is_dir()
    (tmp_path / "b" / "meta.properties").unlink()
    for complaints in (1, 0):
        caplog.clear()
        with run(config=config) as broker, RawPeer(broker.bootstrap) as peer:
            deadline = time.monotonic() + WAIT_S
            while peer.fetch(TOPIC, 0).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER:
                assert time.monotonic() < deadline, "it is told where the log lies, and leads"
            assert [record.value for record in peer.records(TOPIC)] == [b"kept"]
        lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(lines) == complaints
        assert all("meta.properties is missing" in record.__dict__["reason"] for record in lines)


def test_a_metadata_log_without_its_identity_is_refused_and_left_as_it_is(data: Path) -> None:
    """It used to get a new cluster id and a new directory id, and was refused for those from then on."""
    (data / "meta.properties").unlink()
    for _ in range(2):
        with pytest.raises(ForeignDirectory, match=r"no meta.properties"), run(data_dir=str(data), config=CONFIG):
            pass
        assert not (data / "meta.properties").exists()


def _lose_the_end(data: Path) -> None:
    (data / LOG / max(path.name for path in (data / LOG).glob("*.log"))).unlink()


def _empty_the_end(data: Path) -> None:
    _one(data, f"{LOG}/*.log").write_bytes(b"")


@pytest.mark.parametrize("damage", [_lose_the_end, _empty_the_end])
def test_a_log_that_lost_its_end_is_served_up_to_there_with_one_line(
    damage: Damage, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every request was refused with KAFKA_STORAGE_ERROR."""
    end = int(_one(data, f"{LOG}/*.log").stem)
    damage(data)
    caplog.clear()
    with run(data_dir=str(data), config=CONFIG) as broker, RawPeer(broker.bootstrap) as peer:
        peer.wait_until_led(TOPIC)
        assert peer.fetch(TOPIC, end - 1).error_code == 0
        assert peer.fetch(TOPIC, end).high_watermark == end
        assert peer.produce(TOPIC, batch_of(b"new")).base_offset == end
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"ends at offset {end}, not at {len(VALUES)}" in line.__dict__["reason"]


def test_a_cut_sealed_segment_costs_itself_alone(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It passed for a disk that refuses, and the broker stopped; later its whole partition was refused."""
    file = data / LOG / f"{FIRST}.log"
    file.write_bytes(file.read_bytes()[:1000])
    second = int(sorted((data / LOG).glob("*.log"))[1].stem)
    caplog.clear()
    with run(data_dir=str(data), config=CONFIG) as broker, RawPeer(broker.bootstrap) as peer:
        for offset in (0, second - 1):
            assert peer.fetch(TOPIC, offset).error_code == ErrorCode.CORRUPT_MESSAGE
        assert peer.fetch(TOPIC, second).error_code == 0
        assert peer.produce(TOPIC, batch_of(b"new")).base_offset == len(VALUES)
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.levelno == logging.ERROR
    assert f"{FIRST}.log is damaged at byte 0" in line.__dict__["reason"]


def _cut_the_end(data: Path) -> None:
    file = _one(data, f"{LOG}/*.log")
    file.write_bytes(file.read_bytes()[:-1000])


def _lose_the_last_pages(data: Path) -> None:
    file = _one(data, f"{LOG}/*.log")
    contents = file.read_bytes()
    file.write_bytes(contents[: len(contents) // 4096 * 4096 - 8192].ljust(len(contents), b"\0"))


def _lose_the_last_header(data: Path) -> None:
    file = _one(data, f"{LOG}/*.log")
    contents = file.read_bytes()
    size = len(batch_of(VALUES[-1], producer_id=7, producer_epoch=0, base_sequence=len(VALUES) - 1, timestamp_ms=1))
    file.write_bytes(contents[:-size] + bytes(100) + contents[100 - size :])


@pytest.mark.parametrize("damage", [_cut_the_end, _lose_the_last_pages, _lose_the_last_header])
def test_a_log_whose_end_is_torn_after_a_clean_stop_goes_on_there(
    damage: Damage, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every request was refused. Apache Kafka doesn't start, or loses what it acknowledges from here on."""
    damage(data)
    end = len(VALUES) - 1
    caplog.clear()
    with run(data_dir=str(data), config=CONFIG) as broker:
        with RawPeer(broker.bootstrap) as peer:
            peer.wait_until_led(TOPIC)
            assert [record.value for record in peer.records(TOPIC)] == VALUES[:-1]
            for offset in (end, end + 1, end + 2):
                assert peer.produce(TOPIC, batch_of(b"new")).base_offset == offset
        broker.abort()
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.levelno == logging.ERROR
    assert f"ends at offset {end}, not at {len(VALUES)}" in line.__dict__["reason"]
    caplog.clear()
    with run(data_dir=str(data), config=CONFIG) as broker, RawPeer(broker.bootstrap) as peer:
        assert [record.value for record in peer.records(TOPIC)] == [*VALUES[:-1], b"new", b"new", b"new"]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_kill_costs_nothing_that_came_behind_known_damage(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """New records came to the damaged segment, and the next recovery cut them with the damage."""
    file = _one(data, f"{LOG}/*.log")
    contents = bytearray(file.read_bytes())
    contents[-5] ^= 1
    file.write_bytes(contents)
    for said, value in ((1, b"first"), (0, b"second")):
        caplog.clear()
        with run(data_dir=str(data), config=CONFIG) as broker:
            with RawPeer(broker.bootstrap) as peer:
                assert peer.produce(TOPIC, batch_of(value)).error_code == 0
            broker.abort()
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == said
    with run(data_dir=str(data), config=CONFIG) as broker, RawPeer(broker.bootstrap) as peer:
        for offset, value in ((len(VALUES), b"first"), (len(VALUES) + 1, b"second")):
            (found,) = iterate_records(next(iterate_batches(peer.fetch(TOPIC, offset).records)))
            assert (found.offset, found.value) == (offset, value)


def test_what_recovery_cuts_of_flushed_records_is_an_error_with_the_numbers(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As Apache Kafka cuts it: a flipped bit in the segment that holds the recovery point ends the log there."""
    file = _one(data, f"{LOG}/*.log")
    first = int(file.stem)
    _kill(_flip(f"{LOG}/*.log", 5000))(data)
    size = file.stat().st_size
    caplog.clear()
    with run(data_dir=str(data), config=CONFIG) as broker, RawPeer(broker.bootstrap) as peer:
        assert peer.fetch(TOPIC, first).high_watermark == first
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.levelno == logging.ERROR
    reason = line.__dict__["reason"]
    assert f"ends at offset {first}, not at {len(VALUES)} as when it was flushed: {size} bytes are cut" in reason
