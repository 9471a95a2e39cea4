"""Records whose numbers are whatever a client likes: opened, packed anew, turned back, cleaned; or corrupt."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compat.contracts.raw_batches import raw_batch, record
from kbroker.log import preparation, time_search, up_conversion
from kbroker.log.compaction import cleaning
from kbroker.log.compaction.filtering import Pace, Rules, filtered, keyed_records
from kbroker.log.compaction.offset_map import OffsetMap
from kbroker.log.compaction.rounds import Means, clean, cleanable_part, exhaust
from kbroker.log.outcome import Refused
from kbroker.log.preparation import Preparation
from kbroker.log.settings import LogSettings
from kbroker.record import legacy_down
from kbroker.record.batch import (
    LOG_APPEND_TIME_BIT,
    build_batch,
    checksum_matches,
    iterate_records,
    read_header,
    restamp_checksum,
)
from kbroker.record.compression import Codec, CorruptRecords
from kbroker.record.legacy import RefusedMessages, iterate_entries, iterate_messages, write_message
from kbroker.record.legacy_down import converted_down
from kbroker.record.skim import skim_records
from kbroker.record.varint import read_varint
from protocol_specs.errors import ErrorCode

if TYPE_CHECKING:
    from log_workshop import Workshop

EXAMPLES = 2_000 if os.environ.get("KBROKER_FUZZ") else 60
NOW = 1_700_000_000_000
LAST = (1 << 63) - 1
FAR = 5 * 10**18
WRAPPED = LAST + FAR - (1 << 64)
LOG_APPEND_TIME = {"message_timestamp_type": "LogAppendTime"}
WAYS: list[dict[str, Any]] = [
    {"compression_type": "lz4"},
    {"compression_type": "uncompressed", **LOG_APPEND_TIME},
    {"cleanup_policy": frozenset({"compact"}), **LOG_APPEND_TIME},
    {"record_validation": "full"},
]

INT64 = st.sampled_from([0, -1, NOW, LAST, -LAST - 1, FAR, -FAR]) | st.integers(-LAST - 1, LAST)
DELTAS = st.sampled_from([0, 1, -1, 1 << 31, -(1 << 63), (1 << 63) - 1]) | st.integers(-(1 << 68), (1 << 68) - 1)


def _batch(base: int, *records: bytes, codec: Codec = Codec.NONE, newest: int = NOW, attributes: int = 0) -> bytearray:
    """With these records, `base` as its first time and `newest` as what it claims for its largest."""
    batch = raw_batch(b"".join(records), len(records), codec, timestamp_ms=NOW, max_timestamp=newest)
    struct.pack_into(">h", batch, 21, codec | attributes)
    struct.pack_into(">q", batch, 27, base)
    restamp_checksum(batch, len(batch))
    return batch


def _prepared(batch: bytearray, way: dict[str, Any]) -> memoryview | Refused:
    return Preparation(memoryview(bytearray(batch)), read_header(batch), LogSettings(**way), NOW, "t-0").run()


def _cleaned(batch: bytearray, superseded: bytes) -> bytes:
    """What a round leaves of the batch where `superseded` has a newer record; b"" for nothing."""
    header = read_header(batch)
    newest = OffsetMap(1 << 20)
    for one in keyed_records(memoryview(batch), header):
        newest.put(one.key or b"", one.offset)
    newest.put(superseded, 1 << 40)
    rules = Rules(newest, NOW, 1_000, round_end=1 << 41, last_offsets={})
    steps = filtered(memoryview(batch), header, rules, Pace(), is_trace=True)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return bytes(done.value)


# ---- times whose sum is beyond 64 bits


def test_a_batch_whose_times_overflow_is_packed_anew_with_javas_sums() -> None:
    """The sum stayed beyond 64 bits and found no room in the new header: the worker failed, and the broker ended."""
    records = [record(number, timestamp_delta=-FAR) for number in (0, 5, 2)]
    outcome = _prepared(_batch(-LAST - 1, *records, codec=Codec.GZIP), {"compression_type": "lz4", **LOG_APPEND_TIME})
    assert isinstance(outcome, memoryview)
    assert [(one.offset, one.timestamp) for one in iterate_records(outcome)] == [(n, LAST + 1 - FAR) for n in range(3)]


def test_times_that_overflow_to_below_zero_are_not_packed_anew() -> None:
    outcome = _prepared(_batch(LAST, record(timestamp_delta=FAR), codec=Codec.GZIP), {"compression_type": "lz4"})
    assert isinstance(outcome, Refused)
    assert (outcome.error, str(WRAPPED) in outcome.reason) == (ErrorCode.INVALID_TIMESTAMP, True)


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP])
def test_an_old_consumer_gets_times_that_overflow_as_javas_sums(codec: Codec) -> None:
    """The sum found no room in a message: one such record, and every old consumer ended the broker."""
    batch = _batch(LAST, record(0, timestamp_delta=FAR), codec=codec)
    (entry,) = iterate_entries(b"".join(converted_down(batch, 1, 0, 1 << 20)))
    assert [one.timestamp for one in iterate_messages(entry)] == [WRAPPED]


def test_the_cleaner_wraps_times_that_overflow() -> None:
    """The sum found no room in the header of what stays: the broker ended in every round, after each start again."""
    batch = _batch(LAST, record(0, timestamp_delta=FAR), record(1, b"x", timestamp_delta=FAR))
    left = _cleaned(batch, b"k")
    assert read_header(left).max_timestamp == WRAPPED
    assert [(one.key, one.timestamp) for one in iterate_records(left)] == [(b"x", WRAPPED)]


def test_a_tombstone_far_from_its_delete_horizon_keeps_its_time() -> None:
    """A distance beyond 64 bits was written as another one."""
    batch = _batch(-LAST, record(0), record(1, b"x", None))
    left = _cleaned(batch, b"k")
    assert read_header(left).has_delete_horizon
    assert [(one.key, one.timestamp) for one in iterate_records(left)] == [(b"x", -LAST)]


def test_a_built_batch_keeps_times_that_are_far_apart() -> None:
    """A distance beyond 64 bits was written as another one."""
    times = [-LAST, LAST, 0, -1]
    batch = build_batch([(None, b"v", (), time) for time in times], timestamp_ms=NOW)
    assert [one.timestamp for one in iterate_records(batch)] == times


def test_bits_beyond_64_of_a_long_varint_are_dropped_as_in_java() -> None:
    """They were added to the value."""
    assert read_varint(b"\xff" * 9 + b"\x7f", 0) == (-LAST - 1, 10)
    assert read_varint(b"\x82" + b"\x80" * 8 + b"\x02", 0) == (1, 10)


def test_an_offset_of_more_than_32_bits_is_corrupt() -> None:
    """Kafka's readers stop there; offsets far beyond the batch went into answers and into the cleaner's map."""
    batch = _batch(NOW, record(1 << 40))
    for opened in (iterate_records(batch), skim_records(batch), keyed_records(memoryview(batch), read_header(batch))):
        with pytest.raises(CorruptRecords):
            list(opened)
    with pytest.raises(CorruptRecords):
        list(converted_down(batch, 1, 0, 1 << 20))


# ---- what nobody has thought of


MISFITS = [struct.error("no room"), OverflowError("too large"), IndexError("behind the end")]


@pytest.fixture(params=MISFITS, ids=lambda error: type(error).__name__)
def misfit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever opens records or packs them meets a number that fits nowhere: in a worker that ended the broker."""

    def tripped(*arguments: Any, **named: Any) -> None:
        raise request.param

    monkeypatch.setattr(preparation, "scan_records", tripped)
    monkeypatch.setattr(up_conversion, "iterate_messages", tripped)
    monkeypatch.setattr(legacy_down, "write_message", tripped)
    monkeypatch.setattr(time_search, "skim_records", tripped)
    monkeypatch.setattr(cleaning, "filtered", tripped)


