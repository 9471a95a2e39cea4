"""A process that may open few files (`ulimit -n`) still serves many partitions."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kbroker.log.open_files import OPEN_FILES_MAX, open_files_max
from protocol_specs.errors import ErrorCode
from tests.server.raw_peer import RawPeer, batch_of

DESCRIPTORS = 128
WAIT_S = 30.0


@contextmanager
def serving_with_few(folder: Path) -> Iterator[str]:
    """Where a broker listens that may open few files; killed at the end."""
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    limited = ["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$0" "$@"', sys.executable, "-m", "kbroker", "serve"]
    flags = ["--listen", "127.0.0.1:0", "--ready-file", str(ready), "--data-dir", str(folder / "data")]
    with (folder / "output.txt").open("ab") as output:
        process = subprocess.Popen([*limited, *flags, "--topic", f"t:{2 * DESCRIPTORS}"], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + WAIT_S
        while not ready.exists():
            assert process.poll() is None, (folder / "output.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        yield json.loads(ready.read_text())["bootstrap"]
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("descriptors_max", "files_max"),
    [
        (None, OPEN_FILES_MAX),  # no limit
        (1 << 20, OPEN_FILES_MAX),
        (1024, 512),  # what a shell gives by itself: the other half is for connections
        (1, 1),
    ],
)
def test_logs_take_half_of_the_descriptors_at_most(descriptors_max: int | None, files_max: int) -> None:
    assert open_files_max(descriptors_max) == files_max


def test_more_partitions_than_descriptors_are_served(tmp_path: Path) -> None:
    """The bound on open files used to be 4096 whatever the process was allowed, and the directory went offline."""
    for end in range(2):
        with serving_with_few(tmp_path) as bootstrap, RawPeer(bootstrap) as peer:
            answer = peer.produce("t", batch_of(b"record"), acks=1)
            assert (answer.error_code, answer.base_offset) == (ErrorCode.NONE, end)
