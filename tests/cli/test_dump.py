"""`kbroker dump`: what the declarations say about bytes, and damage told with its place."""

from __future__ import annotations

import json
import shlex
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kbroker.cli.main import run
from kbroker.record.batch import build_batch
from kbroker.record.compression import Codec
from kbroker.testing import run as run_broker
from kbroker.wire import codec
from protocol_specs import api
from protocol_specs.disk.legacy_message import LegacyMessage
from protocol_specs.disk.producer_snapshot import ProducerSnapshot
from protocol_specs.headers import RequestHeader

TOPIC_ID = bytes(range(16))


class Dump:
    """Runs `kbroker dump` on bytes and reads what it prints."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys

    def rows(self, kind: str, data: bytes, *flags: str, name: str = "file", code: int = 0) -> list[dict[str, Any]]:
        """The rows as JSON lines say them; `error` holds stderr afterwards."""
        path = self._folder / name
        path.write_bytes(data)
        assert run(["dump", kind, *flags, "-f", "jsonl", str(path)]) == code
        captured = self._capsys.readouterr()
        self.error = captured.err
        return [json.loads(line) for line in captured.out.splitlines()]

    def text(self, kind: str, data: bytes, *flags: str, name: str = "file") -> str:
        """The rows as people read them."""
        path = self._folder / name
        path.write_bytes(data)
        assert run(["dump", kind, *flags, str(path)]) == 0
        return self._capsys.readouterr().out


@pytest.fixture
def dump(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Dump:
    return Dump(tmp_path, capsys)


def _fetch_body() -> bytes:
    request, _ = api.messages(1)
    partition = request.FetchPartition(partition=2, fetch_offset=9, partition_max_bytes=100)
    topic = request.FetchTopic(topic_id=TOPIC_ID, partitions=[partition])
    return codec.encode(request, 13, request(max_wait_ms=7, topics=[topic], rack_id="r"))


FETCH = ("--key", "1", "--api-version", "13", "--request")


def test_a_body_is_shown_field_by_field(dump: Dump) -> None:
    rows = {row["path"]: row for row in dump.rows("frame", _fetch_body(), *FETCH)}
    assert rows["max_wait_ms"]["value"] == 7
    assert rows["topics[0].topic_id"]["value"] == "AAECAwQFBgcICQoLDA0ODw"
    assert rows["topics[0].partitions[0].fetch_offset"] | {"position": 0} == {
        "position": 0,
        "size": 8,
        "path": "topics[0].partitions[0].fetch_offset",
        "type": "Offset",
        "value": 9,
    }
    assert rows["rack_id"]["value"] == "r"


def test_a_frame_from_the_wire_has_its_size_and_header_shown(dump: Dump) -> None:
    header = RequestHeader(request_api_key=1, request_api_version=13, correlation_id=77, client_id="me")
    frame = codec.encode(RequestHeader, 2, header) + _fetch_body()
    rows = dump.rows("frame", struct.pack(">i", len(frame)) + frame, *FETCH)
    assert [row["path"] for row in rows[:5]] == [
        "size",
        "header.request_api_key",
        "header.request_api_version",
        "header.correlation_id",
        "header.client_id",
    ]
    assert (rows[3]["value"], rows[4]["value"], rows[-1]["path"]) == (77, "me", "rack_id")


def test_a_response_is_read_by_the_versions_own_header(dump: Dump) -> None:
    _, response = api.messages(3)
    value = response(brokers=[response.MetadataResponseBroker(node_id=1, host="h", port=9)], cluster_id="c")
    frame = b"".join(bytes(chunk) for chunk in codec.encode_response(response, 12, 5, value))
    rows = {row["path"]: row for row in dump.rows("frame", frame, "--key", "3", "--api-version", "12", "--response")}
    assert rows["header.correlation_id"]["value"] == 5
    assert (rows["brokers[0].host"]["value"], rows["cluster_id"]["value"]) == ("h", "c")


def test_a_damaged_frame_is_shown_as_far_as_it_goes(dump: Dump) -> None:
    rows = dump.rows("frame", _fetch_body()[:30], *FETCH, code=1)
    assert rows[-1]["path"] == "session_epoch"
    assert "topics at byte 25: 1 elements of at least 18 bytes, 4 bytes are left" in dump.error
    assert "Traceback" not in dump.error


def test_bytes_behind_a_body_are_told(dump: Dump) -> None:
    rows = dump.rows("frame", _fetch_body() + b"junk", *FETCH)
    assert (rows[-1]["type"], rows[-1]["value"], rows[-1]["size"]) == ("left over", "junk", 4)


@pytest.mark.parametrize(("key", "version"), [("4", "0"), ("999", "0"), ("1", "99")])
def test_an_api_that_is_not_declared_is_one_line(key: str, version: str, dump: Dump) -> None:
    assert dump.rows("frame", b"", "--key", key, "--api-version", version, code=1) == []
    assert f"has no version {version}" in dump.error


def _segment() -> bytes:
    records = [(b"k", b"v1", ()), (None, b"\xff", (("h", b"1"),)), (b"k", None, ())]
    first = build_batch(records, timestamp_ms=1000, base_offset=5, leader_epoch=2)
    second = build_batch([(b"z", b"zz", ())], timestamp_ms=2000, base_offset=8, leader_epoch=2, codec=Codec.LZ4)
    return bytes(first) + bytes(second)


def test_a_segment_is_batches_and_their_records(dump: Dump) -> None:
    rows = dump.rows("segment", _segment(), "--records")
    batches = [row for row in rows if "codec" in row]
    assert [(b["base_offset"], b["last_offset"], b["codec"], b["is_valid"]) for b in batches] == [
        (5, 7, "none", True),
        (8, 8, "lz4", True),
    ]
    records = [row for row in rows if "value" in row]
    assert [(r["offset"], r["key"], r["value"], r["headers"]) for r in records] == [
        (5, "k", "v1", {}),
        (6, None, "0xff", {"h": "1"}),
        (7, "k", None, {}),
        (8, "z", "zz", {}),
    ]


def test_a_wrong_checksum_is_shown_not_hidden(dump: Dump) -> None:
    damaged = bytearray(_segment())
    damaged[70] ^= 1
    assert [row["is_valid"] for row in dump.rows("segment", bytes(damaged))] == [False, True]


def test_zeros_allocated_in_advance_end_a_segment(dump: Dump) -> None:
    assert len(dump.rows("segment", _segment() + bytes(100))) == 2


def test_a_cut_segment_is_shown_as_far_as_it_goes(dump: Dump) -> None:
    assert len(dump.rows("segment", _segment()[:-3], code=1)) == 1
    assert "is cut" in dump.error


def test_old_messages_are_shown_too(dump: Dump) -> None:
    message = LegacyMessage(offset=3, message_size=0, crc=1, magic=1, attributes=0, timestamp=9, key=None, value=b"old")
    data = bytearray(LegacyMessage.build_version(1, message))
    struct.pack_into(">i", data, 8, len(data) - 12)
    (row,) = dump.rows("segment", bytes(data))
    assert (row["offset"], row["magic"], row["timestamp"], row["value"]) == (3, 1, 9, "old")


def test_indexes_show_absolute_offsets_and_no_padding(dump: Dump) -> None:
    data = struct.pack(">iiii", 3, 4096, 9, 8448) + bytes(64)
    name = "00000000000000000100.index"
    assert dump.rows("index", data, name=name) == [
        {"offset": 103, "position": 4096},
        {"offset": 109, "position": 8448},
    ]
    times = struct.pack(">qi", 1_700_000_000_000, 4) + bytes(120)
    assert dump.rows("timeindex", times, name="00000000000000000100.timeindex") == [
        {"timestamp": 1_700_000_000_000, "offset": 104}
    ]
    aborted = struct.pack(">hqqqq", 0, 7, 10, 20, 30)
    (row,) = dump.rows("txnindex", aborted)
    assert (row["producer_id"], row["first_offset"], row["last_stable_offset"]) == (7, 10, 30)


def test_a_cut_index_says_so(dump: Dump) -> None:
    dump.rows("txnindex", struct.pack(">hqqqq", 0, 7, 10, 20, 30)[:-1], code=1)
    assert "the last entry is cut" in dump.error


def test_a_producer_snapshot_is_its_producers(dump: Dump) -> None:
    producer = ProducerSnapshot.ProducerEntry(producer_id=4000, epoch=1, last_sequence=9, last_offset=99)
    body = ProducerSnapshot.build_version(1, ProducerSnapshot(crc=0, producer_entries=[producer]))
    (row,) = dump.rows("snapshot", struct.pack(">h", 1) + body)
    assert (row["producer_id"], row["last_offset"]) == (4000, 99)


def test_a_checkpoint_is_its_rows(dump: Dump) -> None:
    text = b"0\n2\norders 0 1500\norders 1 1498\n"
    assert dump.rows("checkpoint", text, name="recovery-point-offset-checkpoint")[1] == {
        "topic": "orders",
        "partition": 1,
        "offset": 1498,
    }
    assert dump.rows("checkpoint", b"0\n1\n3 77\n", name="leader-epoch-checkpoint") == [
        {"epoch": 3, "start_offset": 77}
    ]
    dump.rows("checkpoint", b"0\n3\n3 77\n", code=1)
    assert "line 2 promises 3" in dump.error


def test_a_metadata_log_is_its_records(tmp_path: Path, dump: Dump) -> None:
    data = tmp_path / "data"
    with run_broker(data_dir=str(data), topics={"orders": 2}):
        pass
    log = (data / "__cluster_metadata-0" / "00000000000000000000.log").read_bytes()
    rows = dump.rows("metadata", log)
    assert any(row.get("control") == "leader_change" for row in rows)
    topic = next(row["data"] for row in rows if row.get("type") == "TopicRecord")
    assert topic["name"] == "orders"
    assert len(topic["topic_id"]) == 22
    assert [row["data"]["partition_id"] for row in rows if row.get("type") == "PartitionRecord"] == [0, 1]
    assert [row["offset"] for row in rows] == list(range(len(rows)))


def test_text_is_names_and_values(dump: Dump) -> None:
    text = dump.text("checkpoint", b"0\n1\n3 77\n", name="leader-epoch-checkpoint")
    assert text == "epoch=3 start_offset=77\n"
    assert 'value="a b"' in dump.text("segment", bytes(build_batch([(None, b"a b", ())], timestamp_ms=1)), "--records")


def test_an_empty_checkpoint_has_no_rows(dump: Dump) -> None:
    """Apache Kafka makes its cleaner's checkpoint so; it used to be called malformed."""
    assert dump.text("checkpoint", b"", name="cleaner-offset-checkpoint") == ""


def test_a_reader_that_leaves_early_is_no_error_of_ours(tmp_path: Path) -> None:
    """As in `kbroker dump segment FILE | head -1`."""
    file = tmp_path / "0.log"
    file.write_bytes(_segment() * 2000)
    command = f"{shlex.quote(sys.executable)} -m kbroker dump segment {shlex.quote(str(file))} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_a_missing_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dump", "segment", "/nowhere/0.log"]) == 1
    assert capsys.readouterr().err == "kbroker: /nowhere/0.log: No such file or directory\n"
