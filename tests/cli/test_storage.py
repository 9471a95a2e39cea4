"""`kbroker storage`: what it writes, prints and refuses, beside Apache Kafka 4.3.1's tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from kbroker.cli.main import run
from kbroker.log.meta_properties import parse_meta_properties
from kbroker.metadata.checkpoint import read_checkpoint
from kbroker.metadata.records import decode_record
from kbroker.names import uuid_bytes, uuid_text
from kbroker.quorum.control import Voter, VoterEndpoint, voters_of

CLUSTER = "AAAAAAAAAAAAAAAAAAAAMQ"
DYNAMIC = "controller.quorum.bootstrap.servers=localhost:29093"
STATIC = "controller.quorum.voters=1@localhost:29093"
VOTERS = "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint"


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """The smallest file of a node with a dynamic quorum."""
    return properties(tmp_path, DYNAMIC, tmp_path / "data")


def properties(tmp_path: Path, quorum: str, *directories: Path, more: str = "") -> Path:
    path = tmp_path / "server.properties"
    path.write_text(f"""
        process.roles=broker,controller
        node.id=1
        {quorum}
        listeners=PLAINTEXT://localhost:29092,CONTROLLER://localhost:29093
        controller.listener.names=CONTROLLER
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
        log.dirs={",".join(map(str, directories))}
        {more}
        """)
    return path


def formatted(server: Path, *flags: str, code: int = 0) -> None:
    assert run(["storage", "format", "-t", CLUSTER, "-c", str(server), *flags]) == code


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def features(directory: Path) -> dict[str, int]:
    batches = read_checkpoint((directory / "bootstrap.checkpoint").read_bytes(), "")
    records = [decode_record(record.value or b"") for batch in batches if not batch.is_control for record in batch[1]]
    return {record.name: record.feature_level for record in records}


def test_a_standalone_controller_is_the_voter_of_its_log(server: Path, capsys) -> None:
    data = server.parent / "data"
    formatted(server, "--standalone")
    assert capsys.readouterr().out.endswith(
        f"Formatting dynamic metadata voter directory {data} with metadata.version 4.3-IV0.\n"
    )
    assert files(data) == sorted(["meta.properties", "bootstrap.checkpoint", VOTERS])
    meta = parse_meta_properties((data / "meta.properties").read_bytes(), "")
    assert (meta.cluster_id, meta.node_id) == (CLUSTER, 1)
    header, _ = read_checkpoint((data / VOTERS).read_bytes(), "")
    assert [record.key for record in header.records] == [b"\0\0\0\3", b"\0\0\0\5", b"\0\0\0\6"]
    voter = Voter(1, meta.directory_id, (VoterEndpoint("CONTROLLER", "localhost", 29093),))
    assert voters_of(header.records[2].value) == (voter,)
    assert features(data)["transaction.version"] == 2


def test_with_voters_in_the_configuration_the_log_does_not_name_them(tmp_path: Path, capsys) -> None:
    formatted(properties(tmp_path, STATIC, tmp_path / "data"))
    assert f"Formatting metadata directory {tmp_path / 'data'} with" in capsys.readouterr().out
    assert files(tmp_path / "data") == ["bootstrap.checkpoint", "meta.properties"]


def test_every_directory_has_its_own_id_and_only_one_has_the_voters(tmp_path: Path, capsys) -> None:
    a, b, m = (tmp_path / name for name in "abm")
    formatted(properties(tmp_path, DYNAMIC, a, b, more=f"metadata.log.dir={m}"), "-s")
    assert [line.split(" with ")[0] for line in capsys.readouterr().out.splitlines()[1:]] == [
        f"Formatting dynamic metadata voter directory {m}",
        f"Formatting data directory {a}",
        f"Formatting data directory {b}",
    ]
    assert files(a) == files(b) == ["bootstrap.checkpoint", "meta.properties"]
    assert VOTERS in files(m)
    metas = [parse_meta_properties((each / "meta.properties").read_bytes(), "") for each in (a, b, m)]
    assert len({meta.directory_id for meta in metas}) == 3


def test_formatting_twice_is_refused_unless_it_is_allowed(server: Path, capfd) -> None:
    formatted(server, "-s")
    before = (server.parent / "data" / "meta.properties").read_bytes()
    formatted(server, "-s", code=1)
    assert "is formatted: --ignore-formatted passes over it" in capfd.readouterr().err
    formatted(server, "-s", "-g")
    assert capfd.readouterr().out == "Nothing to format: every log directory belongs to the cluster already.\n"
    assert (server.parent / "data" / "meta.properties").read_bytes() == before


def test_a_directory_that_is_new_is_formatted_beside_those_that_are(tmp_path: Path, capsys) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    formatted(properties(tmp_path, DYNAMIC, a), "-s")
    formatted(properties(tmp_path, DYNAMIC, a, b), "-s", "-g")
    assert capsys.readouterr().out.splitlines()[-1] == f"Formatting data directory {b} with metadata.version 4.3-IV0."


@pytest.mark.parametrize(
    ("quorum", "flags", "said"),
    [
        (DYNAMIC, [], "who votes? Without controller.quorum.voters one of --standalone"),
        (STATIC, ["-s"], "controller.quorum.voters names the voters, so --standalone and --initial-controllers can't"),
        (DYNAMIC, ["-N"], "--no-initial-controllers formats a node that joins the quorum of others"),
        (DYNAMIC, ["-I", "junk"], "'junk' is not ID@HOST:PORT:DIRECTORY: there is no @"),
        (DYNAMIC, ["-I", f"2@localhost:1:{CLUSTER}"], "does not name node 1"),
        (DYNAMIC, ["-I", f"1@h:1:{CLUSTER},2@h:2:{CLUSTER}"], "several initial controllers are not served"),
        (DYNAMIC, ["-I", "1@localhost:1:short"], "is not ID@HOST:PORT:DIRECTORY"),
        (DYNAMIC, ["-s", "-f", "bogus.version=1"], "there is no feature bogus.version; there are"),
        (DYNAMIC, ["-s", "-S", "junk"], "--add-scram junk: MECHANISM=[...] is needed"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_nothing_is_written(tmp_path, capfd, quorum, flags, said) -> None:
    formatted(properties(tmp_path, quorum, tmp_path / "data"), *flags, code=1)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("kbroker: ")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("process.roles", "process.roles is not set"),
        ("node.id", "node.id is not set"),
        ("controller.listener.names", "controller.listener.names is not set"),
        ("controller.quorum.bootstrap.servers", "no quorum is named"),
        ("listeners", "no listener is named in controller.listener.names"),
    ],
)
@pytest.mark.parametrize("command", ["format", "info"])
def test_a_file_that_kafka_would_not_start_with_is_refused(server: Path, capfd, left_out, said, command) -> None:
    """Only `serve` has defaults for these; a directory that was formatted without is none that Kafka then opens."""
    lines = [line for line in server.read_text().splitlines() if not line.strip().startswith(f"{left_out}=")]
    server.write_text("\n".join(lines))
    flags = ["-s", "-t", CLUSTER] if command == "format" else []
    assert run(["storage", command, "-c", str(server), *flags]) == 4
    err = capfd.readouterr().err
    assert err.startswith(f"kbroker: {server}: {said}")
    assert err.count("\n") == 1
    assert not (server.parent / "data").exists()


def test_broker_id_and_voters_are_as_good_as_their_successors(server: Path) -> None:
    text = server.read_text().replace("node.id=1", "broker.id=1").replace(DYNAMIC, STATIC)
    server.write_text(text)
    formatted(server)


def test_a_directory_that_is_named_twice_is_formatted_once(tmp_path: Path, capsys) -> None:
    """As by Kafka's tool, which compares names as they are written. It used to be refused."""
    data = tmp_path / "data"
    formatted(properties(tmp_path, DYNAMIC, data, data), "-s")
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("Formatting")] == [
        f"Formatting dynamic metadata voter directory {data} with metadata.version 4.3-IV0."
    ]


