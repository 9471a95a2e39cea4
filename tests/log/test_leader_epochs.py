"""Leader epochs: where each begins, what an answer to "where does it end" is, and what truncation leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from log_workshop import DIRECTORY, Workshop

from kbroker.log.checkpoints import parse_epochs
from kbroker.log.leader_epochs import LeaderEpochs
from kbroker.real.memory_disk import MemoryDisk

EPOCHS_FILE = f"{DIRECTORY}/leader-epoch-checkpoint"
KNOWN = [(2, 10), (4, 20), (7, 30)]


@pytest.mark.parametrize(
    ("epoch", "start", "after"),
    [
        (8, 40, [*KNOWN, (8, 40)]),
        (8, 30, [(2, 10), (4, 20), (8, 30)]),  # nothing was written in epoch 7
        (8, 25, [(2, 10), (4, 20), (8, 25)]),
        (7, 30, KNOWN),
        (7, 35, KNOWN),
        (7, 25, [(2, 10), (4, 20), (7, 25)]),
        (4, 40, [(2, 10), (4, 40)]),  # an older epoch behind newer ones: those never were
        (0, 40, [(0, 40)]),
        (8, 0, [(8, 0)]),
        (-1, 40, KNOWN),  # a batch that nobody stamped
    ],
)
def test_a_new_epoch_takes_back_what_contradicts_it(epoch: int, start: int, after: list[tuple[int, int]]) -> None:
    epochs = LeaderEpochs(KNOWN)
    epochs.assign(epoch, start)
    assert (epochs.entries(), epochs.is_dirty) == (after, after != KNOWN)


@pytest.mark.parametrize(
    ("epoch", "end"),
    [
        (-1, (-1, -1)),
        (0, (0, 10)),  # older than all that is known: it ended where the first known one begins
        (2, (2, 20)),
        (3, (2, 20)),
        (4, (4, 30)),
        (6, (4, 30)),
        (7, (7, 99)),  # the latest still grows
        (8, (-1, -1)),
    ],
)
def test_where_an_epoch_ends(epoch: int, end: tuple[int, int]) -> None:
    assert LeaderEpochs(KNOWN).end_of(epoch, 99) == end
    assert LeaderEpochs().end_of(epoch, 99) == (-1, -1)


@pytest.mark.parametrize(("offset", "epoch"), [(9, -1), (10, 2), (19, 2), (20, 4), (29, 4), (30, 7), (1000, 7)])
def test_which_epoch_an_offset_was_written_in(offset: int, epoch: int) -> None:
    assert LeaderEpochs(KNOWN).epoch_at(offset) == epoch


@pytest.mark.parametrize(
    ("start", "after"),
    [
        (5, KNOWN),
        (10, KNOWN),
        (11, [(2, 11), (4, 20), (7, 30)]),
        (20, [(4, 20), (7, 30)]),
        (25, [(4, 25), (7, 30)]),
        (1000, [(7, 1000)]),
    ],
)
def test_a_log_that_begins_later_keeps_the_epoch_that_it_begins_in(start: int, after: list[tuple[int, int]]) -> None:
    epochs = LeaderEpochs(KNOWN)
    epochs.truncate_start(start)
    assert (epochs.entries(), epochs.is_dirty) == (after, after != KNOWN)


@pytest.mark.parametrize(
    ("end", "after"), [(1000, KNOWN), (31, KNOWN), (30, KNOWN[:2]), (21, KNOWN[:2]), (20, KNOWN[:1]), (0, [])]
)
def test_a_log_that_ends_earlier_forgets_the_epochs_behind_its_end(end: int, after: list[tuple[int, int]]) -> None:
    epochs = LeaderEpochs(KNOWN)
    epochs.truncate_end(end)
    assert (epochs.entries(), epochs.is_dirty) == (after, after != KNOWN)


# ---- in a log


def on_disk(shop: Workshop) -> list[tuple[int, int]]:
    return parse_epochs(shop.disk.read(EPOCHS_FILE))


def in_three_epochs(shop: Workshop) -> None:
    for epoch in (0, 0, 2, 5):
        shop.append(5, epoch=epoch)


def test_the_file_follows_appends_and_both_truncations(shop: Workshop) -> None:
    """A start that moved inside a segment left the older epochs in place, and neither file nor memory heard of it."""
    in_three_epochs(shop)
    assert on_disk(shop) == [(0, 0), (2, 10), (5, 15)]
    shop.log.delete_before(12)
    assert on_disk(shop) == [(2, 12), (5, 15)]
    shop.log.truncate_to(15)
    assert on_disk(shop) == [(2, 12)]


def test_a_log_emptied_to_start_elsewhere_knows_no_epoch(shop: Workshop) -> None:
    """Epochs that began before the new start were kept."""
    in_three_epochs(shop)
    shop.log.truncate_fully_and_start_at(1000)
    assert (shop.log.epochs.entries(), on_disk(shop)) == ([], [])


@pytest.mark.parametrize("clean", [True, False])
def test_epochs_survive_a_restart(make: Callable[[Any], Workshop], clean: bool) -> None:
    shop = make(MemoryDisk())
    shop.open()
    in_three_epochs(shop)
    shop.reopen(clean=clean)
    assert shop.log.epochs.entries() == [(0, 0), (2, 10), (5, 15)]


@pytest.mark.parametrize("damage", [None, b"", b"0\n2\n0 0\n", b"\xff" * 20])
def test_epochs_that_the_file_lost_are_read_from_the_batches(shop: Workshop, damage: bytes | None) -> None:
    in_three_epochs(shop)
    shop.disk.remove(EPOCHS_FILE)
    if damage is not None:
        shop.disk.replace(EPOCHS_FILE, damage)
    shop.reopen(clean=False)
    assert shop.log.epochs.entries() == [(0, 0), (2, 10), (5, 15)]


@pytest.mark.parametrize(
    "wrong", [b"2 0\n1 5\n0 9", b"0 0\n2 11\n5 9", b"0 0\n0 4\n5 9", b"-1 0\n2 9\n5 12", b"0 -1\n2 9\n5 12"]
)
@pytest.mark.parametrize("clean", [True, False])
def test_epochs_of_a_file_that_do_not_rise_are_read_from_the_batches(shop: Workshop, wrong: bytes, clean: bool) -> None:
    """What was left of it was kept for good where recovery reads nothing: one epoch began 60 offsets late."""
    shop.open(segment_bytes=300)
    in_three_epochs(shop)
    shop.append(1, epoch=5)
    assert shop.log.close(clean=True)
    shop.disk.replace(EPOCHS_FILE, b"0\n3\n" + wrong + b"\n")
    shop.open(clean=clean, recovery_point=shop.log.log_end)
    assert shop.log.epochs.entries() == [(0, 0), (2, 10), (5, 15)]
    assert [each.file for each in shop.log.mended] == ["leader-epoch-checkpoint"]


def test_a_file_that_is_ahead_or_behind_the_log_is_cut_to_it(shop: Workshop) -> None:
    in_three_epochs(shop)
    shop.log.close(clean=True)
    shop.disk.replace(EPOCHS_FILE, b"0\n4\n0 0\n2 10\n5 15\n9 21\n")
    shop.open(clean=True, log_start=11)
    assert shop.log.epochs.entries() == [(2, 11), (5, 15)]


def test_an_epoch_begins_when_its_leader_is_elected(shop: Workshop) -> None:
    """It began with the first batch: until then its end was unknown, and readers that named it were out of range."""
    in_three_epochs(shop)
    shop.log.assign_epoch(6, shop.log.log_end)
    assert shop.log.end_offset_for_epoch(6) == (6, 20)
    assert shop.log.end_offset_for_epoch(5) == (5, 20)
    shop.append(5, epoch=6)
    assert shop.log.end_offset_for_epoch(5) == (5, 20)
    assert shop.log.end_offset_for_epoch(6) == (6, 25)
    assert shop.log.close(clean=True)
    assert on_disk(shop)[-1] == (6, 20)


def test_the_first_batch_of_an_elected_leader_brings_its_epoch_to_the_file(shop: Workshop) -> None:
    """Recovery reads none of the trusted segments: an epoch that only memory knew would begin too late after a kill."""
    shop.open(segment_bytes=300)
    shop.log.assign_epoch(3, 0)
    for _ in range(9):
        shop.append(2, epoch=3)
    assert on_disk(shop) == [(3, 0)]
    shop.log.sync()
    shop.reopen(clean=False, recovery_point=shop.log.recovery_point)
    assert shop.log.epochs.entries() == [(3, 0)]


def test_a_log_that_is_elected_again_and_never_written_has_nothing_to_bring_to_the_medium(shop: Workshop) -> None:
    shop.log.assign_epoch(0, 0)
    assert shop.log.close(clean=True)
    shop.open(clean=True)
    shop.log.assign_epoch(0, 0)
    assert (shop.log.is_dirty, on_disk(shop)) == (False, [(0, 0)])
    shop.log.assign_epoch(1, 0)
    assert shop.log.is_dirty


def test_an_epoch_that_truncation_took_is_saved_when_it_is_written_again(shop: Workshop) -> None:
    in_three_epochs(shop)
    shop.log.truncate_to(15)
    shop.append(5, epoch=5)
    assert on_disk(shop) == [(0, 0), (2, 10), (5, 15)]
