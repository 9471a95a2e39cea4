"""The declarations as a whole: nothing missing, nothing nameless, the same rules everywhere.

That each one has the right bytes is proven by frames that Apache Kafka wrote (tests/wire/test_golden.py); the record
formats, which Kafka doesn't generate, are compared with Kafka's batches here.
"""

import ast
import base64
import importlib
import io
import json
import pathlib
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import zstandard

import protocol_specs
from protocol_specs import api, metadata
from protocol_specs.disk.index_entries import OffsetIndexEntry, TimeIndexEntry, TransactionIndexEntry
from protocol_specs.disk.legacy_message import LegacyMessage
from protocol_specs.disk.record_batch import Record, RecordBatchHeader
from protocol_specs.errors import ErrorCode
from protocol_specs.grammar import Array, Message, Struct

ROOT = pathlib.Path(protocol_specs.__file__).parent
BATCHES = pathlib.Path(__file__).parent.parent / "golden" / "batches.jsonl.zst"
FOLDERS = ("api", "disk", "group", "metadata", "raft", "remote", "share", "txn")

# Key: lowest and highest version of Kafka 3.9.1 and 4.3.1 together (share drafts of 3.9 apart), from their jars.
VERSIONS = """
0:0-13 1:0-18 2:0-11 3:0-13 8:0-10 9:0-10 10:0-6 11:0-9 12:0-4 13:0-5 14:0-5 15:0-6 16:0-5 17:0-1 18:0-4 19:0-7 20:0-6
21:0-2 22:0-6 23:0-4 24:0-5 25:0-4 26:0-5 27:0-2 28:0-5 29:0-3 30:0-3 31:0-3 32:0-4 33:0-2 34:0-2 35:0-5 36:0-2 37:0-3
38:0-3 39:0-2 40:0-2 41:0-3 42:0-2 43:0-2 44:0-1 45:0-1 46:0-0 47:0-0 48:0-1 49:0-1 50:0-0 51:0-0 52:0-2 53:0-1 54:0-1
55:0-2 56:0-3 57:0-2 58:0-0 59:0-1 60:0-2 61:0-0 62:0-4 63:0-2 64:0-0 65:0-0 66:0-2 67:0-0 68:0-1 69:0-1 70:0-0 71:0-0
72:0-0 73:0-0 74:0-1 75:0-0 76:1-1 77:1-1 78:1-2 79:1-2 80:0-1 81:0-0 82:0-0 83:0-0 84:0-0 85:0-1 86:0-0 87:0-1 88:0-0
89:0-0 90:0-1 91:0-0 92:0-0
"""
EXPECTED = [tuple(map(int, re.split("[:-]", entry))) for entry in VERSIONS.split()]

# Record types of the coordinators' topics; 9 and 18 were never released.
COORDINATOR_TYPES = {"group": {*range(9), *range(10, 18), *range(19, 24)}, "txn": {0}, "share": {0, 1}}
METADATA_TYPES = {0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 14, 15, *range(17, 29)}


def declaring_files() -> list[pathlib.Path]:
    """Every file that declares messages."""
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py")) if path.stem != "__init__"]
    return [*files, ROOT / "principal.py"]


def messages_in(path: pathlib.Path) -> Iterator[Message]:
    """The messages that a file declares."""
    name = ".".join(["protocol_specs", *path.relative_to(ROOT).with_suffix("").parts])
    return (value for value in vars(importlib.import_module(name)).values() if isinstance(value, Message))


def all_messages() -> list[Message]:
    return [message for path in declaring_files() for message in messages_in(path)]


def structs_of(struct: Struct) -> Iterator[Struct]:
    """The struct and all nested ones, each place separately."""
    yield struct
    for field in struct.fields:
        kind = field.kind
        while isinstance(kind, Array):
            kind = kind.element
        if isinstance(kind, Struct):
            yield from structs_of(kind)


@pytest.mark.parametrize(("key", "lowest", "highest"), EXPECTED)
def test_every_api_key_is_declared_in_each_version_of_kafka_3_9_and_4_3(key: int, lowest: int, highest: int) -> None:
    for message, kind in zip(api.messages(key), ("Request", "Response"), strict=True):
        assert (message.key, message.lowest, message.highest) == (key, lowest, highest)
        assert message.name == api.api_name(key) + kind
    assert api.messages(key)[0].flexible_from == api.messages(key)[1].flexible_from


def test_the_keys_are_those_of_kafka_4_3_without_the_four_that_ended_with_zookeeper() -> None:
    assert [key for key, _, _ in EXPECTED] == [key for key in range(93) if key not in range(4, 8)]
    assert list(api.SNAKE_NAMES) == [key for key, _, _ in EXPECTED]


@pytest.mark.parametrize("folder", sorted(COORDINATOR_TYPES))
def test_every_record_type_of_a_coordinator_has_a_key_and_a_value(folder: str) -> None:
    declared = [m for path in declaring_files() if path.parent.name == folder for m in messages_in(path)]
    assert {m.key for m in declared if m.name.endswith("Key")} == COORDINATOR_TYPES[folder]
    assert {m.key for m in declared if m.name.endswith("Value")} == COORDINATOR_TYPES[folder]
    assert not any(m.is_flexible(m.highest) for m in declared if m.name.endswith("Key"))


def test_every_record_of_the_metadata_log_is_found_by_its_type() -> None:
    assert set(metadata.RECORDS) == METADATA_TYPES
    declared = [m for path in declaring_files() if path.parent.name == "metadata" for m in messages_in(path)]
    assert {m.key: m for m in declared} == metadata.RECORDS


