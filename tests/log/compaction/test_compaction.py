"""What a round of cleaning leaves of a log."""

from __future__ import annotations

import pytest
from cleaning_shop import COMPACT, CleaningShop
from log_workshop import DIRECTORY

from kbroker.log.outcome import Appended, LogRead
from kbroker.record.batch import HEADER_BYTES, build_batch, iterate_batches, read_header, restamp_checksum
from kbroker.record.compression import CorruptRecords
from kbroker.world import DiskFailure


def test_only_the_newest_record_of_a_key_stays_at_its_offset(shop: CleaningShop) -> None:
    shop.put(("a", "1"), ("b", "1"), ("a", "2"))
    shop.put(("b", "2"))
    shop.roll()
    shop.put(("c", "1"))
    done = shop.clean()
    assert shop.left() == [(2, "a", "2"), (3, "b", "2"), (4, "c", "1")]
    assert (done.start, done.end, done.keys) == (0, 4, 2)
    assert (shop.log.log_start, shop.log.log_end) == (0, 5)


def test_the_growing_segment_is_left_alone(shop: CleaningShop) -> None:
    shop.put(("a", "1"))
    shop.roll()
    shop.put(("a", "2"))
    shop.put(("a", "3"))
    shop.clean()
    assert shop.left() == [(0, "a", "1"), (1, "a", "2"), (2, "a", "3")]


def test_a_round_goes_on_where_the_last_one_ended_and_cleans_what_came_before_by_what_came_after(
    shop: CleaningShop,
) -> None:
    shop.put(("a", "1"), ("b", "1"))
    shop.roll()
    shop.put(("b", "2"))
    shop.clean()
    shop.roll()
    shop.put(("a", "2"))
    shop.roll()
    done = shop.clean()
    assert (done.start, done.end) == (2, 4)
    assert shop.left() == [(2, "b", "2"), (3, "a", "2")]


@pytest.mark.parametrize("codec", range(5))
def test_what_stays_of_a_batch_keeps_its_codec_times_headers_and_last_offset(shop: CleaningShop, codec: int) -> None:
    now_ms = shop.clock.wall_ms()
    batch = build_batch(
        [
            (b"a", b"1" * 50, (), now_ms + 30),
            (b"b", b"1", [("h", b"x"), ("n", None)], now_ms + 10),
            (b"c", None if codec == 4 else b"2", (), now_ms + 20),
            (b"a", b"2", (), now_ms + 5),
            (b"a", b"3", (), now_ms),
        ],
        timestamp_ms=now_ms,
        codec=codec,
    )
    shop.log.append_as_leader(batch, 7)
    shop.put(("a", "4"))
    shop.roll()
    shop.clean()
    first = next(shop.batches())
    assert [record[:2] for record in first.records] == [(1, now_ms + 10), (2, now_ms + 20)]
    assert first.records[0].headers == (("h", b"x"), ("n", None))
    header = first.header
    assert (header.base_offset, header.last_offset, header.records_count) == (0, 4, 2)
    assert (header.codec, header.partition_leader_epoch, header.max_timestamp) == (codec, 7, now_ms + 20)


def test_a_batch_of_which_everything_stays_is_the_same_bytes(shop: CleaningShop) -> None:
    shop.put(("a", "1"), ("b", "1"), codec=3)
    before = shop.bytes_of(shop.read(0))
    shop.put(("c", "1"))
    shop.put(("c", "2"))
    shop.roll()
    shop.clean()
    assert shop.bytes_of(shop.read(0))[: len(before)] == before


def test_any_negative_length_is_a_null(shop: CleaningShop) -> None:
    """An append takes them, as Kafka does. The cleaner took the batch for damaged and left its log alone for good."""
    shop.put(("a", "1"))
    batch = shop.batch_of([(b"a", None)])
    batch[batch.index(b"\x02a\x01", HEADER_BYTES) + 2] = 0x7F  # -64
    restamp_checksum(batch, len(batch))
    assert isinstance(shop.log.append_as_leader(batch, 0), Appended)
    shop.put(("b", "1"))
    shop.roll()
    shop.clean()
    assert shop.left() == [(1, "a", None), (2, "b", "1")]


