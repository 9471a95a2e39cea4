"""`kbroker serve` as far as it goes without serving: configuration in, exit codes and texts out."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import kbroker
from kbroker.cli.logs import JsonFormatter, TextFormatter
from kbroker.cli.main import run
from kbroker.cli.serve import banner, ready_json
from kbroker.config import BROKER_CONFIGS, BrokerConfig

ROOT = Path(__file__).resolve().parents[2]


def test_the_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"kbroker {kbroker.__version__}\n"
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == kbroker.__version__


def test_help_names_every_flag_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "3 start-up failed" in " ".join(capsys.readouterr().out.split())
    assert run(["serve", "--help"]) == 0
    text = capsys.readouterr().out
    for flag in ("--listen", "--advertise", "--data-dir", "--topic", "-o", "--ready-file", "--mode", "--log-format"):
        assert flag in text


def test_mode_help_prints_what_each_mode_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--mode", "help"]) == 0
    text = capsys.readouterr().out
    assert "test: as dev" in text
    assert "  offsets.topic.num.partitions=1" in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["serve", "--mode", "wild"], 2, "'wild' is not one of dev, test, strict, help"),
        (["serve", "--nonsense"], 2, "No such option"),
        (["bake"], 2, "No such command 'bake'"),
        (["serve", "-o", "num.partitions=x"], 4, "kbroker: -o: num.partitions=x: it must be a whole number"),
        (["serve", "-o", "num.partitions"], 4, "an override is written KEY=VALUE"),
        (["serve", "--listen", "localhost"], 4, "--listen=localhost: it must be HOST:PORT"),
        (["serve", "--advertise", "example"], 4, "--advertise=example: it must be HOST:PORT"),
        (["serve", "--topic", "orders"], 4, "kbroker.topics=orders"),
        (["serve", "-o", "listeners=SSL://:9093"], 4, "only PLAINTEXT is served"),
        (["serve", "--mode", "strict", "-o", "num.partitons=1"], 4, "did you mean num.partitions?"),
        (["serve", "/nowhere/server.properties"], 4, "/nowhere/server.properties: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_a_mistake_in_a_file_names_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "server.properties"
    file.write_text("# ours\nbroker.id=1\nlog.segment.bytes=17\n")
    assert run(["serve", str(file), "--check-config"]) == 4
    assert f"{file}:3: log.segment.bytes=17: it must be at least 1048576" in capsys.readouterr().err


def test_check_config_says_what_it_could_live_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "server.properties"
    file.write_text("zookeeper.connect=zk:2181\nnum.partitons=3\n")
    assert run(["serve", str(file), "--check-config"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "configuration is valid\n"
    assert "did you mean num.partitions?" in captured.err
    assert "note: accepted without effect: zookeeper.connect" in captured.err


def test_print_config_shows_every_config_and_where_it_came_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KBROKER_MESSAGE_MAX_BYTES", "5000")
    file = tmp_path / "server.properties"
    file.write_text("num.partitions=3\nssl.key.password=s3cret\n")
    assert run(["serve", str(file), "--print-config", "--listen", "127.0.0.1:0", "-o", "broker.rack=r1"]) == 0
    text = capsys.readouterr().out
    assert "# --listen\nlisteners=PLAINTEXT://127.0.0.1:0\n" in text
    assert "# -o\nbroker.rack=r1\n" in text
    assert "# KBROKER_MESSAGE_MAX_BYTES\nmessage.max.bytes=5000\n" in text
    assert f"# {file}:1\nnum.partitions=3\n" in text
    assert "ssl.key.password=[hidden]" in text
    assert "s3cret" not in text
    printed = set(re.findall(r"(?m)^#?([a-z][a-z0-9.]+)=", text))
    assert printed == set(BROKER_CONFIGS)


def test_flags_beat_overrides_and_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KBROKER_LISTENERS", "PLAINTEXT://:1")
    flags = ["--listen", "[::1]:3", "-o", "listeners=PLAINTEXT://:2", "--data-dir", "memory://", "--topic", "a:1"]
    assert run(["serve", "--print-config", *flags, "--topic", "b:2:1"]) == 0
    text = capsys.readouterr().out
    assert "\nlisteners=PLAINTEXT://[::1]:3\n" in text
    assert "\nlog.dirs=memory:\n" in text
    assert "\nkbroker.topics=a:1,b:2:1\n" in text


@pytest.mark.parametrize(
    ("advertise", "printed"), [("auto", "\n#advertised.listeners=\n"), ("me:7", "\nadvertised.listeners=A://me:7\n")]
)
def test_advertise_beats_the_file(
    advertise: str, printed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "server.properties"
    file.write_text("listeners=A://:1\nlistener.security.protocol.map=A:PLAINTEXT\nadvertised.listeners=A://other:9\n")
    assert run(["serve", str(file), "--print-config", "--advertise", advertise]) == 0
    assert printed in capsys.readouterr().out


def test_the_banner_has_a_client_line_and_ends_with_the_address() -> None:
    lines = banner("localhost:9092", BrokerConfig.of({}))
    assert len(lines) <= 6
    assert lines[-1] == "kbroker ready on localhost:9092"
    assert any("kcat -b localhost:9092" in line for line in lines)


def test_the_ready_file_says_where_and_who() -> None:
    ready = json.loads(ready_json("[::1]:9092", BrokerConfig.of({"log.dirs": "d", "node.id": 4})))
    assert ready["bootstrap"] == "[::1]:9092"
    assert ready["data_dir"].endswith("/d")
    assert ready["nodes"] == [{"node_id": 4, "host": "::1", "port": 9092, "pid": ready["pid"]}]


def test_the_log_is_one_line_per_event() -> None:
    record = logging.LogRecord("kbroker.gate", logging.INFO, "f", 1, "closing\nnow", (), None)
    record.client, record.reason = "127.0.0.1", "bad frame"
    text = TextFormatter().format(record)
    assert text.endswith('INFO  kbroker.gate closing\\nnow client=127.0.0.1 reason="bad frame"')
    event = json.loads(JsonFormatter().format(record))
    assert (event["event"], event["client"], event["level"]) == ("closing\nnow", "127.0.0.1", "INFO")


def test_asking_for_the_configuration_imports_neither_trio_nor_dump_nor_testing() -> None:
    """The start of every command would pay for them."""
    code = (
        "import sys; from kbroker.cli.main import run; run(['serve', '--check-config'])\n"
        "print([m for m in sys.modules if m in ('trio', 'construct', 'javaproperties', 'difflib') "
        "or m.startswith(('kbroker.cli.dump', 'kbroker.testing'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