def test_a_slash_at_the_end_makes_no_other_directory_of_it(tmp_path: Path, capsys) -> None:
    """It was formatted twice, the second time with an id that its voters don't know: no broker started with it."""
    server = properties(tmp_path, DYNAMIC, tmp_path / "data", more=f"metadata.log.dir={tmp_path}/./data/")
    formatted(server, "--standalone")
    assert capsys.readouterr().out.count("Formatting ") == 1
    assert run(["check", str(tmp_path / "data")]) == 0


@pytest.mark.parametrize("quorum", [DYNAMIC, STATIC])
def test_what_was_formatted_is_sound(tmp_path: Path, capsys, quorum: str) -> None:
    """`kbroker check` missed the partition.metadata of a log that the first start begins."""
    server = properties(tmp_path, quorum, tmp_path / "a", tmp_path / "b")
    formatted(server, *(["--standalone"] if quorum == DYNAMIC else []))
    capsys.readouterr()
    assert run(["check", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert capsys.readouterr().out == ""


def test_a_directory_without_a_name_is_refused_before_anything_is_written(tmp_path: Path, capfd) -> None:
    """The others used to be formatted first."""
    formatted(properties(tmp_path, DYNAMIC, tmp_path / "data", more="log.dirs=a,"), "-s", code=4)
    assert "log.dirs=a,: an entry is empty" in capfd.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_directory_of_another_cluster_is_refused_even_when_formatted_ones_are_ignored(server: Path, capfd) -> None:
    formatted(server, "-s")
    assert run(["storage", "format", "-s", "-g", "-t", "other", "-c", str(server)]) == 1
    assert f"meta.properties is of cluster {CLUSTER}, not other" in capfd.readouterr().err


def test_the_one_initial_controller_brings_its_directory_id(server: Path) -> None:
    directory_id = uuid_text(bytes(range(16)))
    formatted(server, "-I", f"1@example.com:9093:{directory_id}")
    data = server.parent / "data"
    assert uuid_text(parse_meta_properties((data / "meta.properties").read_bytes(), "").directory_id) == directory_id
    header, _ = read_checkpoint((data / VOTERS).read_bytes(), "")
    (voter,) = voters_of(header.records[2].value)
    assert voter == Voter(1, uuid_bytes(directory_id), (VoterEndpoint("CONTROLLER", "example.com", 9093),))


def test_info_says_what_is_there_and_what_is_amiss(tmp_path: Path, capsys) -> None:
    a, b, c = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    formatted(properties(tmp_path, DYNAMIC, a), "-s")
    b.mkdir()
    server = properties(tmp_path, DYNAMIC, a, b, c)
    capsys.readouterr()
    assert run(["storage", "info", "-c", str(server)]) == 1
    meta = parse_meta_properties((a / "meta.properties").read_bytes(), "")
    assert capsys.readouterr().out == (
        f"Found log directories:\n  {a}\n  {b}\n\n"
        f"Found metadata: {{cluster.id={CLUSTER}, directory.id={uuid_text(meta.directory_id)}, node.id=1, version=1}}\n"
        f"\nFound problems:\n  {b} is not formatted.\n  {c} does not exist\n\n"
    )
    properties(tmp_path, DYNAMIC, a)
    assert run(["storage", "info", "-c", str(server)]) == 0


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        ("cluster.id=B\nnode.id=2", "Mismatched cluster IDs between storage directories."),
        ("cluster.id=A\nnode.id=2", "Mismatched node IDs between storage directories."),
    ],
)
def test_info_names_directories_that_do_not_belong_together(tmp_path: Path, capsys, second: str, problem: str) -> None:
    a, b, c = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    for directory, meta in ((a, "cluster.id=A\nnode.id=1"), (b, second)):
        directory.mkdir()
        (directory / "meta.properties").write_text(f"version=1\n{meta}\n")
    c.write_text("a file")
    assert run(["storage", "info", "-c", str(properties(tmp_path, DYNAMIC, a, b, c))]) == 1
    assert capsys.readouterr().out.endswith(f"Found problems:\n  {c} is not a directory\n  {problem}\n\n")


def test_a_random_uuid_is_one(capsys) -> None:
    assert run(["storage", "random-uuid"]) == 0
    assert len(uuid_bytes(capsys.readouterr().out.strip())) == 16


def test_a_file_that_is_not_there_is_a_mistake_in_the_configuration(tmp_path: Path, capfd) -> None:
    formatted(tmp_path / "nosuch.properties", "-s", code=4)
    assert "nosuch.properties: No such file" in capfd.readouterr().err
