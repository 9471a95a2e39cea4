"""What a log takes, what it refuses and with which of Kafka's errors, and what it writes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from kbroker.log import time_search
from kbroker.log.outcome import Appended, Origin, Refused, Stage
from kbroker.log.settings import LogSettings
from kbroker.record.batch import (
    HEADER_BYTES,
    build_batch,
    checksum_matches,
    iterate_batches,
    iterate_records,
    read_header,
    restamp_checksum,
)
from kbroker.record.compression import Codec, compress
from kbroker.record.skim import skim_records
from kbroker.testing.simulated_disk import SimulatedDisk
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from log_workshop import Workshop

HOUR_MS = 3600 * 1000


def test_offsets_are_dense_and_stamped_in_place_with_the_leaders_epoch(shop: Workshop) -> None:
    assert (shop.append(3).base_offset, shop.append(2, epoch=7).base_offset) == (0, 3)
    batches = list(iterate_batches(shop.bytes_of(shop.read(0))))
    headers = [read_header(batch) for batch in batches]
    assert [(h.base_offset, h.last_offset, h.partition_leader_epoch) for h in headers] == [(0, 2, 0), (3, 4, 7)]
    assert all(checksum_matches(batch, header) for batch, header in zip(batches, headers, strict=True))
    assert (shop.log.log_end, shop.log.written_end, shop.log.latest_epoch) == (5, 5, 7)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_read_only_and_writable_buffers_are_stored_alike(shop: Workshop, kind: Callable[[Any], Any]) -> None:
    shop.append()
    original = shop.batch(2)
    outcome = shop.log.append_as_leader(kind(original), 4)
    assert isinstance(outcome, Appended)
    header = read_header(shop.bytes_of(shop.read(1)))
    assert (header.base_offset, header.partition_leader_epoch, header.records_count) == (1, 4, 2)
    assert shop.offsets() == [0, 1, 2]


@pytest.mark.parametrize("compression", ["producer", "lz4"])
def test_a_clients_claim_of_log_append_time_is_cleared(shop: Workshop, compression: str) -> None:
    """It used to be refused as INVALID_TIMESTAMP; Apache Kafka 4.3.1 takes the batch and clears the bit."""
    shop.log.settings = LogSettings(compression_type=compression)
    assert shop.append(2, log_append_time=True).log_append_time_ms == -1
    stored = shop.bytes_of(shop.read(0))
    header = read_header(stored)
    assert (header.is_log_append_time, checksum_matches(stored, header)) == (False, True)
    assert shop.offsets() == [0, 1]


def test_a_repeated_batch_is_answered_with_its_largest_timestamp(shop: Workshop) -> None:
    """Apache Kafka tells it in log_append_time_ms even where the topic has CreateTime; -1 was told."""
    producer = {"producer_id": 7, "producer_epoch": 0, "base_sequence": 0, "timestamp_ms": shop.clock.wall_ms()}
    assert shop.append(**producer).log_append_time_ms == -1
    again = shop.append(**producer)
    assert (again.is_duplicate, again.base_offset, again.log_append_time_ms) == (True, 0, shop.clock.wall_ms())


def test_the_answer_has_offsets_and_a_ticket_that_is_written(shop: Workshop) -> None:
    outcome = shop.append(3)
    assert (outcome.base_offset, outcome.last_offset, outcome.log_append_time_ms, outcome.is_duplicate) == (
        0,
        2,
        -1,
        False,
    )
    assert outcome.ticket.end == 3
    assert [outcome.ticket.is_at(stage) for stage in Stage] == [True, True, False]
    shop.log.sync()
    assert outcome.ticket.is_at(Stage.FLUSHED)


# ---- refusals; each rule by its name is in test_append_rules.py


def _patched(batch: bytearray, position: int, form: str, value: int, *, right_checksum: bool = True) -> bytearray:
    struct.pack_into(form, batch, position, value)
    if right_checksum:
        restamp_checksum(batch, len(batch))
    return batch


def test_junk_behind_the_batch_is_dropped_as_kafka_drops_it(shop: Workshop) -> None:
    for junk in (b"1234567", b"\0" * 8 + b"\0\0\1\0" + b"\0" * 7):
        assert isinstance(shop.log.append_as_leader(shop.batch() + junk, 0), Appended)
    assert shop.offsets() == [0, 1]
    assert shop.log.size_bytes == 2 * len(shop.batch())


def test_a_batch_over_max_message_bytes_is_too_large(shop: Workshop) -> None:
    size = len(shop.batch())
    shop.log.settings = LogSettings(max_message_bytes=size - 1)
    assert shop.refused(shop.batch()).error == ErrorCode.MESSAGE_TOO_LARGE
    shop.log.settings = LogSettings(max_message_bytes=size)
    shop.append()


def test_a_batch_over_segment_bytes_is_too_large_a_list(shop: Workshop) -> None:
    shop.log.settings = LogSettings(segment_bytes=len(shop.batch()) - 1)
    assert shop.refused(shop.batch()).error == ErrorCode.RECORD_LIST_TOO_LARGE


def test_wrong_times_are_told_record_by_record(shop: Workshop) -> None:
    now = shop.clock.wall_ms()
    late = build_batch(
        [(b"a", b"", (), now), (b"b", b"", (), now + 2 * HOUR_MS), (b"c", b"", (), -1)], timestamp_ms=now
    )
    refused = shop.refused(late)
    assert refused.error == ErrorCode.INVALID_TIMESTAMP
    assert [index for index, _ in refused.record_errors] == [1]
    shop.log.settings = LogSettings(message_timestamp_before_max_ms=HOUR_MS)
    assert shop.refused(shop.batch(timestamp_ms=now - 2 * HOUR_MS)).error == ErrorCode.INVALID_TIMESTAMP
    shop.append(timestamp_ms=-1)


def test_our_own_batches_are_trusted(shop: Workshop) -> None:
    shop.log.settings = LogSettings(max_message_bytes=1)
    shop.append(2, origin=Origin.QUORUM, control=True)
    shop.append(origin=Origin.COORDINATOR, timestamp_ms=1)
    assert shop.offsets() == [0, 1, 2]


# ---- what the topic's configuration changes


def test_log_append_time_stamps_every_record_and_is_told(shop: Workshop) -> None:
    shop.log.settings = LogSettings(message_timestamp_type="LogAppendTime")
    for kind in (bytearray, bytes):
        outcome = shop.log.append_as_leader(kind(shop.batch(2, timestamp_ms=5)), 0)
        assert isinstance(outcome, Appended)
        assert outcome.log_append_time_ms == shop.clock.wall_ms()
    assert {record.timestamp for record in shop.records()} == {shop.clock.wall_ms()}
    for batch in iterate_batches(shop.bytes_of(shop.read(0))):
        assert checksum_matches(batch, read_header(batch))


def test_a_compacted_topic_takes_no_record_without_a_key(shop: Workshop) -> None:
    shop.log.settings = LogSettings(cleanup_policy=frozenset({"compact"}))
    keyless = build_batch(
        [(b"a", b"1"), (None, b"2"), (None, b"3")], timestamp_ms=shop.clock.wall_ms(), codec=Codec.LZ4
    )
    refused = shop.refused(keyless)
    assert refused.error == ErrorCode.INVALID_RECORD
    assert [index for index, _ in refused.record_errors] == [1, 2]
    shop.append(3)


@pytest.mark.parametrize("name", ["uncompressed", "gzip", "snappy", "lz4", "zstd"])
def test_a_topics_own_compression_wins(shop: Workshop, name: str) -> None:
    shop.log.settings = LogSettings(compression_type=name)
    shop.append(50, codec=Codec.GZIP)
    stored = next(iterate_batches(shop.bytes_of(shop.read(0))))
    assert read_header(stored).codec == {"uncompressed": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}[name]
    assert [record.key for record in iterate_records(stored)] == [b"k%d" % number for number in range(50)]


def test_bodies_that_must_be_opened_and_cannot_be_are_invalid_records(shop: Workshop) -> None:
    """As in Kafka it was UNKNOWN_SERVER_ERROR, which reads as if the broker were at fault."""
    shop.log.settings = LogSettings(compression_type="zstd")
    broken = shop.batch(5, codec=Codec.GZIP)
    broken[70:80] = bytes(10)
    restamp_checksum(broken, len(broken))
    assert shop.refused(broken).error == ErrorCode.INVALID_RECORD


def test_what_grows_over_the_limit_by_recompression_is_too_large(shop: Workshop) -> None:
    batch = shop.batch(200, codec=Codec.ZSTD)
    shop.log.settings = LogSettings(compression_type="uncompressed", max_message_bytes=len(batch))
    assert shop.refused(batch).error == ErrorCode.MESSAGE_TOO_LARGE


# ---- queued and failed writes


def test_a_queued_batch_is_assigned_but_not_readable_until_it_is_written(make: Callable[[Any], Workshop]) -> None:
    shop = make(SimulatedDisk(queues_writes=True))
    shop.open()
    tickets = [shop.append(2).ticket, shop.append(1).ticket]
    assert (shop.log.log_end, shop.log.written_end) == (3, 0)
    assert shop.bytes_of(shop.read(0)) == b""
    assert not tickets[0].is_at(Stage.WRITTEN)
    shop.disk.run_queued(1)
    assert (shop.log.written_end, shop.progress) == (2, 1)
    assert [ticket.is_at(Stage.WRITTEN) for ticket in tickets] == [True, False]
    assert shop.offsets() == [0, 1]
    shop.disk.run_queued()
    assert (shop.log.written_end, shop.offsets()) == (3, [0, 1, 2])


def test_a_roll_between_queued_writes_keeps_both_segments_right(make: Callable[[Any], Workshop]) -> None:
    shop = make(SimulatedDisk(queues_writes=True))
    shop.open(segment_bytes=200)
    for _ in range(8):
        shop.append(1)
    assert len(shop.log.segments) > 2
    while shop.disk.run_queued(1):
        assert shop.offsets() == list(range(shop.log.written_end))
    assert shop.offsets() == list(range(8))


@pytest.mark.parametrize("queues", [False, True])
def test_a_broken_disk_fails_the_log_for_good(make: Callable[[Any], Workshop], queues: bool) -> None:
    shop = make(SimulatedDisk(queues_writes=queues))
    shop.open()
    told: list[Any] = []
    shop.log.on_failure = told.append
    shop.disk.failing[".log"] = "No space left on device"
    outcome = shop.log.append_as_leader(shop.batch(), 0)
    shop.disk.run_queued()
    if isinstance(outcome, Appended):
        assert not outcome.ticket.is_at(Stage.WRITTEN)
    else:
        assert outcome.error == ErrorCode.KAFKA_STORAGE_ERROR
    shop.disk.failing.clear()
    for again in (shop.log.append_as_leader(shop.batch(), 0), shop.log.read(0, 100, 100)):
        assert isinstance(again, Refused)
        assert again.error == ErrorCode.KAFKA_STORAGE_ERROR
    assert shop.log.failure is not None
    assert told == [shop.log.failure]
    assert shop.progress == 1
    assert shop.log.close(clean=True) is False


# ---- followers


def test_a_follower_keeps_the_leaders_offsets_and_epochs(shop: Workshop, make: Callable[[Any], Workshop]) -> None:
    for epoch in (1, 1, 4):
        shop.append(2, epoch=epoch)
    data = shop.bytes_of(shop.read(0))
    from kbroker.real.memory_disk import MemoryDisk

    follower = make(MemoryDisk())
    follower.open()
    outcome = follower.log.append_as_follower(data + data[:30])
    assert isinstance(outcome, Appended)
    assert (follower.log.log_end, follower.log.epochs.entries()) == (6, shop.log.epochs.entries())
    assert follower.bytes_of(follower.read(0)) == data
    again = follower.log.append_as_follower(data)
    assert isinstance(again, Refused)
    assert again.error == ErrorCode.OFFSET_OUT_OF_RANGE
    damaged = bytearray(shop.batch(1, base_offset=6))
    damaged[-1] ^= 1
    corrupt = follower.log.append_as_follower(damaged)
    assert isinstance(corrupt, Refused)
    assert corrupt.error == ErrorCode.CORRUPT_MESSAGE


# ---- bodies that cost more than they weigh


def _bomb(shop: Workshop, count: int) -> bytearray:
    """A small batch that says, and holds, `count` times the same record."""
    single = build_batch([(None, None)], timestamp_ms=shop.clock.wall_ms() + 2 * HOUR_MS)
    bomb = single[:HEADER_BYTES] + compress(Codec.ZSTD, bytes(single[HEADER_BYTES:]) * count)
    struct.pack_into(">i", bomb, 8, len(bomb) - 12)
    struct.pack_into(">h", bomb, 21, Codec.ZSTD)
    struct.pack_into(">i", bomb, 23, count - 1)
    return _patched(bomb, 57, ">i", count)


def test_more_records_than_a_batch_of_its_size_may_have_are_not_opened(shop: Workshop) -> None:
    """A Produce of 1.4 kB with 2 million records of tomorrow stopped the broker for 5 s and took 460 MB."""
    bomb = _bomb(shop, 120_000)
    assert len(bomb) < 1_000
    refused = shop.refused(bomb)
    assert (refused.error, refused.record_errors) == (ErrorCode.INVALID_RECORD, ())


@pytest.mark.parametrize("settings", [{}, {"cleanup_policy": ("compact",)}], ids=["times", "keys"])
def test_a_refused_batch_names_a_hundred_records_at_most(shop: Workshop, settings: dict[str, Any]) -> None:
    """It named all of them: 2 million in one answer."""
    shop.log.settings = LogSettings(**settings)
    assert [index for index, _ in shop.refused(_bomb(shop, 1_000)).record_errors] == list(range(100))


@pytest.mark.parametrize(
    ("compression", "error"),
    [("gzip", ErrorCode.INVALID_RECORD), ("uncompressed", ErrorCode.MESSAGE_TOO_LARGE)],
)
def test_a_body_that_is_thousands_of_times_its_size_is_refused(
    shop: Workshop, compression: str, error: ErrorCode
) -> None:
    """Up to 256 MiB were unpacked, whatever the batch weighed."""
    shop.log.settings = LogSettings(compression_type=compression)
    bomb = build_batch([(b"k", bytes(20 << 20))], timestamp_ms=shop.clock.wall_ms(), codec=Codec.ZSTD)
    assert shop.refused(bomb).error == error


def test_a_batch_that_shrank_a_hundredfold_is_opened_and_taken(shop: Workshop) -> None:
    shop.log.settings = LogSettings(cleanup_policy=("compact",))
    records = [(b"%d" % number, b"v" * 2_000) for number in range(1_000)]
    batch = build_batch(records, timestamp_ms=shop.clock.wall_ms(), codec=Codec.ZSTD)
    assert len(batch) * 100 < 2_000_000
    assert isinstance(shop.log.append_as_leader(batch, 0), Appended)


def test_a_search_by_time_opens_few_batches_where_headers_lie(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opened every batch whose header promised a time that no record has."""
    now_ms = shop.clock.wall_ms()
    for _ in range(9):
        batch = _patched(shop.batch(2, timestamp_ms=now_ms - 10), 35, ">q", now_ms)
        assert isinstance(shop.log.append_as_leader(batch, 3), Appended)
    opened = []

    def counted(batch: Any) -> Any:
        opened.append(batch)
        return skim_records(batch)

    monkeypatch.setattr(time_search, "skim_records", counted)
    assert shop.log.offset_for_timestamp(now_ms - 5) == (8, now_ms, 3)
    assert len(opened) == 4
