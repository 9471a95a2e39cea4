"""What keeps a broker from starting: one line that says what and where, exit code 3 (4 for the configuration)."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kbroker.cli.main import run as run_command
from kbroker.log.checkpoints import format_partition_metadata
from kbroker.log.directory import METADATA_PARTITION
from kbroker.log.meta_properties import MetaProperties, parse_meta_properties
from kbroker.metadata.checkpoint import EMPTY, checkpoint_batches
from kbroker.metadata.records import encode_record
from kbroker.quorum.election import Election, format_election
from kbroker.record.batch import build_batch
from kbroker.testing import run
from protocol_specs.metadata.feature_level import FeatureLevelRecord

ID = bytes(range(16))
START_S_MAX = 60.0
"""A broker that starts all the same is stopped after this."""
LOG = "00000000000000000000.log"


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a broker that had a topic and was stopped in order."""
    path = tmp_path_factory.mktemp("grown") / "data"
    often = {"metadata.log.max.record.bytes.between.snapshots": 1}
    with run(data_dir=str(path), topics={"orders": 2}, config={"node.id": 1, **often}):
        pass
    assert any((path / str(METADATA_PARTITION)).glob("*.checkpoint"))
    return path


@pytest.fixture
def data(grown: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(grown, tmp_path / "data"))


def complaint(capfd: pytest.CaptureFixture[str], code: int, *flags: str) -> str:
    """What `kbroker serve` says when it leaves with `code`: its last line, the log's aside."""
    unwanted = threading.Timer(START_S_MAX, os.kill, (os.getpid(), signal.SIGTERM))
    unwanted.start()
    try:
        assert run_command(["serve", "--mode", "test", "--listen", "127.0.0.1:0", "-o", "node.id=1", *flags]) == code
    finally:
        unwanted.cancel()
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    lines = err.splitlines()
    assert [line for line in lines if line.startswith("kbroker: ")] == lines[-1:]
    return lines[-1]


def _contents(path: Path) -> dict[str, bytes]:
    found = (file for file in path.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(path)): file.read_bytes() for file in found}


