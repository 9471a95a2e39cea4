"""`kbroker check` over the directories of a broker: what only its metadata log can tell, and while it runs."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kbroker.cli.main import run as run_command
from kbroker.controller.decision import Decision
from kbroker.log.checkpoints import format_partition_metadata
from kbroker.log.meta_properties import parse_meta_properties
from kbroker.metadata.image import ResourceType
from kbroker.quorum.election import Election, format_election
from kbroker.record.batch import build_batch, iterate_batches
from kbroker.server.missing_logs import NAMED_MAX
from kbroker.testing import run
from protocol_specs import api
from protocol_specs.metadata.config import ConfigRecord
from tests.server.raw_peer import CREATE_TOPICS, WAIT_S, RawPeer, batch_of

METADATA_LOG = "a/__cluster_metadata-0"
LOG = f"{0:020}.log"
ID = bytes(range(16))


def _config(path: Path) -> dict[str, Any]:
    dirs = f"{path / 'a'},{path / 'b'}"
    return {"node.id": 1, "log.dirs": dirs, "metadata.log.max.record.bytes.between.snapshots": 1}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two directories of a broker with some topics, stopped in order."""
    path = tmp_path_factory.mktemp("grown")
    with run(topics={"t": 2, "u": 2}, config=_config(path)) as broker, RawPeer(broker.bootstrap) as peer:
        for number in range(20):
            assert peer.produce("tu"[number % 2], batch_of(b"v" * 100), partition=number // 2 % 2).error_code == 0
    return path


@pytest.fixture
def node(grown: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    return Path(shutil.copytree(grown, tmp_path / "node"))


def _check(node: Path, *flags: str) -> int:
    return run_command(["check", str(node / "a"), str(node / "b"), *flags])


def test_a_brokers_directories_are_sound(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check(node) == 0
    assert capsys.readouterr().out == ""


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def _newest_snapshot(node: Path) -> Path:
    return sorted((node / METADATA_LOG).glob("*.checkpoint"))[-1]


def _append_record(node: Path) -> None:
    """A sound batch with a record that nobody knows."""
    log = node / METADATA_LOG / LOG
    data = log.read_bytes()
    end = position = 0
    while position < len(data):
        end = int.from_bytes(data[position : position + 8], "big")
        end += int.from_bytes(data[position + 23 : position + 27], "big") + 1
        position += 12 + int.from_bytes(data[position + 8 : position + 12], "big")
    log.write_bytes(data + build_batch([(None, b"\x01\x63\0")], base_offset=end, leader_epoch=1, timestamp_ms=1))


def _meta(node: Path, directory: str = "b", **fields: Any) -> None:
    path = node / directory / "meta.properties"
    path.write_bytes(parse_meta_properties(path.read_bytes(), "")._replace(**fields).format())


def _copy_identity(node: Path) -> None:
    shutil.copy(node / "a" / "meta.properties", node / "b" / "meta.properties")


def _topic(node: Path) -> Path:
    return sorted((node / "b").glob("?-?"))[0]


DAMAGE: list[tuple[Callable[[Path], Any], str]] = [
    (lambda node: (_topic(node) / "partition.metadata").write_bytes(format_partition_metadata(ID)), "names topic id"),
    (lambda node: _topic(node).rename(node / "b" / "unheard-of-0"), "is of no partition in the metadata log"),
    (lambda node: _topic(node).rename(node / "b" / "t-7"), "is of no partition in the metadata log"),
    (lambda node: shutil.copytree(_topic(node), node / "a" / _topic(node).name), " too"),
    (_append_record, "type 99 is unknown"),
    (lambda node: _flip(_newest_snapshot(node), 100), "is damaged"),
    (lambda node: _newest_snapshot(node).write_bytes(_newest_snapshot(node).read_bytes()[:-90]), "checkpoint"),
    (lambda node: _meta(node, cluster_id="AAAAAAAAAAAAAAAAAAAAAA"), "belongs to cluster AAAAAAAAAAAAAAAAAAAAAA"),
    (lambda node: _meta(node, node_id=7), "belongs to node 7"),
    (_copy_identity, "one is a copy of the other"),
    (lambda node: (node / "b" / "meta.properties").write_bytes(b"\0\0"), "meta.properties"),
    (lambda node: (node / METADATA_LOG / "quorum-state").write_bytes(b"\0{"), "quorum-state"),
    (lambda node: _meta(node, "a", directory_id=ID), "the voter of node 1 is directory"),
    (lambda node: _meta(node, "b", directory_id=ID), "and its place is"),
    (lambda node: _topic(node).rename(node / "a" / _topic(node).name), "and its place is"),
    (lambda node: shutil.rmtree(_topic(node)), "is gone, and held records up to offset 5 at least; the next start"),
    (
        lambda node: (node / METADATA_LOG / "quorum-state").write_bytes(format_election(Election(3, 4, -1), 1)),
        "names voters [3]",
    ),
]


@pytest.mark.parametrize(("damage", "problem"), DAMAGE)
def test_what_the_metadata_log_and_the_directories_say_of_each_other_is_compared(
    damage: Callable[[Path], Any], problem: str, node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(node)
    assert _check(node) == 1
    assert problem in capsys.readouterr().out


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"\0"), Path.unlink], ids=["damaged", "missing"])
def test_repair_writes_a_topics_id_again_where_its_partition_lacks_it(
    damage: Callable[[Path], Any], node: Path
) -> None:
    """A start did, from the metadata log; --repair left the file as it was, and found it again."""
    file = _topic(node) / "partition.metadata"
    before = file.read_bytes()
    damage(file)
    assert _check(node) == 1
    assert _check(node, "--repair") == 0
    assert file.read_bytes() == before


def test_indexes_are_made_anew_at_the_topics_own_interval(tmp_path: Path) -> None:
    """They used to get an entry every 4,096 bytes, whatever the topic said."""
    message, _ = api.messages(CREATE_TOPICS)
    config = message.CreatableTopicConfig(name="index.interval.bytes", value="200")
    topic = message.CreatableTopic(name="t", num_partitions=1, replication_factor=1, configs=[config])
    with run(data_dir=str(tmp_path)) as broker, RawPeer(broker.bootstrap) as peer:
        assert peer.ask(CREATE_TOPICS, topics=[topic], timeout_ms=10_000).topics[0].error_code == 0
        for _ in range(60):
            assert peer.produce("t", batch_of(b"v" * 50)).error_code == 0
    index = tmp_path / "t-0" / f"{0:020}.index"
    before = index.read_bytes()
    assert len(before) > 80
    index.write_bytes(b"\7" * len(before))
    assert run_command(["check", str(tmp_path), "--repair"]) == 0
    assert index.read_bytes() == before


@pytest.mark.parametrize("is_dynamic", [True, False])
def test_indexes_are_made_anew_at_the_brokers_interval(tmp_path: Path, is_dynamic: bool) -> None:
    """They got an entry every 4,096 bytes where only the broker was configured."""
    name, data = "log.index.interval.bytes", tmp_path / "data"
    with run(data_dir=str(data), topics={"t": 1}, config={name: 200}) as broker, RawPeer(broker.bootstrap) as peer:
        for _ in range(60):
            assert peer.produce("t", batch_of(b"v" * 50)).error_code == 0
        if is_dynamic:
            record = ConfigRecord(resource_type=ResourceType.BROKER, resource_name="", name=name, value="200")
            _commit(broker, record)
    index = data / "t-0" / f"{0:020}.index"
    before = index.read_bytes()
    assert len(before) > 80
    index.write_bytes(b"\7" * len(before))
    properties = tmp_path / "server.properties"
    properties.write_text(f"{name}=200\n")
    flags = [] if is_dynamic else ["--config", str(properties)]
    assert run_command(["check", str(data), "--repair", *flags]) == 0
    assert index.read_bytes() == before


def _commit(broker: Any, record: Any) -> None:
    done = threading.Event()

    def propose() -> None:
        broker._broker.metadata.propose(lambda image: Decision([record], None), lambda _: done.set())

    broker._token.run_sync_soon(propose)
    assert done.wait(WAIT_S)


def test_after_a_clean_stop_a_damaged_batch_stays_and_does_not_keep_other_logs_from_repair(node: Path) -> None:
    """The log used to be cut there, with the sound batches behind it, which no start would have done."""
    first, second = sorted(node.glob("*/?-?"))[:2]
    _flip(first / LOG, 100)
    (second / f"{0:020}.index").write_bytes(b"\7" * 8)
    damaged = (first / LOG).read_bytes()
    assert _check(node, "--repair") == 1
    assert (first / LOG).read_bytes() == damaged
    assert (second / f"{0:020}.index").read_bytes() == b""


def test_a_directory_in_use_has_no_false_alarms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with run(topics={"t": 2, "u": 2}, config=_config(tmp_path)) as broker, RawPeer(broker.bootstrap) as peer:
        for _ in range(5):
            assert peer.produce("t", batch_of(b"v" * 100)).error_code == 0
        assert _check(tmp_path) == 0
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("a broker is using it") == 2
        assert _check(tmp_path, "--repair") == 1
        assert "locked" in capsys.readouterr().err


def _killed(node: Path) -> None:
    """As before the first checkpoint."""
    for name in (".kafka_cleanshutdown", *(path.name for path in node.glob("b/*-offset-checkpoint"))):
        (node / "b" / name).unlink()


def test_after_a_kill_a_partition_whose_directory_is_gone_is_found(
    node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing told of it: what a clean stop's checkpoint names was all that was looked for."""
    checkpoint = (node / "b" / "replication-offset-checkpoint").read_bytes()
    _killed(node)
    assert _check(node) == 0
    gone = _topic(node)
    shutil.rmtree(gone)
    capsys.readouterr()
    assert _check(node) == 1
    assert capsys.readouterr().out == f"{gone}: is not there; the next start makes an empty log\n"
    (node / "b" / "replication-offset-checkpoint").write_bytes(checkpoint)
    assert _check(node) == 1
    lost = f"{gone}: is gone, and held records up to offset 5 at least; the next start makes an empty log\n"
    assert capsys.readouterr().out == lost
    assert _check(node, "--repair") == 1
    assert f"lost: {lost}" in capsys.readouterr().err


def test_what_waits_for_its_removal_is_no_loss_of_the_next_topic_by_that_name(
    node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (node / "b" / ".kafka_cleanshutdown").unlink()
    gone = _topic(node)
    gone.rename(node / "b" / f"{gone.name}.{ID.hex()}-delete")
    assert _check(node) == 1
    assert capsys.readouterr().out == f"{gone}: is not there; the next start makes an empty log\n"


def test_of_many_partitions_that_were_never_made_the_first_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kill while a topic of thousands of partitions is made leaves them."""
    with run(data_dir=str(tmp_path), topics={"t": NAMED_MAX + 5}, config={"node.id": 1}) as broker:
        broker.abort()
    for directory in tmp_path.glob("t-*"):
        shutil.rmtree(directory)
    assert run_command(["check", str(tmp_path)]) == 1
    *named, others = capsys.readouterr().out.splitlines()
    assert named == [f"{tmp_path}/t-{n}: is not there; the next start makes an empty log" for n in range(NAMED_MAX)]
    assert others == f"{tmp_path}: 5 more partitions are not there; the next start makes empty logs"


def test_one_directory_alone_is_not_blamed_for_what_lies_in_the_other(node: Path) -> None:
    for name in "ab":
        assert run_command(["check", str(node / name)]) == 0


def test_offsets_that_are_missing_inside_a_segment_are_found_where_the_topic_is_not_compacted(
    node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch that was cut out of the middle was found by nobody but Kafka's dump tool."""
    log = _topic(node) / LOG
    first, _, *others = iterate_batches(log.read_bytes())
    log.write_bytes(b"".join([first, *others]))
    assert _check(node) == 1
    missing = f"{log}: offsets 1 to 1 are missing before the batch at byte {len(first)}"
    assert missing in capsys.readouterr().out
    properties = node / "server.properties"
    properties.write_text("log.cleanup.policy=compact\n")
    _check(node, "-c", str(properties))
    assert missing not in capsys.readouterr().out
