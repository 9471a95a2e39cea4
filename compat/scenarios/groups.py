"""Consumer groups: members that come and go, offsets committed and read back."""

from __future__ import annotations

from compat.cell import Cell, GroupMember, expect, expect_contents
from compat.record import Record
from compat.scenarios.registry import scenario

PARTITIONS = 4
ROUND = 40


def _produce_round(cell: Cell, topic: str, number: int) -> set[bytes]:
    """Records over all partitions; returns their values."""
    values = [b"round %d, record %d" % (number, index) for index in range(ROUND)]
    cell.produce(topic, [Record(value, key=b"k", partition=i % PARTITIONS) for i, value in enumerate(values)])
    return set(values)


def _await_shares(cell: Cell, members: list[GroupMember], sizes: list[int]) -> None:
    """Wait until each partition has one owner and the members own so many of them."""

    def settled() -> bool:
        shares = [member.look().assignment for member in members]
        owned = sorted(partition for share in shares for partition in share)
        return owned == list(range(PARTITIONS)) and sorted(map(len, shares)) == sizes

    cell.until(settled, lambda: f"the partitions are owned as {[member.assignment for member in members]}")


def _await_values(cell: Cell, members: list[GroupMember], wanted: set[bytes]) -> None:
    """Wait until the members have seen all these values between them."""

    def missing() -> set[bytes]:
        seen = {record.value for member in members for record in member.records}
        return {value for value in wanted if value not in seen}

    def all_seen() -> bool:
        for member in members:
            member.look()
        return not missing()

    cell.until(all_seen, lambda: f"{len(missing())} of {len(wanted)} records weren't seen")


@scenario("group-rebalance")
def group_rebalance(cell: Cell) -> None:
    """Two members come and go; each partition has one owner, every record is seen."""
    topic, group = cell.topic(PARTITIONS), cell.name("group")
    first_round = _produce_round(cell, topic, 1)
    first = GroupMember(cell, "first", group, topic)
    _await_shares(cell, [first], [PARTITIONS])
    _await_values(cell, [first], first_round)

    second = GroupMember(cell, "second", group, topic)
    _await_shares(cell, [first, second], [PARTITIONS // 2, PARTITIONS // 2])
    _await_values(cell, [first, second], _produce_round(cell, topic, 2))
    expect(bool(second.records), True, "the second member saw records")

    first.close()
    left_at = len(first.records)
    _await_shares(cell, [second], [PARTITIONS])
    _await_values(cell, [second], _produce_round(cell, topic, 3))
    second.close()
    expect(len(first.records), left_at, "records the first member saw after it left")


@scenario("group-resume")
def group_resume(cell: Cell) -> None:
    """A group's next member goes on where the last one committed."""
    topic, group = cell.topic(), cell.name("group")
    records = [Record(b"%d" % number, key=b"k") for number in range(20)]
    cell.produce(topic, records)
    expect_contents(cell.group_read(group, topic, 8), records[:8], "the first member's records")
    expect_contents(cell.group_read(group, topic, 12), records[8:], "the second member's records")
    expect_contents(cell.group_read(cell.name("group"), topic, 20), records, "another group's records")


@scenario("commit-read-back", needs=("commit",))
def commit_read_back(cell: Cell) -> None:
    """A committed offset is what another consumer, the admin client if there is one, and the next member find."""
    topic, group = cell.topic(2), cell.name("group")
    records = [Record(b"%d" % number, key=b"k", partition=1) for number in range(10)]
    cell.produce(topic, records)
    cell.do("commit", group=group, topic=topic, partition=1, offset=7)
    expect(cell.do("committed", group=group, topic=topic, partition=1)["offset"], 7, "committed offset")
    expect(cell.do("committed", group=group, topic=topic, partition=0)["offset"], None, "offset never committed")
    if cell.can("admin-offsets"):
        told = cell.do("admin_committed", group=group, topic=topic, partition=1)
        expect(told["offset"], 7, "offset seen by admin")
    expect_contents(cell.group_read(group, topic, 3), records[7:], "records behind the committed offset")
