"""What a node makes of damage to its identity and to its metadata: it starts with all it had, or says why it doesn't.

A start that is refused changes nothing, so that the next one is refused for the same reason.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kbroker.cli.running import CANNOT_SERVE
from kbroker.testing import run
from tests.log.ways_of_damage import damaged
from tests.server.raw_peer import RawPeer, batch_of

METADATA = "__cluster_metadata-0"
FILES = {
    "meta.properties": "meta.properties",
    "clean-marker": ".kafka_cleanshutdown",
    "quorum-state": f"{METADATA}/quorum-state",
    "log": f"{METADATA}/{0:020d}.log",
    "snapshot": f"{METADATA}/*.checkpoint",
}
SAID = {
    "CUT": "is damaged, and was whole at the last clean stop",
    "DAMAGED": "is damaged, and sound ones follow",
    "SHORT": "which it had reached when a snapshot was taken",
    "NO-ID": "no meta.properties",
    "PROPERTIES": "meta.properties: version None, only 1 (KRaft) is known",
    "DIRECTORY-ID": "meta.properties: directory.id is missing, and",
    "NO-TEXT": "meta.properties is damaged: there are bytes in it that are no text",
    "QUORUM": "quorum-state is damaged: ",
    "no-quorum": "quorum-state is missing",
    "cut": "a log was cut behind its last sound batch",
    "tail": "behind its last batch that are none: cut",
    "ends": "log ends at offset 0, not at",
    "no-log": "every segment up to offset",
    "snapshot": "a metadata snapshot is damaged: passed over",
}
"""One line; in capitals what the start is refused with."""
CONFIG = {"node.id": 1, "metadata.log.max.record.bytes.between.snapshots": 1}
VALUES = [b"a", b"b", b"c"]
TABLE = """
meta.properties  flip          DIRECTORY-ID  DIRECTORY-ID
meta.properties  zeros         PROPERTIES    PROPERTIES
meta.properties  zero-hole     NO-TEXT       NO-TEXT
meta.properties  all-zeros     PROPERTIES    PROPERTIES
meta.properties  cut           PROPERTIES    PROPERTIES
meta.properties  empty         PROPERTIES    PROPERTIES
meta.properties  missing       NO-ID         NO-ID
meta.properties  garbage       -             -
meta.properties  zeros-behind  -             -
clean-marker     flip          -             absent
clean-marker     zeros         -             absent
clean-marker     zero-hole     -             absent
clean-marker     all-zeros     -             absent
clean-marker     cut           -             absent
clean-marker     empty         -             absent
clean-marker     missing       -             absent
clean-marker     garbage       -             absent
clean-marker     zeros-behind  -             absent
quorum-state     flip          -             -
quorum-state     zeros         QUORUM        QUORUM
quorum-state     zero-hole     QUORUM        QUORUM
quorum-state     all-zeros     QUORUM        QUORUM
quorum-state     cut           QUORUM        QUORUM
quorum-state     empty         QUORUM        QUORUM
quorum-state     missing       no-quorum     no-quorum
quorum-state     garbage       QUORUM        QUORUM
quorum-state     zeros-behind  QUORUM        QUORUM
log              flip          DAMAGED       DAMAGED
log              zeros         CUT           SHORT
log              zero-hole     DAMAGED       DAMAGED
log              all-zeros     CUT           SHORT
log              cut           CUT           SHORT
log              empty         ends          SHORT
log              missing       no-log        SHORT
log              garbage       tail          cut
log              zeros-behind  tail          cut
snapshot         flip          snapshot      snapshot
snapshot         zeros         snapshot      snapshot
snapshot         zero-hole     snapshot      snapshot
snapshot         all-zeros     snapshot      snapshot
snapshot         cut           snapshot      snapshot
snapshot         empty         snapshot      snapshot
snapshot         missing       -             -
snapshot         garbage       snapshot      snapshot
snapshot         zeros-behind  snapshot      snapshot
"""
"""File, damage, what is said after a clean stop and after a kill; in capitals what refuses the start.

