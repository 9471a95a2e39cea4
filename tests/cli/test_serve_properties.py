"""`kbroker serve server.properties`: a single-node KRaft file of Apache Kafka, unchanged."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kbroker.cli.main import run as run_command
from kbroker.cli.settings import Flags, load_config
from kbroker.config import BrokerConfig, Setting
from kbroker.config.endpoints import controllers_of
from kbroker.config.sources import Origin, Source
from kbroker.metadata.delta import MetadataDelta
from kbroker.metadata.image import MetadataImage
from kbroker.metadata.records import decode_record
from kbroker.names import uuid_bytes
from kbroker.quorum.control import control_type, voters_of
from kbroker.record.batch import iterate_batches, iterate_records, read_header
from kbroker.testing.in_process import InProcessBroker

CLUSTER = "AAAAAAAAAAAAAAAAAAAAMQ"
METADATA_LOG = "__cluster_metadata-0/00000000000000000000.log"

SHIPPED = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
"""
"""The keys and values of config/server.properties as Apache Kafka 4 ships it."""


def properties(tmp_path: Path, **changes: str) -> Path:
    """The shipped file with other directories and ports, and other values where named."""
    settings = dict(line.split("=", 1) for line in SHIPPED.split())
    settings |= {"log.dirs": str(tmp_path / "data"), "listeners": "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"}
    settings |= {"advertised.listeners": "CONTROLLER://localhost:29093", "offsets.topic.num.partitions": "1"}
    settings |= {name.replace("_", "."): value for name, value in changes.items()}
    path = tmp_path / "server.properties"
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items() if value))
    return path


def formatted(tmp_path: Path, *flags: str, **changes: str) -> BrokerConfig:
    """The configuration of a formatted directory."""
    file = str(properties(tmp_path, **changes))
    assert run_command(["storage", "format", "-t", CLUSTER, "-c", file, *flags]) == 0
    return load_config(Flags(properties=file))


def lived(config: BrokerConfig) -> None:
    """Start the broker and stop it."""
    broker = InProcessBroker(config)
    broker.start()
    broker.stop()


def metadata_batches(tmp_path: Path) -> Iterator[memoryview]:
    return iterate_batches((tmp_path / "data" / METADATA_LOG).read_bytes())


def replayed(tmp_path: Path) -> MetadataImage:
    delta = MetadataDelta(MetadataImage())
    for batch in metadata_batches(tmp_path):
        if not read_header(batch).is_control:
            delta.replay_all(decode_record(record.value or b"") for record in iterate_records(batch))
    return delta.apply(0, 0)


def control_kinds(tmp_path: Path) -> list[int]:
    return [
        control_type(record.key or b"")
        for batch in metadata_batches(tmp_path)
        if read_header(batch).is_control
        for record in iterate_records(batch)
    ]


def test_the_file_that_kafka_ships_is_taken_as_it_is() -> None:
    origin = Origin(Source.FILE, "server.properties")
    settings = [Setting(*line.split("=", 1), origin) for line in SHIPPED.split()]
    config = BrokerConfig.resolve(settings)
    assert not config.remarks.warnings
    assert [(each.name, each.port) for each in config.listeners] == [("PLAINTEXT", 9092)]
    assert config.advertised == {"PLAINTEXT": ("localhost", 9092)}
    assert [str(each) for each in controllers_of(config)] == ["CONTROLLER://localhost:9093"]


@pytest.mark.parametrize(
    ("quorum", "flag"),
    [({}, "--standalone "), ({"controller_quorum_voters": "1@localhost:9093"}, "")],
)
def test_an_unformatted_directory_is_refused_with_the_command_that_formats_it(tmp_path, capfd, quorum, flag) -> None:
    file = properties(tmp_path, **quorum)
    assert run_command(["serve", str(file)]) == 3
    last = capfd.readouterr().err.splitlines()[-1]
    assert last == (
        f"kbroker: {tmp_path / 'data'} has no meta.properties: format it with kbroker storage format {flag}"
        f'--cluster-id "$(kbroker storage random-uuid)" --config {file}'
    )
    assert not (tmp_path / "data").exists()


def test_each_of_several_directories_must_be_formatted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One whose disk wasn't mounted was formatted without a word, and its partitions were somebody else's."""
    two = f"{tmp_path / 'data'},{tmp_path / 'more'}"
    formatted(tmp_path, "--standalone", log_dirs=two)
    (tmp_path / "more" / "meta.properties").unlink()
    assert run_command(["serve", str(tmp_path / "server.properties")]) == 3
    assert f"{tmp_path / 'more'} has no meta.properties:" in capfd.readouterr().err


def test_a_formatted_directory_begins_with_what_was_asked_for(tmp_path: Path) -> None:
    config = formatted(
        tmp_path, "--standalone", "--feature", "share.version=0", "-S", "SCRAM-SHA-256=[name=a,password=p]"
    )
    lived(config)
    image = replayed(tmp_path)
    assert image.features == {
        "metadata.version": 30,
        "eligible.leader.replicas.version": 1,
        "group.version": 1,
        "streams.version": 1,
        "transaction.version": 2,
    }
    assert [*image.scram] == [(1, "a")]
    assert image.configs[4, ""] == {"min.insync.replicas": "1"}
    assert control_kinds(tmp_path) == [2, 5, 6]
    lived(config)
    assert control_kinds(tmp_path) == [2, 5, 6, 2]
    assert f"cluster.id={CLUSTER}" in (tmp_path / "data" / "meta.properties").read_text()


def test_with_voters_in_the_file_the_log_does_not_name_them(tmp_path: Path) -> None:
    changes = {"controller_quorum_voters": "1@localhost:29093", "controller_quorum_bootstrap_servers": ""}
    lived(formatted(tmp_path, **changes))
    assert control_kinds(tmp_path) == [2]
    assert '"data_version":0' in (tmp_path / "data" / "__cluster_metadata-0" / "quorum-state").read_text()


def test_a_broker_without_a_file_formats_its_own_directory_so_that_kafka_can_go_on(tmp_path: Path) -> None:
    """Without voters in its log an Apache Kafka node with bootstrap servers waited for a quorum for ever."""
    lived(BrokerConfig.of({"log.dirs": str(tmp_path / "data"), "listeners": "PLAINTEXT://127.0.0.1:0"}))
    assert control_kinds(tmp_path) == [2, 5, 6]
    first = next(metadata_batches(tmp_path))
    (voter,) = voters_of([*iterate_records(first)][2].value or b"")
    stated = (tmp_path / "data" / "meta.properties").read_text().split("directory.id=")[1].split()[0]
    assert (voter.node_id, voter.directory_id) == (1, uuid_bytes(stated))
    assert [endpoint.name for endpoint in voter.endpoints] == ["CONTROLLER"]


def test_nobody_answers_on_the_controllers_listener(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listeners = f"PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:{port}"
        # Were it opened, the start would fail: the port is somebody else's.
        lived(formatted(tmp_path, "--standalone", listeners=listeners))


def test_a_damaged_bootstrap_file_stops_the_start_in_words(tmp_path: Path, capfd) -> None:
    formatted(tmp_path, "--standalone")
    path = tmp_path / "data" / "bootstrap.checkpoint"
    path.write_bytes(path.read_bytes()[:-1])
    assert run_command(["serve", str(tmp_path / "server.properties")]) == 3
    said = capfd.readouterr().err.splitlines()[-1]
    assert "bootstrap.checkpoint" in said
    assert "is damaged" in said
