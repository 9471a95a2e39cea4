"""`kbroker check`: what it says, how it exits, what it mends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kbroker.cli.main import run
from kbroker.log.clean_marker import format_marker, parse_marker
from kbroker.log.directory import LogDirectory
from kbroker.log.outcome import Appended
from kbroker.log.settings import LogSettings
from kbroker.names import TopicPartition
from kbroker.real.disk import RealDisk
from kbroker.real.entropy import RealEntropy
from kbroker.record.batch import build_batch
from kbroker.testing.virtual_clock import VirtualClock

SETTINGS = LogSettings(segment_bytes=1000, index_interval_bytes=100)


def _later(action: Callable[[], None]) -> None:
    """drain() does it."""


def _open(path: Path) -> LogDirectory:
    disk = RealDisk(_later)
    directory = LogDirectory.open(disk, str(path), VirtualClock(), RealEntropy(), node_id=1)
    log = directory.open_log(TopicPartition("t", 0), b"t" * 16, SETTINGS)
    for number in range(40):
        batch = build_batch([(None, b"%060d" % number)], timestamp_ms=1000 + number)
        assert isinstance(log.append_as_leader(batch, 0), Appended)
    disk.drain()
    return directory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = _open(tmp_path / "data")
    assert directory.close(clean=True)
    return tmp_path / "data"


def test_a_sound_directory_is_passed_in_silence(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(path)]) == 0
    assert capsys.readouterr().out == ""


def test_a_directory_that_is_named_twice_is_checked_once(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It was said to be a copy of itself."""
    assert run(["check", str(path), f"{path}/"]) == 0
    assert capsys.readouterr().out == ""


def test_each_finding_is_a_line_and_the_exit_code_is_1(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = path / "t-0" / f"{0:020d}.index"
    index.unlink()
    assert run(["check", str(path)]) == 1
    assert capsys.readouterr().out == f"{index}: is missing\n"
    assert run(["check", str(path), "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"path": str(index), "problem": "is missing"}


@pytest.mark.parametrize("name", [f"{0:020d}.index", f"{0:020d}.timeindex", "leader-epoch-checkpoint"])
def test_repair_makes_anew_what_the_batches_tell(path: Path, name: str) -> None:
    file = path / "t-0" / name
    file.write_bytes(b"\x07" * 24)
    assert run(["check", str(path)]) == 1
    assert run(["check", str(path), "--repair"]) == 0
    assert file.exists()


def test_repair_says_what_is_gone_for_good(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log whose last segment had been deleted was made sound without a word, and the records' offsets given again."""
    *_, last = sorted((path / "t-0").glob("*.log"))
    last.unlink()
    assert run(["check", str(path), "--repair"]) == 0
    assert "not at 40 as when it was stopped" in capsys.readouterr().err


def test_repair_cuts_a_torn_tail_and_says_so_and_no_more(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path / ".kafka_cleanshutdown").unlink()
    (path / "recovery-point-offset-checkpoint").unlink()
    *_, last = sorted((path / "t-0").glob("*.log"))
    sizes = {file: file.stat().st_size for file in (path / "t-0").glob("*.log")}
    with last.open("r+b") as file:
        file.truncate(sizes[last] - 1)
    assert run(["check", str(path)]) == 1
    capsys.readouterr()
    assert run(["check", str(path), "--repair"]) == 0
    assert f"repaired: {path / 't-0'}: " in capsys.readouterr().err
    assert sizes[last] - 200 < last.stat().st_size < sizes[last]
    assert all(file.stat().st_size == size for file, size in sizes.items() if file != last)


def test_damage_below_the_recovery_point_is_left_as_it_is(path: Path) -> None:
    file = path / "t-0" / f"{0:020d}.log"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    assert run(["check", str(path)]) == 1
    assert run(["check", str(path), "--repair"]) == 1
    assert file.read_bytes() == data


def test_a_directory_in_use_is_named_and_not_repaired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = _open(tmp_path / "data")
    assert run(["check", str(tmp_path / "data")]) == 0
    assert "a broker is using it" in capsys.readouterr().err
    assert run(["check", str(tmp_path / "data"), "--repair"]) == 1
    assert "locked" in capsys.readouterr().err
    directory.close(clean=False)


@pytest.mark.parametrize("flags", [[], ["--repair"]])
def test_a_directory_that_is_missing_is_told_in_one_line_and_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    """--repair made it, with a lock in it; without, the line was Python's: [Errno 2] and the name in quotes."""
    assert run(["check", str(tmp_path / "none"), *flags]) == 1
    assert capsys.readouterr().err == f"kbroker: {tmp_path / 'none'} does not exist\n"
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_bytes(b"")
    assert run(["check", str(tmp_path / "file"), *flags]) == 1
    assert capsys.readouterr().err == f"kbroker: {tmp_path / 'file'} is not a directory\n"


@pytest.mark.parametrize("is_cut", [False, True])
def test_repair_keeps_whose_stop_it_was_unless_records_are_gone(path: Path, is_cut: bool) -> None:
    """It forgot the broker epoch, also of a sound directory: the next start raised every partition's leader epoch."""
    marker = path / ".kafka_cleanshutdown"
    marker.write_bytes(format_marker(7))
    index, *_ = sorted((path / "t-0").glob("*.index"))
    index.unlink()
    if is_cut:
        *_, last = sorted((path / "t-0").glob("*.log"))
        last.unlink()
    assert run(["check", str(path), "--repair"]) == 0
    assert index.exists()
    assert parse_marker(marker.read_bytes()) == (None if is_cut else 7)


@pytest.mark.parametrize("flags", [[], ["--repair"]])
def test_properties_that_cannot_be_read_are_told_in_one_line(
    path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", str(path), "-c", str(path / "none.properties"), *flags]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "none.properties: No such file or directory" in line
