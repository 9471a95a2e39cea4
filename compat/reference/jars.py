"""Apache Kafka's jars: fetched with Maven from a small pom of ours, once per release, into `.cache/`.

Owns the folders `.cache/kafka-<version>/libs` under the project root and the command line of a Java program on them.
Knows nothing of brokers; see `apache_kafka.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
CACHE = PROJECT_ROOT / ".cache"
POM = Path(__file__).with_name("pom.xml")

#: The logging binding a release expects; without one it runs silently and even fatal errors are lost.
BINDINGS: dict[str, tuple[str, ...]] = {
    "4.3.1": ("-Dbinding.core",),
    "3.9.1": ("-Dbinding.group=org.slf4j", "-Dbinding.artifact=slf4j-reload4j", "-Dbinding.version=1.7.36"),
}
#: A cold Maven repository needs about 60 MB per release; ten minutes allow for a slow line.
FETCH_TIMEOUT_S = 600


class ReferenceUnavailableError(RuntimeError):
    """Java, Maven or the jars are missing; the message is one line that says what to install."""


def missing_tool() -> str | None:
    """One line naming the first tool that is missing, or None when Java and Maven both exist."""
    if shutil.which("java") is None:
        return "Apache Kafka needs Java 17 or newer: install a JDK so that `java` is on PATH"
    if shutil.which("mvn") is None:
        return "Apache Kafka's jars are fetched by Maven: install it so that `mvn` is on PATH"
    return None


def is_available() -> bool:
    """Whether Java and Maven exist, so that the reference can be tried at all."""
    return missing_tool() is None


def fetch(version: str) -> Path:
    """The folder with all jars of this Kafka release, fetched on first use.

    Raises ReferenceUnavailableError when a tool is missing, the release is unknown, or Maven fails.
    """
    if version not in BINDINGS:
        raise ReferenceUnavailableError(f"Apache Kafka {version} is not set up here; known: {', '.join(BINDINGS)}")
    libs = CACHE / f"kafka-{version}" / "libs"
    if problem := missing_tool():
        raise ReferenceUnavailableError(problem)
    if not libs.is_dir():
        libs.parent.mkdir(parents=True, exist_ok=True)
        # Maven fills a folder of its own and the rename publishes it whole: two runs may fetch at once.
        partial = Path(tempfile.mkdtemp(prefix="libs-", dir=libs.parent))
        _copy_dependencies(version, partial)
        try:
            partial.rename(libs)
        except OSError:
            shutil.rmtree(partial)
    return libs


def _copy_dependencies(version: str, into: Path) -> None:
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={into}"]
    command += [f"-Dkafka.version={version}", *BINDINGS[version]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
    if done.returncode != 0:
        shutil.rmtree(into)
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise ReferenceUnavailableError(
            f"Maven could not fetch Apache Kafka {version}: {lines[0] if lines else 'no output'}"
        )


def java_command(version: str, options: Sequence[str], class_name: str, *arguments: str, extra: str = "") -> list[str]:
    """The command line that runs a class of this release; `extra` is put before the jars on the class path."""
    classpath = f"{fetch(version)}{os.sep}*"
    if extra:
        classpath = f"{extra}{os.pathsep}{classpath}"
    return ["java", *options, "-cp", classpath, class_name, *arguments]
