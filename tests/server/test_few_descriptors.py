"""A process that may open few files (`ulimit -n`) still serves many partitions."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from kbroker.log.open_files import OPEN_FILES_MAX, open_files_max
from kbroker.testing import start
from protocol_specs.errors import ErrorCode
from tests.server.raw_peer import RawPeer, batch_of

DESCRIPTORS = 128


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """Processes that are started now may open few files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


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


def test_more_partitions_than_descriptors_are_served(few_descriptors: None, tmp_path: Path) -> None:
    """The bound on open files used to be 4096 whatever the process was allowed, and the directory went offline."""
    with start(data_dir=str(tmp_path), topics={"t": 2 * DESCRIPTORS}) as broker:
        with RawPeer(broker.bootstrap) as peer:
            assert peer.produce("t", batch_of(b"record"), acks=1).error_code == ErrorCode.NONE
        broker.kill()
        broker.restart()
        with RawPeer(broker.bootstrap) as peer:
            assert peer.produce("t", batch_of(b"record"), acks=1).error_code == ErrorCode.NONE