def test_a_tombstone_hides_its_key_until_its_horizon_has_passed(shop: CleaningShop) -> None:
    shop.put(("a", "1"), ("b", "1"))
    shop.put(("a", None), ("b", "2"))
    shop.put(("z", "1"))
    shop.roll()
    shop.clean()
    horizon_ms = shop.clock.wall_ms() + 1000
    assert shop.left() == [(2, "a", None), (3, "b", "2"), (4, "z", "1")]
    header = shop.headers()[0]
    assert header.has_delete_horizon
    assert header.base_timestamp == horizon_ms
    times = [record.timestamp for record in next(shop.batches()).records]
    assert times == [shop.clock.wall_ms()] * 2

    for wait_ms, is_left in [(999, True), (1, False)]:
        shop.clock.advance(wait_ms)
        shop.put(("c", "1"))
        shop.roll()
        shop.clean()
        assert ((2, "a", None) in shop.left()) is is_left
        assert (3, "b", "2") in shop.left()


def test_the_horizon_of_a_tombstone_is_set_once(shop: CleaningShop) -> None:
    shop.put(("a", None))
    shop.roll()
    shop.clean()
    first = shop.headers()[0].base_timestamp
    shop.clock.advance(500)
    shop.put(("b", "1"))
    shop.roll()
    shop.clean()
    assert shop.headers()[0].base_timestamp == first


def test_a_tombstone_in_the_part_that_did_not_fit_into_the_map_stays(shop: CleaningShop) -> None:
    shop.put(("a", "1"), ("b", "1"), ("a", None))
    shop.roll()
    shop.clean(keys=1)
    assert shop.left() == [(0, "a", "1"), (1, "b", "1"), (2, "a", None)]


def test_a_map_that_is_full_ends_the_round_where_it_was_full_and_the_next_goes_on(shop: CleaningShop) -> None:
    for value in "12":
        shop.put(*((key, value) for key in "abcdef"))
    shop.roll()
    ends = [shop.clean(keys=4).end for _ in range(3)]
    assert ends == [4, 8, 12]
    assert shop.left() == [(6 + index, key, "2") for index, key in enumerate("abcdef")]


def test_a_full_map_still_takes_newer_records_of_its_keys(shop: CleaningShop) -> None:
    shop.put(*(("a", str(value)) for value in range(50)))
    shop.roll()
    assert shop.clean(keys=1).end == 50


def test_the_last_batch_of_a_producer_stays_without_records(shop: CleaningShop) -> None:
    """Otherwise a rebuilt state would take the producer's next batch for one of an unknown producer."""
    shop.put(("a", "1"), ("a", "2"), producer_id=7, producer_epoch=1, base_sequence=5)
    shop.put(("a", "3"))
    shop.put(("b", "1"))
    shop.roll()
    shop.clean()
    header = shop.headers()[0]
    assert (header.records_count, header.last_sequence, header.producer_id, header.producer_epoch) == (0, 6, 7, 1)
    assert (header.base_timestamp, header.last_offset, header.codec) == (-1, 1, 0)
    for name in shop.names(".snapshot"):
        shop.disk.remove(f"{DIRECTORY}/{name}")
    shop.reopen(clean=False)
    assert [(p.producer_id, p.epoch, p.batches[-1].last_sequence) for p in shop.log.producers] == [(7, 1, 6)]