Where the log is empty or gone after a clean stop, the newest metadata snapshot has all; a kill leaves nothing that says
how far it went behind it, and a log that ends before it has lost what was on the medium.
"""


def _grow(path: Path, *, is_clean: bool) -> Path:
    """A node that was started twice, then stopped or killed."""
    with run(data_dir=str(path), topics={"t": 1}, config=CONFIG) as broker, RawPeer(broker.bootstrap) as peer:
        for value in VALUES:
            assert peer.produce("t", batch_of(value)).error_code == 0
    with run(data_dir=str(path), topics={"u": 2}, config=CONFIG) as broker:
        if not is_clean:
            broker.abort()
    return path


def _damage(path: Path, how: str) -> None:
    """Change the file; a bit in the middle, unless something else is asked for."""
    if how == "missing":
        path.unlink()
        return
    path.write_bytes(damaged(path.read_bytes(), how))


def _newest(data: Path, name: str) -> Path | None:
    found = sorted(data.glob(FILES[name]))
    return found[-1] if found else None


def _contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def _started(data: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Start, read everything, stop; the complaints. Raises one of CANNOT_SERVE."""
    caplog.clear()
    with run(data_dir=str(data), config=CONFIG) as broker, RawPeer(broker.bootstrap) as peer:
        assert [record.value for record in peer.records("t")] == VALUES
        for index in range(2):
            assert peer.fetch("u", 0, partition=index).error_code == 0
    complaints = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return [f"{record.getMessage()} {record.__dict__.get('reason', '')}" for record in complaints]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """By whether the last life ended in a clean stop."""
    folder = tmp_path_factory.mktemp("grown")
    return {is_clean: _grow(folder / str(is_clean), is_clean=is_clean) for is_clean in (True, False)}


@pytest.mark.parametrize("ending", ["stopped", "killed later"])
@pytest.mark.parametrize("how", ["empty", "missing"])
def test_a_lost_metadata_log_that_no_snapshot_stands_for_refuses_the_start(
    how: str, ending: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker started without a topic, and set every log aside as a stray."""
    data = tmp_path / "data"
    config = {"node.id": 1}
    with run(data_dir=str(data), topics={"t": 1}, config=config) as broker, RawPeer(broker.bootstrap) as peer:
        assert peer.produce("t", batch_of(b"a")).error_code == 0
    if ending == "killed later":
        with run(data_dir=str(data), config=config) as broker:
            broker.abort()
    log = data / METADATA / f"{0:020d}.log"
    kept = log.read_bytes()
    _damage(log, how)
    before = _contents(data)
    for _ in range(2):
        with pytest.raises(CANNOT_SERVE, match=r"-0: ends at offset 0, before .* put the lost segments back"):
            _started(data, caplog)
        assert _contents(data) == before
    log.write_bytes(kept)
    with run(data_dir=str(data), config=config) as broker, RawPeer(broker.bootstrap) as peer:
        assert [record.value for record in peer.records("t")] == [b"a"]


def _cells() -> Iterator[Any]:
    for line in TABLE.strip().splitlines():
        file, how, *outcomes = line.split()
        for is_clean, said in zip((True, False), outcomes, strict=True):
            if said != "absent":
                ending = "clean stop" if is_clean else "kill"
                yield pytest.param(file, how, is_clean, said, id=f"{file} {how} after a {ending}")


@pytest.mark.parametrize(("file", "how", "is_clean", "said"), list(_cells()))
def test_a_damaged_node_starts_with_all_it_had_or_says_why_not(
    file: str,
    how: str,
    is_clean: bool,
    said: str,
    grown: dict[bool, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = Path(shutil.copytree(grown[is_clean], tmp_path / "data"))
    path = _newest(data, file)
    assert path is not None
    _damage(path, how)
    if said.isupper():
        before = _contents(data)
        for _ in range(2):
            with pytest.raises(CANNOT_SERVE) as refused:
                _started(data, caplog)
            assert SAID[said] in str(refused.value)
            assert _contents(data) == before
        return
    complaints = _started(data, caplog)
    assert len(complaints) == (said != "-"), complaints
    assert all(SAID[said] in complaint for complaint in complaints)
    assert _started(data, caplog) == []
