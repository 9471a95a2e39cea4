"""A directory of an old Kafka may hold messages of magic 0 and 1: they are neither served from it nor destroyed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from log_workshop import DIRECTORY

from kbroker.log.verify import PartitionCheck
from kbroker.record.legacy import write_message
from kbroker.world import DiskFailure

if TYPE_CHECKING:
    from log_workshop import Workshop

PATH = f"{DIRECTORY}/{0:020d}.log"


def _with_old_messages(shop: Workshop, magic: int) -> bytes:
    """Two batches, then two messages of an old format."""
    shop.append(1)
    shop.append(1)
    assert shop.log.close(clean=True)
    old = bytearray()
    for offset in (2, 3):
        write_message(old, magic, 0, offset, 1000, b"key", b"value")
    file = shop.disk.open(PATH)
    file.write_at(file.size(), [old])
    return bytes(shop.disk.read(PATH))


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("recovery_point", [0, 2])
def test_recovery_leaves_old_messages_where_they_are(shop: Workshop, magic: int, recovery_point: int) -> None:
    """It used to cut the log there, and to remove all later segments: Kafka 4 still reads these."""
    before = _with_old_messages(shop, magic)
    for _ in range(2):
        with pytest.raises(
            DiskFailure, match=r"messages of before Kafka 0\.11 .* Apache Kafka serves them and this broker does not"
        ):
            shop.open(clean=False, recovery_point=recovery_point)
        assert shop.disk.read(PATH) == before


def test_an_old_message_whose_checksum_does_not_hold_is_cut_as_any_torn_tail(shop: Workshop) -> None:
    before = _with_old_messages(shop, 1)
    first_old = before.index(b"key")
    shop.disk.open(PATH).write_at(first_old, [b"KEY"])
    assert shop.open(clean=False).log_end == 2
    assert shop.disk.open(PATH).size() < len(before)


@pytest.mark.parametrize("magic", [0, 1])
def test_a_check_names_old_messages_and_nothing_that_follows_from_them(shop: Workshop, magic: int) -> None:
    _with_old_messages(shop, magic)
    shop.disk.replace(f"{DIRECTORY}/{4:020d}.snapshot", shop.disk.read(f"{DIRECTORY}/{2:020d}.snapshot"))
    problems = [
        found.problem
        for found in PartitionCheck(shop.disk, DIRECTORY, is_clean=True).run(0)
        if not isinstance(found, int)
    ]
    (problem,) = problems
    assert "messages of before Kafka 0.11 (magic 0 or 1): only Apache Kafka serves them" in problem
