"""Setting up the environment: which interpreter is taken, and the one line a person gets when none will do.

Interpreters are small shell scripts here, so that every kind of broken machine can be had.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[2] / ".ci" / "setup"

STAND_IN = "echo 'command not found, but it exists in these versions' >&2; exit 127"
TOO_OLD = 'case "$2" in *exit*) exit 1;; *print*) echo 3.9;; esac'
NO_VENV = 'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.12;; esac'
GOOD = 'case "$1" in -m) echo "$0 $*" >&2; exit 9;; --version) echo Python 3.13.0;; esac'
"""Says what it was asked for instead of making an environment, and fails so that the set-up ends there."""


def _set_up(folder: Path, interpreters: dict[str, str], *, candidates: str | None = None) -> tuple[int, list[str]]:
    """Exit code and stderr lines of `.ci/setup` on a machine with these interpreters alone."""
    for name in ("python3.14", "python3.13", "python3.12", "python3.11", "python3"):
        (folder / name).write_text(f"#!/bin/sh\n{interpreters.get(name, STAND_IN)}\n")
        (folder / name).chmod(0o755)
    environment = {"PATH": f"{folder}:{os.defpath}"}
    if candidates is not None:
        environment["PYTHON"] = candidates
    command = ["/bin/sh", str(SETUP), str(folder / "venv")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize(
    ("interpreters", "taken"),
    [
        ({"python3.14": GOOD, "python3.13": GOOD}, "python3.14"),
        ({"python3.12": GOOD, "python3": GOOD}, "python3.12"),
        ({"python3.14": TOO_OLD, "python3.11": GOOD}, "python3.11"),
        ({"python3.13": NO_VENV, "python3": GOOD}, "python3"),
    ],
)
def test_the_first_interpreter_that_really_works_is_taken(
    interpreters: dict[str, str], taken: str, tmp_path: Path
) -> None:
    code, lines = _set_up(tmp_path, interpreters)
    assert (code, lines[-1].split()[0].rpartition("/")[2]) == (9, taken)
    assert lines[-1].endswith(f"-m venv {tmp_path}/venv")


@pytest.mark.parametrize(
    ("interpreters", "said"),
    [
        ({}, "none of python3.14 python3.13 python3.12 python3.11 python3 starts: install Python 3.11 or newer"),
        ({"python3": TOO_OLD}, "python3 is Python 3.9, too old: install Python 3.11 or newer"),
        (
            {"python3.12": NO_VENV},
            "python3.12 has no venv module: install it (Debian, Ubuntu: apt install python3.12-venv)",
        ),
    ],
)
def test_a_machine_that_cannot_gets_one_line(interpreters: dict[str, str], said: str, tmp_path: Path) -> None:
    code, lines = _set_up(tmp_path, interpreters)
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith(f"kbroker: {said}")


def test_the_interpreter_can_be_named(tmp_path: Path) -> None:
    code, lines = _set_up(tmp_path, {"python3.14": GOOD, "python3.11": GOOD}, candidates="python3.11")
    assert (code, "python3.11 -m venv" in lines[-1]) == (9, True)
