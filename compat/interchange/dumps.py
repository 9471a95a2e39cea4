"""Apache Kafka's DumpLogSegments over every file of a data directory; what it complains about.

It prints a line per record and says nothing good: a complaint is a line that shouldn't be there.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from compat.interchange.inventory import COMPACTED
from compat.reference.jars import java_command

FILES_AT_ONCE = 200
KAFKA = "4.3.1"
_COMPLAINT = re.compile(
    r"mismatch|corrupt|exception|error|could not|invalid|isvalid: false|not consecutive|out of order|different from",
    re.IGNORECASE,
)
_GAP = re.compile(r"\s*(-?\d+) is followed by (-?\d+)")
_RECORD = re.compile(r"^(\| offset|baseOffset|offset|timestamp|producerId|Dumping|Log starting offset|Snapshot end)")


def complaints(data: Path) -> list[str]:
    """One line per complaint, with its file; an empty list is what we want."""
    found: list[str] = []
    for arguments, files in _passes(data):
        for some in _portions(sorted(files)):
            found += _complaints_of(arguments, some)
    return found


def _passes(data: Path) -> Iterator[tuple[list[str], list[Path]]]:
    files = [path for path in data.glob("*/*") if "-delete" not in path.parent.name]
    logs = [path for path in files if path.suffix == ".log" and path.stat().st_size]
    decoders = {"__consumer_offsets": "--offsets-decoder", "__cluster_metadata": "--cluster-metadata-decoder"}
    decoders["__transaction_state"] = "--transaction-log-decoder"
    for topic, decoder in decoders.items():
        yield [decoder], [path for path in logs if path.parent.name.startswith(f"{topic}-")]
    yield ["--cluster-metadata-decoder"], [path for path in files if path.suffix == ".checkpoint"]
    yield ["--deep-iteration"], logs
    indexes = [path for path in files if path.suffix in (".index", ".timeindex")]
    yield ["--index-sanity-check"], indexes
    yield ["--verify-index-only"], indexes
    yield [], [path for path in files if path.suffix in (".snapshot", ".txnindex")]


def _portions(files: list[Path]) -> Iterator[list[Path]]:
    for start in range(0, len(files), FILES_AT_ONCE):
        yield files[start : start + FILES_AT_ONCE]


def _complaints_of(arguments: Iterable[str], files: list[Path]) -> list[str]:
    names = ",".join(map(str, files))
    dump = ["org.apache.kafka.tools.DumpLogSegments", *arguments, "--files", names]
    command = java_command(KAFKA, ["-Xmx256M", "-XX:TieredStopAtLevel=1"], *dump)
    found: list[str] = []
    current = ""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith("Dumping "):
                current = line.strip().removeprefix("Dumping ")
            elif _is_complaint(line, current):
                found.append(f"{' '.join(arguments)} {current}: {line.strip()}")
    if run.returncode:
        found.append(f"{' '.join(arguments)}: exit code {run.returncode}")
    return found


def _is_complaint(line: str, file: str) -> bool:
    gap = _GAP.fullmatch(line.rstrip())
    if gap is not None:
        # The tool takes the beginning of every file but the first of a log for a gap behind -1; compaction makes gaps.
        return gap[1] != "-1" and f"/{COMPACTED}-" not in file and "/__" not in file
    return not _RECORD.search(line) and _COMPLAINT.search(line) is not None
