"""The generator's hand-packed bytes against the bytes that Apache Kafka wrote."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import pytest
import zstandard
from crc32c import crc32c

from tests.bench import packets

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "batches.jsonl.zst"


def test_a_batch_carries_the_checksum_of_what_follows_it():
    batch = packets.batch_of(4000, bytes(100), 1_700_000_000_000)
    (length,), (crc,) = struct.unpack_from(">i", batch.data, 8), struct.unpack_from(">I", batch.data, 17)
    assert length == len(batch.data) - 12
    assert crc == crc32c(batch.data[21:])
    assert 3800 < len(batch.data) <= 4000


def test_a_batch_is_laid_out_as_apache_kafka_lays_it_out():
    """The header of a batch of four records differs from Kafka's own in offset, epoch, length, CRC and times alone."""
    lines = zstandard.decompress(GOLDEN.read_bytes()).splitlines()
    golden = next(
        base64.b64decode(line["bytes"]) for line in map(json.loads, lines) if line["name"] == "few-magic2-none"
    )
    batch = packets.batch_of(61 + 4 * 16, b"value", 1_700_000_000_000)
    assert batch.records == 4
    assert batch.data[16] == golden[16] == 2
    assert batch.data[21:27] == golden[21:27]
    assert batch.data[43:61] == golden[43:61]


def test_one_record_is_sent_even_if_it_is_larger_than_asked():
    assert packets.batch_of(0, bytes(100), 0).records == 1


def test_an_error_in_a_fetch_answer_is_not_taken_for_records():
    answer = memoryview(struct.pack(">ibihi", 0, 0, 0, 6, 0) + bytes(40))
    with pytest.raises(packets.BrokerRefusedError, match="error 6"):
        packets.fetched_records(answer, "topic")