@pytest.mark.parametrize("path", declaring_files(), ids=lambda path: path.stem)
def test_a_declaration_needs_the_grammar_alone_and_says_what_it_is(path: pathlib.Path) -> None:
    tree = ast.parse(path.read_text())
    imports = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imports <= {"protocol_specs.grammar", "typing"}
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))
    assert len(ast.get_docstring(tree) or "") > 30
    assert path.stem == "text_files" or list(messages_in(path))


@pytest.mark.parametrize(
    "path",
    # In the four left out, comments stand where a name does not speak for itself.
    [path for path in declaring_files() if not re.match("k(00|01|03|18)_", path.stem)],
    ids=lambda path: path.stem,
)
def test_every_field_is_explained_on_its_line_or_just_above(path: pathlib.Path) -> None:
    lines = path.read_text().splitlines()
    for above, line in pairwise(lines):
        if re.match(r' +"\w+" / ', line):
            assert re.search(r"  # \S+", line) or re.match(r" +# \S+", above), line


@pytest.mark.parametrize("message", all_messages(), ids=lambda message: message.name)
def test_within_a_message_the_name_of_a_struct_means_one_shape(message: Message) -> None:
    shapes: dict[str, Any] = {}
    for struct in structs_of(message):
        assert shapes.setdefault(struct.name, struct.fields) is struct.fields


@pytest.mark.parametrize("message", all_messages(), ids=lambda message: message.name)
def test_options_stay_within_the_versions_of_their_message(message: Message) -> None:
    for struct in structs_of(message):
        tags = [field.kind.options.tag for field in struct.fields if field.kind.options.tag is not None]
        assert sorted(tags) == list(range(len(tags)))
        for field in struct.fields:
            options = field.kind.options
            assert options.since <= message.highest
            assert options.until >= message.lowest
            assert options.tag is None or message.is_flexible(message.highest)


@cache
def golden_batches(magic: int) -> list[dict[str, Any]]:
    with BATCHES.open("rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file))
        return [batch for batch in map(json.loads, lines) if batch["magic"] == magic]


def test_the_header_of_a_record_batch_is_read_as_kafka_reads_it() -> None:
    golden = golden_batches(2)
    assert len(golden) > 10
    for line in golden:
        (expected, *_) = line["batches"]
        data = base64.b64decode(line["bytes"])
        header = RecordBatchHeader.parse_version(2, data)
        assert header.base_offset == expected["base_offset"]
        assert header.base_offset + header.last_offset_delta == expected["last_offset"]
        assert header.batch_length + 12 == expected["size_bytes"]
        assert (header.magic, header.crc, header.attributes) == (2, expected["crc"], expected["attributes"])
        assert header.partition_leader_epoch == expected["leader_epoch"]
        assert header.max_timestamp == expected["max_timestamp"]
        assert (header.producer_id, header.producer_epoch) == (expected["producer_id"], expected["producer_epoch"])
        assert header.base_sequence == expected["base_sequence"]
        assert RecordBatchHeader.build_version(2, header) == data[:61]


def test_records_are_read_as_kafka_reads_them() -> None:
    (line,) = [line for line in golden_batches(2) if line["name"] == "few-magic2-none"]
    data = base64.b64decode(line["bytes"])
    header = RecordBatchHeader.parse_version(2, data)
    rest = data[61:]
    assert header.records_count == len(line["records"]) > 1
    for expected in line["records"]:
        record = Record.parse_version(2, rest)
        size = record.length + 1  # these are short: one byte of length
        assert Record.build_version(2, record) == rest[:size]
        assert header.base_offset + record.offset_delta == expected["offset"]
        assert header.base_timestamp + record.timestamp_delta == expected["timestamp"]
        assert [record.key, record.value] == [decoded(expected["key"]), decoded(expected["value"])]
        assert [[h.key, h.value] for h in record.headers] == [[k, decoded(v)] for k, v in expected["headers"]]
        rest = rest[size:]
    assert not rest


@pytest.mark.parametrize("magic", [0, 1])
def test_legacy_messages_are_read_as_kafka_reads_them(magic: int) -> None:
    (line,) = [line for line in golden_batches(magic) if line["name"] == f"few-magic{magic}-none"]
    rest = base64.b64decode(line["bytes"])
    for expected in line["records"]:
        message = LegacyMessage.parse_version(magic, rest)
        size = message.message_size + 12
        assert LegacyMessage.build_version(magic, message) == rest[:size]
        assert (message.magic, message.offset) == (magic, expected["offset"])
        assert message.timestamp == expected["timestamp"]
        assert [message.key, message.value] == [decoded(expected["key"]), decoded(expected["value"])]
        rest = rest[size:]
    assert not rest


def decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


@pytest.mark.parametrize(
    ("entry", "size"),
    [(OffsetIndexEntry, 8), (TimeIndexEntry, 12), (TransactionIndexEntry, 34), (RecordBatchHeader, 61)],
)
def test_rows_of_fixed_size_have_kafkas_size(entry: Message, size: int) -> None:
    assert len(entry.build_version(entry.lowest, entry())) == size


def test_error_codes_are_kafkas_with_a_meaning_each() -> None:
    assert [error.value for error in ErrorCode] == list(range(-1, 134))
    assert all(error.meaning for error in ErrorCode)
    assert ErrorCode(6) is ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert ErrorCode.UNKNOWN_TOPIC_OR_PARTITION.is_retriable
    assert not ErrorCode.OFFSET_OUT_OF_RANGE.is_retriable
    # Counted in Kafka 4.3.1: exceptions that extend RetriableException.
    assert sum(error.is_retriable for error in ErrorCode) == 32
