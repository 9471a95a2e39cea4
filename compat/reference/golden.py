"""Golden data: what Apache Kafka's own serializers write, with the values beside. `python -m compat.reference.golden`.

Compiles the Java programs in `java/`, runs them on the jars of both releases and writes `tests/golden/*.jsonl.zst`.
Where both releases speak a version of a message, 4.3.1 wins. The output is the same at every run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import zstandard

from compat.reference.jars import PROJECT_ROOT, ReferenceUnavailableError, fetch, java_command

CURRENT, OLD = "4.3.1", "3.9.1"
SOURCES = Path(__file__).with_name("java")
GOLDEN = PROJECT_ROOT / "tests" / "golden"
#: The slowest setting: the files are written rarely and cloned often.
ZSTD_LEVEL = 19
#: Between ZooKeeper-era brokers and their controller; no KRaft node and no client speaks them.
ZOOKEEPER_KEYS = frozenset({4, 5, 6, 7})
#: Share groups were an unstable draft in 3.9: same versions, other bytes.
DRAFT_KEYS_OF_OLD = frozenset({76, 77, 78, 79, 83, 84, 85, 86, 87})
DRAFT_RECORDS_OF_OLD = frozenset({"ShareGroupPartitionMetadataValue"})
#: Key 74 under its old name; 4.3 speaks the same version as ListConfigResources.
RENAMED_SINCE_OLD = frozenset({"ListClientMetricsResourcesRequest", "ListClientMetricsResourcesResponse"})
#: 3.9 numbers a coordinator's key by its record type, 4.3 by 0: not another version of it.
KEY_SUFFIX = "Key"
#: The record classes live in another package since 4.0; the sources name the new one.
RECORD_PACKAGE = {CURRENT: "org.apache.kafka.common.record.internal", OLD: "org.apache.kafka.common.record"}

Line = dict[str, Any]


def compile_programs(version: str) -> Path:
    """Compile our Java programs against a release; the folder of the classes."""
    work = fetch(version).parent
    sources, classes = work / "sources", work / "classes"
    sources.mkdir(exist_ok=True)
    copies = []
    for source in sorted(SOURCES.glob("*.java")):
        copy = sources / source.name
        copy.write_text(source.read_text().replace(RECORD_PACKAGE[CURRENT], RECORD_PACKAGE[version]))
        copies.append(str(copy))
    command = ["javac", "-nowarn", "-d", str(classes), "-cp", f"{fetch(version)}{os.sep}*", *copies]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        raise ReferenceUnavailableError("golden data needs a JDK: `javac` is not on PATH") from None
    return classes


def run_program(version: str, name: str, *arguments: str) -> Iterator[Line]:
    """Run one of our programs on a release and read the JSON lines that it prints."""
    command = java_command(version, ["-Xmx512M"], name, *arguments, extra=str(compile_programs(version)))
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    for line in done.stdout.decode().splitlines():
        yield json.loads(line)


def merge_frames(current: Iterable[Line], old: Iterable[Line]) -> list[Line]:
    """All frames of the current release, and the old one's for what the current one no longer speaks."""
    merged = list(current)
    types = {line["name"]: line["type"] for line in merged}
    spoken = {(line["name"], line["version"]) for line in merged}
    dropped = (line for line in old if (line["name"], line["version"]) not in spoken and is_wanted_of_old(line))
    merged.extend({**line, "type": types.get(line["name"], line["type"])} for line in dropped)
    return sorted(merged, key=lambda line: (line["name"], line["version"]))


def is_wanted_of_old(line: Line) -> bool:
    """Whether a frame of the old release is part of the protocol that we speak."""
    if line["name"] in DRAFT_RECORDS_OF_OLD | RENAMED_SINCE_OLD:
        return False
    is_coordinator_key = ".coordinator." in line["class"] and line["name"].endswith(KEY_SUFFIX)
    is_draft = line["type"] in {"request", "response"} and line["api_key"] in DRAFT_KEYS_OF_OLD
    is_zookeeper = line["type"] in {"request", "response"} and line["api_key"] in ZOOKEEPER_KEYS
    return not (is_coordinator_key or is_draft or is_zookeeper)


def write_lines(path: Path, lines: Iterable[Line]) -> None:
    """Write JSON lines compressed with zstd, and say how much it was."""
    text = "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=True) + "\n" for line in lines).encode()
    packed = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(text)
    path.write_bytes(packed)
    count = text.count(b"\n")
    print(f"{path.relative_to(PROJECT_ROOT)}: {count} lines, {len(packed)} bytes")


def main() -> int:
    """Regenerate the golden data."""
    try:
        frames = [run_program(version, "GoldenFrames", str(fetch(version)), version) for version in (CURRENT, OLD)]
        write_lines(GOLDEN / "frames.jsonl.zst", merge_frames(*frames))
        batches = [*run_program(CURRENT, "GoldenBatches", CURRENT, "2"), *run_program(OLD, "GoldenBatches", OLD, "0,1")]
        write_lines(GOLDEN / "batches.jsonl.zst", batches)
    except ReferenceUnavailableError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