@pytest.mark.usefixtures("misfit")
def test_a_misfit_refuses_the_batch_that_is_prepared() -> None:
    outcome = _prepared(_batch(NOW, record(0)), {"record_validation": "full"})
    assert isinstance(outcome, Refused)
    assert outcome.error == ErrorCode.INVALID_RECORD


@pytest.mark.usefixtures("misfit")
def test_a_misfit_refuses_the_messages_that_are_converted() -> None:
    messages = bytearray()
    write_message(messages, 1, 0, 0, NOW, None, b"v")
    outcome = up_conversion.convert_up(bytes(messages), LogSettings())
    assert isinstance(outcome, Refused)
    assert outcome.error == ErrorCode.INVALID_RECORD


@pytest.mark.usefixtures("misfit")
def test_a_misfit_is_a_corrupt_message_to_an_old_consumer() -> None:
    with pytest.raises(RefusedMessages) as refused:
        list(converted_down(_batch(NOW, record(0)), 1, 0, 1 << 20))
    assert refused.value.error == ErrorCode.CORRUPT_MESSAGE


@pytest.mark.usefixtures("misfit")
def test_a_search_by_time_names_the_batch_that_holds_a_misfit(shop: Workshop) -> None:
    shop.append(3)
    assert shop.log.offset_for_timestamp(1) == (0, shop.clock.wall_ms(), 0)


