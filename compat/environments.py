"""Pinned environments for the drivers, made by the registries' ordinary clients and kept in `.cache/compat/`.

A folder's name carries a digest of what it was made from: a changed pin makes a new one. A file written last marks it
as whole. Nothing here is asked for twice; delete `.cache/compat` to start over.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[1]
CACHE = PROJECT_ROOT / ".cache" / "compat"
#: What drivers and our broker print; overwritten by the next run.
LOGS = CACHE / "logs"
DRIVERS = Path(__file__).with_name("drivers")
JAVA_MAIN = "JavaDriver"
#: The package that Go drivers share, which their go.mod names by this folder.
GO_SHARED = "go_driver"
#: A cold cache loads some 130 MB; ten minutes allow for a slow line.
BUILD_TIMEOUT_S = 600.0
TRY_TIMEOUT_S = 20.0

Command = list[str]
#: What `go build` says when go.mod asks for a newer Go than this machine's.
GO_TOO_OLD = "requires go >="


class UnavailableError(Exception):
    """This machine lacks a tool that the environment needs; the message is one line that names it. A skip."""


class BuildFailedError(Exception):
    """The tools are there and the environment couldn't be made; the message is their last line. A fail."""


def python(name: str, script: str, pins: Sequence[str], interpreters: Sequence[str] = ()) -> Command:
    """A virtual environment with exactly these pins; `interpreters` are tried in order, none means the running one."""

    def build(folder: Path) -> None:
        chosen = _first_that_starts(interpreters) if interpreters else sys.executable
        _run([chosen, "-m", "venv", str(folder / "venv")])
        _run([str(folder / "venv/bin/python"), "-m", "pip", "install", "-q", "--no-deps", *pins])

    made_from = [*pins, *(interpreters or [sys.version])]
    folder = _kept(name, "\n".join(made_from), build)
    return [str(folder / "venv/bin/python"), str(DRIVERS / script)]


def java(name: str, project: str, release: str, version: str) -> Command:
    """The jars of a pom with `version` of the client, and our sources: one for all, one of the folder `release`."""
    pom = DRIVERS / project / "pom.xml"
    sources = [DRIVERS / project / f"{JAVA_MAIN}.java", DRIVERS / project / release / "Release.java"]
    for needed in ("java", "javac", "mvn"):
        if shutil.which(needed) is None:
            raise UnavailableError(f"{needed} is not on PATH")

    def build(folder: Path) -> None:
        options = [f"-DoutputDirectory={folder}/libs", f"-Dclients.version={version}"]
        _run(["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", *options])
        _run(["javac", "-cp", f"{folder}/libs/*", "-d", f"{folder}/classes", *map(str, sources)])

    folder = _kept(name, version + "".join(part.read_text() for part in (*sources, pom)), build)
    options = ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"]
    return ["java", *options, "-cp", f"{folder}/classes:{folder}/libs/*", JAVA_MAIN]


def go(name: str, project: str) -> Command:
    """A Go module built with the versions of its go.mod and go.sum."""
    if shutil.which("go") is None:
        raise UnavailableError("go is not on PATH")
    sources = DRIVERS / project

    def build(folder: Path) -> None:
        try:
            _run(["go", "build", "-mod=readonly", "-o", str(folder / "driver"), "."], cwd=sources)
        except BuildFailedError as problem:
            if GO_TOO_OLD in str(problem):
                raise UnavailableError(str(problem)) from problem
            raise

    parts = [*sorted((DRIVERS / GO_SHARED).iterdir()), *sorted(sources.iterdir())]
    return [str(_kept(name, "".join(part.read_text() for part in parts), build) / "driver")]


def node(name: str, project: str) -> Command:
    """A Node.js program with the packages of its package-lock.json; no package runs a script of its own."""
    for needed in ("node", "npm"):
        if shutil.which(needed) is None:
            raise UnavailableError(f"{needed} is not on PATH")
    parts = [DRIVERS / project / part for part in ("main.js", "package.json", "package-lock.json")]

    def build(folder: Path) -> None:
        for part in parts:
            shutil.copy(part, folder)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder)

    folder = _kept(name, "".join(part.read_text() for part in parts), build)
    return ["node", str(folder / "main.js")]


def on_path(program: str, script: str) -> Command:
    """A program of the machine, driven by a Python script."""
    if shutil.which(program) is None:
        raise UnavailableError(f"{program} is not on PATH")
    return [sys.executable, str(DRIVERS / script)]


def _kept(name: str, made_from: str, build: Callable[[Path], None]) -> Path:
    """The folder of this name and content, built unless it is there and whole."""
    folder = CACHE / f"{name}-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"
    whole = folder / "whole"
    if not whole.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        build(folder)
        whole.touch()
    return folder


def _run(command: Sequence[str], cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise BuildFailedError(f"{Path(command[0]).name}: {problem}") from problem
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise BuildFailedError(f"{Path(command[0]).name} failed: {lines[-1] if lines else 'without a word'}")


def _first_that_starts(interpreters: Sequence[str]) -> str:
    """A version manager's stand-in may exist and fail: only one that runs counts."""
    for candidate in interpreters:
        path = shutil.which(candidate)
        if path is None:
            continue
        tried = subprocess.run([path, "-c", "import venv"], capture_output=True, timeout=TRY_TIMEOUT_S, check=False)
        if tried.returncode == 0:
            return path
    raise UnavailableError(f"none of {', '.join(interpreters)} starts on this machine")