def test_the_empty_batch_goes_when_its_producer_wrote_on_or_was_forgotten(shop: CleaningShop) -> None:
    shop.put(("a", "1"), producer_id=7, producer_epoch=1, base_sequence=0)
    shop.put(("a", "2"))
    shop.put(("b", "1"))
    shop.roll()
    shop.clean()
    assert shop.headers()[0].producer_id == 7
    shop.clock.advance(25 * 3600 * 1000)
    shop.log.expire_producers()
    shop.put(("c", "1"))
    shop.roll()
    shop.clean()
    assert all(header.producer_id == -1 for header in shop.headers())


def test_the_last_batch_of_the_cleaned_part_stays_so_that_its_end_is_known(shop: CleaningShop) -> None:
    shop.put(("a", "1"))
    shop.put(("a", None))
    shop.roll()
    shop.clean()
    shop.clock.advance(1000)
    shop.put(("b", "1"))
    shop.log.cleaning.first_dirty = None
    part_end_before = shop.log.log_end
    shop.roll()
    shop.put(("b", "2"))
    shop.roll()
    shop.clean()
    assert shop.left() == [(3, "b", "2")]
    shop.reopen(clean=False)
    assert shop.log.log_end == part_end_before + 1


def test_a_head_may_become_empty_and_the_log_start_stays(shop: CleaningShop) -> None:
    shop.settings = shop.log.settings = type(shop.settings)(cleanup_policy=COMPACT, segment_bytes=80)
    for value in range(6):
        shop.put(("a", str(value)))
    shop.roll()
    shop.clean()
    assert shop.left() == [(5, "a", "5")]
    assert shop.log.log_start == 0
    first = shop.log.read(0, 1000, 6)
    assert isinstance(first, LogRead)
    assert first.first_offset == 5
    shop.bytes_of(first)
    shop.reopen(clean=True)
    assert shop.left() == [(5, "a", "5")]
    shop.reopen(clean=False)
    assert shop.left() == [(5, "a", "5")]
    assert shop.log.log_start == 0


def test_records_without_a_key_go(shop: CleaningShop) -> None:
    """From before the topic was compacted; Kafka drops them too."""
    shop.put((None, "1"), ("a", "1"))
    shop.put(("b", "1"))
    shop.roll()
    shop.clean()
    assert shop.left() == [(1, "a", "1"), (2, "b", "1")]


def test_small_neighbours_become_one_segment_and_their_files_go_after_the_delay(shop: CleaningShop) -> None:
    for value in range(5):
        shop.put(("a", str(value)), (f"k{value}", "1"))
        shop.roll()
    shop.clean()
    assert [segment.base_offset for segment in shop.log.segments] == [0, 10]
    assert shop.names(".deleted")
    shop.clock.advance(10)
    assert sorted(shop.names()) == [
        "00000000000000000000.index",
        "00000000000000000000.log",
        "00000000000000000000.timeindex",
        "00000000000000000010.log",
        "00000000000000000010.snapshot",
        "leader-epoch-checkpoint",
        "partition.metadata",
    ]


def test_a_slice_of_a_replaced_segment_stays_readable(shop: CleaningShop) -> None:
    shop.put(("a", "1"))
    shop.put(("a", "2"))
    shop.roll()
    lease = shop.read(0)
    shop.clean()
    shop.clock.advance(10)
    data = shop.bytes_of(lease)
    assert [read_header(batch).base_offset for batch in iterate_batches(data)] == [0, 1]


@pytest.mark.parametrize("is_control", [False, True])
def test_batches_of_transactions_stay_and_replace_nobody(shop: CleaningShop, is_control: bool) -> None:
    shop.put(("a", "1"))
    shop.put(("b", "1"))
    shop.put(("a", "9"), transactional=True, control=is_control)
    shop.put(("b", "2"))
    shop.roll()
    shop.clean()
    assert shop.left() == [(0, "a", "1"), (2, "a", "9"), (3, "b", "2")]