@pytest.mark.usefixtures("misfit")
def test_a_log_with_a_misfit_cannot_be_cleaned(shop: Workshop) -> None:
    shop.open(segment_bytes=400)
    for _ in range(8):
        shop.append(3)
    part = cleanable_part(shop.log, shop.log.log_end, shop.clock.wall_ms())
    with pytest.raises(CorruptRecords):
        exhaust(clean(shop.log, shop.disk, part, Means(), shop.clock.wall_ms()))


# ---- all of them together


@st.composite
def batches(draw: st.DrawFn) -> bytearray:
    """Every number of the header that says something of the records, and every delta, from anywhere."""
    records = [
        record(
            draw(st.sampled_from([index]) | DELTAS),
            draw(st.sampled_from([b"k", b"x"])),
            draw(st.sampled_from([b"v", None])),
            (),
            timestamp_delta=draw(DELTAS),
        )
        for index in range(draw(st.integers(1, 3)))
    ]
    attributes = draw(st.sampled_from([0, LOG_APPEND_TIME_BIT]))
    codec = draw(st.sampled_from([Codec.NONE, Codec.GZIP]))
    newest = NOW if attributes else draw(INT64)  # the broker's own clock is nobody's choice
    return _batch(draw(INT64), *records, codec=codec, newest=newest, attributes=attributes)


@settings(max_examples=5 * EXAMPLES, deadline=None)
@given(batches(), st.sampled_from(WAYS))
def test_whatever_numbers_a_client_chooses_a_batch_is_prepared_or_refused(
    batch: bytearray, way: dict[str, Any]
) -> None:
    outcome = _prepared(batch, way)
    if isinstance(outcome, Refused):
        return
    header = read_header(outcome)
    assert checksum_matches(outcome, header)
    if header.codec != read_header(batch).codec:
        assert len(list(iterate_records(outcome))) == header.records_count


@settings(max_examples=5 * EXAMPLES, deadline=None)
@given(batches(), st.integers(0, 1))
def test_whatever_numbers_a_client_chooses_old_consumers_read_what_new_ones_do(batch: bytearray, magic: int) -> None:
    try:
        made = b"".join(converted_down(batch, magic, -(1 << 63), 1 << 20))
        read = [one.timestamp for entry in iterate_entries(made) for one in iterate_messages(entry)]
    except CorruptRecords:  # a wrapper whose offsets don't rise, among others
        return
    assert read == [one.timestamp if magic else -1 for one in iterate_records(batch)]


@settings(max_examples=5 * EXAMPLES, deadline=None)
@given(batches())
def test_whatever_numbers_a_client_chooses_the_cleaner_keeps_records_as_they_are(batch: bytearray) -> None:
    try:
        before = list(iterate_records(batch))
        left = _cleaned(batch, b"k")
    except CorruptRecords:
        return
    header = read_header(left)
    assert checksum_matches(left, header)
    after = list(iterate_records(left))
    assert len(after) == header.records_count
    assert [one for one in before if one in after] == after