def _differing(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    """The suffixes of files that came, went or changed."""
    names = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    return {name.rpartition(".")[2] for name in names}


def _replace(name: str, contents: bytes) -> Callable[[Path], Any]:
    return lambda data: (data / name).write_bytes(contents)


def _metadata(name: str, contents: bytes) -> Callable[[Path], Any]:
    return _replace(f"{METADATA_PARTITION}/{name}", contents)


def _flip(data: Path) -> None:
    log = data / str(METADATA_PARTITION) / LOG
    contents = bytearray(log.read_bytes())
    contents[len(contents) // 2] ^= 0x40
    log.write_bytes(contents)


def _append(value: bytes) -> Callable[[Path], None]:
    """A sound batch with this record at the end of the metadata log."""

    def change(data: Path) -> None:
        log = data / str(METADATA_PARTITION) / LOG
        contents = log.read_bytes()
        end, position = 0, 0
        while position < len(contents):
            end = int.from_bytes(contents[position : position + 8], "big")
            end += int.from_bytes(contents[position + 23 : position + 27], "big") + 1
            position += 12 + int.from_bytes(contents[position + 8 : position + 12], "big")
        batch = build_batch([(None, value)], base_offset=end, leader_epoch=1, timestamp_ms=1)
        log.write_bytes(contents + bytes(batch))

    return change


def _election(**fields: Any) -> bytes:
    values = {"leader_id": 1, "leader_epoch": 3, "voted_id": 1, "voted_directory": ID, "voters": (1,), **fields}
    return format_election(Election(**values), 0)


def _snapshot_alone(data: Path) -> None:
    """The log has lost all, and its snapshot speaks of it; the voters are others."""
    (data / str(METADATA_PARTITION) / LOG).write_bytes(b"")
    _metadata("quorum-state", _election(voters=(1, 2, 3)))(data)


def _damaged_snapshot(data: Path) -> None:
    (data / str(METADATA_PARTITION) / LOG).write_bytes(b"")
    newest = max((data / str(METADATA_PARTITION)).glob("*.checkpoint"))
    newest.write_bytes(newest.read_bytes()[:-1])


OTHER_CLUSTER = MetaProperties("AAAAAAAAAAAAAAAAAAAAAA", 1, ID).format()
OTHER_NODE = MetaProperties("AAAAAAAAAAAAAAAAAAAAAA", 7, ID).format()
UNSUPPORTED = encode_record(FeatureLevelRecord(name="metadata.version", feature_level=2000), 0)

DAMAGE = [
    pytest.param(_replace("meta.properties", OTHER_NODE), "belongs to node 7, not 1", id="another node"),
    pytest.param(_replace("meta.properties", b"\0garbage\xff"), "meta.properties: version None", id="garbage"),
    pytest.param(_replace("meta.properties", b""), "meta.properties: version None", id="empty meta.properties"),
    pytest.param(
        _replace("meta.properties", b"version=1\nnode.id=one\ncluster.id=c\n"), "is missing or wrong", id="no number"
    ),
    pytest.param(_metadata("partition.metadata", format_partition_metadata(ID)), "topic id", id="a foreign log"),
    pytest.param(_flip, "is damaged, and sound ones follow", id="a flipped bit"),
    pytest.param(_append(b"\x01\x63\x00"), "type 99 is unknown", id="an unknown record"),
    pytest.param(_append(b"\x01\x03\x00\x05"), "", id="a cut record"),
    pytest.param(_append(b"\x01\x09\x00" + ID + b"\0"), "a topic is removed that does not exist", id="nonsense"),
    pytest.param(_append(UNSUPPORTED), "metadata.version", id="a newer metadata.version"),
    pytest.param(_metadata("quorum-state", b"{"), "quorum-state", id="a cut quorum-state"),
    pytest.param(_metadata("quorum-state", b"\xff\xfe"), "quorum-state", id="a binary quorum-state"),
    pytest.param(_metadata("quorum-state", _election(voters=(1, 2, 3))), "voters [2, 3]", id="other voters"),
    pytest.param(_snapshot_alone, "voters [2, 3]", id="other voters, and a snapshot of more than the log"),
]


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped in order", "killed"])
@pytest.mark.parametrize(("damage", "reason"), DAMAGE)
def test_a_directory_that_cannot_be_ours_is_refused_in_one_line_and_left_as_it_is(
    damage: Callable[[Path], Any], reason: str, is_killed: bool, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A foreign metadata log used to be set aside: a new cluster began beside the topics of the old one.

    Later the marker of the clean stop went, and what a snapshot stood for was cut from the log, before the refusal.
    """
    damage(data)
    if is_killed:
        (data / ".kafka_cleanshutdown").unlink()
    before = _contents(data)
    line = complaint(capfd, 3, "--data-dir", str(data))
    assert reason in line
    assert str(data) in line
    assert _contents(data) == before
    # Nothing of the refused start keeps the directory.
    assert str(data) in complaint(capfd, 3, "--data-dir", str(data))


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped in order", "killed"])
def test_a_damaged_snapshot_of_more_than_the_log_is_refused_before_anything_is_lost(
    data: Path, capfd: pytest.CaptureFixture[str], is_killed: bool
) -> None:
    """Of a log that lost its end, recovery makes indexes and producers anew; what they are made from stays."""
    _damaged_snapshot(data)
    if is_killed:
        (data / ".kafka_cleanshutdown").unlink()
    before = _contents(data)
    said = "which it had reached when a snapshot was taken" if is_killed else ".checkpoint: "
    assert said in complaint(capfd, 3, "--data-dir", str(data))
    assert _differing(before, _contents(data)) <= {"index", "timeindex", "snapshot"}


def _without_metadata(data: Path) -> None:
    shutil.rmtree(data / str(METADATA_PARTITION))


def _without_records(data: Path) -> None:
    """What a start of Apache Kafka leaves that found no metadata log."""
    for path in (data / str(METADATA_PARTITION)).iterdir():
        path.unlink()
    (data / str(METADATA_PARTITION) / LOG).touch()


def _of_zeros(data: Path) -> None:
    """A power failure that the medium kept nothing through but sizes."""
    _without_records(data)
    _metadata(LOG, bytes(500))(data)
    (data / ".kafka_cleanshutdown").unlink()


def _as_formatted(data: Path) -> None:
    """The voters are known, which lets Apache Kafka begin anew; so it would with voters in the configuration."""
    _without_records(data)
    _metadata(EMPTY.file_name, b"".join(checkpoint_batches((), wall_ms=0)))(data)


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped in order", "killed"])
@pytest.mark.parametrize("damage", [_without_metadata, _without_records, _of_zeros, _as_formatted])
def test_partitions_without_a_metadata_log_are_named_and_left_as_they_are(
    damage: Callable[[Path], None], is_killed: bool, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A cluster without a topic began, and all logs were set aside as strays, one warning each."""
    damage(data)
    (data / "holiday-2024").mkdir()
    second = tmp_path / "second"
    shutil.copytree(data / "orders-0", second / "payments-7")
    if is_killed:
        (data / ".kafka_cleanshutdown").unlink(missing_ok=True)
    before = _contents(tmp_path)
    line = complaint(capfd, 3, *_two(data, second))
    assert f"{data}/{METADATA_PARTITION}: the metadata log is gone or empty" in line
    assert f" {data}/orders-0, {data}/orders-1, {second}/payments-7; restore {METADATA_PARTITION}" in line
    assert "holiday" not in line
    assert _contents(tmp_path) == before
    assert (data / str(METADATA_PARTITION)).exists() == (damage is not _without_metadata)


def test_a_formatted_directory_begins_where_it_holds_no_log(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Such a one is left by a crash in the middle of the very first start, and by formatting."""
    _without_metadata(data)
    for each in ("orders-0", "orders-1"):
        (data / each).rename(data.parent / each)
    (data / "holiday-2024").mkdir()
    with run(data_dir=str(data), topics={"new": 1}, config={"node.id": 1}):
        pass


def _two(data: Path, second: Path) -> list[str]:
    return ["-o", f"log.dirs={data},{second}"]


@pytest.mark.parametrize("is_new", [True, False], ids=["a new one", "one of old without an id"])
def test_a_start_that_is_refused_claims_no_other_directory(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], is_new: bool
) -> None:
    """It was formatted, or given its id, before the metadata log was looked at."""
    second = tmp_path / "second"
    second.mkdir()
    if not is_new:
        meta = parse_meta_properties((data / "meta.properties").read_bytes(), "")
        (second / "meta.properties").write_bytes(meta._replace(directory_id=None).format())
    _metadata("quorum-state", _election(voters=(1, 2, 3)))(data)
    before = _contents(tmp_path)
    assert "voters [2, 3]" in complaint(capfd, 3, *_two(data, second))
    assert _contents(tmp_path) == before


@pytest.mark.parametrize("other", [OTHER_CLUSTER, OTHER_NODE], ids=["cluster", "node"])
def test_directories_that_do_not_belong_together_are_left_as_they_are(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], other: bytes
) -> None:
    """A new directory that came before the foreign one was formatted."""
    for name in ("new", "foreign"):
        (tmp_path / name).mkdir()
    (tmp_path / "foreign" / "meta.properties").write_bytes(other)
    before = _contents(tmp_path)
    flags = ["-o", f"log.dirs={data},{tmp_path / 'new'},{tmp_path / 'foreign'}"]
    assert "foreign belongs to" in complaint(capfd, 3, *flags)
    assert _contents(tmp_path) == before


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped in order", "killed"])
def test_a_partition_that_lies_in_two_directories_is_refused_before_anything_changes(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], is_killed: bool
) -> None:
    """The refused start took the markers of the clean stop, set strays aside, and led and registered in a new epoch."""
    second = tmp_path / "second"
    with run(data_dir=f"{data},{second}", config={"node.id": 1}):
        pass
    shutil.copytree(data / "orders-0", second / "orders-0")
    (second / "gone-0").mkdir()
    if is_killed:
        for path in (data, second):
            (path / ".kafka_cleanshutdown").unlink()
    before = _contents(tmp_path)
    assert f"orders-0 lies in both {data} and {second}" in complaint(capfd, 3, *_two(data, second))
    # What loading the metadata log makes anew, or has no use for.
    assert _differing(before, _contents(tmp_path)) <= {"index", "timeindex", "snapshot"}
    assert (second / "gone-0").exists()


def test_a_directory_in_use_keeps_a_start_from_changing_the_others(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    used = tmp_path / "used"
    with run(data_dir=str(used), config={"node.id": 1}):
        before = _contents(data)
        assert "is locked by another" in complaint(capfd, 3, *_two(data, used))
        assert _contents(data) == before


def test_a_directory_of_another_cluster_is_refused(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cluster = "-o", "kbroker.cluster.id=AAAAAAAAAAAAAAAAAAAAAA"
    before = _contents(data)
    line = complaint(capfd, 3, "--data-dir", str(data), *cluster)
    assert "belongs to cluster" in line
    assert "not AAAAAAAAAAAAAAAAAAAAAA" in line
    assert _contents(data) == before


def test_an_undamaged_copy_starts(data: Path) -> None:
    with run(data_dir=str(data), config={"node.id": 1}) as broker:
        assert {partition.topic for partition in broker._broker.partitions} == {"orders"}


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        line = complaint(capfd, 3, "--data-dir", str(path))
        assert f"kbroker: {path}: " in line
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("refused", [".lock", "meta.properties", ".kafka_cleanshutdown", LOG, "quorum-state"])
@pytest.mark.parametrize("reason", [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")])
def test_a_directory_whose_files_cannot_be_used_is_refused(
    refused: str, reason: OSError, data: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs the tests may be allowed everything, so the system calls refuse."""
    (data / ".kafka_cleanshutdown").touch()
    for name in ("open", "unlink", "replace"):
        monkeypatch.setattr(os, name, _refusing(getattr(os, name), refused, reason))
    monkeypatch.setattr("builtins.open", _refusing(open, refused, reason))
    line = complaint(capfd, 3, "--data-dir", str(data))
    monkeypatch.undo()
    assert refused in line
    assert reason.strerror in line


def _refusing(call: Callable[..., Any], refused: str, reason: OSError) -> Callable[..., Any]:
    def attempt(path: Any, *arguments: Any, **named: Any) -> Any:
        if isinstance(path, str) and refused in path.rpartition("/")[2]:
            raise OSError(reason.errno, reason.strerror, path)
        return call(path, *arguments, **named)

    return attempt


def test_a_taken_port_is_told_before_the_directory_is_touched(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        line = complaint(capfd, 3, "--listen", listen, "--data-dir", str(tmp_path / "data"))
    assert f"cannot listen on {listen}: " in line
    assert not (tmp_path / "data").exists()


def test_a_configuration_that_is_none_is_told_before_anything_starts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = complaint(capfd, 4, "-o", "num.partitions=many", "--data-dir", str(tmp_path / "data"))
    assert "num.partitions" in line
    assert not (tmp_path / "data").exists()