def test_a_tombstone_behind_a_transaction_stays_for_good(shop: CleaningShop) -> None:
    """The record that it hides may be the transaction's, which stays."""
    shop.put(("a", None))
    shop.put(("b", "1"), transactional=True)
    shop.put(("b", None), ("c", None))
    shop.roll()
    shop.clean()
    shop.clock.advance(5000)
    shop.put(("d", "1"))
    shop.roll()
    shop.clean()
    assert shop.left() == [(1, "b", "1"), (2, "b", None), (3, "c", None), (4, "d", "1")]


def test_a_damaged_batch_ends_the_round_and_changes_nothing(shop: CleaningShop) -> None:
    shop.put(("a", "1"))
    shop.put(("a", "2"))
    shop.roll()
    file = shop.disk.open(f"{DIRECTORY}/{0:020d}.log")
    file.write_at(65, [b"\xff"])
    before = shop.names()
    with pytest.raises(CorruptRecords, match=r"00\.log: the checksum of the batch at byte 0"):
        shop.clean()
    assert shop.names() == before
    assert not shop.log.cleaning.is_under_way


def test_a_round_that_is_given_up_leaves_nothing_behind(shop: CleaningShop) -> None:
    for value in range(300):
        shop.put(("a", str(value)))
    shop.roll()
    before, left = shop.names(), shop.left()
    works = shop.works(io_buffer_size=100)
    steps = next(works)
    while not shop.names(".cleaned"):
        try:
            next(steps)
        except StopIteration as done:
            steps = works.send(done.value)
    steps.close()
    works.close()
    assert (shop.names(), shop.left()) == (before, left)
    shop.clean()
    assert shop.left() == [(299, "a", "299")]


def test_retention_waits_for_the_cleaner(shop: CleaningShop) -> None:
    shop.settings = shop.log.settings = type(shop.settings)(
        cleanup_policy=frozenset({"compact", "delete"}), retention_ms=1000, segment_bytes=80
    )
    for value in range(4):
        shop.put((f"k{value}", "1"))
    shop.roll()
    works = shop.works()
    next(works)
    shop.clock.advance(2000)
    assert shop.log.apply_retention() == 0
    assert shop.log.delete_before(2) == 2
    assert shop.log.segments[0].base_offset == 0
    works.close()
    assert shop.log.apply_retention() == 4


def test_a_log_that_is_cut_while_its_swap_is_under_way_is_not_brought_back(shop: CleaningShop) -> None:
    shop.put(("a", "1"))
    shop.put(("a", "2"), ("b", "1"))
    shop.roll()
    works = shop.works()
    steps = next(works)
    while shop.log.cleaning.swap_base is None:
        try:
            next(steps)
        except StopIteration as done:
            steps = works.send(done.value)
    assert shop.names(".swap")
    shop.log.truncate_to(1)
    assert shop.log.cleaning.is_aborted
    steps.close()
    works.close()
    shop.reopen(clean=False)
    assert shop.left() == [(0, "a", "1")]
    assert shop.log.cleaning.first_dirty is None


def test_a_disk_that_refuses_the_swap_fails_the_log(shop: CleaningShop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.put(("a", "1"))
    shop.roll()

    def refuse(source: str, target: str) -> None:
        if target.endswith(".deleted"):
            raise DiskFailure(source, "Input/output error")
        rename(source, target)

    rename = shop.disk.rename
    monkeypatch.setattr(shop.disk, "rename", refuse)
    shop.clean()
    assert shop.log.failure is not None


def test_a_deleted_log_takes_nothing_from_the_next_of_its_name(shop: CleaningShop) -> None:
    """The snapshot at the same offset of a new log went with the delay of the old one's segments."""
    shop.put(("a", "1"))
    shop.roll()
    shop.put(("a", "2"))
    shop.roll()
    shop.clean()
    shop.log.close(clean=False)
    path = f"{DIRECTORY}/{1:020d}.snapshot"
    shop.disk.replace(path, b"another's")
    shop.clock.advance(10)
    assert shop.disk.exists(path)
